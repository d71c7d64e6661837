// A session of a server that a URL names, for `sql` and `dump --sql`.
#ifndef PGLITE_CLI_SERVER_SESSION_H_
#define PGLITE_CLI_SERVER_SESSION_H_

#include <pglite/bytes.h>
#include <pglite/status.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "client/connection.h"
#include "client/parameters.h"
#include "os/shutdown_signals.h"
#include "os/wake_event.h"

namespace pglite::cli {

// What SIGINT and SIGTERM do while a session exists.
enum class SessionSignals {
  // They have the server give up what it runs, and end this process then; the second one ends it at
  // once.
  kEnd,
  kLeave,  // what they did before
};

// SIGPIPE must be ignored.
class ServerSession {
 public:
  static Status open(const client::Parameters& parameters, SessionSignals signals,
                     std::unique_ptr<ServerSession>* out);
  // With SessionSignals::kEnd, it does not return after a signal.
  ~ServerSession();
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  // As client::Connection::exec.
  Status exec(std::string_view request, const ResponseSink& sink);
  // From any thread.
  void cancel();
  // Goes on with another session of the same server; empty: the database or the role of this one.
  // Where that fails, this one goes on.
  Status connect(const std::string& database, const std::string& user);
  [[nodiscard]] const client::Connection& connection() const { return *connection_; }

 private:
  // How long a server may take to pass a cancel on.
  static constexpr std::chrono::milliseconds kPatience{5000};

  ServerSession(std::unique_ptr<client::Connection> connection, os::WakeEvent done);
  void watch_signals();
  void end_by(int signal);

  std::unique_ptr<client::Connection> connection_;
  std::mutex mutex_;  // of the canceller
  client::Canceller canceller_;
  std::unique_ptr<os::ShutdownSignals> signals_;  // null: SessionSignals::kLeave
  os::WakeEvent done_;
  std::atomic<bool> is_busy_{false};
  std::atomic<bool> is_delivering_{false};  // what came goes to a sink
  std::thread watcher_;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SERVER_SESSION_H_
