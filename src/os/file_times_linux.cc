#include "os/file_times.h"

namespace pglite::os {

FileTimes times_of(const struct stat& status) {
  return {.access = status.st_atim, .modification = status.st_mtim, .change = status.st_ctim};
}

}  // namespace pglite::os
