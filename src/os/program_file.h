// The files that this process's program was loaded from.
#ifndef PGLITE_OS_PROGRAM_FILE_H_
#define PGLITE_OS_PROGRAM_FILE_H_

#include <cstdint>

#include "os/unique_fd.h"

namespace pglite::os {

// A place in a file.
struct FilePlace {
  UniqueFd fd;  // open for reading; invalid: the system does not tell
  uint64_t offset = 0;
};

// Where the bytes at `address` were loaded from: the program, or a library that it was linked with.
// The file may have been replaced since the program was loaded: compare before relying on it. Any
// thread may call it.
FilePlace find_loaded_file(const void* address);

}  // namespace pglite::os

#endif  // PGLITE_OS_PROGRAM_FILE_H_
