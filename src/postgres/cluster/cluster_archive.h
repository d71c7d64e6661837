// A data directory's files to and from a tar file, as PGlite's dumpDataDir() writes it.
#ifndef PGLITE_POSTGRES_CLUSTER_CLUSTER_ARCHIVE_H_
#define PGLITE_POSTGRES_CLUSTER_CLUSTER_ARCHIVE_H_

#include <string>

#include "pglite/bytes.h"
#include "pglite/status.h"
#include "postgres/cluster/staged_cluster.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

// Writes what is below `root` in `files` ("" for all) to `sink`. The files must not change
// meanwhile. kIoError, kIncompatible as dump_data_directory().
Status write_archive(vfs::FileSystem& files, const std::string& root, Compression compression,
                     const ByteSink& sink);

// Makes the files of the archive that `source` gives, plain or gzip, in `cluster`, for their owner
// only. kIncompatible: it is truncated or damaged, or has names or kinds of entries that do not
// belong into a data directory, names of ours among them. kIoError: files cannot be made. Failures
// of `source` are returned as they are. What was made until then stays.
Status read_archive(const ByteSource& source, StagedCluster& cluster);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_CLUSTER_ARCHIVE_H_
