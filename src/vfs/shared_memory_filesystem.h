// What /dev/shm is of processes that share memory: a flat directory of files that can be mapped.
//
// Each file is an anonymous one of the system's. It has whole pages, zeros behind its end, and the
// memory of all of them is reserved when it grows: ENOSPC says that there is none, and whoever maps
// the file never finds out by SIGBUS. A file that is cut does not take pages away from those who
// have mapped them: they then read zeros there. What the file system holds goes when the last of
// its names, its open files and the maps of it are gone.
//
// It has files only. What would make a directory, a link or a further name fails with EPERM, as on
// Linux where a file system has none, and so does a rename.
#ifndef PGLITE_VFS_SHARED_MEMORY_FILESYSTEM_H_
#define PGLITE_VFS_SHARED_MEMORY_FILESYSTEM_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "vfs/filesystem.h"

namespace pglite::vfs {

class SharedMemoryFileSystem : public FileSystem {
 public:
  // Files are whole pages of so many bytes: as they are mapped, which is the same on all systems.
  static constexpr uint64_t kPageSize = 65536;
  // EFBIG beyond: no address of a guest reaches further.
  static constexpr uint64_t kMaximumSize = uint64_t{1} << 32;

  // `device_id` is st_dev.
  explicit SharedMemoryFileSystem(uint64_t device_id = 2);
  ~SharedMemoryFileSystem() override;
  SharedMemoryFileSystem(const SharedMemoryFileSystem&) = delete;
  SharedMemoryFileSystem& operator=(const SharedMemoryFileSystem&) = delete;

  // A new file needs a descriptor of the system's: EMFILE, ENFILE.
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
  // Nobody knows how much memory the system would give: it has as much space as files can be large.
  Result<Statistics> statistics(std::string_view path) override;
  Result<void> sync_all() override { return {}; }

  struct Node;
  using Nodes = std::map<std::string, std::shared_ptr<Node>, std::less<>>;

 private:
  // The root is the only directory. ENOENT: nothing is called `path`.
  [[nodiscard]] Result<std::shared_ptr<Node>> find(std::string_view path) const;
  // EEXIST where something is called `path`, else EPERM: nothing but files can be made.
  [[nodiscard]] Result<void> refuse_to_make(std::string_view path) const;
  Result<std::shared_ptr<Node>> make_file(std::string_view name, uint32_t permissions);

  uint64_t device_id_;
  uint64_t next_inode_ = 1;
  std::shared_ptr<Node> root_;
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_SHARED_MEMORY_FILESYSTEM_H_
