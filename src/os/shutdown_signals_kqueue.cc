// The signals are blocked. A kqueue tells that one was sent, as it does for blocked signals, too;
// what is pending then is dropped at the end.
#include <sys/event.h>
#include <unistd.h>

#include <array>

#include "os/shutdown_signals.h"

namespace pglite::os {

ShutdownSignals::ShutdownSignals(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, &old_mask_);
  // No other program inherits it: a kqueue is gone after a fork.
  descriptor_ = UniqueFd(kqueue());
  for (const int signal : signals) {
    struct kevent wanted;
    EV_SET(&wanted, static_cast<uintptr_t>(signal), EVFILT_SIGNAL, EV_ADD | EV_CLEAR, 0, 0,
           nullptr);
    if (descriptor_ && kevent(descriptor_.get(), &wanted, 1, nullptr, 0, nullptr) != 0)
      descriptor_ = {};
  }
  // Without a descriptor the signals could only be ignored; then they had better kill.
  if (!descriptor_) sigprocmask(SIG_SETMASK, &old_mask_, nullptr);

  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &old_pipe_action_);
}

ShutdownSignals::~ShutdownSignals() {
  // Those that nobody blocked before. A signal that is ignored for a moment is pending no more.
  sigset_t now;
  sigprocmask(SIG_BLOCK, nullptr, &now);
  for (int signal = 1; signal < NSIG; ++signal) {
    if (sigismember(&now, signal) != 1 || sigismember(&old_mask_, signal) == 1) continue;
    struct sigaction ignore{};
    struct sigaction before{};
    ignore.sa_handler = SIG_IGN;
    if (sigaction(signal, &ignore, &before) == 0) sigaction(signal, &before, nullptr);
  }
  restore();
}

std::optional<int> ShutdownSignals::take() {
  struct kevent event;
  constexpr timespec kAtOnce{};
  if (!descriptor_ || kevent(descriptor_.get(), nullptr, 0, &event, 1, &kAtOnce) != 1) {
    return std::nullopt;
  }
  return static_cast<int>(event.ident);
}

void ShutdownSignals::restore() const {
  sigaction(SIGPIPE, &old_pipe_action_, nullptr);
  sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
}

}  // namespace pglite::os
