// Tar as data directories are kept in it: regular files and directories only.
//
// PGlite writes and reads POSIX ustar with the npm package tinytar, which has no extended headers,
// takes no notice of the prefix field, and names every entry from the data directory on with a
// slash in front ("/PG_VERSION"). TarWriter writes just that. TarReader takes that, and what tar
// programs write of a directory ("./PG_VERSION"): ustar, pax (POSIX.1-2001, "pax Interchange
// Format") and GNU's long names. Of extended headers it follows path, size and mtime. It refuses
// everything else, so that nobody has to wonder what an odd archive might do.
#ifndef PGLITE_TARBALL_TAR_H_
#define PGLITE_TARBALL_TAR_H_

#include <pglite/bytes.h>

#include <cstdint>
#include <optional>
#include <string>

namespace pglite::tarball {

struct TarEntry {
  // Relative to the data directory: components that are not "", "." or "..", joined by single
  // slashes. The reader gives the data directory itself as an empty name.
  std::string name;
  bool is_directory = false;
  uint32_t mode = 0;  // permission bits
  uint64_t size = 0;  // bytes; 0 for a directory
  int64_t mtime = 0;  // seconds since 1970
};

class TarWriter {
 public:
  explicit TarWriter(ByteSink sink) : sink_(std::move(sink)) {}
  // Begins an entry; `size` bytes of write() must follow before the next call. kIncompatible: the
  // format cannot hold it (a name of 100 bytes or more, a file of 8 GiB or more).
  Status begin(const TarEntry& entry);
  Status write(std::string_view bytes);
  // Ends the archive.
  Status finish();

 private:
  ByteSink sink_;
  uint64_t left_ = 0;     // of the current entry
  uint64_t padding_ = 0;  // after it
};

class TarReader {
 public:
  explicit TarReader(ByteSource source) : source_(std::move(source)) {}
  // The next entry; `*end` at the archive's end, after which the source is read to its own end.
  // What is left of the current entry is skipped. kIncompatible: truncated, damaged, or not this
  // dialect.
  Status next(TarEntry* entry, bool* end);
  // Up to `size` bytes of the current entry's content; 0 at its end.
  Status read(char* buffer, size_t size, size_t* count);

 private:
  // Exactly `size` bytes; fewer only at the end of the source.
  Status fill(char* buffer, size_t size, size_t* count);
  Status skip_content();
  Status read_end();
  // What extended headers say of the entry behind them.
  struct Extension {
    bool there = false;
    std::optional<std::string> path;
    std::optional<uint64_t> size;
    std::optional<int64_t> mtime;
  };
  // Reads the extended header of this type and size, whose content comes next.
  Status read_extension(char type, uint64_t size, Extension* extension);
  // Reads the header of an entry, or an extended header, which is added to `*extension`.
  Status read_header(Extension* extension, TarEntry* entry, bool* end, bool* is_extension);

  ByteSource source_;
  std::string name_;  // the current entry's, for messages
  uint64_t left_ = 0;
  uint64_t padding_ = 0;
};

}  // namespace pglite::tarball

#endif  // PGLITE_TARBALL_TAR_H_
