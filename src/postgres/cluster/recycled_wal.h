// WAL segments that a checkpoint has renamed, to be written again.
#ifndef PGLITE_POSTGRES_CLUSTER_RECYCLED_WAL_H_
#define PGLITE_POSTGRES_CLUSTER_RECYCLED_WAL_H_

#include <string_view>

#include "pglite/status.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

// Removes them from the cluster at `data_directory`, which was shut down: the segments behind the
// one that its last checkpoint ends in. What they hold is old, and may be 16 MB each. Failures as
// read_control_file().
Status remove_recycled_wal(vfs::FileSystem& filesystem, std::string_view data_directory);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_RECYCLED_WAL_H_
