// pglite::Instance: a guest tree, where needed a data directory, and a backend.
#include "pglite/instance.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <iterator>

#include "os/anonymous_file.h"
#include "os/file.h"
#include "pglite/cancel_gate.h"
#include "pglite/compressed.h"
#include "pglite/names.h"
#include "pglite/restored_backend.h"
#include "pglite/storage.h"
#include "pglite/without_exceptions.h"
#include "postgres/build/images.h"
#include "postgres/cluster/cluster_archive.h"
#include "postgres/cluster/data_directory.h"
#include "postgres/cluster/identity.h"
#include "postgres/cluster/start_failure.h"
#include "postgres/cluster/synced_filesystem.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/guest/session_begin.h"
#include "postgres/guest/session_sql.h"
#include "postgres/guest/session_state.h"
#include "postgres/guest/settings.h"
#include "postgres/programs/pg_dump.h"
#include "postgres/snapshot/snapshot_file.h"
#include "postgres/upkeep/maintenance.h"
#include "wasm/module_registry.h"
#include "wire/request.h"

namespace pglite {

namespace {

using postgres::Backend;
using postgres::BackendConfig;
using postgres::DataDirectory;
using postgres::GuestTree;
using postgres::kInitialName;
using postgres::SnapshotFile;

// Marks a span of time in which the guest runs.
class Busy {
 public:
  explicit Busy(bool* flag) : flag_(flag) { *flag_ = true; }
  ~Busy() { *flag_ = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  bool* flag_;
};

// Marks a span of time in which there is something to cancel. A cancel that comes before or after
// it, or is not acted on within it, has no effect. A request that is not done yet (COPY FROM STDIN
// waits) goes on with the next call: until then a cancel reaches it, and is not forgotten.
class Cancellable {
 public:
  Cancellable(CancelGate* gate, Backend* backend) : gate_(gate), backend_(backend) {
    backend_->forget_cancel();
    gate_->open();
  }
  ~Cancellable() {
    if (backend_->suspension()) return;
    gate_->close();
    backend_->forget_cancel();
  }
  Cancellable(const Cancellable&) = delete;
  Cancellable& operator=(const Cancellable&) = delete;

 private:
  CancelGate* gate_;
  Backend* backend_;
};

class PostgresInstance final : public Instance {
 public:
  explicit PostgresInstance(const Options& options) : options_(options) {}
  ~PostgresInstance() override { (void)close(); }

  Status start();
  Status exec_protocol(std::string_view request, const ResponseSink& sink) override;
  bool cancel() override {
    bool reached = false;
    cancel_gate_.pass([&] {
      reached = !maintenance_->insists();
      if (reached) backend_->cancel();
    });
    return reached;
  }
  std::optional<Clock::time_point> idle_deadline() override;
  Status idle(const ResponseSink& sink) override {
    return without_exceptions([&] { return work_while_idle(sink); });
  }
  Status snapshot(std::shared_ptr<const Snapshot>* out) override {
    return without_exceptions([&] { return take_snapshot(out); });
  }
  Status clone(std::unique_ptr<Instance>* out) override {
    return without_exceptions([&] { return make_clone(out); });
  }
  Status dump(Compression compression, const ByteSink& sink) override;
  Status dump_sql(const std::vector<std::string>& arguments, Compression compression,
                  const ByteSink& sink) override;
  Status close() override {
    return without_exceptions([&] { return shut_down(); });
  }

 private:
  // The public methods, which may throw here.
  Status run_request(std::string_view request, const ResponseSink& sink);
  Status work_while_idle(const ResponseSink& sink);
  Status take_snapshot(std::shared_ptr<const Snapshot>* out);
  Status make_clone(std::unique_ptr<Instance>* out);
  Status shut_down();
  // Runs a statement of our own, which no setting of the session's cuts short.
  Status run_own_sql(const std::string& sql, postgres::SqlResult* result = nullptr);
  // Runs request_.
  Status execute(const ResponseSink& sink);
  // kInvalidArgument: COPY FROM STDIN waits for something else than request_'s steps from `step`
  // on.
  Status check_copy(size_t step) const;
  Status run_pg_dump(const std::vector<std::string>& arguments, const ByteSink& sink);
  void warn_of_archive_mode();
  // That a session from a snapshot has loaded what the options say.
  Status check_preload();
  Status open_memory();
  // kInvalidArgument while a transaction or a COPY is open. `purpose` is for the message.
  Status check_idle(const std::string& purpose);
  // The snapshot to start from: the options', or the linked-in one where it fits the options; null
  // where PostgreSQL has to be booted.
  Status choose_snapshot(std::shared_ptr<const SnapshotFile>* out) const;
  Status start_from(const SnapshotFile& snapshot);
  BackendConfig backend_config(std::string_view database);
  Status start_backend(std::string_view database);
  // Makes the session the role's, with the settings that the role and the database have.
  Status begin_session();
  // Makes the role and the database of the options in a new cluster, unless they are there: it may
  // have been begun before.
  Status create_names();
  void log(int level, std::string_view line) const { storage_.log(level, line); }
  Status check_not_busy() const {
    if (!busy_) return {};
    return Status::invalid_argument("the instance was used from within its own sink or log");
  }

  Options options_;
  // Open only while backend_ and maintenance_ are there and stay.
  CancelGate cancel_gate_;
  bool busy_ = false;      // a guest frame may be on the stack
  wire::Request request_;  // the current one; kept for its memory
  // What memory and files may be borrowed from; goes last.
  std::shared_ptr<const SnapshotFile> snapshot_;
  // Taken since the last request: it is still what the instance is.
  std::shared_ptr<const SnapshotFile> last_snapshot_;
  Storage storage_{options_};
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<postgres::Maintenance> maintenance_;  // goes before the backend
};

Status PostgresInstance::choose_snapshot(std::shared_ptr<const SnapshotFile>* out) const {
  if (options_.snapshot != nullptr) {
    *out = std::dynamic_pointer_cast<const SnapshotFile>(options_.snapshot);
    if (*out == nullptr) return Status::invalid_argument("the snapshot is of no known kind");
    // PostgreSQL boots on the files of a server, as it does in a directory.
    if (!(*out)->has_session()) return {};
    if (!options_.settings.empty()) {
      return Status::invalid_argument(
          "settings cannot be given to an instance that starts from a snapshot: use SET");
    }
    if (options_.database != kInitialName) {
      return Status::invalid_argument(
          "a snapshot opens the database it was taken in: the database \"" + options_.database +
          "\" cannot be chosen");
    }
    return {};
  }
  // Settings and debug levels of PostgreSQL are read when it boots.
  const auto linked = postgres::boot_snapshot();
  if (linked.empty() || !options_.settings.empty() || !options_.preload.empty() ||
      options_.debug > 2 || !storage_.is_module_linked()) {
    return {};
  }
  return SnapshotFile::open_linked(linked, out);
}

Status PostgresInstance::open_memory() {
  Status status = choose_snapshot(&snapshot_);
  return status.ok() ? storage_.load_files(snapshot_.get()) : status;
}

void PostgresInstance::warn_of_archive_mode() {
  postgres::SqlResult found;
  const Status status = run_sql(*backend_,
                                "SELECT setting FROM pg_catalog.pg_file_settings WHERE "
                                "pg_catalog.lower(name) OPERATOR(pg_catalog.=) 'archive_mode' "
                                "AND pg_catalog.lower(setting) OPERATOR(pg_catalog.<>) ALL "
                                "('{off,false,no,0}'::pg_catalog.text[]) "
                                "ORDER BY seqno DESC LIMIT 1",
                                &found);
  if (!status.ok() || found.rows.empty()) return;
  log(0, "archive_mode = " + found.rows[0].at(0) +
             " in the data directory's configuration is not followed: nothing here archives WAL");
}

Status PostgresInstance::check_preload() {
  if (options_.preload.empty()) return {};
  postgres::SqlResult found;
  Status status =
      run_sql(*backend_, "SELECT pg_catalog.current_setting('shared_preload_libraries')", &found);
  if (!status.ok()) return status;
  if (!found.rows.empty() && found.rows[0].at(0) == storage_.preload()) return {};
  return Status::invalid_argument("the snapshot's session was started without loading \"" +
                                  storage_.preload() +
                                  "\" first: give the same libraries when the snapshot is made");
}

BackendConfig PostgresInstance::backend_config(std::string_view database) {
  BackendConfig config;
  config.tree = storage_.tree();
  config.username = options_.username;
  config.database = database;
  config.fsync = storage_.fsync();
  config.debug_level = storage_.debug_level();
  config.settings = storage_.settings();
  config.log = [this](std::string_view line) { storage_.log_server_line(line); };
  config.last_fatal = storage_.last_fatal();
  return config;
}

Status PostgresInstance::start_backend(std::string_view database) {
  storage_.begin_start();
  return storage_.end_start(Backend::start(backend_config(database), &backend_));
}

Status PostgresInstance::start_from(const SnapshotFile& snapshot) {
  vfs::MemoryFileSystem& files = *storage_.tree().memory;
  if (!snapshot.has_session()) {
    Status status = renew_identity(files);
    return status.ok() ? start_backend(options_.database) : status;
  }
  Status status = restore_backend(snapshot, backend_config(kInitialName), files, &backend_);
  if (!status.ok() || options_.snapshot == nullptr) return status;
  status = check_preload();
  if (!status.ok()) return status;
  // random() has a generator of its own, which the snapshot's session may have used already.
  postgres::ClusterIdentity random;
  status = postgres::make_identity(&random);
  if (!status.ok()) return status;
  const auto value = static_cast<double>(random.system_identifier & 0xFFFFFFFF) / 0xFFFFFFFF;
  return run_own_sql("SELECT pg_catalog.setseed(" + std::to_string(value) + ")");
}

Status PostgresInstance::create_names() {
  Status status = pglite::create_names(
      [this](std::string_view request, const ResponseSink& sink) {
        return backend_->exec_to_end(request, sink);
      },
      options_);
  if (!status.ok() || options_.database == kInitialName) return status;
  // A single-user backend stays in the database it was started in.
  status = backend_->stop();
  backend_.reset();
  return status.ok() ? start_backend(options_.database) : status;
}

Status PostgresInstance::start() {
  log(1, "starting PGlite " + std::string(version().pglite) + " (PostgreSQL " + version().postgres +
             ") on " + options_.data_dir);
  Status status = storage_.open();
  if (status.ok() && storage_.in_memory()) status = open_memory();
  if (status.ok()) {
    status = snapshot_ != nullptr
                 ? start_from(*snapshot_)
                 : start_backend(storage_.is_new() ? kInitialName : options_.database);
  }
  if (status.ok() && storage_.is_new()) status = create_names();
  if (DataDirectory* directory = storage_.directory(); status.ok() && directory != nullptr) {
    if (storage_.is_new()) {
      status = directory->finish();
    } else {
      warn_of_archive_mode();
    }
  }
  if (status.ok()) status = begin_session();
  storage_.started(1);
  storage_.hold_last_words();
  if (!status.ok()) return status;
  maintenance_ =
      std::make_unique<postgres::Maintenance>(*backend_, storage_.in_memory(), options_.autovacuum);
  log(1, "ready");
  return {};
}

// A session that a snapshot holds has begun already, and goes on as it is, unless it gets another
// role.
Status PostgresInstance::begin_session() {
  const bool goes_on = snapshot_ != nullptr && snapshot_->has_session();
  Status status;
  if (!options_.autovacuum)
    status = postgres::set_from_command_line(*backend_, "autovacuum", "off");
  if (!status.ok() || (goes_on && options_.username == kInitialName)) return status;
  status = postgres::begin_session(*backend_, options_.username);
  if (!status.ok()) return status;
  return postgres::apply_role_settings(*backend_);
}

Status PostgresInstance::exec_protocol(std::string_view request, const ResponseSink& sink) {
  return without_exceptions([&] { return run_request(request, sink); });
}

Status PostgresInstance::run_request(std::string_view request, const ResponseSink& sink) {
  Status status = check_not_busy();
  if (!status.ok()) return status;
  if (backend_ == nullptr) return Status::engine_gone("the instance is closed");
  if (std::string error = request_.parse(request); !error.empty()) {
    return Status::invalid_argument(std::move(error));
  }
  if (request_.steps().empty()) return {};
  if (status = check_copy(0); !status.ok()) return status;
  last_snapshot_.reset();
  const Busy busy(&busy_);
  if (maintenance_->overdue()) {
    if (status = maintenance_->step(Clock::now()); !status.ok()) return status;
  }
  const Cancellable cancellable(&cancel_gate_, backend_.get());
  // What `sink` throws is reported as the backend reports it where the guest produced the bytes.
  try {
    status = execute(sink);
  } catch (const std::exception& exception) {
    status = backend_->declare_gone(std::string("the answer could not be delivered: ") +
                                    exception.what());
  } catch (...) {
    status = backend_->declare_gone("the answer could not be delivered");
  }
  maintenance_->request_done();
  storage_.release_last_words(status);
  return status;
}

Status PostgresInstance::run_own_sql(const std::string& sql, postgres::SqlResult* result) {
  postgres::Settings settings(backend_->process());
  const postgres::UndisturbedStatements undisturbed(backend_->process(), settings);
  return run_sql(*backend_, sql, result);
}

Status PostgresInstance::check_copy(size_t step) const {
  if (!backend_->waiting_for_input() || request_.may_run_in_copy(step)) return {};
  return Status::invalid_argument(
      "COPY FROM STDIN waits for CopyData, CopyDone or CopyFail, not for another message");
}

Status PostgresInstance::execute(const ResponseSink& sink) {
  const std::span<const wire::Request::Step> steps = request_.steps();
  for (size_t i = 0; i < steps.size(); ++i) {
    // A step before it may have begun a COPY.
    Status status = check_copy(i);
    if (!status.ok()) return status;
    if (steps[i].kind == wire::Request::Step::Kind::kAnswer) {
      sink(steps[i].bytes);
    } else {
      status = backend_->exec(steps[i].bytes, sink);
    }
    if (!status.ok()) return status;
  }
  return {};
}

std::optional<Instance::Clock::time_point> PostgresInstance::idle_deadline() {
  if (busy_ || backend_ == nullptr) return std::nullopt;
  std::optional<Clock::time_point> next;
  (void)without_exceptions([&] {
    const auto timer = backend_->next_timer();
    const auto work = maintenance_->deadline();
    next = !timer || (work && *work < *timer) ? work : timer;
    return Status();
  });
  return next;
}

Status PostgresInstance::work_while_idle(const ResponseSink& sink) {
  Status status = check_not_busy();
  if (!status.ok()) return status;
  if (backend_ == nullptr) return Status::engine_gone("the instance is closed");
  if (status = backend_->failure(); !status.ok()) return status;
  const Clock::time_point now = Clock::now();
  const auto deadline = idle_deadline();
  if (!deadline || *deadline > now) return {};
  const Busy busy(&busy_);
  if (const auto timer = backend_->next_timer(); timer && *timer <= now) {
    status = backend_->deliver_timers(sink);
  } else {
    last_snapshot_.reset();
    const Cancellable cancellable(&cancel_gate_, backend_.get());
    status = maintenance_->step(now);
  }
  storage_.release_last_words(status);
  return status;
}

Status PostgresInstance::check_idle(const std::string& purpose) {
  if (backend_->waiting_for_input()) {
    return Status::invalid_argument("no " + purpose + " can be taken while a COPY is under way");
  }
  // Our own query is one statement: it cannot run in a failed transaction, and in an open one it
  // leaves the status at T.
  postgres::SqlResult state;
  Status status = run_own_sql("SELECT 1", &state);
  if (status.code() == StatusCode::kEngineGone || state.transaction_status == 'I') return status;
  return Status::invalid_argument("no " + purpose + " can be taken while a transaction is open");
}

Status PostgresInstance::dump(Compression compression, const ByteSink& sink) {
  if (Status busy = check_not_busy(); !busy.ok()) return busy;
  if (backend_ == nullptr) return Status::engine_gone("the instance is closed");
  const Busy busy(&busy_);
  return without_exceptions([&] {
    Status status = check_idle("dump");
    if (status.ok()) status = run_own_sql("CHECKPOINT");
    if (!status.ok()) return status;
    if (!storage_.in_memory()) {
      return postgres::write_archive(*storage_.directory()->filesystem(), "", compression, sink);
    }
    return postgres::write_archive(*storage_.tree().memory, std::string(postgres::kDataDirectory),
                                   compression, sink);
  });
}

Status PostgresInstance::dump_sql(const std::vector<std::string>& arguments,
                                  Compression compression, const ByteSink& sink) {
  if (Status busy = check_not_busy(); !busy.ok()) return busy;
  if (backend_ == nullptr) return Status::engine_gone("the instance is closed");
  const Busy busy(&busy_);
  return without_exceptions([&] {
    postgres::SessionState session;
    Status status = check_idle("dump");
    if (status.ok()) status = session.save(*backend_);
    if (!status.ok()) return status;
    last_snapshot_.reset();
    // Whatever ends it: the session is put back.
    status = without_exceptions([&] {
      return write_compressed(compression, sink, [&](const ByteSink& output) {
        return run_pg_dump(arguments, output);
      });
    });
    const Status restored = session.restore(*backend_);
    maintenance_->request_done();
    return status.ok() ? restored : status;
  });
}

Status PostgresInstance::run_pg_dump(const std::vector<std::string>& arguments,
                                     const ByteSink& sink) {
  postgres::SqlResult names;
  Status status = run_own_sql("SELECT pg_catalog.current_database(), session_user", &names);
  if (!status.ok()) return status;
  const Cancellable cancellable(&cancel_gate_, backend_.get());
  postgres::PgDumpConfig config;
  config.arguments = arguments;
  config.database = names.rows.at(0).at(0);
  config.username = names.rows.at(0).at(1);
  config.exec = [this](std::string_view request, const ResponseSink& answer) {
    if (std::string error = request_.parse(request); !error.empty()) {
      return Status::invalid_argument("pg_dump sent what is no request: " + error);
    }
    return execute(answer);
  };
  config.cancel = [this] { backend_->cancel(); };
  config.output = sink;
  config.messages = [this](std::string_view line) { log(0, line); };
  return postgres::run_pg_dump(config);
}

Status PostgresInstance::take_snapshot(std::shared_ptr<const Snapshot>* out) {
  if (Status status = check_not_busy(); !status.ok()) return status;
  if (backend_ == nullptr) return Status::engine_gone("the instance is closed");
  if (last_snapshot_ != nullptr) {
    *out = last_snapshot_;
    return {};
  }
  if (!storage_.in_memory())
    return Status::invalid_argument("only memory:// instances have snapshots");
  if (!storage_.is_module_linked()) {
    return Status::invalid_argument("only instances of the built-in module have snapshots");
  }
  const Busy busy(&busy_);
  Status status = check_idle("snapshot");
  if (!status.ok()) return status;
  postgres::CaptureOptions capture;
  capture.origin = snapshot_.get();
  status = postgres::start_times(*backend_, &capture.start_times);
  if (!status.ok()) return status;
  auto file = os::make_anonymous_file("pglite-port-snapshot");
  if (!file) {
    return Status::io_error("no memory for a snapshot: " +
                            std::make_error_code(file.error()).message());
  }
  status = SnapshotFile::capture(*backend_, *storage_.tree().memory, capture, file->get());
  std::shared_ptr<const SnapshotFile> snapshot;
  if (status.ok()) status = SnapshotFile::open(std::move(*file), "(in memory)", &snapshot);
  if (status.ok()) {
    last_snapshot_ = snapshot;
    *out = std::move(snapshot);
  }
  return status;
}

Status PostgresInstance::make_clone(std::unique_ptr<Instance>* out) {
  Options options = options_;
  // They are in the snapshot.
  options.settings.clear();
  options.database = kInitialName;
  Status status = snapshot(&options.snapshot);
  return status.ok() ? open(options, out) : status;
}

Status PostgresInstance::shut_down() {
  if (Status busy = check_not_busy(); !busy.ok()) return busy;
  if (backend_ == nullptr) return {};
  cancel_gate_.close();
  // What is in memory goes with it: there is nothing to write a checkpoint for.
  // Whatever ends it: all is released.
  Status status = without_exceptions([&] {
    if (storage_.in_memory()) return Status();
    // A failure is stop()'s as well.
    if (maintenance_ != nullptr && storage_.has_room()) (void)maintenance_->finish();
    return backend_->stop();
  });
  maintenance_.reset();
  backend_.reset();
  storage_.release_last_words(status);
  storage_.close();
  log(1, status.ok() ? "closed" : "closed after: " + status.message());
  return status;
}

}  // namespace

Status Instance::open(const Options& options, std::unique_ptr<Instance>* out) {
  try {
    auto instance = std::make_unique<PostgresInstance>(options);
    Status status = instance->start();
    if (status.ok()) *out = std::move(instance);
    return status;
  } catch (const std::bad_alloc&) {
    return Status::engine_gone("out of memory while the instance was opened");
  } catch (const std::exception& exception) {
    return Status::io_error(std::string("the instance cannot be opened: ") + exception.what());
  } catch (...) {
    return Status::io_error("the instance cannot be opened: an exception of unknown type");
  }
}

Version version() {
  return {PGLITE_PORT_VERSION, PGLITE_VERSION, POSTGRES_VERSION};
}

}  // namespace pglite
