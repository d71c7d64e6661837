// `pglite-port dump` and `pglite-port restore`.
#ifndef PGLITE_CLI_BACKUP_H_
#define PGLITE_CLI_BACKUP_H_

#include <pglite/archive.h>

#include <functional>
#include <string>
#include <vector>

namespace pglite::cli {

struct BackupRequest {
  std::string file;  // empty or "-": standard output, standard input
  Compression compression = Compression::kNone;
  // dump: as SQL, by pg_dump with these arguments.
  bool sql = false;
  std::vector<std::string> arguments;
};

using DumpFunction = std::function<Status(const Options&, Compression, const ByteSink&)>;
using WriteDump = std::function<Status(const ByteSink&)>;
using RestoreFunction = std::function<Status(const Options&, const ByteSource&)>;

// A regular file appears complete or not at all, readable for its owner only. `out` and `in` are
// the standard descriptors; a terminal is refused, but for SQL that is not compressed.
Status run_dump(const WriteDump& dump, const BackupRequest& request, int out);
Status run_restore(const RestoreFunction& restore, const Options& options,
                   const BackupRequest& request, int in);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_BACKUP_H_
