// How a cluster is opened: what Instance::open and the operations on directories take.
#ifndef PGLITE_OPTIONS_H_
#define PGLITE_OPTIONS_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pglite {

class Snapshot;

enum class Durability {
  kDefault,  // kFull for directories, kOff for memory://
  kFull,     // an acknowledged commit survives power loss
  kRelaxed,  // an acknowledged commit survives our own death, not the machine's
  kOff,      // no promise beyond a clean close
};

enum class LogFormat {
  kText,
  kJson,  // each line is one JSON object
};

struct Options {
  // Where the cluster lives: "memory://" (gone at close), or a directory: "./path", "/path",
  // "file://path", where %20 and the like stand for bytes. Other schemes are refused.
  std::string data_dir = "memory://";
  // False: a directory that is missing (kIoError) or empty (kIncompatible) is refused, and not made
  // into a cluster.
  bool create = true;
  // The session's role. In a new data directory it is created, as superuser, when it is not there.
  std::string username = "postgres";
  // The database to open. In a new data directory it is created when it is not there.
  std::string database = "postgres";
  Durability durability = Durability::kDefault;
  // Whether idle() runs VACUUM and ANALYZE where they are needed (docs/maintenance.md).
  // PostgreSQL's own setting autovacuum=off does the same but for tables with too old transaction
  // ids.
  bool autovacuum = true;
  // 0 to 5. 3 to 5 are handed to PostgreSQL as its own debug levels 1 to 3 (-d).
  int debug = 0;
  // A foreign PGlite module; empty: the module that is linked in.
  std::string wasm_path;
  // Where memory:// starts from; null: an empty cluster. No role and no database is made. An
  // instance that goes on from a session is in the session's database, and takes no settings.
  std::shared_ptr<const Snapshot> snapshot;
  // Extensions that this library was not built with: each a file that compile_extension()
  // (extensions.h) has prepared. They lie over PGlite's files, and CREATE EXTENSION finds them.
  std::vector<std::string> extensions;
  // Where what compile_extension() makes is; empty: the user's cache.
  std::string cache;
  // Libraries that PostgreSQL loads when it starts (shared_preload_libraries), as some extensions
  // need. A session that a snapshot goes on from must have been started with the same ones.
  std::vector<std::string> preload;
  // Further settings for PostgreSQL, each "name=value", applied as -c name=value.
  std::vector<std::string> settings;
  // Clusters only: lines of pg_hba.conf for clients that are not in this process (Peer). Empty:
  // each client of this host's Unix sockets is believed, and the others are as the data directory's
  // pg_hba.conf has it.
  std::string access_rules;
  // Receives diagnostics (PostgreSQL's server log, lifecycle messages), one line without its
  // newline at a time. `level` is the debug level the line belongs to: 0 is always wanted. An
  // instance's server log is of level 1, but for what ends it; that of a cluster is of level 0
  // while it runs.
  std::function<void(int level, std::string_view line)> log;
  // Clusters only. kJson: what PostgreSQL logs has the keys of its jsonlog, and the lifecycle has
  // some of them. The setting log_destination is then given.
  LogFormat log_format = LogFormat::kText;
};

}  // namespace pglite

#endif  // PGLITE_OPTIONS_H_
