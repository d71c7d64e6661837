// A PostgreSQL instance inside this process.
//
//   pglite::Options options;                       // memory://, user and database "postgres"
//   std::unique_ptr<pglite::Instance> db;
//   pglite::Status status = pglite::Instance::open(options, &db);
//   std::string answer;
//   status = db->exec_protocol(query_message, [&](std::string_view bytes) { answer += bytes; });
//
// An Instance owns everything it touches (memory, files, timers); a process may hold any number of
// them. It has no threads of its own. One Instance may be used from one thread at a time; different
// instances may be used from different threads at once. No method throws: failures are statuses,
// and what the caller's sinks throw is one too (bytes.h). What the caller's log throws is dropped.
#ifndef PGLITE_INSTANCE_H_
#define PGLITE_INSTANCE_H_

#include <pglite/bytes.h>
#include <pglite/options.h>
#include <pglite/snapshot.h>
#include <pglite/status.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pglite {

class Instance {
 public:
  // Opens (and where needed creates) the cluster and starts PostgreSQL in it. On success `*out` is
  // an instance that is ready for queries; otherwise `*out` is left empty and nothing is held.
  static Status open(const Options& options, std::unique_ptr<Instance>* out);

  // Closes as close() does, ignoring its result.
  virtual ~Instance() = default;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // Runs whole frontend messages (one or more, as in the PostgreSQL manual, "Frontend/Backend
  // Protocol") and hands the backend's answer to `sink`. It returns when PostgreSQL has nothing
  // more to say before it gets more input: all messages are done, or COPY FROM STDIN waits for
  // data. A startup packet (no type byte) is answered with AuthenticationOk ... ReadyForQuery.
  // PostgreSQL's own errors are ErrorResponse messages in the answer, and the status is ok.
  // SSLRequest and GSSENCRequest are answered with N, which `sink` gets in a call of its own: it is
  // no backend message. CancelRequest and Terminate have no answer and no effect.
  //
  // kInvalidArgument: nothing was run, because the bytes are not whole messages, or because there
  // is a password among them, or because COPY FROM STDIN waits and they are not what it waits for,
  // or because the call comes from within `sink` or the log. One exception: where a COPY FROM STDIN
  // begins within the request, the messages up to it were run. kSessionEnded: PostgreSQL has ended
  // the session; the last message that `sink` got is the ErrorResponse that says why. kEngineGone:
  // the instance cannot go on; what `sink` got is not a complete answer. kIoError: out of memory.
  virtual Status exec_protocol(std::string_view request, const ResponseSink& sink) = 0;

  // Asks PostgreSQL to give up what runs: a request of exec_protocol, a dump_sql, or a piece of
  // work of idle. A request then ends with an ErrorResponse (57014), unless it is done before
  // PostgreSQL looks. COPY FROM STDIN that waits for data is still the request that began it.
  //
  // May be called from any thread and from signal handlers, at any moment of the instance's life:
  // the only method that may. It does not block. It reaches what runs at one moment between the
  // call and its return, or nothing, which is false: what begins after it has returned runs as if
  // it had not been called, and snapshot, dump and close are never cut short. On an instance
  // that is being closed or is closed it does nothing. The object itself must exist until it has
  // returned, so whoever destroys it first makes sure that no thread and no handler cancels any
  // more.
  virtual bool cancel() { return false; }

  // PostgreSQL has work to do between requests: it enforces the timeouts of an idle session
  // (idle_session_timeout and its kin) and keeps house (docs/maintenance.md). No thread does that
  // work here. The caller waits for requests until idle_deadline() at the longest, and then calls
  // idle(). A caller that never calls them does no harm; the work is then left undone.
  //
  // idle_deadline() returns nullopt where there is nothing to do before the next request. Both are
  // called like exec_protocol, between requests. Each call of exec_protocol, idle_deadline or idle
  // may change the deadline.
  using Clock = std::chrono::steady_clock;
  virtual std::optional<Clock::time_point> idle_deadline() { return std::nullopt; }
  // Does one piece of the work that is due; before the deadline it does nothing. cancel() cuts it
  // short, for instance when a request has come. `sink` gets what PostgreSQL has to say unasked:
  // the ErrorResponse with which it ends a session (25P03, 25P04, 57P05). The status is then
  // kSessionEnded. Other failures are those of exec_protocol.
  virtual Status idle(const ResponseSink& sink) {
    (void)sink;
    return {};
  }

  // Makes a snapshot of the instance as it is now, with the session's prepared statements, settings
  // and LISTENs. kInvalidArgument: the instance is not in memory, or a transaction or a COPY is
  // open.
  virtual Status snapshot(std::shared_ptr<const Snapshot>* out) {
    (void)out;
    return Status::invalid_argument("this instance has no snapshots");
  }
  // Makes an independent copy: snapshot() and open() in one. A further copy costs no more than
  // open() if the instance has run nothing since the last one. It fails as these two do.
  virtual Status clone(std::unique_ptr<Instance>* out) {
    (void)out;
    return Status::invalid_argument("this instance cannot be cloned");
  }

  // Checkpoints, and writes the cluster as it is now as an archive (archive.h). The instance may be
  // in memory or in a directory. The archive shows a server that runs. PostgreSQL therefore does a
  // recovery when it first starts on a directory that was made from the archive. kInvalidArgument:
  // a transaction or a COPY is open, or the session's role may not checkpoint.
  virtual Status dump(Compression compression, const ByteSink& sink) {
    (void)compression, (void)sink;
    return Status::invalid_argument("this instance cannot be dumped");
  }

  // Writes the session's database as SQL. It runs PostgreSQL's pg_dump in this session; `arguments`
  // are pg_dump's command line (manual, "pg_dump") without the program's name. pg_dump checks them,
  // and its messages go to the log, level 0. pg_dump sees no files of the host. It must write to
  // its standard output, in a `--format` that can be written there. Afterwards the session's
  // settings and prepared statements are as before. kToolFailed: pg_dump refused its arguments or
  // failed. kInvalidArgument: as for dump(), or pg_dump wrote its dump elsewhere. After any
  // failure, what `sink` got is not a dump.
  virtual Status dump_sql(const std::vector<std::string>& arguments, Compression compression,
                          const ByteSink& sink) {
    (void)arguments, (void)compression, (void)sink;
    return Status::invalid_argument("this instance cannot be dumped");
  }

  // Checkpoints, stops PostgreSQL and releases the directory; a memory instance is dropped as it
  // is. Idempotent.
  virtual Status close() = 0;

 protected:
  Instance() = default;
};

// The versions this library was built from, e.g. {"0.1.0", "0.5.16", "18.6"}.
struct Version {
  const char* pglite_port;
  const char* pglite;
  const char* postgres;
};
Version version();

}  // namespace pglite

#endif  // PGLITE_INSTANCE_H_
