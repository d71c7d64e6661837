#include "port/ticker.h"

#include <unistd.h>

#include <cerrno>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace pglite::port {

void Ticker::handle(int, siginfo_t* info, void*) {
  if (info->si_code != SI_TIMER || info->si_value.sival_ptr == nullptr) return;
  const int saved = errno;
  auto& self = *static_cast<Ticker*>(info->si_value.sival_ptr);
  self.ticked_.store(true, std::memory_order_relaxed);
  if (self.function_ != nullptr) self.function_(self.context_);
  errno = saved;
}

bool Ticker::create() {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGALRM;
  event.sigev_value.sival_ptr = this;
  event.sigev_notify_thread_id = gettid();
  if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) return false;
  struct sigaction action{};
  action.sa_sigaction = handle;
  // Without SA_RESTART, or a read would go on. On the alternate stack: a guest's may be nearly
  // full.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGALRM, &action, &old_action_);
  return true;
}

bool Ticker::start() {
  if (!exists_) exists_ = create();
  if (!exists_) return false;
  itimerspec time{};
  time.it_value.tv_nsec = std::chrono::nanoseconds(kInterval).count();
  time.it_interval = time.it_value;
  running_ = timer_settime(timer_, 0, &time, nullptr) == 0;
  return running_;
}

void Ticker::stop() {
  if (!running_) return;
  const itimerspec never{};
  timer_settime(timer_, 0, &never, nullptr);
  running_ = false;
}

Ticker::~Ticker() {
  if (!exists_) return;
  timer_delete(timer_);
  // Drops a tick that is still pending: the old disposition may be to die of it.
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGALRM, &ignore, nullptr);
  sigaction(SIGALRM, &old_action_, nullptr);
}

}  // namespace pglite::port
