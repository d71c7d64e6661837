#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "os/wake_event.h"

namespace pglite::os {

Result<WakeEvent> WakeEvent::make() {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return error(static_cast<std::errc>(errno));
  WakeEvent event;
  event.reader_ = UniqueFd(ends[0]);
  event.writer_ = UniqueFd(ends[1]);
  for (const int end : ends) {
    // A pipe that was just made refuses neither.
    (void)fcntl(end, F_SETFD, FD_CLOEXEC);
    (void)fcntl(end, F_SETFL, O_NONBLOCK);
  }
  return event;
}

void WakeEvent::set() const {
  const int before = errno;
  // A full pipe is readable already.
  (void)!write(writer_.get(), "", 1);
  errno = before;
}

void WakeEvent::clear() const {
  std::array<char, 64> bytes;
  while (read(reader_.get(), bytes.data(), bytes.size()) > 0) {
  }
}

}  // namespace pglite::os
