// What the files for kqueues ask of <sys/event.h>, over Linux's own calls: so much of it that their
// logic can be tested where there are no kqueues. Signals must be blocked, as they are there.
#ifndef PGLITE_TESTS_KQUEUE_SYS_EVENT_H_
#define PGLITE_TESTS_KQUEUE_SYS_EVENT_H_

#include <cstdint>
#include <ctime>

struct kevent {
  uintptr_t ident;
  int16_t filter;
  uint16_t flags;
  uint32_t fflags;
  intptr_t data;
  void* udata;
};

inline constexpr int16_t EVFILT_PROC = -5;
inline constexpr int16_t EVFILT_SIGNAL = -6;
inline constexpr uint16_t EV_ADD = 0x0001;
inline constexpr uint16_t EV_ONESHOT = 0x0010;
inline constexpr uint16_t EV_CLEAR = 0x0020;
inline constexpr uint32_t NOTE_EXIT = 0x80000000;

#define EV_SET(event, a, b, c, d, e, f) (*(event) = {(a), (b), (c), (d), (e), (f)})

int kqueue();
int kevent(int queue, const struct kevent* changes, int change_count, struct kevent* events,
           int event_count, const timespec* timeout);

#endif  // PGLITE_TESTS_KQUEUE_SYS_EVENT_H_
