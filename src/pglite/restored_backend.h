// A backend that goes on from a snapshot.
#ifndef PGLITE_PGLITE_RESTORED_BACKEND_H_
#define PGLITE_PGLITE_RESTORED_BACKEND_H_

#include <memory>

#include "pglite/status.h"
#include "postgres/guest/backend.h"
#include "postgres/snapshot/snapshot_file.h"
#include "vfs/memory_filesystem.h"

namespace pglite {

// Restores the session of `snapshot`, whose files are in `files`, and gives it what it must not
// share with its siblings: identity and times in files and memory, and the state of PostgreSQL's
// random number generator.
Status restore_backend(const postgres::SnapshotFile& snapshot,
                       const postgres::BackendConfig& config, vfs::MemoryFileSystem& files,
                       std::unique_ptr<postgres::Backend>* out);

// Gives the cluster in `files`, which is not running, an identity of its own.
Status renew_identity(vfs::MemoryFileSystem& files);

}  // namespace pglite

#endif  // PGLITE_PGLITE_RESTORED_BACKEND_H_
