// The signals are blocked. How one that was sent can be polled for: shutdown_signals_linux.cc,
// shutdown_signals_kqueue.cc.
#include "os/shutdown_signals.h"

namespace pglite::os {

ShutdownSignals::ShutdownSignals(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, &old_mask_);
  descriptor_ = listen(signals);
  // Without a descriptor the signals could only be ignored; then they had better kill.
  if (!descriptor_) sigprocmask(SIG_SETMASK, &old_mask_, nullptr);

  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &old_pipe_action_);
}

ShutdownSignals::~ShutdownSignals() {
  drop_pending();
  restore();
}

void ShutdownSignals::restore() const {
  sigaction(SIGPIPE, &old_pipe_action_, nullptr);
  sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
}

}  // namespace pglite::os
