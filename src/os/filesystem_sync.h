// Writing everything of a file system to disk with one call.
#ifndef PGLITE_OS_FILESYSTEM_SYNC_H_
#define PGLITE_OS_FILESYSTEM_SYNC_H_

#include <system_error>

namespace pglite::os {

// Writes all of the file system that the open file or directory `descriptor` is in to disk, other
// programs' files included. std::errc() on success: then it is what fsync(2) of each of its files
// and directories would have been. std::errc::operation_not_supported: it was tried, but this
// system or file system does not promise that, and fsync of each is still to be called, which is
// quicker after it. std::errc::bad_file_descriptor: `descriptor` was not opened for reading or
// writing. Others, such as io_error and no_space_on_device: something was not written, now or since
// `descriptor` was opened. Any thread may call it.
std::errc sync_filesystem(int descriptor);

}  // namespace pglite::os

#endif  // PGLITE_OS_FILESYSTEM_SYNC_H_
