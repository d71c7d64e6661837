// The times in what stat(2) says, whose names differ.
#ifndef PGLITE_OS_FILE_TIMES_H_
#define PGLITE_OS_FILE_TIMES_H_

#include <sys/stat.h>

#include <ctime>

namespace pglite::os {

struct FileTimes {
  timespec access;
  timespec modification;
  timespec change;
};
FileTimes times_of(const struct stat& status);

}  // namespace pglite::os

#endif  // PGLITE_OS_FILE_TIMES_H_
