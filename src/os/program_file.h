// The files that this process's program was loaded from.
#ifndef PGLITE_OS_PROGRAM_FILE_H_
#define PGLITE_OS_PROGRAM_FILE_H_

#include <cstdint>
#include <string>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

// The absolute path of the program, without symbolic links. It may since have been moved, replaced
// or removed. An error where the system does not tell. Any thread may call it.
Result<std::string> program_path();

// A place in a file.
struct FilePlace {
  UniqueFd fd;  // open for reading
  uint64_t offset = 0;
};

// Where the bytes at `address` were loaded from: the program, or a library that it was linked with.
// The file may have been replaced since the program was loaded: compare before relying on it. An
// error where the system does not tell, or the file cannot be opened. Any thread may call it.
Result<FilePlace> find_loaded_file(const void* address);

}  // namespace pglite::os

#endif  // PGLITE_OS_PROGRAM_FILE_H_
