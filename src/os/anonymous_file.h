// A file without a name, in memory.
#ifndef PGLITE_OS_ANONYMOUS_FILE_H_
#define PGLITE_OS_ANONYMOUS_FILE_H_

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

// Makes an empty file, open for reading and writing. It can be mapped, and it is gone when its last
// descriptor and its last mapping are. The system shows `name` to those who look at the process
// from outside. Any thread may call it. Errors: not_enough_memory, too_many_files_open,
// too_many_files_open_in_system.
Result<UniqueFd> make_anonymous_file(const char* name);

}  // namespace pglite::os

#endif  // PGLITE_OS_ANONYMOUS_FILE_H_
