// Files that have no name until they are complete, so that a writer that is killed leaves nothing.
#ifndef PGLITE_OS_UNNAMED_FILE_H_
#define PGLITE_OS_UNNAMED_FILE_H_

#include <cstdint>
#include <string>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

// An empty file in the file system of the opened directory `directory`, open for reading and
// writing, that can be given a name. An error where the system or the file system has no such
// files: then a file with a name has to do.
Result<UniqueFd> open_unnamed_file(int directory, uint32_t permissions);

// Gives such a file the name `name` in the directory. file_exists: the name is taken.
Result<void> name_file(int fd, int directory, const std::string& name);

}  // namespace pglite::os

#endif  // PGLITE_OS_UNNAMED_FILE_H_
