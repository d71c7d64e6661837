// The background workers of a server. Processes ask for them in an array in shared memory, and the
// postmaster starts, ends and restarts them: PostgreSQL's postmaster/bgworker.c.
#ifndef PGLITE_POSTGRES_SESSIONS_BACKGROUND_WORKERS_H_
#define PGLITE_POSTGRES_SESSIONS_BACKGROUND_WORKERS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "emscripten/process.h"
#include "wasm/execution.h"

namespace pglite::postgres {

class BackgroundWorkers {
 public:
  struct Callbacks {
    // Starts a worker; its pid, 0: it cannot be started now.
    std::function<int32_t(std::string startup_data)> start;
    std::function<void(int32_t pid, int signal)> signal;
  };
  explicit BackgroundWorkers(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}

  // Reads what processes have asked for, through the shared memory of any of them, and acts on it.
  // Unless `allow_new`, new workers end before they begin.
  void act(const emscripten::Process& process, bool allow_new);
  // A worker has ended.
  void ended(const emscripten::Process& process, int32_t pid, const wasm::Outcome& outcome);
  // Ends those that are to be restarted later.
  void forget_restarts() { allow_restarts_ = false; }

  // When the next of them is to be restarted: CLOCK_MONOTONIC in milliseconds.
  [[nodiscard]] std::optional<double> next_restart() const;
  // Starts those that are due.
  void restart_due(const emscripten::Process& process);

 private:
  struct Worker {
    uint32_t slot = 0;
    std::string data;  // struct BackgroundWorker, as it was when it was registered
    int32_t pid = 0;
    bool terminate = false;
    std::optional<double> restart_at;
  };

  Worker* find_slot(uint32_t slot);
  void start(const emscripten::Process& process, Worker& worker);
  // Gives the slot back.
  static void release_slot(const emscripten::Process& process, uint32_t slot);

  Callbacks callbacks_;
  std::vector<Worker> workers_;
  bool allow_restarts_ = true;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SESSIONS_BACKGROUND_WORKERS_H_
