#include <algorithm>
#include <climits>

#include "os/poll.h"

namespace pglite::os {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

int poll_for(std::span<pollfd> descriptors, std::optional<nanoseconds> time) {
  // A caller who is woken too early after very long waits again.
  constexpr milliseconds kMost{INT_MAX};
  const auto left = std::chrono::ceil<milliseconds>(
      std::max(time.value_or(nanoseconds::zero()), nanoseconds::zero()));
  const int timeout = time ? static_cast<int>(std::min(left, kMost).count()) : -1;
  return ::poll(descriptors.data(), static_cast<nfds_t>(descriptors.size()), timeout);
}

}  // namespace pglite::os
