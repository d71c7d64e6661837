// A kqueue tells that a signal was sent, as it does for blocked signals, too; what is pending then
// is dropped at the end.
#include <sys/event.h>
#include <unistd.h>

#include "os/shutdown_signals.h"

namespace pglite::os {

UniqueFd ShutdownSignals::listen(std::initializer_list<int> signals) {
  // No other program inherits it: a kqueue is gone after a fork.
  UniqueFd queue(kqueue());
  for (const int signal : signals) {
    struct kevent wanted;
    EV_SET(&wanted, static_cast<uintptr_t>(signal), EVFILT_SIGNAL, EV_ADD | EV_CLEAR, 0, 0,
           nullptr);
    if (queue && kevent(queue.get(), &wanted, 1, nullptr, 0, nullptr) != 0) queue = {};
  }
  return queue;
}

void ShutdownSignals::drop_pending() {
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
}

std::optional<int> ShutdownSignals::take() {
  struct kevent event;
  constexpr timespec kAtOnce{};
  if (!descriptor_ || kevent(descriptor_.get(), nullptr, 0, &event, 1, &kAtOnce) != 1) {
    return std::nullopt;
  }
  return static_cast<int>(event.ident);
}

}  // namespace pglite::os
