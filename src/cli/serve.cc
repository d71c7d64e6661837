#include "cli/serve.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include "os/file.h"
#include "os/parent_death.h"
#include "server/server.h"
#include "wire/backend.h"
#include "wire/frontend_message.h"

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
// again when the password is the one that the role has, but no way to know.
Status set_password(Cluster& cluster, const std::string& role, const std::string& password) {
  std::unique_ptr<Session> session;
  Status status = cluster.connect({}, &session);
  if (!status.ok()) return status;
  std::string error;
  wire::BackendReader reader;
  status = session->exec(
      wire::query("SET password_encryption = 'scram-sha-256'; SET standard_conforming_strings = on;"
                  "SET log_statement = none; SET log_min_duration_statement = -1;"
                  "ALTER ROLE " +
                  quoted(role, '"') + " PASSWORD " + quoted(password, '\'')),
      [&](std::string_view bytes) {
        reader.feed(bytes, [&](const wire::BackendMessage& message) {
          wire::ErrorFields fields;
          if (message.type == 'E' && wire::parse_error(message.body, &fields)) {
            error = fields.message;
          }
        });
      });
  if (status.ok() && !error.empty()) {
    return Status::invalid_argument("the password of \"" + role + "\" cannot be set: " + error);
  }
  return status;
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
  std::string url = server.url(engine.username, engine.database);
  if (!password.empty()) {
    // In a URL, all but letters and digits is written as numbers.
    std::string encoded;
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    for (const char c : password) {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
        encoded += c;
      } else {
        const auto byte = static_cast<unsigned char>(c);
        encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
      }
    }
    url.insert(url.find('@'), ":" + encoded);
  }
  set("DATABASE_URL", url);
  set("PGHOST", server.host());
  set("PGPORT", std::to_string(server.port()));
  set("PGUSER", engine.username);
  set("PGDATABASE", engine.database);
  set("PGPASSWORD", password);
}

}  // namespace

Status serve(const OpenClusterFunction& open, const Configuration& configuration, int* exit_code) {
  // A client that has gone is an error of write().
  std::signal(SIGPIPE, SIG_IGN);
  if (configuration.parent_death && !os::end_with_parent(SIGTERM)) {
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

  server::ServerOptions options = configuration.server;
  options.log = configuration.engine.log;
  options.inherited = inherited_sockets();
  if (!options.inherited.empty() && options.listen == std::vector<std::string>{"localhost:5432"}) {
    options.listen.clear();
  }
  server::Server server(std::move(options));
  // First, so that clients that come early wait for their turn.
  status = server.listen();
  if (!status.ok()) return status;

  Options engine = configuration.engine;
  const std::vector<std::string> settings = server.settings();
  engine.settings.insert(engine.settings.begin(), settings.begin(), settings.end());
  engine.access_rules = server.access_rules();
  std::unique_ptr<Cluster> cluster;
  status = open(engine, &cluster);
  if (status.ok() && !password.empty()) status = set_password(*cluster, engine.username, password);
  if (!status.ok()) return status;
  set_environment(server, engine, password);
  bool crash = false;
  status = server.run(*cluster, exit_code, &crash);
  if (crash) _exit(*exit_code != 0 ? *exit_code : 128 + SIGQUIT);
  const Status closed = cluster->close();
  return status.ok() ? closed : status;
}

}  // namespace pglite::cli
