#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/file.h"

namespace pglite::os {

Result<void> sync(int fd) {
  return done(retry([&] { return ::fsync(fd); }));
}

Result<void> sync_data(int fd) {
  return done(retry([&] { return ::fdatasync(fd); }));
}

// Not posix_fallocate: where the file system cannot allocate, it writes a byte to each block.
// PostgreSQL writes whole pages when it is told of the failure.
Result<void> allocate(int fd, uint64_t offset, uint64_t length) {
  return done(retry(
      [&] { return ::fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(length)); }));
}

Result<size_t> read_cached_at(int fd, std::span<std::byte> buffer, uint64_t offset) {
  const iovec part = {.iov_base = buffer.data(), .iov_len = buffer.size()};
  const auto got =
      retry([&] { return ::preadv2(fd, &part, 1, static_cast<off_t>(offset), RWF_NOWAIT); });
  if (!got) return error(got.error());
  return static_cast<size_t>(*got);
}

}  // namespace pglite::os
