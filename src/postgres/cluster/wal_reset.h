// Starting a cluster's WAL anew, where the old one or pg_control is damaged.
//
// What PostgreSQL's pg_resetwal does (its manual page; PGlite has no build of it): a WAL of one
// segment behind every old one, which holds a shutdown checkpoint, and a pg_control that points to
// it. What only the old WAL knew is lost, so that data can be lost and files disagree. Where the
// cluster was not shut down, numbers of transactions, multixacts and objects go on behind all that
// the files may know, so that none is given out twice.
#ifndef PGLITE_POSTGRES_CLUSTER_WAL_RESET_H_
#define PGLITE_POSTGRES_CLUSTER_WAL_RESET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "pglite/status.h"
#include "postgres/cluster/control_file.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

struct WalReset {
  ControlFile control;  // as it will be written
  uint64_t segment = 0;
  // True when neither pg_control nor a checkpoint record in the WAL said what the cluster's numbers
  // are: they were derived from names and sizes of its files.
  bool guessed = false;
  // True when nothing is lost: the cluster was shut down, its WAL was not needed any more.
  bool was_shut_down = false;
  // For the user: where the values come from and what they are.
  std::vector<std::string> findings;

  [[nodiscard]] std::string segment_name() const;
};

// Reads what is to be known of the cluster at the root of `files`; changes nothing. `built_in` is
// the pg_control of a cluster that this build made: it gives the values that are the same for all.
// kIncompatible: pg_control is another PostgreSQL's, or the values cannot even be guessed.
// kIoError: files cannot be read.
Status plan_wal_reset(vfs::FileSystem& files, const ControlFile& built_in, WalReset* plan);

// Does it: the new segment, then pg_control, then the old WAL goes. Each step is durable before the
// next. Interrupted anywhere, it leaves what can be planned and done again.
Status apply_wal_reset(vfs::FileSystem& files, const WalReset& plan);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_WAL_RESET_H_
