#include "port/shutdown_signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace pglite::port {

ShutdownSignals::ShutdownSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, &old_mask_);
  fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  // Without a descriptor the signals could only be ignored; then they had better kill.
  if (fd_ < 0) sigprocmask(SIG_SETMASK, &old_mask_, nullptr);

  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &old_pipe_action_);
}

ShutdownSignals::~ShutdownSignals() {
  // A signal that is still pending has been obeyed, or there was nothing left to shut down.
  signalfd_siginfo info;
  while (fd_ >= 0 && ::read(fd_, &info, sizeof info) > 0) {
  }
  restore();
  if (fd_ >= 0) ::close(fd_);
}

void ShutdownSignals::restore() const {
  sigaction(SIGPIPE, &old_pipe_action_, nullptr);
  sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
}

}  // namespace pglite::port
