// A guest's file descriptors.
//
// The numbers are the guest's, never the host's. Descriptors made by dup share one OpenFile, and
// with it the position and the status flags, as POSIX has it.
#ifndef PGLITE_VFS_DESCRIPTOR_TABLE_H_
#define PGLITE_VFS_DESCRIPTOR_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vfs/file.h"

namespace pglite::vfs {

// POSIX's "open file description".
struct OpenFile {
  std::unique_ptr<File> file;
  std::string path;       // absolute, as it was opened; may since have been renamed or removed
  uint64_t position = 0;  // bytes; in a directory: entries already given out
  bool readable = false;
  bool writable = false;
  bool append = false;
  bool non_blocking = false;  // kept for fcntl(F_GETFL), means nothing here
  // What listing() read; nothing for a file or a directory not listed yet.
  std::optional<std::vector<DirectoryEntry>> cached_listing;

  // The entries of a directory at the time its listing began, so that entries that are added or
  // removed meanwhile do not move the others. The caller counts in `position` how many it has given
  // out; at position 0 a new listing begins. Fails as File::entries. Valid until the next call or
  // seek.
  Result<std::span<const DirectoryEntry>> listing();
};

enum class Whence { kSet, kCurrent, kEnd };

class DescriptorTable {
 public:
  static constexpr int kDefaultLimit = 4096;

  explicit DescriptorTable(int limit = kDefaultLimit) : limit_(limit) {}

  // The lowest free descriptor that is at least `minimum`. EMFILE when all are taken, EINVAL when
  // `minimum` is negative or not below the limit.
  Result<int> open(std::shared_ptr<OpenFile> file, int minimum = 0, bool close_on_exec = false);
  // As dup(2) and fcntl(F_DUPFD): EBADF, EMFILE, EINVAL.
  Result<int> dup(int descriptor, int minimum = 0, bool close_on_exec = false);
  // As dup2(2): closes `to` first if it is open, does nothing if both are the same; returns `to`.
  // EBADF when `from` is not open or `to` not below the limit.
  Result<int> dup_to(int from, int to, bool close_on_exec = false);
  Result<void> close(int descriptor);
  void close_all();

  // EBADF when it is not open. The pointer is good until the descriptor is closed or replaced.
  [[nodiscard]] Result<OpenFile*> get(int descriptor) const {
    if (OpenFile* file = find(descriptor)) return file;
    return error(std::errc::bad_file_descriptor);
  }
  // The same, as a shared pointer.
  [[nodiscard]] Result<std::shared_ptr<OpenFile>> share(int descriptor) const;

  [[nodiscard]] Result<bool> close_on_exec(int descriptor) const;
  Result<void> set_close_on_exec(int descriptor, bool close_on_exec);

  [[nodiscard]] int limit() const { return limit_; }
  [[nodiscard]] size_t open_count() const { return open_count_; }

  // read(2), write(2): at the position, which moves; a write with `append` goes to the end of the
  // file. EBADF when the descriptor is not open or not opened for that.
  Result<size_t> read(int descriptor, std::span<std::byte> buffer);
  Result<size_t> write(int descriptor, std::span<const std::byte> data);
  // pread(2), pwrite(2): the position stays. EINVAL for a negative offset, ESPIPE for a stream.
  // `append` does not matter here (POSIX; Linux differs).
  Result<size_t> pread(int descriptor, std::span<std::byte> buffer, int64_t offset);
  // The same by File::read_at_once(): EAGAIN where pread() might wait for a disk.
  Result<size_t> pread_at_once(int descriptor, std::span<std::byte> buffer, int64_t offset);
  Result<size_t> pwrite(int descriptor, std::span<const std::byte> data, int64_t offset);
  // lseek(2): the new position. EINVAL when it would be negative, EOVERFLOW when it would not fit,
  // ESPIPE for a stream. Seeking a directory to 0 makes its next listing a new one.
  Result<uint64_t> seek(int descriptor, int64_t offset, Whence whence);

 private:
  struct Slot {
    std::shared_ptr<OpenFile> file;  // null: free
    bool close_on_exec = false;
  };

  // What pread() checks.
  [[nodiscard]] Result<File*> readable_at(int descriptor, int64_t offset) const;

  [[nodiscard]] OpenFile* find(int descriptor) const {
    // A negative number is a huge unsigned one.
    const auto index = static_cast<unsigned>(descriptor);
    return index < slots_.size() ? slots_[index].file.get() : nullptr;
  }

  std::vector<Slot> slots_;
  int limit_;
  int lowest_free_ = 0;  // no slot below it is free
  size_t open_count_ = 0;
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_DESCRIPTOR_TABLE_H_
