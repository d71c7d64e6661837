// A file system in memory: the guest's root, and all of it for memory:// databases.
//
// File contents are 8 KiB pages (paged_content.h). Pages can be borrowed from memory that outlives
// the file system, such as an image linked into the program (image.h), and are copied one by one
// when they are first written. Holes cost nothing.
//
// Modes and owners are stored and reported but not enforced: the guest owns everything here. Access
// times move only by set_times, as on a file system mounted noatime.
//
// Running out of memory, or over the capacity, is ENOSPC; nothing here throws. Not thread-safe.
// Opened files may outlive the file system; opened directories are then empty.
#ifndef PGLITE_VFS_MEMORY_FILESYSTEM_H_
#define PGLITE_VFS_MEMORY_FILESYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "vfs/devices.h"
#include "vfs/filesystem.h"

namespace pglite::vfs {

struct MemoryBudget;
struct MemoryNode;

class MemoryFileSystem : public FileSystem {
 public:
  struct Options {
    // Bytes of file contents this file system may own; borrowed pages and holes are free.
    uint64_t capacity = uint64_t{1} << 40;
    uint64_t device_id = 1;  // st_dev
  };

  MemoryFileSystem() : MemoryFileSystem(Options{}) {}
  explicit MemoryFileSystem(Options options);
  ~MemoryFileSystem() override;
  MemoryFileSystem(const MemoryFileSystem&) = delete;
  MemoryFileSystem& operator=(const MemoryFileSystem&) = delete;

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
  Result<void> sync_all() override { return {}; }

  // Makes a character device node, mode 0666. EEXIST when the name is taken.
  Result<void> add_device(std::string_view path, std::shared_ptr<Device> device);
  // make_directory for `path` and every missing directory above it; no error when it is there.
  Result<void> make_directories(std::string_view path, uint32_t permissions);

  // Bytes of file contents owned now: what counts against the capacity.
  [[nodiscard]] uint64_t owned_bytes() const;

  // For image.cc, which builds and reads whole trees: the node `path` names (links followed), and
  // a new node of that type, mode and the current time that is in no directory yet.
  Result<std::shared_ptr<MemoryNode>> node(std::string_view path);
  std::shared_ptr<MemoryNode> make_node(uint32_t mode);  // may throw std::bad_alloc

 private:
  struct Location;
  Result<Location> locate(std::string_view path, bool follow) const;

  std::shared_ptr<MemoryBudget> budget_;
  uint64_t device_id_;
  uint64_t next_inode_ = 1;
  std::shared_ptr<MemoryNode> root_;
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_MEMORY_FILESYSTEM_H_
