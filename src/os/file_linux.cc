#include <fcntl.h>

#include "os/file.h"

namespace pglite::os {

// Not posix_fallocate: where the file system cannot allocate, it writes a byte to each block.
// PostgreSQL writes whole pages when it is told of the failure.
Result<void> allocate(int fd, uint64_t offset, uint64_t length) {
  return done(retry(
      [&] { return ::fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(length)); }));
}

}  // namespace pglite::os
