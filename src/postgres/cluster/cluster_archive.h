// A data directory's files as a tar file, as PGlite's dumpDataDir() writes it.
#ifndef PGLITE_POSTGRES_CLUSTER_CLUSTER_ARCHIVE_H_
#define PGLITE_POSTGRES_CLUSTER_CLUSTER_ARCHIVE_H_

#include <string>

#include "pglite/bytes.h"
#include "pglite/status.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

// Writes what is below `root` in `files` ("" for all) to `sink`. The files must not change
// meanwhile. kIoError, kIncompatible as dump_data_directory().
Status write_archive(vfs::FileSystem& files, const std::string& root, Compression compression,
                     const ByteSink& sink);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_CLUSTER_ARCHIVE_H_
