#include <sys/random.h>
#include <unistd.h>

#include <algorithm>

#include "os/random.h"

namespace pglite::os {

Result<void> fill_random(std::span<std::byte> bytes) {
  constexpr size_t kMost = 256;  // a call gives no more
  while (!bytes.empty()) {
    const size_t count = std::min(bytes.size(), kMost);
    if (::getentropy(bytes.data(), count) != 0) return last_error();
    bytes = bytes.subspan(count);
  }
  return {};
}

}  // namespace pglite::os
