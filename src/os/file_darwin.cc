#include <fcntl.h>
#include <sys/stat.h>

#include "os/file.h"

namespace pglite::os {

// fsync(2) gives the data to the disk, which may keep it in its own memory; F_FULLFSYNC has it
// written. File systems of other machines have no such thing.
Result<void> sync(int fd) {
  const auto full = retry([&] { return ::fcntl(fd, F_FULLFSYNC); });
  if (full) return {};
  const bool is_known = full.error() != std::errc::operation_not_supported &&
                        full.error() != std::errc::invalid_argument &&
                        full.error() != std::errc::inappropriate_io_control_operation &&
                        full.error() != std::errc::no_such_device;
  if (is_known) return error(full.error());
  return done(retry([&] { return ::fsync(fd); }));
}

Result<void> sync_data(int fd) {
  return sync(fd);
}

// Space can be had at the end of a file only. Elsewhere PostgreSQL writes pages when it is told so.
Result<void> allocate(int fd, uint64_t offset, uint64_t length) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return last_error();
  if (static_cast<uint64_t>(status.st_size) != offset) {
    return error(std::errc::operation_not_supported);
  }
  fstore_t wanted{};
  wanted.fst_flags = F_ALLOCATEALL;
  wanted.fst_posmode = F_PEOFPOSMODE;
  wanted.fst_length = static_cast<off_t>(length);
  if (auto got = done(retry([&] { return ::fcntl(fd, F_PREALLOCATE, &wanted); })); !got) return got;
  return done(retry([&] { return ::ftruncate(fd, static_cast<off_t>(offset + length)); }));
}

// No call of the system reads only what is in memory.
Result<size_t> read_cached_at(int /*fd*/, std::span<std::byte> /*buffer*/, uint64_t /*offset*/) {
  return error(std::errc::operation_not_supported);
}

}  // namespace pglite::os
