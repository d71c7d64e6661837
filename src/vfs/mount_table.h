// Several file systems as one tree: each path goes to the file system with the longest mounted
// prefix, made relative to it.
//
// Renames and hard links from one file system into another fail with EXDEV; renaming or removing a
// mount point, or renaming a directory above one, with EBUSY. Symbolic links are followed by the
// file system they are in and see only that one: a link with an absolute target in a mounted file
// system, or a link that leads through a mount point, does not cross into the other.
#ifndef PGLITE_VFS_MOUNT_TABLE_H_
#define PGLITE_VFS_MOUNT_TABLE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vfs/filesystem.h"

namespace pglite::vfs {

class MountTable : public FileSystem {
 public:
  explicit MountTable(std::shared_ptr<FileSystem> root);

  // Mounts `filesystem` at `path`. The directory and its parents are made in the file system that
  // has `path` so far, so that it is listed in its parent. EBUSY when `path` is a mount point
  // already (or "/"), ENOTDIR when it is there and no directory.
  Result<void> mount(std::string_view path, std::shared_ptr<FileSystem> filesystem);

  Result<std::unique_ptr<File>> open(std::string_view path, OpenFlags flags,
                                     uint32_t permissions) override;
  Result<Metadata> metadata(std::string_view path, bool follow) override;
  Result<void> make_directory(std::string_view path, uint32_t permissions) override;
  Result<void> remove_file(std::string_view path) override;
  Result<void> remove_directory(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
  Result<void> make_symbolic_link(std::string_view target, std::string_view path) override;
  Result<std::string> read_symbolic_link(std::string_view path) override;
  Result<void> make_hard_link(std::string_view from, std::string_view to) override;
  Result<void> change_mode(std::string_view path, uint32_t permissions, bool follow) override;
  Result<void> set_times(std::string_view path, std::optional<timespec> access,
                         std::optional<timespec> modification, bool follow) override;
  Result<void> truncate(std::string_view path, uint64_t size) override;
  Result<Statistics> statistics(std::string_view path) override;
  // Syncs all of them. Returns the first failure.
  Result<void> sync_all() override;

 private:
  struct Mount {
    std::string path;  // "" for the root, else as "/mnt"
    std::shared_ptr<FileSystem> filesystem;
  };
  struct Target {
    FileSystem* filesystem;
    std::string_view path;  // relative to it; a part of the path asked for
  };

  [[nodiscard]] Target find(std::string_view path) const;
  [[nodiscard]] bool is_mount_point(std::string_view path) const;
  [[nodiscard]] bool has_mount_below(std::string_view path) const;

  std::vector<Mount> mounts_;  // longest path first; the last is the root
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_MOUNT_TABLE_H_
