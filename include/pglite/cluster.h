// A PostgreSQL server inside this process: many sessions on one cluster, with real transactions,
// locks and notifications between them.
//
//   pglite::Options options;                        // memory://
//   std::unique_ptr<pglite::Cluster> cluster;
//   pglite::Status status = pglite::Cluster::open(options, &cluster);
//   std::unique_ptr<pglite::Session> one;
//   status = cluster->connect({.username = "postgres", .database = "postgres"}, &one);
//   std::string answer;
//   status = one->exec(query_message, [&](std::string_view bytes) { answer += bytes; });
//
// Each session is a process of PostgreSQL's, a guest with memory of its own. They run on the
// caller's thread, one at a time and in turns: a session that computes lets the others run every
// few milliseconds, and one that waits (for its client, a lock, a timer) costs nothing. So do
// PostgreSQL's own processes: the checkpointer, the WAL writer, autovacuum.
//
// There are two ways to use it. exec() sends a request and runs the cluster until it is answered.
// An event loop instead hands bytes to its sessions with send(), calls run(), and takes what they
// say with output() and take().
//
// One thread at a time may use a cluster and its sessions, but for the methods that say otherwise.
// No method throws.
#ifndef PGLITE_CLUSTER_H_
#define PGLITE_CLUSTER_H_

#include <pglite/bytes.h>
#include <pglite/options.h>
#include <pglite/snapshot.h>
#include <pglite/status.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pglite {

using Clock = std::chrono::steady_clock;

// What a startup packet says.
struct SessionOptions {
  // A role that may log in, and a database that is there. They are never made.
  std::string username = "postgres";
  std::string database = "postgres";
  // Settings for the session, "name=value", as a client may give them when it connects.
  std::vector<std::string> settings = {};
};

// Where a client is, as PostgreSQL is to see it: for its access rules and its statistics.
struct Peer {
  enum class Kind {
    kThisProcess,  // whoever it says it is, is believed
    kUnixSocket,   // "local" in access rules
    kInternet,     // "host"
  };
  Kind kind = Kind::kThisProcess;
  // kInternet: in the order of the network, 4 bytes of IPv4 or 16 of IPv6.
  std::vector<uint8_t> address = {};
  uint16_t port = 0;
  // kInternet: the hash of the certificate that the client's TLS has (tls-server-end-point of RFC
  // 5929). With one, passwords may be bound to it (SCRAM-SHA-256-PLUS). Empty: there is no TLS, or
  // no hash.
  std::vector<uint8_t> certificate_hash = {};
};

class Session {
 public:
  // Ends the session: PostgreSQL gives up its transaction, at the cluster's next run().
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The number that pg_backend_pid() says, and pg_cancel_backend() takes.
  [[nodiscard]] virtual int32_t pid() const = 0;

  // Runs whole frontend messages and hands the answer to `sink`, as Instance::exec_protocol does,
  // while the other sessions have their turns. It returns when PostgreSQL wants more input.
  //
  // kWaiting: the session waits for something that only another session's client can bring about,
  // such as a lock. It is in the middle of its request; go on with resume(), after the other one.
  // kSessionEnded, kEngineGone: as for Instance. kInvalidArgument: a request is in the middle.
  virtual Status exec(std::string_view request, const ResponseSink& sink) = 0;
  // Goes on with a request that has waited. kInvalidArgument: there is none.
  virtual Status resume(const ResponseSink& sink) = 0;

  // --- For an event loop ---

  // Adds to what the client has sent. The bytes may be any part of its messages. PostgreSQL reads
  // them when the cluster runs.
  virtual void send(std::string_view bytes) = 0;
  // The client has closed its side: after what it has sent comes the end. It may still read.
  virtual void close_input() = 0;
  // How many bytes PostgreSQL has not read yet: whoever reads from a socket stops while they are
  // many.
  [[nodiscard]] virtual size_t unread() const = 0;
  // What PostgreSQL has said and nobody has taken yet. The view is good until the cluster runs
  // again. While it is long, PostgreSQL waits.
  [[nodiscard]] virtual std::string_view output() const = 0;
  virtual void take(size_t size) = 0;
  // PostgreSQL has read all input and wants more.
  [[nodiscard]] virtual bool wants_input() const = 0;
  // PostgreSQL has ended the session; there may be output left.
  [[nodiscard]] virtual bool ended() const = 0;

  // Its client follows the WAL: it is one that ends only when it is told to.
  [[nodiscard]] virtual bool is_walsender() const = 0;

  // Has PostgreSQL end the session: it gives up what runs, and its last words are the error 57P01.
  // When ended() says so, it has.
  virtual void terminate() = 0;

  // Asks PostgreSQL to give up what the session runs. From any thread and from signal handlers. It
  // must not be called on a session that another thread destroys.
  virtual void cancel() = 0;

 protected:
  Session() = default;
};

class Cluster {
 public:
  // Opens (and where needed creates) the cluster, and recovers it. `options.username` and
  // `options.database` are made in a new cluster, as for Instance::open.
  //
  // From a snapshot (`options.snapshot`) it has what was committed, all databases and roles, and an
  // identity of its own; no role or database is made. Whoever took the snapshot, a session that is
  // in it ends first: its temporary tables, settings and prepared statements are not there.
  static Status open(const Options& options, std::unique_ptr<Cluster>* out);

  // Closes as close() does, ignoring its result.
  virtual ~Cluster() = default;
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Begins a session and waits until it is ready. kInvalidArgument: PostgreSQL refuses it, and the
  // message is PostgreSQL's. Whoever is in this process may be any role: no password is asked for.
  virtual Status connect(const SessionOptions& options, std::unique_ptr<Session>* out) = 0;
  // Begins a session whose client sends everything itself, from the startup packet on.
  // Options::access_rules say whether `peer` has to give a password. kInvalidArgument: an address
  // that is none.
  virtual Status accept(const Peer& peer, std::unique_ptr<Session>* out) = 0;

  // Runs what can run until `until`, and returns as soon as nothing can, or when a session has said
  // something and only long work would go on. kEngineGone: a process of
  // PostgreSQL has crashed, and the cluster is gone. What was committed is there when it is opened
  // again.
  virtual Status run(Clock::time_point until) = 0;
  // When run() has something to do without new input: now, later, or not at all.
  [[nodiscard]] virtual std::optional<Clock::time_point> deadline() = 0;
  // A descriptor that is readable when cancel() wants the cluster to run. run() empties it.
  [[nodiscard]] virtual int wake_descriptor() const = 0;

  // Has PostgreSQL read its configuration again, as pg_reload_conf() does.
  virtual Status reload() = 0;

  // Ends all sessions, checkpoints, and ends PostgreSQL in order; memory:// is dropped as it is.
  // Idempotent. A session that is still there has ended, without last words, and answers
  // kEngineGone; it may outlive the cluster.
  virtual Status close() = 0;
  // Closes as close() does, with a checkpoint in memory:// too, and keeps the files as a snapshot
  // (snapshot.h): what was committed, with prepared transactions, in all databases. Clusters and
  // instances start from it. kInvalidArgument, and nothing was done: the cluster is in a directory.
  // After any other failure it is closed, and there is no snapshot; kEngineGone: it was closed
  // before, or a process of PostgreSQL has crashed.
  virtual Status close_and_keep(std::shared_ptr<const Snapshot>* out) = 0;
  // Closes as a crash does: nothing is ended in order, and the next open recovers.
  virtual void abandon() = 0;

 protected:
  Cluster() = default;
};

}  // namespace pglite

#endif  // PGLITE_CLUSTER_H_
