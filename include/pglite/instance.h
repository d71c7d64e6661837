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
// instances may be used from different threads at once.
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
  // kInvalidArgument: the bytes are not whole messages, or there is a password among them, or while
  // COPY FROM STDIN waits not what it waits for, or the call comes from within `sink` or the log;
  // nothing was run. The exception is a COPY FROM STDIN that begins within the request: the messages
  // up to it were run. kIoError: out of memory, or `sink` threw at an N.
  // kSessionEnded: PostgreSQL has ended the session; the last that `sink` got is the ErrorResponse
  // that says why. kEngineGone: the instance cannot go on; what `sink` got is not a complete
  // answer.
  virtual Status exec_protocol(std::string_view request, const ResponseSink& sink) = 0;

  // Asks PostgreSQL to give up what runs: a request of exec_protocol, a dump_sql, or a piece of
  // work of idle. A request then ends with an ErrorResponse (57014), unless it is done before
  // PostgreSQL looks. COPY FROM STDIN that waits for data is still the request that began it.
  //
  // May be called from any thread and from signal handlers, at any moment of the instance's life:
  // the only method that may. It does not block, and has no result. It reaches what runs at one
  // moment between the call and its return, or nothing: what begins after it has returned runs as
  // if it had not been called, and snapshot, dump and close are never cut short. On an instance
  // that is being closed or is closed it does nothing. The object itself must exist until it has
  // returned, so whoever destroys it first makes sure that no thread and no handler cancels any
  // more.
  virtual void cancel() {}

  // What PostgreSQL does while nobody asks anything of it: the timeouts of an idle session
  // (idle_session_timeout and its kin) and house-keeping (docs/maintenance.md). There is no thread
  // that would do it, so whoever waits for requests waits until idle_deadline() at the longest and
  // then calls idle(). Not to call them is harmless, but for what is then left undone.
  //
  // nullopt: there is nothing to do before the next request. Both are called like exec_protocol,
  // between requests; the deadline changes with each call of these three.
  using Clock = std::chrono::steady_clock;
  virtual std::optional<Clock::time_point> idle_deadline() { return std::nullopt; }
  // Does one piece of what is due, nothing before the deadline. cancel() cuts it short, for
  // instance when a request has come. `sink` gets what PostgreSQL has to say unasked: the
  // ErrorResponse with which it ends a session (25P03, 25P04, 57P05). The status is then
  // kSessionEnded; otherwise as for exec_protocol.
  virtual Status idle(const ResponseSink& sink) {
    (void)sink;
    return {};
  }

  // Keeps the state as it is now. Memory instances only; kInvalidArgument while a transaction or
  // a COPY is open. Prepared statements, settings and LISTENs of the session are part of it.
  virtual Status snapshot(std::shared_ptr<const Snapshot>* out) {
    (void)out;
    return Status::invalid_argument("this instance has no snapshots");
  }
  // snapshot() and open() in one: an independent copy. Of an instance that has run nothing since
  // the last one, further copies cost no more than open().
  virtual Status clone(std::unique_ptr<Instance>* out) {
    (void)out;
    return Status::invalid_argument("this instance cannot be cloned");
  }

  // Checkpoints, and writes the cluster as it is now as an archive (archive.h): of a memory
  // instance and of a directory. It is that of a server that runs: who opens what is made of it
  // recovers first. kInvalidArgument while a transaction or a COPY is open, and where the session's
  // role may not checkpoint.
  virtual Status dump(Compression compression, const ByteSink& sink) {
    (void)compression, (void)sink;
    return Status::invalid_argument("this instance cannot be dumped");
  }

  // Writes the session's database as SQL: runs PostgreSQL's pg_dump in this session, with
  // `arguments` as its command line (manual, "pg_dump") without its name. It judges them; what it
  // has to say goes to the log, level 0. It sees no files of the host, so its output is its
  // standard output, and `--format` takes what can be written there. Afterwards the session's
  // settings and prepared statements are as before. kToolFailed: pg_dump refused its arguments or
  // failed. kInvalidArgument: as dump(), and where pg_dump wrote its dump elsewhere. Whatever the
  // failure, what `sink` got is no dump then.
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
