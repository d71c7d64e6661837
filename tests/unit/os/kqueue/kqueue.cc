// A queue is an epoll instance of signalfds and pidfds, which it outlives: they end with the test.
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

namespace {

// What epoll keeps for us: the filter, what it is for, and the descriptor.
struct Watched {
  int16_t filter;
  uint16_t ident;
  int fd;
};

uint64_t packed(const Watched& watched) {
  return uint64_t{static_cast<uint16_t>(watched.filter)} << 48 | uint64_t{watched.ident} << 32 |
         static_cast<uint32_t>(watched.fd);
}

Watched unpacked(uint64_t data) {
  return {static_cast<int16_t>(data >> 48), static_cast<uint16_t>(data >> 32),
          static_cast<int>(static_cast<uint32_t>(data))};
}

int open_signal(uintptr_t signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, static_cast<int>(signal));
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int add(int queue, const struct kevent& change) {
  const int fd = change.filter == EVFILT_SIGNAL
                     ? open_signal(change.ident)
                     : static_cast<int>(syscall(SYS_pidfd_open, change.ident, 0));
  if (fd < 0) return -1;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = packed({change.filter, static_cast<uint16_t>(change.ident), fd});
  return epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event);
}

}  // namespace

int kqueue() {
  return epoll_create1(EPOLL_CLOEXEC);
}

int kevent(int queue, const struct kevent* changes, int change_count, struct kevent* events,
           int event_count, const timespec* timeout) {
  for (int i = 0; i < change_count; ++i) {
    if (add(queue, changes[i]) != 0) return -1;
  }
  if (event_count == 0) return 0;
  std::array<epoll_event, 1> ready{};
  const int wait = timeout == nullptr ? -1 : static_cast<int>(timeout->tv_sec * 1000);
  const int count = epoll_wait(queue, ready.data(), 1, wait);
  if (count <= 0) return count;
  const Watched watched = unpacked(ready[0].data.u64);
  if (watched.filter == EVFILT_SIGNAL) {
    signalfd_siginfo info;
    (void)!read(watched.fd, &info, sizeof info);
  } else {
    epoll_ctl(queue, EPOLL_CTL_DEL, watched.fd, nullptr);
    close(watched.fd);
  }
  events[0] = {watched.ident, watched.filter, 0, 0, 1, nullptr};
  return 1;
}
