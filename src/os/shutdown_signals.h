// SIGTERM and SIGINT, or others, as something to poll for, and no SIGPIPE.
//
// The signals interrupt nothing: a request is finished, and a signal that comes just before the
// program starts to wait is not lost. Make the object before the engine is opened, so that a signal
// during start-up also ends in a clean shutdown. The signal mask and dispositions belong to the
// process: at most one object at a time, made in a program without threads.
#ifndef PGLITE_OS_SHUTDOWN_SIGNALS_H_
#define PGLITE_OS_SHUTDOWN_SIGNALS_H_

#include <csignal>
#include <initializer_list>
#include <optional>

#include "os/unique_fd.h"

namespace pglite::os {

class ShutdownSignals {
 public:
  explicit ShutdownSignals(std::initializer_list<int> signals = {SIGTERM, SIGINT});
  // Puts everything back as it was. A signal that has come and was not taken is dropped: it has
  // been obeyed, or there was nothing left to shut down.
  ~ShutdownSignals();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;

  // To poll for reading, and for nothing else: readable while take() has a signal to give. -1 where
  // the system gave none; the signals then do what they would do without this object.
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }

  // Takes a signal that has come: its number. nullopt: there is none. Does not wait.
  std::optional<int> take();

  // For a child between fork and exec: the new program would inherit the mask and the ignored
  // SIGPIPE. Puts back what the constructor found, the whole mask. Async-signal-safe.
  void restore() const;

 private:
  // A descriptor that is readable while one of the blocked `signals` has come; empty: the system
  // gave none.
  static UniqueFd listen(std::initializer_list<int> signals);
  // Signals that have come and were not taken.
  void drop_pending();

  UniqueFd descriptor_;
  sigset_t old_mask_{};
  struct sigaction old_pipe_action_{};
};

}  // namespace pglite::os

#endif  // PGLITE_OS_SHUTDOWN_SIGNALS_H_
