// pglite::Instance: a guest tree, where needed a data directory, and a backend.
#include "pglite/instance.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "postgres/backend.h"
#include "postgres/data_directory.h"
#include "postgres/guest_tree.h"
#include "postgres/images.h"
#include "vfs/image.h"
#include "wasm/module_registry.h"
#include "wire/backend.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"

namespace pglite {

namespace {

using postgres::Backend;
using postgres::BackendConfig;
using postgres::DataDirectory;
using postgres::GuestTree;

constexpr std::string_view kMemoryScheme = "memory://";
constexpr std::string_view kFileScheme = "file://";
constexpr std::string_view kInitialName = "postgres";  // the role and database initdb makes

std::string quote_identifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string quote_literal(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted.append(c == '\'' ? 2 : 1, c);
  return quoted + '\'';
}

class PostgresInstance final : public Instance {
 public:
  explicit PostgresInstance(const Options& options) : options_(options) {}
  ~PostgresInstance() override { (void)close(); }

  Status start();
  Status exec_protocol(std::string_view request, const ResponseSink& sink) override;
  Status close() override;

 private:
  Status check_module() const;
  Status open_tree();
  Status start_backend(std::string_view database);
  // Makes the role and the database of the options in a new cluster.
  Status create_names();
  // Runs one SQL command; an ErrorResponse is the status. `*rows` counts DataRows.
  Status run_sql(const std::string& sql, int* rows = nullptr);
  void log(int level, std::string_view line) const {
    if (options_.log && level <= options_.debug) options_.log(level, line);
  }
  void log_server_line(std::string_view line) const;

  Options options_;
  bool in_memory_ = false;
  bool is_new_ = false;
  Durability durability_ = Durability::kOff;
  std::unique_ptr<DataDirectory> directory_;
  GuestTree tree_;
  std::unique_ptr<Backend> backend_;
};

// PostgreSQL's server log has no levels of ours: what ends the server is an error, the rest is its
// life.
void PostgresInstance::log_server_line(std::string_view line) const {
  const bool fatal = line.find("FATAL:") != std::string_view::npos ||
                     line.find("PANIC:") != std::string_view::npos;
  log(fatal ? 0 : 1, line);
}

Status PostgresInstance::check_module() const {
  if (options_.wasm_path.empty()) return {};
  std::ifstream file(options_.wasm_path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  if (!file || content.empty()) {
    return Status::io_error("cannot read the module \"" + options_.wasm_path +
                            "\": " + std::strerror(errno != 0 ? errno : EIO));
  }
  const std::string sha256 = wasm::sha256(std::as_bytes(std::span(content)));
  const guest_module* module = wasm::find_module_by_sha256(sha256);
  if (module == nullptr || module->name != std::string_view("pglite")) {
    return Status::incompatible("the module \"" + options_.wasm_path + "\" (sha256 " + sha256 +
                                ") is not the PGlite " + version().pglite +
                                " that this program was built with");
  }
  return {};
}

Status PostgresInstance::open_tree() {
  std::string_view location = options_.data_dir;
  in_memory_ = location == kMemoryScheme;
  durability_ = options_.durability;
  if (durability_ == Durability::kDefault) {
    durability_ = in_memory_ ? Durability::kOff : Durability::kFull;
  }
  const auto server_log = [this](std::string_view line) { log_server_line(line); };
  auto tree = postgres::make_guest_tree(postgres::bundle_image(), server_log);
  if (!tree) return Status::engine_gone("PGlite's files cannot be unpacked");
  tree_ = std::move(*tree);
  if (in_memory_) {
    is_new_ = true;
    const auto loaded = vfs::load_image(postgres::data_directory_image(), *tree_.memory,
                                        postgres::kDataDirectory);
    if (!loaded) return Status::engine_gone("the template data directory is damaged");
    return {};
  }
  if (location.starts_with(kFileScheme)) location.remove_prefix(kFileScheme.size());
  if (location.empty()) return Status::invalid_argument("the data directory has no path");
  if (location.find("://") != std::string_view::npos) {
    return Status::invalid_argument(
        "data directory \"" + options_.data_dir +
        "\" has an unknown scheme: memory://, file://PATH or a path is accepted");
  }
  Status status = DataDirectory::open(
      std::string(location),
      durability_ == Durability::kFull ? vfs::Durability::kSync : vfs::Durability::kIgnore,
      postgres::bundle_image(), server_log, &directory_);
  if (!status.ok()) return status;
  is_new_ = directory_->is_new();
  if (!tree_.root->mount(postgres::kDataDirectory, directory_->filesystem())) {
    return Status::engine_gone("the data directory cannot be mounted");
  }
  return {};
}

Status PostgresInstance::start_backend(std::string_view database) {
  BackendConfig config;
  config.filesystem = tree_.root;
  config.username = options_.username;
  config.database = database;
  config.fsync = durability_ == Durability::kFull;
  config.debug_level = options_.debug > 2 ? options_.debug - 2 : 0;
  config.settings = options_.settings;
  config.log = [this](std::string_view line) { log_server_line(line); };
  return Backend::start(std::move(config), &backend_);
}

Status PostgresInstance::run_sql(const std::string& sql, int* rows) {
  Status result;
  wire::BackendReader reader;
  const ResponseSink sink = [&](std::string_view bytes) {
    reader.feed(bytes, [&](const wire::BackendMessage& message) {
      if (message.type == 'D' && rows != nullptr) ++*rows;
      wire::ErrorFields fields;
      if (message.type == 'E' && wire::parse_error(message.body, &fields)) {
        result = Status::invalid_argument(std::string(fields.message));
      }
    });
  };
  const Status status = backend_->exec(wire::query(sql), sink);
  return status.ok() ? result : status;
}

Status PostgresInstance::create_names() {
  const bool other_role = options_.username != kInitialName;
  const bool other_database = options_.database != kInitialName;
  if (!other_role && !other_database) return start_backend(kInitialName);
  Status status = start_backend(kInitialName);
  if (status.ok() && other_role) {
    status = run_sql("CREATE ROLE " + quote_identifier(options_.username) + " SUPERUSER LOGIN");
  }
  if (status.ok() && other_database) {
    int found = 0;
    status = run_sql("SELECT 1 FROM pg_database WHERE datname = " + quote_literal(options_.database),
                     &found);
    if (status.ok() && found == 0) {
      status = run_sql("CREATE DATABASE " + quote_identifier(options_.database) + " OWNER " +
                       quote_identifier(options_.username));
    }
  }
  if (!status.ok()) return status;
  if (!other_database) return {};
  // A single-user backend stays in the database it was started in.
  status = backend_->stop();
  backend_.reset();
  return status.ok() ? start_backend(options_.database) : status;
}

Status PostgresInstance::start() {
  log(1, "starting PGlite " + std::string(version().pglite) + " (PostgreSQL " +
             version().postgres + ") on " + options_.data_dir);
  Status status = check_module();
  if (status.ok()) status = open_tree();
  if (status.ok()) status = is_new_ ? create_names() : start_backend(options_.database);
  if (status.ok() && options_.username != kInitialName) {
    status = run_sql("SET SESSION AUTHORIZATION " + quote_identifier(options_.username));
  }
  if (status.ok()) log(1, "ready");
  return status;
}

Status PostgresInstance::exec_protocol(std::string_view request, const ResponseSink& sink) {
  if (backend_ == nullptr) return Status::engine_gone("the instance is closed");
  std::vector<wire::FrontendPacket> packets;
  if (std::string error = wire::split_frame(request, &packets); !error.empty()) {
    return Status::invalid_argument(std::move(error));
  }
  return backend_->exec(request, sink);
}

Status PostgresInstance::close() {
  if (backend_ == nullptr) return {};
  Status status = backend_->stop();
  backend_.reset();
  directory_.reset();
  tree_ = {};
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
  }
}

Version version() { return {PGLITE_PORT_VERSION, PGLITE_VERSION, POSTGRES_VERSION}; }

}  // namespace pglite
