#ifndef PGLITE_PGLITE_COMPRESSED_H_
#define PGLITE_PGLITE_COMPRESSED_H_

#include "pglite/bytes.h"
#include "tarball/gzip.h"

namespace pglite {

// Has `write(sink)` write to `sink`, through gzip where that is wanted.
template <class Write>
Status write_compressed(Compression compression, const ByteSink& sink, Write write) {
  if (compression == Compression::kNone) return write(sink);
  tarball::GzipWriter gzip(sink);
  const ByteSink through = [&](std::string_view bytes) { return gzip.write(bytes); };
  const Status status = write(through);
  return status.ok() ? gzip.finish() : status;
}

}  // namespace pglite

#endif  // PGLITE_PGLITE_COMPRESSED_H_
