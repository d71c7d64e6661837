// A PostgreSQL of many sessions over a data directory that a test gives.
#ifndef PGLITE_TESTS_DURABILITY_SESSIONS_H_
#define PGLITE_TESTS_DURABILITY_SESSIONS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "postgres/guest/session_sql.h"
#include "postgres/sessions/postmaster.h"
#include "wire/backend.h"

namespace pglite::durability {

class Sessions {
 public:
  // Before start(): another system's.
  uint64_t page_size = os::page_size();

  // Opens and recovers the cluster, as Cluster does. Destroying it is like killing the process:
  // nothing is shut down.
  Status start(std::shared_ptr<vfs::FileSystem> data, bool fsync,
               std::vector<std::string> settings = {});

  // One connection, to the database postgres.
  struct Session {
    postgres::Client* client = nullptr;
    wire::BackendReader reader = {};
    // Of the request that runs, or ran last.
    bool answered = true;
    Status error = {};
    postgres::SqlResult result = {};
  };

  // Adds a session that is ready. It is there until this goes.
  Status connect(Session** out);
  // Sends a simple query. Nothing of it runs yet.
  static void send(Session& session, const std::string& sql);
  // Runs the cluster until `done`. `turn` is called after each turn of a process, when what the
  // sessions have said is in them. Not ok: PostgreSQL is gone, or nothing happens for a minute.
  Status run(const std::function<bool()>& done, const std::function<void()>& turn = [] {});
  // Sends a query and runs the cluster until it is answered; PostgreSQL's error is the status.
  Status query(Session& session, const std::string& sql, postgres::SqlResult* result = nullptr);
  Status shut_down() { return postmaster_->shut_down(); }

  // What PostgreSQL wrote to its log.
  [[nodiscard]] const std::string& log() const { return log_; }

 private:
  static void read(Session& session);
  // Runs the cluster until the session's request is answered.
  Status answer(Session& session);

  std::string log_;
  std::string last_fatal_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::unique_ptr<postgres::Postmaster> postmaster_;
};

}  // namespace pglite::durability

#endif  // PGLITE_TESTS_DURABILITY_SESSIONS_H_
