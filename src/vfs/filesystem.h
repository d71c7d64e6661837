// A tree of files that guest paths resolve in.
//
// Every path given here is absolute, normalised by normalize_path (no ".", "..", "//" and no
// trailing "/"), and relative to the root of the file system: "/" is that root. Symbolic links are
// followed inside the file system and never out of it.
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

  // A directory opens for reading only (EISDIR for writing). `permissions` apply to a file that is
  // created; the umask has been applied by the caller.
  virtual Result<std::unique_ptr<File>> open(std::string_view path, OpenFlags flags,
                                             uint32_t permissions) = 0;
  virtual Result<Metadata> metadata(std::string_view path, bool follow) = 0;
  virtual Result<void> make_directory(std::string_view path, uint32_t permissions) = 0;
  virtual Result<void> remove_file(std::string_view path) = 0;       // EISDIR for a directory
  virtual Result<void> remove_directory(std::string_view path) = 0;  // ENOTEMPTY, ENOTDIR
  // POSIX rename: replaces an existing target of the same kind atomically.
  virtual Result<void> rename(std::string_view from, std::string_view to) = 0;
  virtual Result<void> make_symbolic_link(std::string_view target, std::string_view path) = 0;
  virtual Result<std::string> read_symbolic_link(std::string_view path) = 0;
  virtual Result<void> make_hard_link(std::string_view from, std::string_view to) = 0;
  virtual Result<void> change_mode(std::string_view path, uint32_t permissions, bool follow) = 0;
  // An absent time is left as it is.
  virtual Result<void> set_times(std::string_view path, std::optional<timespec> access,
                                 std::optional<timespec> modification, bool follow) = 0;
  virtual Result<void> truncate(std::string_view path, uint64_t size) = 0;
  virtual Result<Statistics> statistics(std::string_view path) = 0;
  // Makes durable what File::sync() of every file and directory in it would have: all that was
  // written, made, renamed and removed before the call, by whomever. Success without a call where
  // nothing is durable (memory) or asked to be (SyncPolicy::kIgnore). EOPNOTSUPP: it may be
  // durable, but no single call promises it here: sync each file and directory (make_durable in
  // tree.h). EIO, ENOSPC, EDQUOT: something is not on disk; calling again does not bring it there.
  virtual Result<void> sync_all() = 0;
};

// Joins `path` to the absolute directory `base` unless it is absolute itself, and removes ".",
// "..", empty components and trailing slashes; ".." above the root stays at the root.
std::string normalize_path(std::string_view base, std::string_view path);

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_FILESYSTEM_H_
