// Data directories as archives: what PGlite's dumpDataDir() writes and loadDataDir reads, a tar
// file, plain or in gzip, of everything below the data directory.
//
//   std::string archive;
//   status = pglite::dump_data_directory(options, pglite::Compression::kGzip,
//                                        [&](std::string_view bytes) {
//                                          archive += bytes;
//                                          return pglite::Status();
//                                        });
//
// Instance::dump() does it with a cluster that is open, memory:// included.
//
// An archive is a copy of a cluster, its system identifier included. It fits every PGlite of the
// same PostgreSQL major version, and only those.
#ifndef PGLITE_ARCHIVE_H_
#define PGLITE_ARCHIVE_H_

#include <pglite/bytes.h>
#include <pglite/options.h>
#include <pglite/status.h>

namespace pglite {

// Writes the cluster in the directory `options.data_dir` to `sink`, holding the directory's lock.
// A cluster that was not shut down is started first (with `options.durability`, `settings` and
// `log`) and shut down, which recovers it. The same files make the same bytes. kInvalidArgument:
// `data_dir` is no directory's name. kIoError: the directory is not there or cannot be read. kInUse
// and kIncompatible as Instance::open; also kIncompatible: it holds links or other things that a
// data directory of PGlite's does not have.
Status dump_data_directory(const Options& options, Compression compression, const ByteSink& sink);

// Makes the directory `options.data_dir`, which must be missing or empty, from the archive that
// `source` gives, plain or gzip by its first bytes. It appears complete or not at all, also when
// the process dies on the way; under Durability::kFull it is on disk when this returns. Files and
// directories are made for their owner only, whatever modes the archive has. kIncompatible: the
// directory is not empty, or the archive is truncated, damaged, of another major version, no
// cluster's, or has names or kinds of entries that do not belong into a data directory, such as
// names of this library's own; nothing was made. kIoError, also: not all of it could be made
// durable; the directory is empty, or the next open finds the whole cluster. kInvalidArgument,
// kIoError, kInUse as above.
Status restore_data_directory(const Options& options, const ByteSource& source);

}  // namespace pglite

#endif  // PGLITE_ARCHIVE_H_
