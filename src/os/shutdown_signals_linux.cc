// The signals arrive through a signalfd.
#include <sys/signalfd.h>
#include <unistd.h>

#include "os/shutdown_signals.h"

namespace pglite::os {

UniqueFd ShutdownSignals::listen(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

void ShutdownSignals::drop_pending() {
  while (take()) {
  }
}

std::optional<int> ShutdownSignals::take() {
  signalfd_siginfo info;
  if (!descriptor_ || ::read(descriptor_.get(), &info, sizeof info) != sizeof info) {
    return std::nullopt;
  }
  return static_cast<int>(info.ssi_signo);
}

}  // namespace pglite::os
