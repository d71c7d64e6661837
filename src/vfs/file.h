// An open file, directory or device of a guest file system, and what can fail about it.
//
// Errors are host errno values (std::errc); the Emscripten floor turns them into the guest's.
// Nothing here knows about guests, descriptor numbers or paths.
#ifndef PGLITE_VFS_FILE_H_
#define PGLITE_VFS_FILE_H_

#include <cstdint>
#include <ctime>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "os/result.h"

namespace pglite::vfs {

using os::error;
using os::Result;

// What stat reports. `mode` carries the POSIX type bits and permissions (S_IFREG | 0644).
struct Metadata {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint32_t mode = 0;
  uint32_t link_count = 1;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t device_type = 0;  // st_rdev of a device, else 0
  uint64_t size = 0;         // bytes
  uint32_t block_size = 4096;
  uint64_t blocks = 0;  // of 512 bytes
  timespec access_time{};
  timespec modification_time{};
  timespec change_time{};
};

struct DirectoryEntry {
  std::string name;  // "." and ".." are not listed
  uint64_t inode = 0;
  uint32_t mode = 0;  // type bits only
};

// One opened object: a file, a directory, a device, or an end of a pipe (emscripten/pipe.h). The
// destructor closes it and reports nothing: a caller that wants to know calls sync() before. A file
// that was unlinked while open stays readable and writable. Offsets and sizes are bytes.
//
// One thread at a time may use a file and the file system it comes from (filesystem.h), but for
// sync(), sync_data() and read(), which other threads may call meanwhile. Any method
// may fail with EIO on the host. Interruptions by signals are not failures: the host is asked
// again.
class File {
 public:
  virtual ~File() = default;

  // Reads at most buffer.size() bytes at `offset`; fewer only at the end of the file (0: at or past
  // it), where a failure follows bytes that were read, and where a device or a pipe has no more for
  // now. Devices and pipes ignore `offset`. EBADF: not opened for reading. EISDIR: a directory.
  // EINVAL: `offset` is more than 2^63 - 1. EAGAIN: the pipe is empty; it does not wait.
  virtual Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) = 0;
  // As read(), but it never waits for a disk. EAGAIN: read() would have to, or might.
  virtual Result<size_t> read_at_once(std::span<std::byte> buffer, uint64_t offset) {
    return read(buffer, offset);
  }
  // Writes all of `data` or fails; grows the file as needed, a gap reads as zeros. A host that
  // writes less is asked again until it fails: then the bytes written so far are the result if
  // there are any, the error otherwise; memory does the same. EBADF: not opened for writing, or a
  // directory. EINVAL: `offset` is more than 2^63 - 1. EFBIG: the file would be larger than files
  // can be. ENOSPC: no space, or (memory) over its capacity. EDQUOT (host). EPIPE: the pipe has no
  // reader. EAGAIN: the pipe is full.
  virtual Result<size_t> write(std::span<const std::byte> data, uint64_t offset) = 0;
  // Cuts or grows the file; what is new reads as zeros. EINVAL: not opened for writing, no file, or
  // `size` is more than 2^63 - 1. EFBIG, ENOSPC as write().
  virtual Result<void> truncate(uint64_t size) = 0;
  // Sees to it that the file has `offset + length` bytes and that writing to the last `length` of
  // them cannot run out of space (posix_fallocate). EOPNOTSUPP where the host cannot promise that.
  // Files in memory only grow: their space is not the disk's. EBADF: not opened for writing (host).
  // EINVAL: the end is more than 2^63 - 1, or `length` is 0 (host). ENODEV: no file (host).
  // Otherwise as truncate() (memory), EFBIG, ENOSPC, EDQUOT.
  virtual Result<void> allocate(uint64_t offset, uint64_t length) {
    const Result<Metadata> before = metadata();
    if (!before) return error(before.error());
    return offset + length <= before->size ? Result<void>() : truncate(offset + length);
  }
  // Makes data (and, for sync, metadata) durable where the file system is; of a directory, the
  // names in it. Success without a call in memory, and where the file system was told to ignore it
  // (SyncPolicy::kIgnore). EIO, ENOSPC, EDQUOT: something is not on disk, and calling again does
  // not bring it there. EINVAL: a pipe.
  virtual Result<void> sync() = 0;
  virtual Result<void> sync_data() = 0;
  virtual Result<Metadata> metadata() = 0;
  // The host drops set-user-ID, set-group-ID and sticky bits. EPERM (host): the file is another
  // user's. EROFS (host).
  virtual Result<void> change_mode(uint32_t permissions) = 0;
  // Directories only (ENOTDIR otherwise): all entries, in an order that is stable while the
  // directory does not change. ENOSPC (memory), ENOMEM (host): no memory for the list. EACCES,
  // EMFILE, ENFILE (host): it cannot be opened once more.
  virtual Result<std::vector<DirectoryEntry>> entries() = 0;
  // False for pipes and terminals, where seeking fails with ESPIPE.
  [[nodiscard]] virtual bool seekable() const { return true; }
  // A descriptor of the system's by which processes can map the file and share its memory, open for
  // reading and writing; it is the file's own. -1: the file cannot be mapped. What may be mapped is
  // the file from its beginning, up to its size in whole pages of 4 KiB; that memory is reserved,
  // and it stays as long as it is mapped, whatever happens to the file.
  [[nodiscard]] virtual int mappable_descriptor() const { return -1; }
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_FILE_H_
