// flock(2), which the kernel drops with the process.
#include <sys/file.h>

#include <cerrno>

#include "os/directory_lock.h"

namespace pglite::os {

std::errc lock_directory(int descriptor) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) return static_cast<std::errc>(errno);
  }
  return {};
}

}  // namespace pglite::os
