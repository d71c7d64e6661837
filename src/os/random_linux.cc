#include <sys/random.h>

#include "os/random.h"

namespace pglite::os {

Result<void> fill_random(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto count = retry([&] { return ::getrandom(bytes.data(), bytes.size(), 0); });
    if (!count) return error(count.error());
    // It never gives nothing; if it did, asking again could go on for ever.
    if (*count == 0) return error(std::errc::io_error);
    bytes = bytes.subspan(static_cast<size_t>(*count));
  }
  return {};
}

}  // namespace pglite::os
