// A data directory whose WAL or control file is damaged, made to open again: pg_resetwal.
#ifndef PGLITE_REPAIR_H_
#define PGLITE_REPAIR_H_

#include <pglite/options.h>
#include <pglite/status.h>

#include <functional>
#include <string_view>

namespace pglite {

struct RepairRequest {
  // Reset although the directory opens, although what keeps it from opening is something else, or
  // with values that had to be guessed.
  bool force = false;
  // Change nothing, say what would be done.
  bool dry_run = false;
  // Copy the directory first, to DIR.before-repair-TIME.
  bool copy = true;
};

// Receives what was found and done, one line without its newline at a time.
using ReportSink = std::function<void(std::string_view line)>;

// Gives the cluster in the directory `options.data_dir` a new, empty WAL. Transactions that only
// the old WAL held are lost, also in part: the data may be inconsistent, and should be dumped as
// SQL and read into a new directory. A directory that opens by itself is left alone
// (kInvalidArgument). The copy is complete before anything is changed, and with Durability::kFull
// (the default) on disk, as is each step before the next. At the end the
// directory has been opened and closed twice. kInvalidArgument, also: `data_dir` is no directory's
// name. kIncompatible: values would have to be guessed, it is the directory of another version,
// something else than WAL or control file keeps it from opening, or it does not open afterwards.
// kIoError: it cannot be read, copied or written. kInUse: somebody has it open.
Status reset_wal(const Options& options, const RepairRequest& request, const ReportSink& report);

}  // namespace pglite

#endif  // PGLITE_REPAIR_H_
