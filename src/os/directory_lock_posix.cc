// The lock is that of flock(2), which the kernel drops when the process ends.
#include <sys/file.h>

#include "os/directory_lock.h"

namespace pglite::os {

Result<void> lock_directory(int descriptor) {
  return done(retry([&] { return ::flock(descriptor, LOCK_EX | LOCK_NB); }));
}

}  // namespace pglite::os
