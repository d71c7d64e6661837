#include "os/file_times.h"

namespace pglite::os {

FileTimes times_of(const struct stat& status) {
  return {.access = status.st_atimespec,
          .modification = status.st_mtimespec,
          .change = status.st_ctimespec};
}

}  // namespace pglite::os
