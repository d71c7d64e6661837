// The signals are blocked and arrive through a signalfd.
#include <sys/signalfd.h>
#include <unistd.h>

#include "os/shutdown_signals.h"

namespace pglite::os {

ShutdownSignals::ShutdownSignals(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, &old_mask_);
  descriptor_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  // Without a descriptor the signals could only be ignored; then they had better kill.
  if (!descriptor_) sigprocmask(SIG_SETMASK, &old_mask_, nullptr);

  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &old_pipe_action_);
}

ShutdownSignals::~ShutdownSignals() {
  while (take()) {
  }
  restore();
}

std::optional<int> ShutdownSignals::take() {
  signalfd_siginfo info;
  if (!descriptor_ || ::read(descriptor_.get(), &info, sizeof info) != sizeof info) {
    return std::nullopt;
  }
  return static_cast<int>(info.ssi_signo);
}

void ShutdownSignals::restore() const {
  sigaction(SIGPIPE, &old_pipe_action_, nullptr);
  sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
}

}  // namespace pglite::os
