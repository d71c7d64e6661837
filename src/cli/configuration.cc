// CLI11 finds flags and variables and writes the help; values are judged here, so that each message
// says what is accepted, whether the value came from a flag or a variable.
#include "cli/configuration.h"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <tuple>
#include <vector>

#include "cli/help.h"
#include "cli/settings.h"
#include "cli/variables.h"
#include "client/url.h"
#include "server/address.h"

extern char** environ;

namespace pglite::cli {
namespace {

constexpr size_t kNameLimit = 63;  // NAMEDATALEN - 1, in bytes

// All values as text. One that was not given keeps its default.
struct Texts {
  std::string wasm;
  std::string data_dir = "memory://";
  std::string username = "postgres";
  std::string database = "postgres";
  std::string debug = "0";
  std::string durability;
  std::string autovacuum = "on";
  std::string framing = "auto";
  std::string stdin_end;
  std::string settings;
  std::string preload;
  std::string extension_path;
  std::string snapshot;
  std::string save_snapshot;
  std::string format = "table";
  std::string quiet;
  std::string single_transaction;
  std::string tuples_only;
  std::string unaligned;
  std::string expanded;
  std::string gzip;
  std::string sql;
  std::string output;
  std::string input;
  std::string reset_wal;
  std::string force;
  std::string dry_run;
  std::string no_copy;
  std::vector<std::string> listen;
  std::string socket_directory;
  std::string socket_port = "5432";
  std::string socket_mode = "0777";
  std::string socket_owner_only;
  std::string authentication = "remote";
  std::string password_file;
  std::string tls_certificate;
  std::string tls_key;
  std::string metrics;
  std::string run;
  std::string ready_fd;
  std::string parent_death;
  std::string url;
  std::string log_format = "text";
};

// What of an argument can be shown: in a URL there may be a password.
std::string shown(std::string_view text) {
  const size_t end = text.find("://");
  if (end == std::string_view::npos) return std::string(text);
  const bool may_have_password = text.find_first_of("@?", end) != std::string_view::npos;
  return std::string(may_have_password ? text.substr(0, end + 3) : text) +
         (may_have_password ? "..." : "");
}

// Values may begin with a dash (-o "-c x=y", -c "-- comment"): each option takes exactly one.
CLI::Option* add(CLI::App& app, const std::string& names, std::string& value, const char* variable,
                 const char* type, const std::string& help) {
  return app.add_option(names, value, help)
      ->envname(variable)
      ->type_name(type)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

std::string option_names(const CLI::App& app) {
  std::string names;
  for (const CLI::Option* option : app.get_options()) {
    if (app.get_parent() != nullptr && option == app.get_help_ptr()) continue;
    if (option->get_positional()) continue;
    if (!names.empty()) names += ", ";
    std::string one = option->get_name(false, true);
    std::replace(one.begin(), one.end(), ',', '/');
    names += one;
  }
  return names;
}

Status bad(const CLI::App& app, const char* option, const std::string& value,
           const std::string& accepted) {
  const CLI::Option* named = app.get_option(option);
  return Status::invalid_argument(std::string(option) + " (" + named->get_envname() + ") is '" +
                                  value + "'; accepted is " + accepted);
}

Status check_name(const CLI::App& app, const char* option, const std::string& name) {
  if (!name.empty() && name.size() <= kNameLimit) return {};
  return bad(app, option, name, "a name of 1 to " + std::to_string(kNameLimit) + " bytes");
}

std::string default_module(const std::string& program_directory) {
  const std::string path = program_directory + "/../priv/pglite/pglite.wasm";
  struct stat status{};
  // If it is there but cannot be read, opening it will report the error.
  return ::stat(path.c_str(), &status) == 0 ? path : std::string();
}

// CLI11 makes "true" of a flag that is given.
Status convert_switch(const CLI::App& app, const char* option, const std::string& text,
                      bool* value) {
  const auto is_one_of = [&](std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, text) != words.end();
  };
  *value = is_one_of({"1", "true", "yes", "on"});
  if (*value || is_one_of({"", "0", "false", "no", "off"})) return {};
  return bad(app, option, text, "1 or 0");
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    std::string_view part = text.substr(0, end);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// A directory stands for the extensions in it.
Status convert_extensions(const CLI::App& app, const std::string& text,
                          std::vector<std::string>* files) {
  for (const std::string& path : split(text, ':')) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      files->push_back(path);
      continue;
    }
    const size_t before = files->size();
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      if (entry.path().native().ends_with(".tar.gz")) files->push_back(entry.path().native());
    }
    if (error || files->size() == before) {
      return bad(app, "--extension-path", text,
                 "files and directories with .tar.gz files of extensions, separated by colons");
    }
    std::sort(files->begin() + static_cast<ptrdiff_t>(before), files->end());
  }
  return {};
}

Status convert(const CLI::App& app, const Texts& texts, Configuration* configuration) {
  Options& engine = configuration->engine;
  engine.wasm_path = texts.wasm;
  if (Status status = parse_data_dir(texts.data_dir, &engine.data_dir); !status.ok()) {
    return Status::invalid_argument("--data-dir (PGLITE_DATA_DIR) " + status.message());
  }
  for (const auto& [option, value] :
       {std::pair{"--username", &texts.username}, std::pair{"--database", &texts.database}}) {
    if (Status status = check_name(app, option, *value); !status.ok()) return status;
  }
  engine.username = texts.username;
  engine.database = texts.database;
  if (texts.debug.size() != 1 || texts.debug[0] < '0' || texts.debug[0] > '5') {
    return bad(app, "--debug", texts.debug, "a level from 0 to 5");
  }
  engine.debug = texts.debug[0] - '0';
  if (texts.durability == "full") {
    engine.durability = Durability::kFull;
  } else if (texts.durability == "relaxed") {
    engine.durability = Durability::kRelaxed;
  } else if (texts.durability == "off") {
    engine.durability = Durability::kOff;
  } else if (!texts.durability.empty()) {
    return bad(app, "--durability", texts.durability, "full, relaxed or off");
  }
  if (texts.autovacuum != "on" && texts.autovacuum != "off") {
    return bad(app, "--autovacuum", texts.autovacuum, "on or off");
  }
  engine.autovacuum = texts.autovacuum == "on";
  const auto framing = port::framing_named(texts.framing);
  if (!framing) return bad(app, "--framing", texts.framing, "auto, packet4, raw or line");
  configuration->framing = *framing;
  if (Status status =
          convert_switch(app, "--stdin-end", texts.stdin_end, &configuration->stdin_end);
      !status.ok()) {
    return status;
  }
  if (Status status = parse_settings(texts.settings, &engine.settings); !status.ok()) {
    return Status::invalid_argument("-o (PGLITE_OPTIONS): " + status.message() +
                                    "; accepted is -c name=value, any number of times");
  }
  engine.preload = split(texts.preload, ',');
  if (Status status = convert_extensions(app, texts.extension_path, &engine.extensions);
      !status.ok()) {
    return status;
  }
  configuration->snapshot = texts.snapshot;
  configuration->save_snapshot = texts.save_snapshot;
  for (const auto& [option, value] : {std::pair{"--snapshot", &texts.snapshot},
                                      std::pair{"--save-snapshot", &texts.save_snapshot}}) {
    if (!value->empty() && engine.data_dir != "memory://") {
      return Status::invalid_argument(
          std::string(option) + " (" + app.get_option(option)->get_envname() +
          ") needs the data directory memory://, not '" + texts.data_dir + "'");
    }
  }
  return {};
}

// -c and -f are one choice, so a flag for one also wins over the other's variable.
Status choose_input(SqlRequest* request) {
  if (request->commands.empty() && request->file.empty()) {
    if (const char* sql = std::getenv("PGLITE_SQL_COMMAND"); sql != nullptr && *sql != '\0') {
      request->commands = {sql};
    }
    if (const char* file = std::getenv("PGLITE_SQL_FILE"); file != nullptr) request->file = file;
  }
  if (request->commands.empty() || request->file.empty()) return {};
  return Status::invalid_argument(
      "-c (PGLITE_SQL_COMMAND) and -f (PGLITE_SQL_FILE) exclude each other; accepted is one of "
      "them");
}

Status convert_sql(const CLI::App& sql, const Texts& texts, Configuration* configuration) {
  if (Status status = choose_input(&configuration->sql); !status.ok()) return status;
  const auto format = format_named(texts.format);
  if (!format) return bad(sql, "--format", texts.format, "table, unaligned, csv or json");
  Display& display = configuration->sql.display;
  display.format = *format;
  bool unaligned = false;
  bool expanded = false;
  for (const auto& [option, text, value] :
       {std::tuple{"--quiet", &texts.quiet, &display.quiet},
        std::tuple{"--single-transaction", &texts.single_transaction,
                   &configuration->sql.single_transaction},
        std::tuple{"--tuples-only", &texts.tuples_only, &display.tuples_only},
        std::tuple{"--no-align", &texts.unaligned, &unaligned},
        std::tuple{"--expanded", &texts.expanded, &expanded}}) {
    if (Status status = convert_switch(sql, option, *text, value); !status.ok()) return status;
  }
  if (unaligned) {
    if (sql.get_option("--format")->count() > 0 && *format != Format::kUnaligned) {
      return Status::invalid_argument("-A and --format " + texts.format +
                                      " exclude each other; accepted is one of them");
    }
    display.format = Format::kUnaligned;
  }
  if (expanded) display.expanded = Expanded::kOn;
  return {};
}

Status convert_repair(const CLI::App& repair, const Texts& texts, RepairRequest* request) {
  bool reset_wal = false;
  bool no_copy = false;
  for (const auto& [option, text, value] :
       {std::tuple{"--reset-wal", &texts.reset_wal, &reset_wal},
        std::tuple{"--force", &texts.force, &request->force},
        std::tuple{"--dry-run", &texts.dry_run, &request->dry_run},
        std::tuple{"--no-copy", &texts.no_copy, &no_copy}}) {
    if (Status status = convert_switch(repair, option, *text, value); !status.ok()) return status;
  }
  request->copy = !no_copy;
  if (reset_wal) return {};
  return Status::invalid_argument(
      "repair needs to be told what to do; accepted is --reset-wal (PGLITE_REPAIR_RESET_WAL): it "
      "loses what only the WAL holds, see docs/durability.md");
}

Status convert_dump(const CLI::App& dump, const Texts& texts, Configuration* configuration) {
  bool gzip = false;
  BackupRequest& request = configuration->backup;
  Status status = convert_switch(dump, "--gzip", texts.gzip, &gzip);
  if (status.ok()) status = convert_switch(dump, "--sql", texts.sql, &request.sql);
  if (!status.ok()) return status;
  request.file = texts.output;
  request.compression = gzip ? Compression::kGzip : Compression::kNone;
  configuration->engine.create = !request.sql;
  return {};
}

// A number of the base, up to `most`.
std::optional<uint32_t> to_number(const std::string& text, int base, uint32_t most) {
  uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, base);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end || value > most) return {};
  return value;
}

Status convert_serve(const CLI::App& serve, const Texts& texts, Configuration* configuration) {
  server::ServerOptions& options = configuration->server;
  std::vector<std::string> addresses = texts.listen;
  if (!texts.metrics.empty()) addresses.push_back(texts.metrics);
  for (size_t i = 0; i < addresses.size(); ++i) {
    std::vector<boost::asio::ip::tcp::endpoint> endpoints;
    const char* option = i < texts.listen.size() ? "--listen" : "--metrics";
    if (Status status = server::parse_endpoints(addresses[i], &endpoints); !status.ok()) {
      return Status::invalid_argument(std::string(option) + " (" +
                                      serve.get_option(option)->get_envname() +
                                      "): " + status.message());
    }
  }
  options.listen = texts.listen;
  // libpq takes what begins with a slash for a directory.
  if (!texts.socket_directory.empty()) {
    std::error_code error;
    options.socket_directory =
        std::filesystem::absolute(texts.socket_directory, error).lexically_normal().string();
    if (error) return bad(serve, "--socket-dir", texts.socket_directory, "a directory");
    while (options.socket_directory.size() > 1 && options.socket_directory.ends_with('/')) {
      options.socket_directory.pop_back();
    }
  }
  const auto port = to_number(texts.socket_port, 10, 65535);
  if (!port || *port == 0) return bad(serve, "--socket-port", texts.socket_port, "1 to 65535");
  options.socket_port = static_cast<uint16_t>(*port);
  const auto mode = to_number(texts.socket_mode, 8, 0777);
  if (!mode) return bad(serve, "--socket-mode", texts.socket_mode, "an octal mode up to 0777");
  options.socket_mode = *mode;
  if (Status status = convert_switch(serve, "--socket-owner-only", texts.socket_owner_only,
                                     &options.socket_owner_only);
      !status.ok()) {
    return status;
  }
  constexpr std::pair<std::string_view, server::Authentication> kNames[] = {
      {"remote", server::Authentication::kRemote},
      {"scram", server::Authentication::kAll},
      {"trust", server::Authentication::kNobody},
      {"hba", server::Authentication::kCluster},
  };
  const auto* const found = std::ranges::find(
      kNames, texts.authentication, &std::pair<std::string_view, server::Authentication>::first);
  if (found == std::end(kNames)) {
    return bad(serve, "--auth", texts.authentication, "remote, scram, trust or hba");
  }
  options.authentication = found->second;
  if (texts.tls_certificate.empty() != texts.tls_key.empty()) {
    return Status::invalid_argument(
        "--tls-cert (PGLITE_TLS_CERT) and --tls-key (PGLITE_TLS_KEY) go together; accepted are "
        "both or neither");
  }
  options.tls_certificate = texts.tls_certificate;
  options.tls_key = texts.tls_key;
  options.metrics = texts.metrics;
  options.command = texts.run;
  if (!texts.ready_fd.empty()) {
    const auto fd = to_number(texts.ready_fd, 10, 1 << 20);
    if (!fd) return bad(serve, "--ready-fd", texts.ready_fd, "the number of a descriptor");
    options.ready_fd = static_cast<int>(*fd);
  }
  if (texts.log_format != "text" && texts.log_format != "json") {
    return bad(serve, "--log-format", texts.log_format, "text or json");
  }
  configuration->engine.log_format =
      texts.log_format == "json" ? LogFormat::kJson : LogFormat::kText;
  configuration->password_file = texts.password_file;
  // Nothing was said: what psql looks for first.
  if (options.listen.empty() && options.socket_directory.empty()) {
    options.listen = {"localhost:5432"};
  }
  return convert_switch(serve, "--parent-death", texts.parent_death, &configuration->parent_death);
}

// What stands behind "--".
Status convert_pg_dump_arguments(const std::vector<std::string>& arguments,
                                 Configuration* configuration) {
  BackupRequest& request = configuration->backup;
  if (!request.sql && !arguments.empty()) {
    return Status::invalid_argument("unexpected argument '" + arguments[0] +
                                    "' behind --; accepted are options of pg_dump, for dump --sql");
  }
  request.arguments = arguments;
  return {};
}

constexpr const char* kUrlHelp =
    "Server that runs elsewhere, in place of -D: postgres://USER:PASSWORD@HOST:PORT/DATABASE";

Status unexpected(const CLI::App& app, const CLI::App* command, const std::string& argument) {
  if (argument.starts_with('-')) {
    std::string names = option_names(app);
    if (command != nullptr) {
      const std::string own = option_names(*command);
      if (!own.empty()) names += ", " + own;
    }
    // pg_dump's stand behind "--".
    const bool is_dump = command != nullptr && command->get_name() == "dump";
    return Status::invalid_argument(
        "unknown option '" + argument + "'; accepted are " + names +
        (is_dump
             ? "; with --sql, pg_dump's own options behind --, as in: dump --sql -- --schema-only"
             : ""));
  }
  if (command != nullptr) {
    const auto* const url = command->get_option_no_throw("URL");
    return Status::invalid_argument(
        "unexpected argument '" + shown(argument) + "'; " + command->get_name() +
        (url != nullptr ? " takes options and the postgres:// URL of a server, see --help"
                        : " takes options only, see --help"));
  }
  return Status::invalid_argument(
      "unknown command '" + shown(argument) +
      "'; accepted are port, serve, sql, initdb, dump, restore, repair, compile and help");
}

std::string version_line(const Version& version) {
  return std::string("pglite-port ") + version.pglite_port + " (PGlite " + version.pglite +
         ", PostgreSQL " + version.postgres + ")";
}

void add_common_options(CLI::App& app, Texts& texts) {
  add(app, "-D,--data-dir", texts.data_dir, "PGLITE_DATA_DIR", "DIR",
      "memory:// (the default), ./path, /path or file://path");
  add(app, "-U,--username", texts.username, "PGLITE_USERNAME", "NAME", "Role; default postgres");
  add(app, "-d,--database", texts.database, "PGLITE_DATABASE", "NAME",
      "Database; default postgres");
  add(app, "--durability", texts.durability, "PGLITE_DURABILITY", "full|relaxed|off",
      "What a commit survives: power loss, our own death, neither; default full for directories, "
      "off for memory://");
  add(app, "--autovacuum", texts.autovacuum, "PGLITE_AUTOVACUUM", "on|off",
      "VACUUM and ANALYZE between requests where they are needed; default on");
  // Several are one text.
  add(app, "-o", texts.settings, "PGLITE_OPTIONS", "'-c NAME=VALUE'", "Settings for PostgreSQL")
      ->multi_option_policy(CLI::MultiOptionPolicy::Join);
  add(app, "--preload", texts.preload, "PGLITE_PRELOAD", "NAME,...",
      "Libraries of extensions that PostgreSQL loads when it starts, as pg_stat_statements wants");
  add(app, "--extension-path", texts.extension_path, "PGLITE_EXTENSION_PATH", "FILE:...",
      "Further extensions (.tar.gz, or directories of them) that compile has prepared");
  add(app, "--snapshot", texts.snapshot, "PGLITE_SNAPSHOT", "FILE",
      "Start memory:// from this snapshot");
  add(app, "--save-snapshot", texts.save_snapshot, "PGLITE_SAVE_SNAPSHOT", "FILE",
      "Write a snapshot of memory:// when the session or the server has ended without a failure");
  add(app, "--debug", texts.debug, "PGLITE_DEBUG", "0..5",
      "0 errors only, 1 lifecycle, 2 messages, 3 to 5 PostgreSQL's own; default 0");
  add(app, "--wasm", texts.wasm, "PGLITE_WASM_PATH", "FILE",
      "PGlite module; default ../priv/pglite/pglite.wasm beside the program, else the built-in "
      "one");
  add(app, "--framing", texts.framing, "PGLITE_FRAMING", "auto|packet4|raw|line",
      "How the port's requests are framed; default auto");
  app.add_flag("--stdin-end", texts.stdin_end,
               "The end of stdin says that whoever started this has gone: the port cancels the "
               "query that runs, serve ends its sessions")
      ->envname("PGLITE_STDIN_END");
}

struct Commands {
  CLI::App* port = nullptr;
  CLI::App* serve = nullptr;
  CLI::App* sql = nullptr;
  CLI::App* initdb = nullptr;
  CLI::App* dump = nullptr;
  CLI::App* restore = nullptr;
  CLI::App* repair = nullptr;
  CLI::App* compile = nullptr;

  [[nodiscard]] std::array<CLI::App*, 8> all() const {
    return {port, serve, sql, initdb, dump, restore, repair, compile};
  }
};

CLI::App* add_serve_command(CLI::App& app, Texts& texts) {
  CLI::App* serve = app.add_subcommand("serve", "Serve PostgreSQL's clients on sockets");
  serve
      ->add_option("--listen", texts.listen,
                   "Address for TCP; may be repeated; default localhost:5432 unless there is a "
                   "--socket-dir")
      ->envname("PGLITE_LISTEN")
      ->type_name("HOST:PORT")
      ->allow_extra_args(false);
  add(*serve, "--socket-dir", texts.socket_directory, "PGLITE_SOCKET_DIR", "DIR",
      "Where the Unix socket .s.PGSQL.PORT is made");
  add(*serve, "--socket-port", texts.socket_port, "PGLITE_SOCKET_PORT", "PORT",
      "The number in its name; default 5432");
  serve
      ->add_flag("--socket-owner-only", texts.socket_owner_only,
                 "Only the server's own user, and root, may connect by the Unix socket")
      ->envname("PGLITE_SOCKET_OWNER_ONLY");
  add(*serve, "--socket-mode", texts.socket_mode, "PGLITE_SOCKET_MODE", "MODE",
      "Its permissions; default 0777");
  add(*serve, "--auth", texts.authentication, "PGLITE_AUTH", "remote|scram|trust|hba",
      "Who gives a password: clients of other hosts (default), all, nobody, or as the data "
      "directory's pg_hba.conf says");
  add(*serve, "--password-file", texts.password_file, "PGLITE_PASSWORD_FILE", "FILE",
      "The role of -U gets the password in its first line");
  add(*serve, "--tls-cert", texts.tls_certificate, "PGLITE_TLS_CERT", "FILE",
      "Certificate and chain, PEM; read again on SIGHUP");
  add(*serve, "--tls-key", texts.tls_key, "PGLITE_TLS_KEY", "FILE", "Its key, PEM");
  add(*serve, "--metrics", texts.metrics, "PGLITE_METRICS", "HOST:PORT",
      "Serve /metrics for Prometheus, and /healthz");
  add(*serve, "--run", texts.run, "PGLITE_RUN", "COMMAND",
      "Run a shell command with DATABASE_URL, PGHOST and so on, and end with it");
  add(*serve, "--ready-fd", texts.ready_fd, "PGLITE_READY_FD", "FD",
      "Descriptor that gets a line when clients can connect");
  add(*serve, "--log-format", texts.log_format, "PGLITE_LOG_FORMAT", "text|json",
      "Lines on stderr; json: one object each, with the keys of PostgreSQL's jsonlog; default "
      "text");
  serve->add_flag("--parent-death", texts.parent_death, "End when the process that started it does")
      ->envname("PGLITE_PARENT_DEATH");
  return serve;
}

CLI::App* add_sql_command(CLI::App& app, Texts& texts, SqlRequest& request) {
  CLI::App* sql =
      app.add_subcommand("sql", "Run SQL: at a prompt on a terminal, or from -c, -f or stdin");
  sql->add_option("-c,--command", request.commands,
                  "SQL to run; may be repeated [PGLITE_SQL_COMMAND]")
      ->type_name("SQL")
      ->allow_extra_args(false);
  sql->add_option("-f,--file", request.file, "Script to run; - is stdin [PGLITE_SQL_FILE]")
      ->type_name("FILE");
  sql->add_option("URL", texts.url, kUrlHelp)->type_name("");
  add(*sql, "--format", texts.format, "PGLITE_SQL_FORMAT", "table|unaligned|csv|json",
      "How results are printed; default table");
  for (const auto& [name, text, variable, help] :
       {std::tuple{"-t,--tuples-only", &texts.tuples_only, "PGLITE_SQL_TUPLES_ONLY",
                   "Rows only: no headers and no footers"},
        std::tuple{"-A,--no-align", &texts.unaligned, "PGLITE_SQL_NO_ALIGN", "--format unaligned"},
        std::tuple{"-x,--expanded", &texts.expanded, "PGLITE_SQL_EXPANDED",
                   "A line for each value"},
        std::tuple{"-q,--quiet", &texts.quiet, "PGLITE_SQL_QUIET",
                   "Results and errors only, no command tags"},
        std::tuple{"-1,--single-transaction", &texts.single_transaction,
                   "PGLITE_SQL_SINGLE_TRANSACTION",
                   "All of it, or nothing where there is an error"}}) {
    sql->add_flag(name, *text, help)->envname(variable);
  }
  add(*sql, "--history", request.history, "PGLITE_SQL_HISTORY", "FILE",
      "Where the prompt keeps statements; none: nowhere; default "
      "~/.local/state/pglite-port/history");
  add(*sql, "--pager", request.pager, "PGLITE_SQL_PAGER", "COMMAND",
      "What shows long results at the prompt; none: nothing does; default PAGER, or less -S");
  return sql;
}

CLI::App* add_dump_command(CLI::App& app, Texts& texts) {
  CLI::App* dump = app.add_subcommand(
      "dump", "Write the data directory as an archive of PGlite's (dumpDataDir)");
  add(*dump, "-o,--output", texts.output, "PGLITE_DUMP_FILE", "FILE",
      "Where to; - is stdout (the default)");
  dump->add_flag("--gzip", texts.gzip, "Compress the archive")->envname("PGLITE_DUMP_GZIP");
  dump->add_flag("--sql", texts.sql,
                 "Write the database as SQL, by pg_dump; its options stand behind --, as in: "
                 "dump --sql -- --schema-only")
      ->envname("PGLITE_DUMP_SQL");
  dump->add_option("URL", texts.url, std::string(kUrlHelp) + "; for --sql")->type_name("");
  return dump;
}

CLI::App* add_restore_command(CLI::App& app, Texts& texts) {
  CLI::App* restore =
      app.add_subcommand("restore", "Make the data directory from such an archive, plain or gzip");
  add(*restore, "-f,--file", texts.input, "PGLITE_RESTORE_FILE", "FILE",
      "The archive; - is stdin (the default)");
  return restore;
}

CLI::App* add_repair_command(CLI::App& app, Texts& texts) {
  CLI::App* repair =
      app.add_subcommand("repair", "Make a data directory with a damaged WAL open again");
  for (const auto& [name, text, variable, help] :
       {std::tuple{"--reset-wal", &texts.reset_wal, "PGLITE_REPAIR_RESET_WAL",
                   "Give it a new, empty WAL; what only the old one held is lost"},
        std::tuple{"--force", &texts.force, "PGLITE_REPAIR_FORCE",
                   "Also with guessed values, and where the WAL is not what is damaged"},
        std::tuple{"--dry-run", &texts.dry_run, "PGLITE_REPAIR_DRY_RUN",
                   "Say what would be done, change nothing"},
        std::tuple{"--no-copy", &texts.no_copy, "PGLITE_REPAIR_NO_COPY",
                   "Do not copy the directory to DIR.before-repair-TIME first"}}) {
    repair->add_flag(name, *text, help)->envname(variable);
  }
  return repair;
}

// The help lists the commands in the order in which they are added.
Commands add_commands(CLI::App& app, Texts& texts, Configuration& configuration) {
  Commands commands;
  commands.port = app.add_subcommand("port", "Answer requests from stdin on stdout (the default)");
  commands.serve = add_serve_command(app, texts);
  commands.sql = add_sql_command(app, texts, configuration.sql);
  commands.initdb = app.add_subcommand("initdb", "Create the data directory and exit");
  commands.dump = add_dump_command(app, texts);
  commands.restore = add_restore_command(app, texts);
  commands.repair = add_repair_command(app, texts);
  commands.compile = app.add_subcommand(
      "compile", "Prepare extensions that the program was not built with (.tar.gz), or modules");
  commands.compile->add_option("FILE", configuration.compile, "What to prepare")->type_name("...");
  app.require_subcommand(0, 1);
  for (CLI::App* command : commands.all()) {
    command->fallthrough()->allow_extras()->set_help_flag("-h,--help", "Print this help and exit");
  }
  app.allow_extras();
  return commands;
}

std::vector<std::string> known_variables(const CLI::App& app, const Commands& commands) {
  // Of choose_input().
  std::vector<std::string> names = {"PGLITE_SQL_COMMAND", "PGLITE_SQL_FILE"};
  const auto add_all = [&](const CLI::App& one) {
    for (const CLI::Option* option : one.get_options()) {
      if (!option->get_envname().empty()) names.push_back(option->get_envname());
    }
  };
  add_all(app);
  for (const CLI::App* command : commands.all()) add_all(*command);
  return names;
}

// `help`, `help COMMAND`.
CommandLine help(const CLI::App& app, int argc, const char* const* argv) {
  CommandLine result;
  const auto is_meant = [&](const CLI::App* one) { return argc > 2 && one->get_name() == argv[2]; };
  const auto found = app.get_subcommands(is_meant);
  const CLI::App* command = found.empty() ? nullptr : found.front();
  if (argc > 2 && command == nullptr) {
    result.status = unexpected(app, nullptr, argv[2]);
  } else if (argc > 3) {
    result.status =
        Status::invalid_argument("help takes one command; got '" + std::string(argv[3]) + "', too");
  } else {
    result.text = command == nullptr ? help_text(app) : help_text(app, *command);
  }
  return result;
}

// Has CLI11 read the words. Returns whether there is something to convert; otherwise `*result` has
// a text or a failure.
bool read_words(CLI::App& app, int argc, const char* const* argv, const Version& version,
                CommandLine* result) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    result->text = chosen.empty() ? help_text(app) : help_text(app, *chosen.front());
  } catch (const CLI::CallForVersion&) {
    result->text = version_line(version) + "\n";
  } catch (const CLI::ParseError& error) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    result->status = Status::invalid_argument(message + "; see --help");
  }
  return false;
}

// Null: none was given.
const CLI::App* chosen_command(const Commands& commands) {
  const CLI::App* chosen = nullptr;
  for (const CLI::App* one : commands.all()) {
    if (one->parsed()) chosen = one;
  }
  return chosen;
}

Command command_named(const Commands& commands, const CLI::App* command) {
  if (command == commands.serve) return Command::kServe;
  if (command == commands.sql) return Command::kSql;
  if (command == commands.initdb) return Command::kInitdb;
  if (command == commands.dump) return Command::kDump;
  if (command == commands.restore) return Command::kRestore;
  if (command == commands.repair) return Command::kRepair;
  if (command == commands.compile) return Command::kCompile;
  return Command::kPort;
}

// What the command's own options say, and what stands behind "--".
Status convert_command(const Commands& commands, const CLI::App* command, const Texts& texts,
                       const std::vector<std::string>& behind_marker,
                       Configuration* configuration) {
  Status status;
  if (command == commands.serve) status = convert_serve(*commands.serve, texts, configuration);
  if (command == commands.sql) status = convert_sql(*commands.sql, texts, configuration);
  if (command == commands.dump) status = convert_dump(*commands.dump, texts, configuration);
  if (status.ok()) status = convert_pg_dump_arguments(behind_marker, configuration);
  if (command == commands.restore) configuration->backup.file = texts.input;
  if (status.ok() && command == commands.repair) {
    status = convert_repair(*commands.repair, texts, &configuration->repair);
  }
  if (status.ok() && command == commands.compile && configuration->compile.empty()) {
    status = Status::invalid_argument(
        "compile needs a file; accepted are extensions (.tar.gz) and side modules (.so, .wasm)");
  }
  return status;
}

// Where a URL stands in place of the data directory, takes it from `*texts`.
Status choose_server(const CLI::App& app, const CLI::App* command, Texts* texts,
                     Configuration* configuration) {
  const bool takes_url = command != nullptr && command->get_option_no_throw("URL") != nullptr;
  std::string url = texts->url;
  if (!url.empty()) {
    if (!client::is_url(url)) return unexpected(app, command, url);
    // A flag would be meant as much as the URL is.
    const char* const variable = std::getenv("PGLITE_DATA_DIR");
    if (app.get_option("--data-dir")->count() > 0 &&
        (variable == nullptr || texts->data_dir != variable)) {
      return Status::invalid_argument(
          "-D and the URL of a server exclude each other; accepted is one of them");
    }
  } else if (client::is_url(texts->data_dir)) {
    if (!takes_url) {
      return Status::invalid_argument(
          "--data-dir (PGLITE_DATA_DIR) is the URL of a server; accepted are memory://, ./path, "
          "/path and file://path, and a URL by sql and dump --sql");
    }
    url = texts->data_dir;
  }
  if (url.empty()) return {};
  for (const auto& [option, value] :
       {std::pair{"--snapshot", &texts->snapshot},
        std::pair{"--save-snapshot", &texts->save_snapshot}, std::pair{"-o", &texts->settings},
        std::pair{"--preload", &texts->preload},
        std::pair{"--extension-path", &texts->extension_path}}) {
    if (!value->empty()) {
      return Status::invalid_argument(
          std::string(option) + " (" + app.get_option(option)->get_envname() +
          ") is not for a server that runs already; accepted for its settings is "
          "options=-c%20NAME%3DVALUE in the URL");
    }
  }
  texts->data_dir = "memory://";
  client::ParameterSources& server = configuration->server_url;
  server.url = std::move(url);
  if (app.get_option("--username")->count() > 0) server.user = texts->username;
  if (app.get_option("--database")->count() > 0) server.database = texts->database;
  return {};
}

// Every command but port and sql is about a directory; a dump as SQL may be of a snapshot.
Status check_directory(const Commands& commands, const CLI::App* command,
                       const Configuration& configuration) {
  if (command == nullptr || command == commands.port || command == commands.serve ||
      command == commands.sql || command == commands.compile) {
    return {};
  }
  if (configuration.is_of_server()) {
    if (configuration.backup.sql) return {};
    return Status::invalid_argument(
        "dump of a server is not an archive of its files; accepted is dump --sql");
  }
  const bool from_snapshot = configuration.backup.sql && !configuration.snapshot.empty();
  if (from_snapshot || !configuration.engine.data_dir.starts_with("memory://")) return {};
  const bool creates = command == commands.initdb || command == commands.restore;
  return Status::invalid_argument(command->get_name() + " needs a directory" +
                                  (creates ? " to create" : " to read") +
                                  "; accepted are -D ./path, /path and file://path" +
                                  (configuration.backup.sql ? ", or --snapshot" : ""));
}

}  // namespace

Status parse_data_dir(std::string_view text, std::string* data_dir) {
  const std::string accepted = "; accepted are memory://, ./path, /path and file://path";
  if (text.find('\0') != std::string_view::npos || text.empty()) {
    return Status::invalid_argument("is empty" + accepted);
  }
  if (text == "memory://") {
    *data_dir = text;
    return {};
  }
  const size_t scheme_end = text.find("://");
  if (scheme_end != std::string_view::npos && text.find('/') == scheme_end + 1) {
    const std::string scheme(text.substr(0, scheme_end + 3));
    if (scheme == "file://") {
      if (text.size() == scheme.size()) {
        return Status::invalid_argument("is file:// without a path" + accepted);
      }
      *data_dir = text;
      return {};
    }
    if (scheme == "idb://" || scheme == "opfs-ahp://") {
      return Status::invalid_argument("is '" + std::string(text) + "', but " + scheme +
                                      " is storage of a browser" + accepted);
    }
    return Status::invalid_argument("is '" + shown(text) + "'" + accepted);
  }
  // "memory:", "file:data": a directory of that name is not what was meant.
  const size_t colon = text.find(':');
  if (colon < text.find('/') && colon != 0) {
    return Status::invalid_argument("is '" + shown(text) + "', which is neither a URL nor a path" +
                                    accepted + ", also ./" + shown(text));
  }
  const bool explicit_path = text.starts_with('/') || text.starts_with("./");
  *data_dir = explicit_path ? std::string(text) : "./" + std::string(text);
  return {};
}

CommandLine parse_command_line(int argc, const char* const* argv, const Version& version,
                               const std::string& program_directory) {
  CommandLine result;
  Configuration& configuration = result.configuration;
  Texts texts;

  CLI::App app("PostgreSQL in one process: PGlite as native code.", "pglite-port");
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.set_version_flag("-V,--version", version_line(version), "Print the versions and exit");
  add_common_options(app, texts);
  const Commands commands = add_commands(app, texts, configuration);
  result.warnings = unknown_variables(environ, known_variables(app, commands));

  if (argc > 1 && std::string_view(argv[1]) == "help") return help(app, argc, argv);

  // pg_dump's options are not ours to understand.
  const char* const* const end = argv + argc;
  const char* const* const marker =
      std::find_if(argv, end, [](std::string_view word) { return word == "--"; });
  const std::vector<std::string> behind_marker(marker == end ? end : marker + 1, end);
  if (!read_words(app, static_cast<int>(marker - argv), argv, version, &result)) return result;

  const CLI::App* command = chosen_command(commands);
  configuration.command = command_named(commands, command);
  if (const std::vector<std::string> extra = app.remaining(true); !extra.empty()) {
    result.status = unexpected(app, command, extra[0]);
    return result;
  }
  result.status = choose_server(app, command, &texts, &configuration);
  if (result.status.ok()) result.status = convert(app, texts, &configuration);
  if (result.status.ok()) {
    result.status = convert_command(commands, command, texts, behind_marker, &configuration);
  }
  if (result.status.ok()) result.status = check_directory(commands, command, configuration);
  if (configuration.engine.wasm_path.empty()) {
    configuration.engine.wasm_path = default_module(program_directory);
  }
  return result;
}

}  // namespace pglite::cli
