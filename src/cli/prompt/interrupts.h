// Ctrl-C while a query runs: cancels it, and does not end the program.
#ifndef PGLITE_CLI_PROMPT_INTERRUPTS_H_
#define PGLITE_CLI_PROMPT_INTERRUPTS_H_

#include <pglite/status.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "os/shutdown_signals.h"
#include "os/wake_event.h"

namespace pglite::cli {

// While it exists, SIGINT sets a flag and calls `cancel`, from a thread of this.
class Interrupts {
 public:
  static Status start(std::function<void()> cancel, std::unique_ptr<Interrupts>* out);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // Whether one has come since this was asked last.
  bool take() { return come_.exchange(false); }
  // As if one had come, without the cancel.
  void note() { come_ = true; }

 private:
  Interrupts(std::function<void()> cancel, os::WakeEvent done);
  void watch();

  std::function<void()> cancel_;
  os::ShutdownSignals signals_;
  os::WakeEvent done_;
  std::atomic<bool> come_{false};
  std::thread watcher_;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_INTERRUPTS_H_
