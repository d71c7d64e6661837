// A tree of files that guest paths resolve in.
//
// Every path given here is absolute, normalised by normalize_path (no ".", "..", "//" and no
// trailing "/"), and relative to the root of the file system: "/" is that root. Symbolic links are
// followed inside the file system and never out of it.
//
// Failures are values of std::errc, named here by their errno. There are four file systems:
// MemoryFileSystem (memory), HostFileSystem (host), SharedMemoryFileSystem (memory, with files
// only), and MountTable, which asks the one that a path lies in and adds EBUSY and EXDEV. Tests and
// PostgreSQL's recovery put others in front of them; unless a comment says so, these must not fail
// in other ways. Nothing throws.
//
// Every method that takes a path may fail with
//   ENOENT        a component does not exist, or the path is empty
//   ENOTDIR       a component that is not the last is no directory
//   ELOOP         more than 40 symbolic links
//   ENAMETOOLONG  a name of more than 255 bytes, a path of more than 4095
// and on the host with
//   EACCES        a link leads out of the directory, or this process lacks the permission
//   EINVAL        the path has a NUL
//   EAGAIN        a component was exchanged again and again meanwhile
//   ENOMEM, EMFILE, ENFILE, EIO, ESTALE and whatever else the host's file system says
// Memory has no other failures than those at each method; it runs out of memory with ENOSPC. On the
// host, a method that makes or changes something may fail with ENOSPC, EDQUOT and EROFS.
//
// One thread at a time may use a file system and all that it opened. On the host other processes
// may change the same files at the same time; each call is then as atomic as the host's.
#ifndef PGLITE_VFS_FILESYSTEM_H_
#define PGLITE_VFS_FILESYSTEM_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "vfs/file.h"

namespace pglite::vfs {

// How open() opens. Mirrors POSIX open flags, spelled out so that no floor depends on the numbers
// of another.
struct OpenFlags {
  bool read = false;
  bool write = false;
  bool create = false;
  bool exclusive = false;
  bool truncate = false;
  bool directory = false;  // ENOTDIR when it is not one
  bool no_follow = false;  // ELOOP when the last component is a symbolic link
};

struct Statistics {  // statfs
  uint32_t block_size = 4096;
  uint64_t blocks = 0;
  uint64_t blocks_free = 0;
  uint64_t files = 0;
  uint64_t files_free = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // Opens a file, device or directory; creates a file with `permissions`, from which the caller has
  // removed the umask. The host drops set-user-ID, set-group-ID and sticky bits, here and below.
  // ENOENT: it is not there and not to be created. EEXIST: it is there, though `create` and
  // `exclusive` are set; a symbolic link is "there" whatever it leads to. EISDIR: it is a
  // directory, and `write`, `create` or `truncate` is set. ENOTDIR: it is none, and `directory` is
  // set. EINVAL: `create` and `directory` together. ELOOP: it is a symbolic link, and `no_follow`
  // is set. On the host also EACCES for what is neither file nor directory, and ENXIO for a FIFO
  // without a reader.
  virtual Result<std::unique_ptr<File>> open(std::string_view path, OpenFlags flags,
                                             uint32_t permissions) = 0;
  // What `path` is. Unless `follow` is set, a symbolic link is described itself. Only the common
  // failures.
  virtual Result<Metadata> metadata(std::string_view path, bool follow) = 0;
  // EEXIST: something has that name. EMLINK (host): too many directories in one.
  virtual Result<void> make_directory(std::string_view path, uint32_t permissions) = 0;
  // Removes a name of anything but a directory; a file that is open stays until it is closed.
  // EISDIR: it is a directory.
  virtual Result<void> remove_file(std::string_view path) = 0;
  // ENOTDIR: it is no directory. ENOTEMPTY: there is something in it. EBUSY: it is the root, or
  // something is mounted there.
  virtual Result<void> remove_directory(std::string_view path) = 0;
  // POSIX rename: `to` is replaced in one step, so that at each moment it is the old file or the
  // new one. Two names of one file: success, and both stay. EISDIR: `to` is a directory, `from` is
  // none. ENOTDIR: the reverse. ENOTEMPTY: `to` is a directory with something in it. EINVAL: a
  // directory was to move into itself. EBUSY: the root, or something is mounted there or below.
  // EXDEV: they lie in different file systems.
  virtual Result<void> rename(std::string_view from, std::string_view to) = 0;
  // Makes a link at `path` with the target `target`, which need not exist. EEXIST: something has
  // that name. ENOENT: `target` is empty. ENAMETOOLONG: it is longer than a path may be. EPERM
  // (host): `target` is absolute, and could never be followed.
  virtual Result<void> make_symbolic_link(std::string_view target, std::string_view path) = 0;
  // The target of a link. EINVAL: `path` is no symbolic link.
  virtual Result<std::string> read_symbolic_link(std::string_view path) = 0;
  // Gives a file a further name. If `from` is a symbolic link, the link gets it. EEXIST: something
  // is called `to`. EPERM: `from` is a directory, or (host) its file system has no such links.
  // EXDEV: they lie in different file systems. EMLINK (host): too many names.
  virtual Result<void> make_hard_link(std::string_view from, std::string_view to) = 0;
  // EOPNOTSUPP: a symbolic link and not `follow`: it has no permissions. EPERM (host): the file is
  // another user's.
  virtual Result<void> change_mode(std::string_view path, uint32_t permissions, bool follow) = 0;
  // An absent time is left as it is. EINVAL: nanoseconds that are none. EPERM (host): the file is
  // another user's.
  virtual Result<void> set_times(std::string_view path, std::optional<timespec> access,
                                 std::optional<timespec> modification, bool follow) = 0;
  // Follows links. EISDIR: a directory. EINVAL: `size` is more than 2^63 - 1, or (memory) it is a
  // device. EFBIG: more than the file system can have. ENOSPC (memory): no memory for a part of a
  // page. EACCES (host): neither file nor directory.
  virtual Result<void> truncate(std::string_view path, uint64_t size) = 0;
  // About the file system that contains `path`, which must exist. Only the common failures.
  virtual Result<Statistics> statistics(std::string_view path) = 0;
  // Makes durable what File::sync() of every file and directory in it would: all that anybody
  // wrote, made, renamed and removed before the call. Success without a call where nothing is
  // durable (memory) or asked to be (SyncPolicy::kIgnore). EOPNOTSUPP: it may be durable, but no
  // single call promises it here: sync each file and directory (make_durable in tree.h). EIO,
  // ENOSPC, EDQUOT: something is not on disk; calling again does not bring it there.
  virtual Result<void> sync_all() = 0;
};

// Joins `path` to the absolute directory `base` unless it is absolute itself, and removes ".",
// "..", empty components and trailing slashes; ".." above the root stays at the root.
std::string normalize_path(std::string_view base, std::string_view path);

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_FILESYSTEM_H_
