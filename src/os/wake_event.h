// A thread waits in poll() until another one, or a signal handler, wants it to wake up.
#ifndef PGLITE_OS_WAKE_EVENT_H_
#define PGLITE_OS_WAKE_EVENT_H_

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

class WakeEvent {
 public:
  // Errors: too_many_files_open, too_many_files_open_in_system.
  static Result<WakeEvent> make();

  // Readable from set() on, until clear().
  [[nodiscard]] int descriptor() const { return reader_.get(); }
  // Any thread, and signal handlers: async-signal-safe, leaves errno as it was, does not block.
  void set() const;
  // By the thread that waits.
  void clear() const;

 private:
  UniqueFd reader_;
  UniqueFd writer_;
};

}  // namespace pglite::os

#endif  // PGLITE_OS_WAKE_EVENT_H_
