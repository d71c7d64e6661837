// POSIX timers that signal a thread (SIGEV_THREAD_ID is Linux's own).
#include <unistd.h>

#include <ctime>
#include <new>

#include "os/timer_alarm.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace pglite::os {

using std::chrono::nanoseconds;

// Alarms are made again in the same place.
struct Alarm::Place {
  timer_t timer{};
};

namespace {

timespec to_timespec(nanoseconds time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  timespec result{};
  result.tv_sec = seconds.count();
  result.tv_nsec = (time - seconds).count();
  return result;
}

}  // namespace

bool Alarm::make(uint64_t identifier) {
  if (place_ == nullptr) place_ = new (std::nothrow) Place();
  if (place_ == nullptr) return false;
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kAlarmSignal;
  static_assert(sizeof(void*) == sizeof identifier);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a number; the system carries a pointer's width
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(identifier);
  event.sigev_notify_thread_id = gettid();
  return timer_create(CLOCK_MONOTONIC, &event, &place_->timer) == 0;
}

void Alarm::set(nanoseconds first, nanoseconds interval) {
  itimerspec time{};
  time.it_value = to_timespec(first);
  time.it_interval = to_timespec(interval);
  timer_settime(place_->timer, 0, &time, nullptr);
}

void Alarm::stop() {
  const itimerspec never{};
  timer_settime(place_->timer, 0, &never, nullptr);
}

void Alarm::remove() {
  timer_delete(place_->timer);
}

// By what it carries, not by its timer's number (si_timerid): emulators of a processor tell the
// number that the timer has on the host.
void Alarm::deliver(const siginfo_t& info, void (*expired)(uint64_t identifier)) {
  if (info.si_code == SI_TIMER) expired(reinterpret_cast<uint64_t>(info.si_value.sival_ptr));
}

}  // namespace pglite::os
