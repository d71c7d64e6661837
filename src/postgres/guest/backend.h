// A running PostgreSQL backend in single-user mode, spoken to in protocol messages.
#ifndef PGLITE_POSTGRES_GUEST_BACKEND_H_
#define PGLITE_POSTGRES_GUEST_BACKEND_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "emscripten/process.h"
#include "pglite/bytes.h"
#include "pglite/status.h"
#include "postgres/guest/guest_tree.h"

namespace pglite::postgres {

// As Instance::Clock.
using Clock = std::chrono::steady_clock;

struct BackendConfig {
  GuestTree tree;
  std::string username = "postgres";
  std::string database = "postgres";
  // False: PostgreSQL's -F, which leaves out every fsync.
  bool fsync = false;
  int debug_level = 0;                // PostgreSQL's -d
  std::vector<std::string> settings;  // "name=value"
  std::function<void(std::string_view)> log;
  // Where whoever receives the server log (guest_tree.h) keeps the last of final_words(), for the
  // messages of failures; may be null. Must outlive the backend.
  const std::string* last_fatal = nullptr;
  // How PostgreSQL waits (emscripten::ProcessConfig); null: it sleeps. Must outlive the backend.
  emscripten::Kernel* kernel = nullptr;
};

// The part of a line of the server log that says why the server ends: a FATAL or PANIC message, or
// what PostgreSQL writes by itself ("postgres: could not access ...") where it gives up before it
// has a log. Empty in other lines.
std::string_view final_words(std::string_view line);

class Backend {
 public:
  // Boots PostgreSQL in the data directory of `config.tree`. On failure the message says what
  // PostgreSQL said last.
  static Status start(const BackendConfig& config, std::unique_ptr<Backend>* out);

  // A backend as save() left it, over a file tree as it was then.
  static Status restore(const BackendConfig& config, std::string_view state,
                        const emscripten::PageSource& pages, std::unique_ptr<Backend>* out);
  // The process's state but for its memory (emscripten::Process::save). The session must be idle.
  Status save(std::string* state);
  emscripten::Process& process() { return *process_; }

  // As Instance::exec_protocol. `request` must be whole messages. Where the kernel suspends, exec
  // returns (ok) in the middle of the request: suspension() says so, `request` and `sink` must live
  // on, and resume() goes on with it. kInvalidArgument: another request is in the middle.
  Status exec(std::string_view request, const ResponseSink& sink);
  // Goes on with a request that is suspended for another reason than kInput; results as exec().
  // kInvalidArgument: there is none.
  Status resume();
  // As exec(), for requests of the host's own: they are not suspended. The kernel holds up the
  // thread, and for COPY FROM STDIN the input is at its end.
  Status exec_to_end(std::string_view request, const ResponseSink& sink);

  // As Instance::cancel.
  void cancel();
  // Drops a cancel that came too late for what ran. Not in the middle of a request, which goes on.
  // Other signals stay.
  void forget_cancel();

  // When the first of PostgreSQL's own timers is due that may interrupt an idle session. None in
  // the middle of a request. There COPY FROM STDIN may wait: PostgreSQL does not interrupt the
  // reading of a message.
  [[nodiscard]] std::optional<Clock::time_point> next_timer() const;
  // Lets PostgreSQL act on the timers that are due. As Instance::idle.
  Status deliver_timers(const ResponseSink& sink);

  // Ends the session and runs PostgreSQL's exit functions: the shutdown checkpoint. After it, and
  // after kEngineGone, nothing else may be called. A COPY FROM STDIN that waits is given up;
  // kInvalidArgument, and nothing was done: a request is suspended for another reason.
  Status stop();

  // What made it impossible to go on; ok where nothing did.
  [[nodiscard]] Status failure() const;
  // Ends the engine: it must not go on, for this reason. The failure from now on, which is the
  // first one.
  Status declare_gone(std::string reason);

  // True while COPY FROM STDIN waits for the client's data.
  [[nodiscard]] bool waiting_for_input() const { return suspension() == wasm::Suspension::kInput; }
  // Why the request is not done yet; nullopt: none is in the middle.
  [[nodiscard]] std::optional<wasm::Suspension> suspension() const {
    return process_->execution().suspension();
  }

  // True where the last answer ended in a ReadyForQuery outside of a transaction: the backend would
  // do nothing but wait for a request.
  [[nodiscard]] bool at_rest() const { return ready_ && failure_.empty() && !suspension(); }

 private:
  Backend() = default;

  // Gives the part of an answer to the sink; what the sink throws ends the engine.
  void deliver(std::string_view bytes);
  // PGlite has one cancel key for all: puts ours into BackendKeyData.
  void replace_cancel_key(std::string& answer) const;

  static uint32_t read_input(void* context, uint32_t buffer, uint32_t size);
  static uint32_t write_output(void* context, uint32_t buffer, uint32_t size);

  static Status make(const BackendConfig& config, std::unique_ptr<Backend>* out);
  emscripten::Callback callback(std::string_view name);
  void find_functions();
  Status boot(const BackendConfig& config);
  // The task on the guest stack that works off the current request.
  void work();
  void work_startup_packet();
  void work_messages();
  // What PostgreSQL said before it ended that way, or how it did.
  [[nodiscard]] std::string reason_for(const wasm::Outcome& outcome) const;
  // Keeps the first thing that makes it impossible to go on.
  void fail(const wasm::Outcome& outcome, const char* where);
  // Goes on with what is suspended, or begins with the current request.
  Status run_to_pause();

  std::unique_ptr<emscripten::Process> process_;
  emscripten::GuestFunction<void()> main_loop_once_;
  emscripten::GuestFunction<void()> main_long_jump_;
  emscripten::GuestFunction<void()> send_ready_for_query_;
  emscripten::GuestFunction<void()> flush_output_;
  emscripten::GuestFunction<uint32_t()> remaining_data_;
  emscripten::GuestFunction<void()> process_interrupts_;
  std::function<void()> work_task_;

  uint32_t query_cancel_pending_ = 0;  // the guest's flag
  std::string_view input_;             // what of the request is not read yet
  const ResponseSink* sink_ = nullptr;
  std::string* collected_ = nullptr;  // where set, answers go here instead of to the sink
  uint32_t cancel_key_ = 0;           // random, for the client to quote
  bool ready_ = false;                // what was sent last is ReadyForQuery(idle)
  bool trapped_ = false;              // the guest's memory cannot be relied on any more
  bool session_ended_ = false;        // by a FATAL error, in order
  std::string failure_;               // non-empty: the engine is gone, and why
  const std::string* last_fatal_ = nullptr;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_BACKEND_H_
