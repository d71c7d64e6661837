// Each read is preceded by a poll, which is what makes a signal and a vanished reader noticed
// without a race while there is nothing to read. It costs a fraction of a microsecond beside the
// context switches of a request; the descriptors' flags stay untouched, because they are shared
// with whoever started us.
#include "port/channel.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace pglite::port {
namespace {

// POSIX promises no more than this many parts per call (IOV_MAX is 1024 on Linux).
constexpr size_t kPartsPerCall = 1024;

}  // namespace

Channel::Event Channel::read(std::span<char> room, size_t* count) {
  const auto failed = [count](int error) {
    *count = static_cast<size_t>(error);
    return Event::kError;
  };
  while (true) {
    // No events are asked of `out`: an error or hang-up is reported anyway.
    pollfd fds[] = {{in_, POLLIN, 0}, {out_, 0, 0}, {signals_, POLLIN, 0}};
    if (::poll(fds, 3, -1) < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return failed(errno);
    }
    if (fds[2].revents != 0) {
      signalfd_siginfo info;
      if (::read(signals_, &info, sizeof info) == sizeof info) {
        *count = info.ssi_signo;
        return Event::kSignal;
      }
    }
    if ((fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return Event::kOutputClosed;
    if (fds[0].revents == 0) continue;
    const ssize_t got = ::read(in_, room.data(), room.size());
    if (got > 0) {
      *count = static_cast<size_t>(got);
      return Event::kBytes;
    }
    if (got == 0) return Event::kEnd;
    // A non-blocking descriptor that we share may have been emptied by somebody else.
    if (errno != EINTR && errno != EAGAIN) return failed(errno);
  }
}

Status Channel::write(std::span<iovec> parts) {
  while (true) {
    while (!parts.empty() && parts[0].iov_len == 0) parts = parts.subspan(1);
    if (parts.empty()) return {};
    const ssize_t written =
        ::writev(out_, parts.data(), static_cast<int>(std::min(parts.size(), kPartsPerCall)));
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        pollfd fd = {out_, POLLOUT, 0};
        ::poll(&fd, 1, -1);
        continue;
      }
      if (errno == EPIPE || errno == ECONNRESET) return Status::disconnected("stdout was closed");
      return Status::io_error(std::string("cannot write to stdout: ") + std::strerror(errno));
    }
    auto left = static_cast<size_t>(written);
    while (left > 0) {
      const size_t step = std::min(left, parts[0].iov_len);
      parts[0].iov_base = static_cast<char*>(parts[0].iov_base) + step;
      parts[0].iov_len -= step;
      left -= step;
      if (parts[0].iov_len == 0) parts = parts.subspan(1);
    }
  }
}

}  // namespace pglite::port
