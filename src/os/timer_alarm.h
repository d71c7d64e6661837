// The system's part of a timer (os/timer.h): what sends SIGURG to the thread that made it. Only for
// timer_posix.cc.
#ifndef PGLITE_OS_TIMER_ALARM_H_
#define PGLITE_OS_TIMER_ALARM_H_

#include <chrono>
#include <csignal>
#include <cstdint>

namespace pglite::os {

inline constexpr int kAlarmSignal = SIGURG;

// Used by one thread at a time, and by the handler of the signal. Its user does not copy it.
class Alarm {
 public:
  // Prepares signals for the calling thread, which carry `identifier`. False where the system has
  // no timer left.
  bool make(uint64_t identifier);
  // The first signal, after a time that is positive, and then one at each `interval`, where that is
  // positive.
  void set(std::chrono::nanoseconds first, std::chrono::nanoseconds interval);
  // A signal that is under way may still come.
  void stop();
  // The last call, in the process that made it.
  void remove();

  // In the handler: calls `expired` with the identifier of each alarm that the signal comes from,
  // and perhaps with what a timer of somebody else's carries.
  // Async-signal-safe.
  static void deliver(const siginfo_t& info, void (*expired)(uint64_t identifier));

  // What the system's alarm is; its own file knows more.
  struct Place;

 private:
  Place* place_ = nullptr;
};

}  // namespace pglite::os

#endif  // PGLITE_OS_TIMER_ALARM_H_
