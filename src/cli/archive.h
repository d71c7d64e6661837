// `pglite-port dump` and `pglite-port restore`.
#ifndef PGLITE_CLI_ARCHIVE_H_
#define PGLITE_CLI_ARCHIVE_H_

#include <pglite/archive.h>

#include <functional>
#include <string>

namespace pglite::cli {

struct ArchiveRequest {
  std::string file;  // empty or "-": standard output, standard input
  Compression compression = Compression::kNone;
};

using DumpFunction = std::function<Status(const Options&, Compression, const ByteSink&)>;
using RestoreFunction = std::function<Status(const Options&, const ByteSource&)>;

// A regular file appears complete or not at all, readable for its owner only. `out` and `in` are
// the standard descriptors; a terminal is refused.
Status run_dump(const DumpFunction& dump, const Options& options, const ArchiveRequest& request,
                int out);
Status run_restore(const RestoreFunction& restore, const Options& options,
                   const ArchiveRequest& request, int in);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_ARCHIVE_H_
