#include "port/channel.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "os/poll.h"

namespace pglite::port {
namespace {

constexpr short kClosed = POLLERR | POLLHUP | POLLNVAL;
// POSIX promises no more than this many parts per call (IOV_MAX is 1024 on Linux).
constexpr size_t kPartsPerCall = 1024;

}  // namespace

void Channel::tick(void* channel) {
  auto& self = *static_cast<Channel*>(channel);
  self.ticked_.store(true, std::memory_order_relaxed);
  if (self.on_tick_ != nullptr) self.on_tick_(self.tick_context_);
}

std::optional<Channel::Event> Channel::wait(bool block, size_t* count) {
  while (true) {
    const std::optional<TimePoint> until = deadline();
    std::optional<std::chrono::nanoseconds> left;
    if (!block) left = std::chrono::nanoseconds::zero();
    if (until && block) left = *until - TimePoint::clock::now();
    // No events are asked of `out`: an error or hang-up is reported anyway.
    const int signals = signals_ != nullptr ? signals_->descriptor() : -1;
    pollfd fds[] = {{in_, POLLIN, 0}, {out_, 0, 0}, {signals, POLLIN, 0}};
    const int ready = os::poll_for(fds, left);
    if (ready < 0) {
      if (errno == EINTR && ticking_) return std::nullopt;
      if (errno == EINTR || errno == EAGAIN) continue;
      *count = static_cast<size_t>(errno);
      return Event::kError;
    }
    if (signals_ != nullptr && fds[2].revents != 0) {
      if (const auto signal = signals_->take()) {
        *count = static_cast<size_t>(*signal);
        return Event::kSignal;
      }
    }
    if ((fds[1].revents & kClosed) != 0) return Event::kOutputClosed;
    // A call that waits for input puts input first. One that does not puts the deadline first,
    // because there may always be input.
    if (fds[0].revents != 0 && block) return std::nullopt;
    if (until && *until <= TimePoint::clock::now()) return Event::kDeadline;
    if (!block) return std::nullopt;
  }
}

Channel::Event Channel::read(std::span<char> room, size_t* count) {
  while (true) {
    if (take_tick()) {
      if (const auto event = wait(false, count)) return *event;
      if (!read_since_tick_) {
        ticker_.disarm();
        ticking_ = false;
      }
      read_since_tick_ = false;
    }
    if (!ticking_ || non_blocking_) {
      if (const auto event = wait(true, count)) return *event;
    }
    const ssize_t got = ::read(in_, room.data(), room.size());
    if (got > 0) {
      keep_ticking();
      read_since_tick_ = true;
      *count = static_cast<size_t>(got);
      return Event::kBytes;
    }
    if (got == 0) return Event::kEnd;
    if (errno == EAGAIN) {
      // Or somebody else, who shares the descriptor, has emptied it.
      non_blocking_ = true;
    } else if (errno != EINTR) {
      *count = static_cast<size_t>(errno);
      return Event::kError;
    }
  }
}

bool Channel::readable() const {
  pollfd fd = {in_, POLLIN, 0};
  return ::poll(&fd, 1, 0) > 0;
}

bool Channel::output_closed() const {
  pollfd fd = {out_, 0, 0};
  return ::poll(&fd, 1, 0) > 0 && (fd.revents & kClosed) != 0;
}

ssize_t Channel::read_at_hand(std::span<char> room) const {
  return ::read(in_, room.data(), room.size());
}

Status Channel::write(std::span<iovec> parts) {
  while (true) {
    while (!parts.empty() && parts[0].iov_len == 0) parts = parts.subspan(1);
    if (parts.empty()) return {};
    const ssize_t written =
        parts.size() == 1
            ? ::write(out_, parts[0].iov_base, parts[0].iov_len)
            : ::writev(out_, parts.data(), static_cast<int>(std::min(parts.size(), kPartsPerCall)));
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
