// Why PostgreSQL does not start in a directory, in words for its owner.
#ifndef PGLITE_POSTGRES_CLUSTER_START_FAILURE_H_
#define PGLITE_POSTGRES_CLUSTER_START_FAILURE_H_

#include <span>
#include <string>
#include <string_view>

#include "pglite/status.h"

namespace pglite::postgres {

struct StartFailure {
  enum class Kind {
    kOther,
    kWal,            // damaged or missing, or recovery from it fails
    kControlFile,    // global/pg_control, likewise
    kConfiguration,  // postgresql.conf and the like: missing, or with errors in them
    kFiles,          // other files are damaged or missing
    kUnreadable,     // the host refuses to read or write a file
  };
  Kind kind = Kind::kOther;
  std::string reason;  // what PostgreSQL said
  // kIncompatible for what is damaged, kIoError for kUnreadable; kOther: as it was. It gives
  // the reason and the way out.
  Status status;
};

// `log`: PostgreSQL's server log of this start. `failure`: how it ended. `path`: the directory's
// name on the host, which messages give in place of the guest's.
StartFailure explain_start_failure(std::string_view path, std::span<const std::string> log,
                                   const Status& failure);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_START_FAILURE_H_
