// A PostgreSQL server with many processes on one thread: what PostgreSQL's own postmaster does. It
// makes shared memory, recovers the cluster, starts a process for each client and those that keep
// house, passes signals on, and ends them in order.
#ifndef PGLITE_POSTGRES_SESSIONS_POSTMASTER_H_
#define PGLITE_POSTGRES_SESSIONS_POSTMASTER_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "emscripten/io_threads.h"
#include "emscripten/scheduler.h"
#include "os/virtual_memory.h"
#include "os/wake_event.h"
#include "pglite/status.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/sessions/background_workers.h"
#include "postgres/sessions/child.h"
#include "postgres/sessions/client.h"
#include "postgres/sessions/parked_image.h"

namespace pglite::postgres {

// The names of our callbacks in images.
inline constexpr std::string_view kReadInput = "read_input";
inline constexpr std::string_view kWriteOutput = "write_output";

struct PostmasterConfig {
  // The tree, with the data directory in it.
  GuestTree tree;
  bool fsync = false;
  int debug_level = 0;                // PostgreSQL's -d
  std::vector<std::string> settings;  // "name=value"
  // Whether autovacuum runs; PostgreSQL's own setting counts as well.
  bool autovacuum = true;
  // Lines of pg_hba.conf for clients outside of this process. Empty: Options::access_rules.
  std::string access_rules;
  // Whether fsync, and pread from the disk, are called in threads of ours while other sessions run.
  // False: nothing runs meanwhile, and there are no threads.
  bool has_io_threads = true;
  // The system's page size: what is shared between processes is whole pages.
  uint64_t page_size = os::page_size();
  // The server log goes to stderr as PostgreSQL gives it to a log collector (log_pipe.h), as
  // jsonlog.
  bool logs_json = false;
  std::function<void(std::string_view)> log;
  // As BackendConfig::last_fatal.
  const std::string* last_fatal = nullptr;
};

class Postmaster {
 public:
  // Makes shared memory and recovers. On success sessions can be had.
  static Status start(PostmasterConfig config, std::unique_ptr<Postmaster>* out);
  // Drops all processes as they are, like a crash.
  ~Postmaster();
  Postmaster(const Postmaster&) = delete;
  Postmaster& operator=(const Postmaster&) = delete;

  // Begins a session. Nothing of it runs before run_next(). The client is there until release(), or
  // until this goes.
  Status connect(const SocketAddress& address, Client** out);
  // Ends a session that has not ended: its client has gone. The client must not be used any more.
  void release(Client* client);
  // Whether something that `client` waits for may come about without its own client or another one:
  // somebody else is at work.
  [[nodiscard]] bool others_may_act(const Client& client) const;

  // Gives one process its turn; false: nobody was ready. After a crash of one process nothing runs
  // any more: failure() says so.
  bool run_next();
  [[nodiscard]] Status failure() const { return failure_; }

  // Has all processes, and those to come, read the configuration again.
  void reload();

  // Ends all sessions, makes the shutdown checkpoint and ends all processes.
  Status shut_down();
  // Removes postmaster.pid: the process that made it never ends.
  static void remove_pid_file(const GuestTree& tree);

  emscripten::Scheduler& scheduler() { return scheduler_; }
  // A process has got a signal from outside, or what it waited for is done. From any thread and
  // from signal handlers.
  void news() {
    scheduler_.news();
    wake_event_.set();
  }
  // Readable after news(). Whoever is about to wait for it clears it, and then asks has_news().
  [[nodiscard]] const os::WakeEvent& wake_event() const { return wake_event_; }
  // Waits for news, or until `end` (CLOCK_MONOTONIC in milliseconds).
  void sleep_until(double end) const;
  // When there is something to do by itself; nullopt: never. CLOCK_MONOTONIC in milliseconds.
  [[nodiscard]] std::optional<double> next_due() const;

  // --- For the processes ---

  [[nodiscard]] const ParkedImage& image() const { return *image_; }
  [[nodiscard]] emscripten::ProcessConfig process_config() const;
  emscripten::Callback callback(std::string_view name,
                                std::unique_ptr<emscripten::Process>* process);
  // As kill(2): false where no process has that pid. 0 is the postmaster.
  bool kill(int32_t pid, int signal);
  // False: there is none.
  bool wake_checkpointer();
  // In a new process, on its guest stack: reads what has changed since the image was parked.
  void update_configuration(emscripten::Process& process);
  // In a client's process, on its guest stack: sees to it that PostgreSQL has the access rules that
  // are for it.
  void give_access_rules(emscripten::Process& process, bool is_outside);
  // Whether others run while a process waits for the disk. Alone, a session gains nothing by it.
  [[nodiscard]] bool has_io_in_threads() const {
    return config_.has_io_threads && running_ && client_count_ > 1;
  }
  emscripten::IoThreads& io_threads() { return io_threads_; }
  // A client has output that was not there before.
  void note_output() { has_output_ = true; }
  // Whether a client has got output since the last call.
  bool take_has_output() { return std::exchange(has_output_, false); }
  // A process has ended: its task returns now.
  void note_end() { any_ended_ = true; }

 private:
  explicit Postmaster(PostmasterConfig config);

  Status park();
  Status recover();
  Status start_helpers();
  // Starts workers and helpers that are due.
  void restart_due();
  Status start_child(BackendType type, std::string startup_data, Child** out);
  // A client's process, which has ended or is abandoned.
  void remove(int32_t pid);
  // Any process that has not ended, for what is in shared memory; null: there is none.
  [[nodiscard]] const emscripten::Process* any_process() const;
  // Deals with processes that have ended.
  void reap();
  // Does what processes have asked for by PMSignalState.
  void act_on_signals();
  void fail(const Child& child);
  // After all others have ended: a process in the postmaster's place does what is registered for
  // its end. Libraries that are preloaded write files there, as pg_stat_statements does.
  Status run_exit_functions();
  // Runs processes until `done` or there is nothing to run for `limit_ms`.
  template <class Done>
  bool run_until(Done done, double limit_ms);
  [[nodiscard]] Child* find(BackendType type);
  int32_t next_pid();
  [[nodiscard]] std::string reason_for(const wasm::Outcome& outcome) const;

  PostmasterConfig config_;
  emscripten::Scheduler scheduler_;
  os::WakeEvent wake_event_;
  emscripten::IoThreads io_threads_{[this] { news(); }};
  std::unique_ptr<ParkedImage> image_;
  // By pid. They go before the image and the scheduler.
  std::map<int32_t, std::unique_ptr<Child>> children_;
  BackgroundWorkers workers_;
  int client_count_ = 0;
  // When helpers that have ended are started again: CLOCK_MONOTONIC in milliseconds.
  std::map<BackendType, double> restarts_;
  int32_t last_pid_ = 100;
  bool has_own_rules_ = true;  // config_.access_rules are the caller's
  bool reloaded_ = false;
  bool running_ = false;  // recovered, and not shut down
  bool any_ended_ = false;
  bool has_output_ = false;
  bool signalled_ = false;  // a process has sent us SIGUSR1
  bool shutting_down_ = false;
  bool wal_is_shut_down_ = false;
  Status failure_;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SESSIONS_POSTMASTER_H_
