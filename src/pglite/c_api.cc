// The C API (pglite.h) on the C++ one: handles, statuses and callbacks made of instances, Status
// and functions.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pglite/archive.h"
#include "pglite/instance.h"
#include "pglite/pglite.h"
#include "pglite/without_exceptions.h"
#include "wasm/execution.h"
#include "wire/backend.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"

namespace {

// What handles begin with, so that most of what is none is noticed.
enum class Kind : uint64_t {
  kDatabase = 0x70676c6974652d64,
  kSnapshot = 0x70676c6974652d73,
  kFreed = 0,
};

// What an operation ends with: a status of the library's, or an error of PostgreSQL's.
struct Result {
  pglite_status status = PGLITE_OK;
  std::string message = {};
  std::string sqlstate = {};
  std::string detail = {};
  std::string hint = {};
};

}  // namespace

struct pglite_error {
  Result result;
};

struct pglite_snapshot {
  Kind kind = Kind::kSnapshot;
  std::shared_ptr<const pglite::Snapshot> snapshot;
};

struct pglite_db {
  Kind kind = Kind::kDatabase;
  std::atomic<bool> in_use = false;
  pid_t process = getpid();
  int64_t row_count = -1;
  std::unique_ptr<pglite::Instance> instance;
};

namespace {

using pglite::Status;
using pglite::StatusCode;

pglite_status to_status(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return PGLITE_OK;
    case StatusCode::kInvalidArgument:
      return PGLITE_INVALID_ARGUMENT;
    case StatusCode::kIoError:
    case StatusCode::kDisconnected:  // of connections, which there are none here
      return PGLITE_IO_ERROR;
    case StatusCode::kInUse:
      return PGLITE_IN_USE;
    case StatusCode::kIncompatible:
      return PGLITE_INCOMPATIBLE;
    case StatusCode::kEngineGone:
      return PGLITE_ENGINE_GONE;
    case StatusCode::kSessionEnded:
      return PGLITE_SESSION_ENDED;
    case StatusCode::kToolFailed:
      return PGLITE_TOOL_FAILED;
    case StatusCode::kUnavailable:
      return PGLITE_UNAVAILABLE;
    case StatusCode::kWaiting:  // of clusters
      break;
  }
  return PGLITE_INVALID_ARGUMENT;
}

// Makes `*error` of a result; the status.
pglite_status report(Result result, pglite_error** error) {
  const pglite_status status = result.status;
  if (error != nullptr) {
    *error = status == PGLITE_OK ? nullptr : new (std::nothrow) pglite_error{std::move(result)};
  }
  return status;
}

Result to_result(const Status& status) {
  return {.status = to_status(status.code()), .message = status.message()};
}

Result invalid(const char* message) {
  return {.status = PGLITE_INVALID_ARGUMENT, .message = message};
}

// Every function of the API does its work in this: nothing is thrown out of it.
template <class Operation>
pglite_status reported(pglite_error** error, Operation operation) {
  if (error != nullptr) *error = nullptr;
  Result result;
  const Status status = pglite::without_exceptions([&] {
    result = operation();
    return Status();
  });
  return status.ok() ? report(std::move(result), error) : report(to_result(status), error);
}

// Calls the caller's code on the caller's stack. Runtimes know the stacks of their threads and die
// on another one. What is thrown on the way is thrown here.
template <class Call>
void on_callers_stack(const Call& call) {
  pglite::wasm::Execution* execution = pglite::wasm::Execution::current();
  if (execution == nullptr) return call();
  std::exception_ptr thrown;
  execution->run_on_callers_stack([&] {
    try {
      on_callers_stack(call);  // which may be on a guest's stack, too
    } catch (...) {
      thrown = std::current_exception();
    }
  });
  if (thrown) std::rethrow_exception(thrown);
}

// While it exists, a database belongs to this call.
class Use {
 public:
  explicit Use(pglite_db* db) : db_(db) {
    if (db == nullptr) {
      refusal_ = "there is no database: the handle is NULL";
    } else if (db->kind != Kind::kDatabase) {
      refusal_ = "the handle is no database's";
    } else if (db->process != getpid()) {
      refusal_ = "the database was opened by another process: after a fork, open a new one";
    } else if (db->in_use.exchange(true, std::memory_order_acquire)) {
      refusal_ = "another call on this database is under way";
    } else {
      // A thread that blocks them would be killed by what is only a trap of the guest's.
      sigset_t faults;
      sigemptyset(&faults);
      sigaddset(&faults, SIGSEGV);
      sigaddset(&faults, SIGBUS);
      pthread_sigmask(SIG_UNBLOCK, &faults, &mask_);
    }
  }
  ~Use() {
    if (refusal_ != nullptr) return;
    if (db_ != nullptr) db_->in_use.store(false, std::memory_order_release);
    if (sigismember(&mask_, SIGSEGV) == 1 || sigismember(&mask_, SIGBUS) == 1) {
      pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    }
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  // Why it cannot be used; null: it can.
  [[nodiscard]] const char* refusal() const { return refusal_; }
  void destroy() {
    db_->kind = Kind::kFreed;
    delete std::exchange(db_, nullptr);
  }

 private:
  pglite_db* db_;
  const char* refusal_ = nullptr;
  sigset_t mask_{};
};

// An operation on a database.
template <class Operation>
pglite_status with(pglite_db* db, pglite_error** error, Operation operation) {
  return reported(error, [&]() -> Result {
    const Use use(db);
    if (use.refusal() != nullptr) return invalid(use.refusal());
    return operation(*db->instance);
  });
}

std::vector<std::string> to_list(const char* const* items) {
  std::vector<std::string> list;
  for (; items != nullptr && *items != nullptr; ++items) list.emplace_back(*items);
  return list;
}

// The caller's options in a structure of ours. What is wrong with them, or null.
const char* read_options(const pglite_options* given, pglite_options* options) {
  *options = PGLITE_OPTIONS_INIT;
  if (given == nullptr) return nullptr;
  // The first version's; one that grows must go on taking this.
  constexpr size_t kSmallest = offsetof(pglite_options, log_user_data) + sizeof(void*);
  if (given->size < kSmallest) return "the options' size is not set: use PGLITE_OPTIONS_INIT";
  const auto* bytes = reinterpret_cast<const char*>(given);
  const size_t known = std::min(given->size, sizeof *options);
  constexpr size_t kLargest = 4096;
  if (given->size > kLargest) return "the options' size is nothing that options have";
  if (std::any_of(bytes + known, bytes + given->size, [](char byte) { return byte != 0; })) {
    return "the options have a member that this version of the library does not know";
  }
  std::memcpy(options, given, known);
  return nullptr;
}

const char* to_options(const pglite_options* given, pglite::Options* out) {
  pglite_options options;
  if (const char* wrong = read_options(given, &options)) return wrong;
  if (options.data_dir != nullptr) out->data_dir = options.data_dir;
  if (options.username != nullptr) out->username = options.username;
  if (options.database != nullptr) out->database = options.database;
  if (options.cache != nullptr) out->cache = options.cache;
  switch (options.durability) {
    case PGLITE_DURABILITY_DEFAULT:
      break;
    case PGLITE_DURABILITY_FULL:
      out->durability = pglite::Durability::kFull;
      break;
    case PGLITE_DURABILITY_RELAXED:
      out->durability = pglite::Durability::kRelaxed;
      break;
    case PGLITE_DURABILITY_OFF:
      out->durability = pglite::Durability::kOff;
      break;
    default:
      return "the durability is none of PGLITE_DURABILITY_...";
  }
  out->create = options.must_exist == 0;
  out->autovacuum = options.no_autovacuum == 0;
  if (options.debug < 0 || options.debug > 5) return "the debug level is not one of 0 to 5";
  out->debug = options.debug;
  if (options.snapshot != nullptr) {
    if (options.snapshot->kind != Kind::kSnapshot) return "the handle is no snapshot's";
    out->snapshot = options.snapshot->snapshot;
  }
  out->settings = to_list(options.settings);
  out->preload = to_list(options.preload);
  out->extensions = to_list(options.extensions);
  if (options.log != nullptr) {
    out->log = [log = options.log, data = options.log_user_data](int level, std::string_view line) {
      const std::string text(line);
      on_callers_stack([&] { log(data, level, text.c_str()); });
    };
  }
  return nullptr;
}

bool to_compression(pglite_compression given, pglite::Compression* out) {
  *out = given == PGLITE_COMPRESSION_GZIP ? pglite::Compression::kGzip : pglite::Compression::kNone;
  return given == PGLITE_COMPRESSION_GZIP || given == PGLITE_COMPRESSION_NONE;
}

pglite::ResponseSink to_sink(pglite_response_callback response, void* user_data) {
  return [response, user_data](std::string_view bytes) {
    if (response == nullptr) return;
    on_callers_stack([&] { response(user_data, bytes.data(), bytes.size()); });
  };
}

pglite::ByteSink to_sink(pglite_write_callback write, void* user_data) {
  return [write, user_data](std::string_view bytes) {
    int32_t failed = 0;
    on_callers_stack([&] { failed = write(user_data, bytes.data(), bytes.size()); });
    return failed == 0 ? Status()
                       : Status::io_error("the callback has failed with " + std::to_string(failed));
  };
}

Result open_instance(const pglite::Options& options, pglite_db** out) {
  auto db = std::make_unique<pglite_db>();
  const Status status = pglite::Instance::open(options, &db->instance);
  if (status.ok()) *out = db.release();
  return to_result(status);
}

// One pglite_query(): follows the answer.
class Query {
 public:
  Query(pglite_db* db, pglite_row_callback row, void* user_data)
      : db_(db), row_(row), user_data_(user_data) {}

  Result run(const std::string& request);

 private:
  Status exec(std::string_view request) {
    return db_->instance->exec_protocol(request, [this](std::string_view bytes) {
      (void)reader_.feed(bytes, [this](const pglite::wire::BackendMessage& m) { take(m); });
    });
  }
  void take(const pglite::wire::BackendMessage& message);
  void take_columns(std::string_view body);
  void take_row(std::string_view body);
  void take_error(std::string_view body);

  static constexpr const char* kCopyRefused =
      "pglite_query() does no COPY from or to the client: use pglite_exec()";

  pglite_db* db_;
  pglite_row_callback row_;
  void* user_data_;
  pglite::wire::BackendReader reader_;
  std::string names_;  // each ends with NUL
  std::vector<const char*> name_pointers_;
  std::string values_;
  std::vector<std::optional<std::string_view>> value_views_;
  std::vector<const char*> value_pointers_;
  Result result_;
  bool copies_in_ = false;
  bool copies_ = false;
  bool stopped_ = false;
};

Result Query::run(const std::string& request) {
  db_->row_count = -1;
  Status status = exec(request);
  if (copies_in_) {
    // Sync: the one in a request of the extended protocol was not read.
    status = exec(pglite::wire::copy_fail(kCopyRefused) + pglite::wire::sync());
  }
  if (!status.ok()) {
    // What PostgreSQL has said before it ended is a detail of that.
    Result result = to_result(status);
    result.sqlstate = std::move(result_.sqlstate);
    if (status.code() == StatusCode::kSessionEnded) result.message = std::move(result_.message);
    return result;
  }
  if (stopped_) return {.status = PGLITE_STOPPED, .message = "the callback wanted no more rows"};
  if (copies_) return invalid(kCopyRefused);
  return std::move(result_);
}

void Query::take(const pglite::wire::BackendMessage& message) {
  switch (message.type) {
    case 'T':
      return take_columns(message.body);
    case 'D':
      return take_row(message.body);
    case 'E':
      return take_error(message.body);
    case 'C': {
      // "INSERT 0 3", "SELECT 3", "CREATE TABLE"
      std::string_view tag;
      if (!pglite::wire::parse_command_complete(message.body, &tag)) return;
      const std::string_view number = tag.substr(tag.rfind(' ') + 1);
      db_->row_count = -1;
      std::from_chars(number.data(), number.data() + number.size(), db_->row_count);
      return;
    }
    case 'G':
      copies_in_ = true;
      [[fallthrough]];
    case 'H':
      copies_ = true;
      return;
    default:
      return;
  }
}

void Query::take_columns(std::string_view body) {
  std::vector<pglite::wire::Column> columns;
  if (!pglite::wire::parse_row_description(body, &columns)) return;
  names_.clear();
  for (const auto& column : columns) names_.append(column.name).push_back('\0');
  name_pointers_.clear();
  const char* name = names_.data();
  for (const auto& column : columns) {
    name_pointers_.push_back(name);
    name += column.name.size() + 1;
  }
}

void Query::take_row(std::string_view body) {
  if (row_ == nullptr || stopped_ || copies_) return;
  if (!pglite::wire::parse_data_row(body, &value_views_)) return;
  if (value_views_.size() != name_pointers_.size()) return;
  // As long as the row's message, which has more than a byte beside each value.
  values_.clear();
  values_.reserve(body.size());
  value_pointers_.clear();
  for (const auto& value : value_views_) {
    value_pointers_.push_back(value ? values_.data() + values_.size() : nullptr);
    if (value) values_.append(*value).push_back('\0');
  }
  int32_t stop = 0;
  on_callers_stack([&] {
    stop = row_(user_data_, value_pointers_.size(), name_pointers_.data(), value_pointers_.data());
  });
  if (stop == 0) return;
  stopped_ = true;
  db_->instance->cancel();
}

void Query::take_error(std::string_view body) {
  pglite::wire::ErrorFields fields;
  if (result_.status != PGLITE_OK || !pglite::wire::parse_error(body, &fields)) return;
  result_ = {.status = PGLITE_SQL_ERROR,
             .message = std::string(fields.message),
             .sqlstate = std::string(fields.sqlstate),
             .detail = std::string(fields.detail),
             .hint = std::string(fields.hint)};
}

}  // namespace

extern "C" {

const char* pglite_error_message(const pglite_error* error) {
  return error == nullptr ? "" : error->result.message.c_str();
}

pglite_status pglite_error_status(const pglite_error* error) {
  return error == nullptr ? PGLITE_OK : error->result.status;
}

const char* pglite_error_sqlstate(const pglite_error* error) {
  return error == nullptr ? "" : error->result.sqlstate.c_str();
}

const char* pglite_error_detail(const pglite_error* error) {
  return error == nullptr ? "" : error->result.detail.c_str();
}

const char* pglite_error_hint(const pglite_error* error) {
  return error == nullptr ? "" : error->result.hint.c_str();
}

void pglite_error_free(pglite_error* error) {
  delete error;
}

pglite_status pglite_open(const pglite_options* options, pglite_db** db, pglite_error** error) {
  return reported(error, [&]() -> Result {
    if (db == nullptr) return invalid("there is no place for the database: it is NULL");
    *db = nullptr;
    pglite::Options converted;
    if (const char* wrong = to_options(options, &converted)) return invalid(wrong);
    return open_instance(converted, db);
  });
}

pglite_status pglite_close(pglite_db* db, pglite_error** error) {
  return reported(error, [&]() -> Result {
    if (db == nullptr) return {};
    Use use(db);
    if (use.refusal() != nullptr) return invalid(use.refusal());
    const Status status = db->instance->close();
    use.destroy();
    return to_result(status);
  });
}

pglite_status pglite_query(pglite_db* db, const char* sql, size_t parameter_count,
                           const char* const* parameters, pglite_row_callback row, void* user_data,
                           pglite_error** error) {
  return with(db, error, [&](pglite::Instance&) -> Result {
    namespace wire = pglite::wire;
    if (sql == nullptr) return invalid("there is no SQL: it is NULL");
    // PostgreSQL's limit for a message, and something for what is in it besides.
    constexpr size_t kLongest = wire::kLargeMessageLimit - (1 << 20);
    size_t length = std::strlen(sql);
    if (length > kLongest) return invalid("the SQL is longer than PostgreSQL takes");
    if (parameter_count == 0) return Query(db, row, user_data).run(wire::query(sql));
    if (parameters == nullptr) return invalid("there are no parameters: they are NULL");
    if (parameter_count > 65535) return invalid("there are more than 65535 parameters");
    std::vector<wire::Parameter> values(parameter_count);
    for (size_t i = 0; i < parameter_count; ++i) {
      if (parameters[i] == nullptr) continue;
      values[i].value = parameters[i];
      length += values[i].value->size();
    }
    if (length > kLongest) return invalid("the parameters are longer than PostgreSQL takes");
    return Query(db, row, user_data)
        .run(wire::parse("", sql) + wire::bind("", "", values) + wire::describe('P', "") +
             wire::execute("") + wire::sync());
  });
}

int64_t pglite_row_count(pglite_db* db) {
  const Use use(db);
  return use.refusal() == nullptr ? db->row_count : -1;
}

pglite_status pglite_exec(pglite_db* db, const char* request, size_t size,
                          pglite_response_callback response, void* user_data,
                          pglite_error** error) {
  return with(db, error, [&](pglite::Instance& instance) -> Result {
    if (request == nullptr && size > 0) return invalid("there is no request: it is NULL");
    const std::string_view bytes = size == 0 ? std::string_view() : std::string_view(request, size);
    return to_result(instance.exec_protocol(bytes, to_sink(response, user_data)));
  });
}

void pglite_cancel(pglite_db* db) {
  if (db == nullptr || db->kind != Kind::kDatabase || db->process != getpid()) return;
  db->instance->cancel();
}

int64_t pglite_idle_wait(pglite_db* db) {
  const Use use(db);
  if (use.refusal() != nullptr) return -1;
  const auto deadline = db->instance->idle_deadline();
  if (!deadline) return -1;
  const auto left = *deadline - pglite::Instance::Clock::now();
  return std::max<int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(left).count());
}

pglite_status pglite_idle(pglite_db* db, pglite_response_callback response, void* user_data,
                          pglite_error** error) {
  return with(db, error, [&](pglite::Instance& instance) {
    return to_result(instance.idle(to_sink(response, user_data)));
  });
}

pglite_status pglite_snapshot_take(pglite_db* db, pglite_snapshot** snapshot,
                                   pglite_error** error) {
  return with(db, error, [&](pglite::Instance& instance) -> Result {
    if (snapshot == nullptr) return invalid("there is no place for the snapshot: it is NULL");
    *snapshot = nullptr;
    auto taken = std::make_unique<pglite_snapshot>();
    const Status status = instance.snapshot(&taken->snapshot);
    if (status.ok()) *snapshot = taken.release();
    return to_result(status);
  });
}

pglite_status pglite_snapshot_save(const pglite_snapshot* snapshot, const char* path,
                                   pglite_error** error) {
  return reported(error, [&]() -> Result {
    if (snapshot == nullptr || snapshot->kind != Kind::kSnapshot) {
      return invalid("the handle is no snapshot's");
    }
    if (path == nullptr) return invalid("there is no path: it is NULL");
    return to_result(snapshot->snapshot->save(path));
  });
}

pglite_status pglite_snapshot_load(const char* path, pglite_snapshot** snapshot,
                                   pglite_error** error) {
  return reported(error, [&]() -> Result {
    if (snapshot == nullptr) return invalid("there is no place for the snapshot: it is NULL");
    *snapshot = nullptr;
    if (path == nullptr) return invalid("there is no path: it is NULL");
    auto loaded = std::make_unique<pglite_snapshot>();
    const Status status = pglite::Snapshot::load(path, &loaded->snapshot);
    if (status.ok()) *snapshot = loaded.release();
    return to_result(status);
  });
}

void pglite_snapshot_free(pglite_snapshot* snapshot) {
  if (snapshot == nullptr || snapshot->kind != Kind::kSnapshot) return;
  snapshot->kind = Kind::kFreed;
  delete snapshot;
}

pglite_status pglite_clone(pglite_db* db, pglite_db** copy, pglite_error** error) {
  return with(db, error, [&](pglite::Instance& instance) -> Result {
    if (copy == nullptr) return invalid("there is no place for the copy: it is NULL");
    *copy = nullptr;
    auto made = std::make_unique<pglite_db>();
    const Status status = instance.clone(&made->instance);
    if (status.ok()) *copy = made.release();
    return to_result(status);
  });
}

pglite_status pglite_dump(pglite_db* db, pglite_compression compression,
                          pglite_write_callback write, void* user_data, pglite_error** error) {
  return with(db, error, [&](pglite::Instance& instance) -> Result {
    pglite::Compression kind;
    if (!to_compression(compression, &kind)) return invalid("there is no such compression");
    if (write == nullptr) return invalid("there is no callback: it is NULL");
    return to_result(instance.dump(kind, to_sink(write, user_data)));
  });
}

pglite_status pglite_dump_sql(pglite_db* db, const char* const* arguments,
                              pglite_compression compression, pglite_write_callback write,
                              void* user_data, pglite_error** error) {
  return with(db, error, [&](pglite::Instance& instance) -> Result {
    pglite::Compression kind;
    if (!to_compression(compression, &kind)) return invalid("there is no such compression");
    if (write == nullptr) return invalid("there is no callback: it is NULL");
    return to_result(instance.dump_sql(to_list(arguments), kind, to_sink(write, user_data)));
  });
}

pglite_status pglite_restore(const pglite_options* options, pglite_read_callback read,
                             void* user_data, pglite_error** error) {
  return reported(error, [&]() -> Result {
    pglite::Options converted;
    if (const char* wrong = to_options(options, &converted)) return invalid(wrong);
    if (read == nullptr) return invalid("there is no callback: it is NULL");
    return to_result(
        pglite::restore_data_directory(converted, [&](char* buffer, size_t size, size_t* count) {
          int64_t got = 0;
          on_callers_stack([&] { got = read(user_data, buffer, size); });
          if (got < 0) {
            return Status::io_error("the callback has failed with " + std::to_string(got));
          }
          if (static_cast<uint64_t>(got) > size) {
            return Status::io_error("the callback says that it gave more than was asked for");
          }
          *count = static_cast<size_t>(got);
          return Status();
        }));
  });
}

const char* pglite_version(void) {
  return pglite::version().pglite_port;
}

const char* pglite_pglite_version(void) {
  return pglite::version().pglite;
}

const char* pglite_postgres_version(void) {
  return pglite::version().postgres;
}

}  // extern "C"
