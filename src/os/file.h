// Files of the host by descriptor and by name.
//
// Errors are those of the system calls of the same names. A call that a signal interrupts is made
// again. Any thread may call these functions.
#ifndef PGLITE_OS_FILE_H_
#define PGLITE_OS_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

// Why a file was not opened.
struct OpenFailure {
  std::errc code;      // invalid_argument: something else than a regular file is there
  std::string reason;  // the end of a sentence: what the system says, or what is there instead
};
// Opens the file `path` for reading, following links, if it is a regular file. It never waits, as
// opening a FIFO does, and opens no device.
tl::expected<UniqueFd, OpenFailure> open_regular_file(const std::string& path);

// Reads `fd` from its position to its end.
Result<std::string> read_all(int fd);

// Writes all of `bytes` at the position of `fd`. After an error, a part of them may be written.
Result<void> write_all(int fd, std::span<const std::byte> bytes);

// Writes all of `bytes` at `offset`, and leaves the position of `fd` alone. Errors as write_all().
Result<void> write_all_at(int fd, std::span<const std::byte> bytes, uint64_t offset);

// Reads at `offset` what the system has in memory; fewer bytes than wanted, where that ends.
// resource_unavailable_try_again: nothing of it. operation_not_supported: the file system cannot
// tell.
Result<size_t> read_cached_at(int fd, std::span<std::byte> buffer, uint64_t offset);

// Writes to disk what the system keeps of the file or directory: all of it, or for sync_data what
// is needed to read the data back. After an error, what was written before may never reach the
// disk: a second sync that succeeds proves nothing.
Result<void> sync(int fd);
Result<void> sync_data(int fd);

// Sees to it that the file has `offset + length` bytes and that writing to the last `length` of
// them cannot run out of space. operation_not_supported where the file system cannot promise that.
Result<void> allocate(int fd, uint64_t offset, uint64_t length);

// The target of the symbolic link `name` in the opened directory `directory`. invalid_argument:
// `name` is something else.
Result<std::string> read_symbolic_link(int directory, const char* name);

}  // namespace pglite::os

#endif  // PGLITE_OS_FILE_H_
