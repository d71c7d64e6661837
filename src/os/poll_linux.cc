// ppoll(2) takes nanoseconds.
#include <algorithm>
#include <ctime>

#include "os/poll.h"

namespace pglite::os {

using std::chrono::nanoseconds;

int poll_for(std::span<pollfd> descriptors, std::optional<nanoseconds> time) {
  timespec timeout{};
  if (time) {
    const nanoseconds left = std::max(*time, nanoseconds::zero());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    timeout.tv_sec = seconds.count();
    timeout.tv_nsec = (left - seconds).count();
  }
  return ::ppoll(descriptors.data(), descriptors.size(), time ? &timeout : nullptr, nullptr);
}

}  // namespace pglite::os
