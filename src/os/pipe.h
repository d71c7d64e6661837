// Pipes between this process and others.
#ifndef PGLITE_OS_PIPE_H_
#define PGLITE_OS_PIPE_H_

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;
};

// Both ends are closed on exec. Where the system cannot make them so at once, a program that
// another thread starts at the same moment gets them, too. Errors: too_many_files_open,
// too_many_files_open_in_system.
Result<Pipe> make_pipe();

}  // namespace pglite::os

#endif  // PGLITE_OS_PIPE_H_
