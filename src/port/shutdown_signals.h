// SIGTERM and SIGINT as something to poll for, and no SIGPIPE.
//
// The signals are blocked and arrive through a signalfd: a request is never interrupted, and a
// signal that comes just before the program starts to wait is not lost. Make it before the engine
// is opened, so that a signal during start-up also ends in a clean shutdown. The signal mask and
// dispositions belong to the process: at most one object at a time, in a program without threads.
#ifndef PGLITE_PORT_SHUTDOWN_SIGNALS_H_
#define PGLITE_PORT_SHUTDOWN_SIGNALS_H_

#include <csignal>

namespace pglite::port {

class ShutdownSignals {
 public:
  ShutdownSignals();
  // Puts everything back as it was.
  ~ShutdownSignals();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;

  // Readable once one of the signals has come; -1 if the kernel gave no descriptor.
  [[nodiscard]] int fd() const { return fd_; }

  // In a child, between fork and exec: both the mask and an ignored SIGPIPE would be inherited.
  // Async-signal-safe.
  void restore() const;

 private:
  int fd_ = -1;
  sigset_t old_mask_{};
  struct sigaction old_pipe_action_{};
};

}  // namespace pglite::port

#endif  // PGLITE_PORT_SHUTDOWN_SIGNALS_H_
