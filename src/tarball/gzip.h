// Gzip in front of a sink and behind a source (RFC 1952; zlib).
#ifndef PGLITE_TARBALL_GZIP_H_
#define PGLITE_TARBALL_GZIP_H_

#include <pglite/bytes.h>

#include <memory>

struct z_stream_s;

namespace pglite::tarball {

class GzipWriter {
 public:
  explicit GzipWriter(ByteSink sink);
  ~GzipWriter();
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;

  Status write(std::string_view bytes);
  // Ends the stream; nothing may be written after it.
  Status finish();

 private:
  Status deflate(std::string_view bytes, int flush);

  ByteSink sink_;
  std::unique_ptr<z_stream_s> stream_;
};

// Reads a source, and unpacks it if it begins as gzip does.
class GunzipReader {
 public:
  explicit GunzipReader(ByteSource source);
  ~GunzipReader();
  GunzipReader(const GunzipReader&) = delete;
  GunzipReader& operator=(const GunzipReader&) = delete;

  // As ByteSource. kIncompatible: the gzip stream is truncated, its checksum is wrong, or something
  // follows it. Only a caller that reads to the end is told.
  Status read(char* buffer, size_t size, size_t* count);

 private:
  Status refill();
  Status unpack(char* buffer, size_t size, size_t* count);

  ByteSource source_;
  std::unique_ptr<char[]> input_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool started_ = false;
  bool source_ended_ = false;
  bool stream_ended_ = false;
  std::unique_ptr<z_stream_s> stream_;  // null: not gzip
};

}  // namespace pglite::tarball

#endif  // PGLITE_TARBALL_GZIP_H_
