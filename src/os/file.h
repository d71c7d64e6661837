// Host files that users name: opening and writing them whole.
#ifndef PGLITE_OS_FILE_H_
#define PGLITE_OS_FILE_H_

#include <cstddef>
#include <span>
#include <string>
#include <system_error>

#include "os/unique_fd.h"

namespace pglite::os {

// Opens the regular file `path` for reading. Never waits, as opening a FIFO does, and never opens a
// device. std::errc::invalid_argument: it is there and no regular file; the other errors are
// stat(2)'s and open(2)'s. Any thread may call it.
std::errc open_regular_file(const std::string& path, UniqueFd* out);

// Writes `bytes` to the file `path`, which appears complete or not at all, readable by its owner
// only; a file of that name is replaced. When it returns std::errc(), file and name are on the
// disk. The errors are those of open(2), write(2), fsync(2) and rename(2); the name may then be the
// new file's or still the old one's. Any thread may call it.
std::errc write_whole_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace pglite::os

#endif  // PGLITE_OS_FILE_H_
