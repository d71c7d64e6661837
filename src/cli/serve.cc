#include "cli/serve.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include "os/file.h"
#include "os/parent_death.h"
#include "pglite/json_log.h"
#include "server/address.h"
#include "server/server.h"
#include "server/statement.h"

namespace pglite::cli {

namespace {

// systemd's socket activation: sd_listen_fds(3).
std::vector<int> inherited_sockets() {
  constexpr int kFirst = 3;
  const auto number = [](const char* name) {
    const char* text = std::getenv(name);
    long value = 0;
    if (text != nullptr) std::from_chars(text, text + std::string_view(text).size(), value);
    return value;
  };
  std::vector<int> sockets;
  if (number("LISTEN_PID") == getpid()) {
    for (int i = 0; i < number("LISTEN_FDS"); ++i) {
      fcntl(kFirst + i, F_SETFD, FD_CLOEXEC);
      sockets.push_back(kFirst + i);
    }
  }
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  return sockets;
}

Status read_password(const std::string& path, std::string* password) {
  const auto file = os::open_regular_file(path);
  if (!file) {
    return Status::io_error("cannot read the password file " + path + ": " + file.error().reason);
  }
  const auto content = os::read_all(file->get());
  if (!content) {
    return Status::io_error("cannot read the password file " + path + ": " +
                            std::make_error_code(content.error()).message());
  }
  *password = content->substr(0, content->find_first_of("\r\n"));
  if (!password->empty()) return {};
  return Status::invalid_argument("the password file " + path +
                                  " (--password-file) has no password in its first line");
}

std::string quoted(std::string_view text, char mark) {
  std::string result(1, mark);
  for (const char c : text) result.append(c == mark ? 2 : 1, c);
  return result + mark;
}

// PostgreSQL makes a SCRAM verifier of it, with a salt of its own: there is no need to write it
// again when the password is the one that the role has, but no way to know. Whatever is logged, it
// is not.
Status set_password(Cluster& cluster, const std::string& role, const std::string& password) {
  const std::vector<std::string> settings = {"password_encryption=scram-sha-256",
                                             "standard_conforming_strings=on",
                                             "log_statement=none",
                                             "log_min_duration_statement=-1",
                                             "log_min_duration_sample=-1",
                                             "log_transaction_sample_rate=0",
                                             "log_min_error_statement=panic",
                                             "debug_print_parse=off",
                                             "debug_print_rewritten=off",
                                             "debug_print_plan=off",
                                             "log_parser_stats=off",
                                             "log_statement_stats=off"};
  Status status = server::run_statement(
      cluster, settings, "ALTER ROLE " + quoted(role, '"') + " PASSWORD " + quoted(password, '\''));
  if (status.code() != StatusCode::kInvalidArgument) return status;
  return Status::invalid_argument("the password of \"" + role +
                                  "\" cannot be set: " + status.message());
}

// What the command finds in its environment.
void set_environment(const server::Server& server, const Options& engine,
                     const std::string& password) {
  const auto set = [](const char* name, const std::string& value) {
    if (value.empty()) {
      unsetenv(name);
    } else {
      setenv(name, value.c_str(), 1);
    }
  };
  const server::Server::Place place = server.place();
  const bool has_name = !place.host.empty();
  set("DATABASE_URL",
      has_name ? server::url_of(engine.username, password, place.host, place.port, engine.database)
               : "");
  set("PGHOST", place.host);
  set("PGPORT", has_name ? std::to_string(place.port) : "");
  set("PGUSER", engine.username);
  set("PGDATABASE", engine.database);
  set("PGPASSWORD", password);
}

}  // namespace

Status serve(const OpenClusterFunction& open, const LoadSnapshotFunction& load,
             const Configuration& configuration, int* exit_code) {
  // A client that has gone is an error of write().
  std::signal(SIGPIPE, SIG_IGN);
  // Before anything that has to be removed again.
  server::ServerOptions options = configuration.server;
  options.log = configuration.engine.log;
  if (configuration.engine.log_format == LogFormat::kJson) {
    options.log = [log = configuration.engine.log](int level, std::string_view line) {
      log(level, json_log_line("LOG", line));
    };
  }
  const auto log = options.log;
  options.inherited = inherited_sockets();
  if (configuration.stdin_end) options.life_fd = STDIN_FILENO;
  if (!options.inherited.empty() && options.listen == std::vector<std::string>{"localhost:5432"}) {
    options.listen.clear();
  }
  server::Server server(std::move(options));
  // Its clients do not hold it up: what the server is for has gone.
  if (configuration.parent_death && !os::end_with_parent(SIGINT)) {
    return Status::invalid_argument(
        "--parent-death (PGLITE_PARENT_DEATH): this system does not tell when a process's parent "
        "dies, or it has died already");
  }
  std::string password;
  Status status;
  if (!configuration.password_file.empty()) {
    status = read_password(configuration.password_file, &password);
  }
  if (!status.ok()) return status;

  // First, so that clients that come early wait for their turn.
  status = server.listen();
  if (!status.ok()) return status;

  Options engine = configuration.engine;
  const std::vector<std::string> settings = server.settings();
  engine.settings.insert(engine.settings.begin(), settings.begin(), settings.end());
  engine.access_rules = server.access_rules();
  if (!configuration.snapshot.empty()) {
    status = load(configuration.snapshot, &engine.snapshot);
    if (!status.ok()) return status;
  }
  std::unique_ptr<Cluster> cluster;
  status = open(engine, &cluster);
  if (status.ok() && !password.empty()) status = set_password(*cluster, engine.username, password);
  if (!status.ok()) return status;
  set_environment(server, engine, password);
  bool crash = false;
  status = server.run(*cluster, exit_code, &crash);
  const std::string& keep = configuration.save_snapshot;
  if (crash) {
    cluster->abandon();
    if (!keep.empty() && status.ok()) log(0, "no snapshot is saved: the server was cut off");
    return status;
  }
  if (keep.empty() || !status.ok()) {
    const Status closed = cluster->close();
    return status.ok() ? closed : status;
  }
  std::shared_ptr<const Snapshot> snapshot;
  status = cluster->close_and_keep(&snapshot);
  return status.ok() ? snapshot->save(keep) : status;
}

}  // namespace pglite::cli
