// pglite::Cluster: storage, and a postmaster on it.
#include "pglite/cluster.h"

#include <utility>

#include "os/anonymous_file.h"
#include "pglite/cancel_gate.h"
#include "pglite/instance.h"
#include "pglite/names.h"
#include "pglite/restored_backend.h"
#include "pglite/storage.h"
#include "pglite/without_exceptions.h"
#include "postgres/cluster/recycled_wal.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/session_sql.h"
#include "postgres/sessions/postmaster.h"
#include "postgres/snapshot/snapshot_file.h"
#include "wire/backend.h"
#include "wire/frontend_message.h"

namespace pglite {

namespace {

using postgres::Client;
using postgres::Postmaster;
using postgres::SnapshotFile;

Clock::time_point time_of(double monotonic_ms) {
  const std::chrono::duration<double, std::milli> since_boot(monotonic_ms);
  return Clock::time_point(std::chrono::ceil<Clock::duration>(since_boot));
}

class PostgresCluster;

class PostgresSession final : public Session {
 public:
  PostgresSession(PostgresCluster& cluster, Client* client);
  ~PostgresSession() override;

  [[nodiscard]] int32_t pid() const override { return pid_; }
  Status exec(std::string_view request, const ResponseSink& sink) override {
    return without_exceptions([&] { return begin(request, sink); });
  }
  Status resume(const ResponseSink& sink) override {
    return without_exceptions([&] {
      if (!in_request_) return Status::invalid_argument("no request of the session is under way");
      return run_request(sink);
    });
  }
  void send(std::string_view bytes) override {
    if (client_ != nullptr) client_->send(bytes);
  }
  void close_input() override {
    if (client_ != nullptr) client_->close_input();
  }
  [[nodiscard]] size_t unread() const override {
    return client_ == nullptr ? 0 : client_->unread();
  }
  [[nodiscard]] std::string_view output() const override {
    return client_ == nullptr ? std::string_view() : client_->output();
  }
  void take(size_t size) override {
    if (client_ != nullptr) client_->take(size);
  }
  [[nodiscard]] bool wants_input() const override {
    return client_ != nullptr && client_->wants_input();
  }
  [[nodiscard]] bool ended() const override { return client_ == nullptr || client_->ended(); }
  void terminate() override {
    if (!ended()) client_->signal(postgres::kSignalTerminate);
  }
  [[nodiscard]] bool is_walsender() const override { return !ended() && client_->is_walsender(); }
  void cancel() override;

  // The cluster is about to drop the client: nothing but its number stays, and the cluster is not
  // used any more.
  void forget_client();

  // Sends the startup packet and waits for its answer.
  Status start(const SessionOptions& options);

 private:
  Status begin(std::string_view request, const ResponseSink& sink);
  Status run_request(const ResponseSink& sink);
  // Hands on what PostgreSQL has said.
  void deliver(const ResponseSink& sink);

  PostgresCluster& cluster_;
  Client* client_;  // null: the cluster is closed
  int32_t pid_;
  bool in_request_ = false;
  CancelGate cancel_gate_;  // open while there is a client
};

class PostgresCluster final : public Cluster {
 public:
  explicit PostgresCluster(const Options& options) : options_(options) {}
  ~PostgresCluster() override { (void)close(); }

  Status start();
  Status connect(const SessionOptions& options, std::unique_ptr<Session>* out) override;
  Status accept(const Peer& peer, std::unique_ptr<Session>* out) override;
  Status reload() override;
  Status run(Clock::time_point until) override {
    return without_exceptions([&] { return run_until(until); });
  }
  [[nodiscard]] std::optional<Clock::time_point> deadline() override;
  [[nodiscard]] int wake_descriptor() const override {
    return postmaster_ == nullptr ? -1 : postmaster_->wake_event().descriptor();
  }
  Status close() override {
    return without_exceptions([&] { return shut_down(nullptr); });
  }
  Status close_and_keep(std::shared_ptr<const Snapshot>* out) override {
    return without_exceptions([&] { return shut_down(out); });
  }
  void abandon() override;

  // --- For the sessions ---

  void add(PostgresSession* session) { sessions_.push_back(session); }
  void remove(PostgresSession* session, Client* client) {
    std::erase(sessions_, session);
    postmaster_->release(client);
  }
  // From any thread and from signal handlers, while a session has its client.
  void news() { postmaster_->news(); }
  [[nodiscard]] Status failure() const { return postmaster_->failure(); }
  // Runs until `client` wants input or has ended. kWaiting: neither will be by itself.
  Status run_for(Client& client, const std::function<void()>& deliver);

 private:
  Status open_session(const Peer& peer, std::unique_ptr<PostgresSession>* out);
  Status run_until(Clock::time_point until);
  Status open_memory();
  Status end_session_of(const SnapshotFile& snapshot);
  Status create_names();
  void drop_processes();
  // Null: memory:// is dropped as it is.
  Status shut_down(std::shared_ptr<const Snapshot>* kept);
  Status keep_files(std::shared_ptr<const Snapshot>* out);
  void log(int level, std::string_view line) const { storage_.log(level, line); }

  Options options_;
  std::shared_ptr<const SnapshotFile> snapshot_;  // what files are borrowed from; goes last
  Storage storage_{options_};
  std::unique_ptr<Postmaster> postmaster_;  // goes before the storage
  std::vector<PostgresSession*> sessions_;  // that have a client
};

// ---- Session ----

PostgresSession::PostgresSession(PostgresCluster& cluster, Client* client)
    : cluster_(cluster), client_(client), pid_(client->pid()) {
  cluster_.add(this);
  cancel_gate_.open();
}

PostgresSession::~PostgresSession() {
  if (client_ == nullptr) return;
  Client* client = client_;
  forget_client();
  cluster_.remove(this, client);
}

void PostgresSession::forget_client() {
  cancel_gate_.close();
  client_ = nullptr;
  in_request_ = false;
}

void PostgresSession::cancel() {
  cancel_gate_.pass([this] {
    client_->process().send_signal(postgres::kCancelSignal);
    cluster_.news();
  });
}

void PostgresSession::deliver(const ResponseSink& sink) {
  const std::string_view bytes = client_->output();
  if (bytes.empty()) return;
  sink(bytes);
  client_->take(bytes.size());
}

Status PostgresSession::begin(std::string_view request, const ResponseSink& sink) {
  if (client_ == nullptr) return Status::engine_gone("the cluster is closed");
  if (in_request_) return Status::invalid_argument("a request of the session is under way");
  if (Status failure = cluster_.failure(); !failure.ok()) return failure;
  if (client_->ended()) return Status::session_ended("PostgreSQL has ended the session");
  if (request.empty()) return {};
  client_->send(request);
  in_request_ = true;
  return run_request(sink);
}

Status PostgresSession::run_request(const ResponseSink& sink) {
  Status status = cluster_.run_for(*client_, [&] { deliver(sink); });
  if (status.code() == StatusCode::kWaiting) return status;
  in_request_ = false;
  if (status.ok() && client_->ended()) {
    return Status::session_ended("PostgreSQL has ended the session");
  }
  return status;
}

Status PostgresSession::start(const SessionOptions& options) {
  std::vector<std::pair<std::string_view, std::string_view>> parameters = {
      {"user", options.username}, {"database", options.database}};
  for (const std::string_view setting : options.settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return Status::invalid_argument("the setting \"" + std::string(setting) +
                                      "\" is not name=value");
    }
    parameters.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
  // A session that PostgreSQL refuses ends with the error that says why.
  return postgres::run_messages(
      [this](std::string_view request, const ResponseSink& sink) {
        Status status = exec(request, sink);
        return status.code() == StatusCode::kSessionEnded ? Status() : status;
      },
      wire::startup_packet(parameters));
}

// ---- Cluster ----

Status PostgresCluster::start() {
  log(1, "starting PGlite " + std::string(version().pglite) + " (PostgreSQL " + version().postgres +
             ") on " + options_.data_dir + " with many sessions");
  Status status = storage_.open();
  if (status.ok() && storage_.in_memory()) status = open_memory();
  if (!status.ok()) return status;

  postgres::PostmasterConfig config;
  config.tree = storage_.tree();
  config.fsync = storage_.fsync();
  config.debug_level = storage_.debug_level();
  config.settings = storage_.settings();
  config.autovacuum = options_.autovacuum;
  config.access_rules = options_.access_rules;
  config.logs_json = options_.log_format == LogFormat::kJson;
  config.log = [this](std::string_view line) { storage_.log_server_line(line); };
  config.last_fatal = storage_.last_fatal();
  storage_.begin_start();
  status = storage_.end_start(Postmaster::start(std::move(config), &postmaster_));
  if (status.ok() && storage_.is_new()) status = create_names();
  if (status.ok() && storage_.directory() != nullptr && storage_.is_new()) {
    status = storage_.directory()->finish();
  }
  storage_.started(0);
  if (status.ok()) log(1, "ready");
  return status;
}

Status PostgresCluster::open_memory() {
  if (options_.snapshot != nullptr) {
    snapshot_ = std::dynamic_pointer_cast<const SnapshotFile>(options_.snapshot);
    if (snapshot_ == nullptr) return Status::invalid_argument("the snapshot is of no known kind");
  }
  Status status = storage_.load_files(snapshot_.get());
  if (!status.ok() || snapshot_ == nullptr) return status;
  vfs::MemoryFileSystem& files = *storage_.tree().memory;
  return snapshot_->has_session() ? end_session_of(*snapshot_) : renew_identity(files);
}

// What the snapshot's session has not written yet is in its memory, and recovery from its WAL would
// empty unlogged tables: it ends in order, with a checkpoint.
Status PostgresCluster::end_session_of(const SnapshotFile& snapshot) {
  postgres::BackendConfig config;
  config.tree = storage_.tree();
  config.log = [this](std::string_view line) { storage_.log_server_line(line); };
  config.last_fatal = storage_.last_fatal();
  std::unique_ptr<postgres::Backend> session;
  Status status = restore_backend(snapshot, config, *storage_.tree().memory, &session);
  return status.ok() ? session->stop() : status;
}

Status PostgresCluster::create_names() {
  if (!storage_.has_own_names()) return {};
  std::unique_ptr<Session> session;
  Status status = connect({}, &session);
  if (!status.ok()) return status;
  return pglite::create_names(
      [&](std::string_view request, const ResponseSink& sink) {
        return session->exec(request, sink);
      },
      options_);
}

Status PostgresCluster::open_session(const Peer& peer, std::unique_ptr<PostgresSession>* out) {
  if (postmaster_ == nullptr) return Status::engine_gone("the cluster is closed");
  postgres::SocketAddress address;
  switch (peer.kind) {
    case Peer::Kind::kThisProcess:
      break;
    case Peer::Kind::kUnixSocket:
      address.is_outside = true;
      break;
    case Peer::Kind::kInternet:
      if (peer.address.size() != 4 && peer.address.size() != 16) {
        return Status::invalid_argument("a client's address has 4 or 16 bytes, not " +
                                        std::to_string(peer.address.size()));
      }
      address.is_outside = true;
      address.bytes = peer.address;
      address.port = peer.port;
      address.certificate_hash.assign(peer.certificate_hash.begin(), peer.certificate_hash.end());
      break;
  }
  Client* client = nullptr;
  Status status = postmaster_->connect(address, &client);
  if (status.ok()) *out = std::make_unique<PostgresSession>(*this, client);
  return status;
}

Status PostgresCluster::reload() {
  if (postmaster_ == nullptr) return Status::engine_gone("the cluster is closed");
  postmaster_->reload();
  return {};
}

Status PostgresCluster::accept(const Peer& peer, std::unique_ptr<Session>* out) {
  return without_exceptions([&] {
    std::unique_ptr<PostgresSession> session;
    Status status = open_session(peer, &session);
    if (status.ok()) *out = std::move(session);
    return status;
  });
}

Status PostgresCluster::connect(const SessionOptions& options, std::unique_ptr<Session>* out) {
  return without_exceptions([&] {
    std::unique_ptr<PostgresSession> session;
    Status status = open_session({}, &session);
    if (status.ok()) status = session->start(options);
    if (status.ok()) *out = std::move(session);
    return status;
  });
}

Status PostgresCluster::run_until(Clock::time_point until) {
  if (postmaster_ == nullptr) return Status::engine_gone("the cluster is closed");
  emscripten::Scheduler& scheduler = postmaster_->scheduler();
  postmaster_->wake_event().clear();
  scheduler.begin_slices();
  // Who has been answered does not wait for a slice of somebody else's.
  (void)postmaster_->take_has_output();
  bool has_output = false;
  while (postmaster_->run_next() && Clock::now() < until) {
    has_output = postmaster_->take_has_output() || has_output;
    if (has_output && scheduler.only_long_ready()) break;
  }
  scheduler.end_slices();
  return postmaster_->failure();
}

std::optional<Clock::time_point> PostgresCluster::deadline() {
  if (postmaster_ == nullptr) return std::nullopt;
  emscripten::Scheduler& scheduler = postmaster_->scheduler();
  if (scheduler.has_ready()) return Clock::now();
  const std::optional<double> due = postmaster_->next_due();
  return due ? std::optional(time_of(*due)) : std::nullopt;
}

Status PostgresCluster::run_for(Client& client, const std::function<void()>& deliver) {
  constexpr std::chrono::milliseconds kTurn{50};
  const auto done = [&] { return client.ended() || client.wants_input(); };
  const auto is_full = [&] { return client.output().size() >= Client::kOutputLimit; };
  for (;;) {
    if (postmaster_ == nullptr) return Status::engine_gone("the cluster is closed");
    emscripten::Scheduler& scheduler = postmaster_->scheduler();
    scheduler.begin_slices();
    const Clock::time_point end = Clock::now() + kTurn;
    while (!done() && !is_full() && postmaster_->run_next() && Clock::now() < end) {
    }
    scheduler.end_slices();
    deliver();
    if (!postmaster_->failure().ok()) return postmaster_->failure();
    if (done()) return {};
    if (scheduler.has_ready()) continue;
    if (client.waits_for_others() && !postmaster_->others_may_act(client)) {
      return Status::waiting("the session waits for another one");
    }
    postmaster_->wake_event().clear();
    if (scheduler.has_ready()) continue;
    constexpr double kForEver = 60'000;
    postmaster_->sleep_until(
        postmaster_->next_due().value_or(emscripten::monotonic_milliseconds() + kForEver));
  }
}

void PostgresCluster::drop_processes() {
  for (PostgresSession* session : sessions_) session->forget_client();
  sessions_.clear();
  postmaster_.reset();
}

void PostgresCluster::abandon() {
  if (postmaster_ == nullptr) return;
  drop_processes();
  Postmaster::remove_pid_file(storage_.tree());
  storage_.close();
  log(1, "closed as it was");
}

Status PostgresCluster::keep_files(std::shared_ptr<const Snapshot>* out) {
  vfs::MemoryFileSystem& files = *storage_.tree().memory;
  Status status = postgres::remove_recycled_wal(files, postgres::kDataDirectory);
  if (!status.ok()) return status;
  auto file = os::make_anonymous_file("pglite-port-snapshot");
  if (!file) {
    return Status::io_error("no memory for a snapshot: " +
                            std::make_error_code(file.error()).message());
  }
  status = SnapshotFile::capture_files(files, file->get());
  std::shared_ptr<const SnapshotFile> snapshot;
  if (status.ok()) status = SnapshotFile::open(std::move(*file), "(in memory)", &snapshot);
  if (status.ok()) *out = std::move(snapshot);
  return status;
}

Status PostgresCluster::shut_down(std::shared_ptr<const Snapshot>* kept) {
  if (kept != nullptr && postmaster_ == nullptr) {
    return Status::engine_gone("the cluster is closed");
  }
  if (kept != nullptr && !storage_.in_memory()) {
    return Status::invalid_argument("only clusters in memory:// have snapshots");
  }
  if (postmaster_ == nullptr) return {};
  Status status = postmaster_->failure();
  if (kept == nullptr && !status.ok()) status = {};  // whoever ran it knows
  const bool is_wanted = kept != nullptr || !storage_.in_memory();
  storage_.closing();
  if (is_wanted && postmaster_->failure().ok()) status = postmaster_->shut_down();
  drop_processes();
  // Whatever ends it: all is released.
  if (kept != nullptr && status.ok()) {
    status = without_exceptions([&] { return keep_files(kept); });
  }
  storage_.close();
  log(1, status.ok() ? "closed" : "closed after: " + status.message());
  return status;
}

}  // namespace

Status Cluster::open(const Options& options, std::unique_ptr<Cluster>* out) {
  return without_exceptions([&] {
    auto cluster = std::make_unique<PostgresCluster>(options);
    Status status = cluster->start();
    if (status.ok()) *out = std::move(cluster);
    return status;
  });
}

}  // namespace pglite
