// Writing everything of a file system to disk with one call.
#ifndef PGLITE_OS_FILESYSTEM_SYNC_H_
#define PGLITE_OS_FILESYSTEM_SYNC_H_

#include "os/result.h"

namespace pglite::os {

// Writes to disk all of the file system that contains the open file or directory `descriptor`,
// other programs' files included. Success is what fsync(2) of each of its files and directories
// would have been. operation_not_supported: it was tried, but this system or file system does not
// promise that; the caller must still call fsync for each, which is quicker now.
// bad_file_descriptor: `descriptor` was not opened for reading or writing. Other errors, such as
// io_error and no_space_on_device: something was not written, now or since `descriptor` was opened.
// Any thread may call it.
Result<void> sync_filesystem(int descriptor);

}  // namespace pglite::os

#endif  // PGLITE_OS_FILESYSTEM_SYNC_H_
