// Kqueues: what the unit tests have for signals and processes, with this system's numbers, and
// readiness for reading and writing beside it, by the same epoll instance.
#include <sys/epoll.h>
#include <sys/event.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "darwin.h"

namespace pglite::loader {

namespace {

constexpr int16_t kRead = -1;
constexpr int16_t kWrite = -2;
constexpr uint16_t kDelete = 0x0002;
constexpr uint16_t kEnd = 0x8000;  // EV_EOF

bool is_readiness(const struct kevent& event) {
  return event.filter == kRead || event.filter == kWrite;
}

// What a queue waits for at one descriptor.
struct Interest {
  uint32_t events = 0;
  bool is_edge = false;
  void* for_read = nullptr;
  void* for_write = nullptr;
};

// By queue and descriptor. A descriptor that was closed leaves one behind until its number is used
// again.
class Interests {
 public:
  static Interests& all() {
    static Interests interests;
    return interests;
  }

  int change(int queue, const struct kevent& change) {
    const std::lock_guard lock(mutex_);
    const auto fd = static_cast<int>(change.ident);
    const uint32_t event = change.filter == kRead ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
    Interest& interest = by_descriptor_[{queue, fd}];
    if ((change.flags & kDelete) != 0) {
      interest.events &= ~event;
      return interest.events == 0 ? epoll_ctl(queue, EPOLL_CTL_DEL, fd, nullptr)
                                  : apply(EPOLL_CTL_MOD, queue, fd, interest);
    }
    Interest fresh{.events = event, .is_edge = (change.flags & EV_CLEAR) != 0};
    (change.filter == kRead ? fresh.for_read : fresh.for_write) = change.udata;
    if (apply(EPOLL_CTL_ADD, queue, fd, fresh) == 0) {
      interest = fresh;
      return 0;
    }
    if (errno != EEXIST) return -1;
    interest.events |= event;
    interest.is_edge = fresh.is_edge;
    (change.filter == kRead ? interest.for_read : interest.for_write) = change.udata;
    return apply(EPOLL_CTL_MOD, queue, fd, interest);
  }

  bool has_any(int queue) {
    const std::lock_guard lock(mutex_);
    const auto first = by_descriptor_.lower_bound({queue, 0});
    return first != by_descriptor_.end() && first->first.first == queue;
  }

  // A queue's number may have been another one's.
  void forget(int queue) {
    const std::lock_guard lock(mutex_);
    std::erase_if(by_descriptor_, [&](const auto& entry) { return entry.first.first == queue; });
  }

  int wait(int queue, struct kevent* events, int event_count, const timespec* time) {
    // Each may be two.
    std::array<epoll_event, 64> ready{};
    const int most = std::clamp(event_count / 2, 1, static_cast<int>(ready.size()));
    const int count = epoll_pwait2(queue, ready.data(), most, time, nullptr);
    if (count < 0) return count;
    const std::lock_guard lock(mutex_);
    int told = 0;
    for (const epoll_event& event : std::span(ready).first(static_cast<size_t>(count))) {
      const auto fd = event.data.fd;
      const Interest& interest = by_descriptor_[{queue, fd}];
      const bool is_over = (event.events & (EPOLLHUP | EPOLLERR)) != 0;
      const auto tell = [&](int16_t filter, uint16_t flags, void* user) {
        if (told == event_count) return;
        events[told++] = {static_cast<uintptr_t>(fd), filter, flags, 0, 1, user};
      };
      if ((interest.events & EPOLLIN) != 0 &&
          (is_over || (event.events & (EPOLLIN | EPOLLRDHUP)) != 0)) {
        tell(kRead, is_over || (event.events & EPOLLRDHUP) != 0 ? kEnd : 0, interest.for_read);
      }
      if ((interest.events & EPOLLOUT) != 0 && (is_over || (event.events & EPOLLOUT) != 0)) {
        tell(kWrite, is_over ? kEnd : 0, interest.for_write);
      }
    }
    return told;
  }

 private:
  static int apply(int operation, int queue, int fd, const Interest& interest) {
    epoll_event event{};
    event.events = interest.events | (interest.is_edge ? static_cast<uint32_t>(EPOLLET) : 0);
    event.data.fd = fd;
    return epoll_ctl(queue, operation, fd, &event);
  }

  std::mutex mutex_;
  std::map<std::pair<int, int>, Interest> by_descriptor_;
};

int make_queue() {
  const int queue = kqueue();
  if (queue >= 0) Interests::all().forget(queue);
  return noted(queue);
}

// No queue of the program's waits for both kinds.
int queue_events(int queue, const struct kevent* changes, int change_count, struct kevent* events,
                 int event_count, const timespec* time) {
  std::vector<struct kevent> others;
  for (int i = 0; i < change_count; ++i) {
    struct kevent change = changes[i];
    if (is_readiness(change)) {
      if (Interests::all().change(queue, change) != 0) return noted(-1);
      continue;
    }
    if (change.filter == EVFILT_SIGNAL) {
      change.ident = static_cast<uintptr_t>(from_darwin_signal(static_cast<int>(change.ident)));
    }
    others.push_back(change);
  }
  if (Interests::all().has_any(queue)) {
    return event_count == 0 ? 0 : noted(Interests::all().wait(queue, events, event_count, time));
  }
  const int count =
      kevent(queue, others.data(), static_cast<int>(others.size()), events, event_count, time);
  for (int i = 0; i < count; ++i) {
    if (events[i].filter != EVFILT_SIGNAL) continue;
    events[i].ident = static_cast<uintptr_t>(to_darwin_signal(static_cast<int>(events[i].ident)));
  }
  return noted(count);
}

}  // namespace

Exports queue_exports() {
  static const auto exports = std::to_array<Export>({
      {"kqueue", code(make_queue)},
      {"kevent", code(queue_events)},
  });
  return exports;
}

}  // namespace pglite::loader
