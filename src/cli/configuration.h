// Flags and environment variables (docs/configuration.md). A flag wins over its variable; an
// empty variable counts as not set.
#ifndef PGLITE_CLI_CONFIGURATION_H_
#define PGLITE_CLI_CONFIGURATION_H_

#include <pglite/instance.h>
#include <pglite/repair.h>

#include <optional>
#include <string>
#include <vector>

#include "cli/backup.h"
#include "cli/sql.h"
#include "client/parameters.h"
#include "port/framing.h"
#include "server/options.h"

namespace pglite::cli {

enum class Command { kPort, kServe, kSql, kInitdb, kDump, kRestore, kRepair, kCompile };

struct Configuration {
  Command command = Command::kPort;
  Options engine;             // without `log` and `snapshot`
  std::string snapshot;       // file to start from; empty: none
  std::string save_snapshot;  // file to write when the session ends well; empty: none
  port::Framing framing = port::Framing::kAuto;
  bool stdin_end = false;  // of port and serve: at the end of stdin whoever started us has gone
  server::ServerOptions server;  // without `log` and `inherited`
  std::string password_file;     // of serve; empty: none
  bool parent_death = false;     // serve ends when its starter does
  SqlRequest sql;
  BackupRequest backup;  // of dump and restore
  RepairRequest repair;
  std::vector<std::string> compile;  // files; at least one
  // Of sql and dump --sql: the URL of a running server, in place of a data directory, and what was
  // given beside it. Without the environment.
  client::ParameterSources server_url;
  [[nodiscard]] bool is_of_server() const { return !server_url.url.empty(); }
};

// The outcome of the command line: a configuration, or (help, --help, --version) a text for stdout,
// or a failure.
struct CommandLine {
  Configuration configuration;
  std::optional<std::string> text;
  Status status;  // kInvalidArgument: one line that says what is wrong and what is accepted
  std::vector<std::string> warnings;  // of variables that are not known; a line each
};

// `program_directory` contains the executable: the default module is looked up from there.
CommandLine parse_command_line(int argc, const char* const* argv, const Version& version,
                               const std::string& program_directory);

// Accepts "memory://", a path, "file://" and a path; makes a relative path begin with "./". A colon
// before the first slash is refused: it would be a URL misspelt.
Status parse_data_dir(std::string_view text, std::string* data_dir);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_CONFIGURATION_H_
