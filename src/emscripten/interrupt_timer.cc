#include "emscripten/interrupt_timer.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace pglite::emscripten {

namespace {

constexpr int kSignal = SIGURG;

void set_flag(int, siginfo_t* info, void*) {
  if (info->si_code != SI_TIMER || info->si_value.sival_ptr == nullptr) return;
  std::atomic_ref(*static_cast<uint32_t*>(info->si_value.sival_ptr))
      .store(1, std::memory_order_relaxed);
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = set_flag;
    // On the alternate stack: the guest's stack may be nearly used up.
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(kSignal, &action, nullptr);
  });
}

}  // namespace

void InterruptTimer::arm(double milliseconds, uint32_t* flag) {
  if (exists_ && (thread_ != gettid() || process_ != getpid() || flag_ != flag)) remove();
  if (!exists_) {
    install_handler();
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = kSignal;
    event.sigev_value.sival_ptr = flag;
    event.sigev_notify_thread_id = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) return;
    exists_ = true;
    thread_ = gettid();
    process_ = getpid();
    flag_ = flag;
  }
  milliseconds = std::min(milliseconds, 1e12);  // what the guest says may be more than fits
  itimerspec time{};
  time.it_value.tv_sec = static_cast<time_t>(milliseconds / 1e3);
  time.it_value.tv_nsec =
      static_cast<long>((milliseconds - static_cast<double>(time.it_value.tv_sec) * 1e3) * 1e6);
  if (time.it_value.tv_sec == 0 && time.it_value.tv_nsec == 0) time.it_value.tv_nsec = 1;
  timer_settime(timer_, 0, &time, nullptr);
}

void InterruptTimer::disarm() {
  if (!exists_ || process_ != getpid()) return;
  const itimerspec never{};
  timer_settime(timer_, 0, &never, nullptr);
}

void InterruptTimer::remove() {
  if (exists_ && process_ == getpid()) timer_delete(timer_);
  exists_ = false;
}

}  // namespace pglite::emscripten
