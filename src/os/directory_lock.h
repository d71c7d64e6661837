// A lock on a directory. It lasts at most as long as the process that took it.
#ifndef PGLITE_OS_DIRECTORY_LOCK_H_
#define PGLITE_OS_DIRECTORY_LOCK_H_

#include "os/result.h"

namespace pglite::os {

// Locks the opened directory `descriptor` against all other processes, and other openings in this
// one, that lock it by this function. It does not wait. The lock goes with the last descriptor of
// this opening: copies made by dup(2) and fork(2) share it. operation_would_block: somebody else
// has it. Other errors: it cannot be locked.
Result<void> lock_directory(int descriptor);

// The number of the process that holds such a lock on the opened directory `descriptor`; 0 where
// that cannot be found out.
int directory_lock_owner(int descriptor);

}  // namespace pglite::os

#endif  // PGLITE_OS_DIRECTORY_LOCK_H_
