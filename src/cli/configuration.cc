// CLI11 finds flags and variables and writes the help; values are judged here, so that each message
// says what is accepted, whether the value came from a flag or a variable.
#include "cli/configuration.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <vector>

#include "cli/settings.h"

namespace pglite::cli {
namespace {

constexpr size_t kNameLimit = 63;  // NAMEDATALEN - 1, in bytes

// Everything as text; what was not given keeps its default.
struct Texts {
  std::string wasm;
  std::string data_dir = "memory://";
  std::string username = "postgres";
  std::string database = "postgres";
  std::string debug = "0";
  std::string durability;
  std::string autovacuum = "on";
  std::string framing = "auto";
  std::string settings;
  std::string snapshot;
  std::string save_snapshot;
  std::string format = "table";
  std::string gzip;
  std::string sql;
  std::string output;
  std::string input;
  std::string reset_wal;
  std::string force;
  std::string dry_run;
  std::string no_copy;
};

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
  // One that is there and cannot be read is an error, which opening it will report.
  return ::stat(path.c_str(), &status) == 0 ? path : std::string();
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
  if (Status status = parse_settings(texts.settings, &engine.settings); !status.ok()) {
    return Status::invalid_argument("-o (PGLITE_OPTIONS): " + status.message() +
                                    "; accepted is -c name=value, any number of times");
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
  if (!format) return bad(sql, "--format", texts.format, "table, csv or json");
  configuration->sql.format = *format;
  return {};
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

Status unexpected(const CLI::App& app, const CLI::App* command, const std::string& argument) {
  if (argument.starts_with('-')) {
    std::string names = option_names(app);
    if (command != nullptr) {
      const std::string own = option_names(*command);
      if (!own.empty()) names += ", " + own;
    }
    return Status::invalid_argument("unknown option '" + argument + "'; accepted are " + names);
  }
  if (command != nullptr) {
    return Status::invalid_argument("unexpected argument '" + argument + "'; " +
                                    command->get_name() + " takes options only, see --help");
  }
  return Status::invalid_argument("unknown command '" + argument +
                                  "'; accepted are port, sql, initdb, dump, restore and repair");
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
    return Status::invalid_argument("is '" + std::string(text) + "'" + accepted);
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
  app.set_help_flag("--help", "Print this help and exit");
  const std::string version_line = std::string("pglite-port ") + version.pglite_port + " (PGlite " +
                                   version.pglite + ", PostgreSQL " + version.postgres + ")";
  app.set_version_flag("--version", version_line, "Print the versions and exit");
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
  add(app, "-o", texts.settings, "PGLITE_OPTIONS", "'-c NAME=VALUE'", "Settings for PostgreSQL");
  add(app, "--snapshot", texts.snapshot, "PGLITE_SNAPSHOT", "FILE",
      "Start memory:// from this snapshot");
  add(app, "--save-snapshot", texts.save_snapshot, "PGLITE_SAVE_SNAPSHOT", "FILE",
      "Write a snapshot of memory:// when the session has ended without a failure");
  add(app, "--debug", texts.debug, "PGLITE_DEBUG", "0..5",
      "0 errors only, 1 lifecycle, 2 messages, 3 to 5 PostgreSQL's own; default 0");
  add(app, "--wasm", texts.wasm, "PGLITE_WASM_PATH", "FILE",
      "PGlite module; default ../priv/pglite/pglite.wasm beside the program, else the built-in "
      "one");
  add(app, "--framing", texts.framing, "PGLITE_FRAMING", "auto|packet4|raw|line",
      "How the port's requests are framed; default auto");

  CLI::App* port = app.add_subcommand("port", "Answer requests from stdin on stdout (the default)");
  CLI::App* sql = app.add_subcommand("sql", "Run SQL from -c, -f or stdin");
  sql->add_option("-c,--command", configuration.sql.commands,
                  "SQL to run; may be repeated (Env:PGLITE_SQL_COMMAND)")
      ->type_name("SQL")
      ->allow_extra_args(false);
  sql->add_option("-f,--file", configuration.sql.file,
                  "Script to run; - is stdin (Env:PGLITE_SQL_FILE)")
      ->type_name("FILE");
  add(*sql, "--format", texts.format, "PGLITE_SQL_FORMAT", "table|csv|json",
      "How results are printed; default table");
  CLI::App* initdb = app.add_subcommand("initdb", "Create the data directory and exit");
  CLI::App* dump = app.add_subcommand(
      "dump", "Write the data directory as an archive of PGlite's (dumpDataDir)");
  add(*dump, "-o,--output", texts.output, "PGLITE_DUMP_FILE", "FILE",
      "Where to; - is stdout (the default)");
  dump->add_flag("--gzip", texts.gzip, "Compress the archive")->envname("PGLITE_DUMP_GZIP");
  dump->add_flag("--sql", texts.sql,
                 "Write the database as SQL, by pg_dump; its options stand behind --, as in: "
                 "dump --sql -- --schema-only")
      ->envname("PGLITE_DUMP_SQL");
  CLI::App* restore =
      app.add_subcommand("restore", "Make the data directory from such an archive, plain or gzip");
  add(*restore, "-f,--file", texts.input, "PGLITE_RESTORE_FILE", "FILE",
      "The archive; - is stdin (the default)");
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
  const std::vector<CLI::App*> commands = {port, sql, initdb, dump, restore, repair};
  app.require_subcommand(0, 1);
  for (CLI::App* command : commands) {
    command->fallthrough()->allow_extras()->set_help_flag("--help", "Print this help and exit");
  }
  app.allow_extras();

  // pg_dump's options are not ours to understand.
  const char* const* const end = argv + argc;
  const char* const* const marker =
      std::find_if(argv, end, [](std::string_view word) { return word == "--"; });
  const std::vector<std::string> behind_marker(marker == end ? end : marker + 1, end);

  try {
    app.parse(static_cast<int>(marker - argv), argv);
  } catch (const CLI::CallForHelp&) {
    result.text = app.help();
    return result;
  } catch (const CLI::CallForVersion&) {
    result.text = version_line + "\n";
    return result;
  } catch (const CLI::ParseError& error) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    result.status = Status::invalid_argument(message + "; see --help");
    return result;
  }

  const CLI::App* command = nullptr;
  for (const CLI::App* one : commands) {
    if (one->parsed()) command = one;
  }
  if (command == sql) configuration.command = Command::kSql;
  if (command == initdb) configuration.command = Command::kInitdb;
  if (command == dump) configuration.command = Command::kDump;
  if (command == restore) configuration.command = Command::kRestore;
  if (command == repair) configuration.command = Command::kRepair;
  if (const std::vector<std::string> extra = app.remaining(true); !extra.empty()) {
    result.status = unexpected(app, command, extra[0]);
    return result;
  }
  result.status = convert(app, texts, &configuration);
  if (result.status.ok() && command == sql) {
    result.status = convert_sql(*sql, texts, &configuration);
  }
  if (result.status.ok() && command == dump) {
    result.status = convert_dump(*dump, texts, &configuration);
  }
  if (result.status.ok()) {
    result.status = convert_pg_dump_arguments(behind_marker, &configuration);
  }
  if (command == restore) configuration.backup.file = texts.input;
  if (result.status.ok() && command == repair) {
    result.status = convert_repair(*repair, texts, &configuration.repair);
  }
  const bool from_snapshot = configuration.backup.sql && !configuration.snapshot.empty();
  if (result.status.ok() && command != nullptr && command != port && command != sql &&
      !from_snapshot && configuration.engine.data_dir.starts_with("memory://")) {
    const bool creates = command == initdb || command == restore;
    result.status = Status::invalid_argument(command->get_name() + " needs a directory" +
                                             (creates ? " to create" : " to read") +
                                             "; accepted are -D ./path, /path and file://path" +
                                             (configuration.backup.sql ? ", or --snapshot" : ""));
  }
  if (configuration.engine.wasm_path.empty()) {
    configuration.engine.wasm_path = default_module(program_directory);
  }
  return result;
}

}  // namespace pglite::cli
