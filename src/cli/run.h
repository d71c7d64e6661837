// The program, apart from what a test wants to replace.
#ifndef PGLITE_CLI_RUN_H_
#define PGLITE_CLI_RUN_H_

#include <pglite/archive.h>
#include <pglite/cluster.h>
#include <pglite/extensions.h>
#include <pglite/instance.h>
#include <pglite/pg_dump.h>
#include <pglite/repair.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/backup.h"

namespace pglite::cli {

struct Host {
  std::function<Status(const Options&, std::unique_ptr<Instance>*)> open;
  std::function<Status(const Options&, std::unique_ptr<Cluster>*)> open_cluster;
  std::function<Status(const std::string& path, std::shared_ptr<const Snapshot>*)> load_snapshot;
  DumpFunction dump;
  RestoreFunction restore;
  std::function<Status(const DumpSession&, const std::vector<std::string>& arguments, Compression,
                       const ByteSink&, const std::function<void(std::string_view)>& messages)>
      dump_sql;
  std::function<Status(const Options&, const RepairRequest&, const ReportSink&)> reset_wal;
  std::function<Status(const CompileRequest&, const std::function<void(std::string_view)>& progress)>
      compile_extension;
  Version version{"", "", ""};
  std::string program_directory;
  int in = 0;
  int out = 1;
  int err = 2;
};

// Returns the program's exit code.
int run(int argc, const char* const* argv, const Host& host);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_RUN_H_
