// One directory of the host as a guest file system: persistent databases.
//
// Confinement: the directory is opened once, and every guest path is resolved beneath that
// descriptor (os/beneath.h). A path that leads out of it fails with EACCES. Bind mounts inside the
// directory are followed: the host's administrator put them there.
//
// Only files and directories are opened: EACCES for a FIFO or a device, without waiting for its
// other end. A guest makes no absolute links (EPERM), which it could not follow.
//
// Modes are enforced by the host's kernel for our user, and the process's umask applies to what is
// created; set-user-ID and its like are left out.
// A write over RLIMIT_FSIZE raises SIGXFSZ in the process, which must ignore it to get EFBIG.
//
// No state but descriptors: usable after fork. Opened files may outlive the file system.
#ifndef PGLITE_VFS_HOST_FILESYSTEM_H_
#define PGLITE_VFS_HOST_FILESYSTEM_H_

#include <memory>
#include <string>
#include <string_view>

#include "os/beneath.h"
#include "os/unique_fd.h"
#include "vfs/filesystem.h"

namespace pglite::vfs {

// Whether File::sync and sync_data reach the disk (fsync, fdatasync) or succeed without a system
// call. Created, renamed and removed entries are durable once the directory was opened and synced,
// as on any POSIX file system; PostgreSQL does so.
enum class SyncPolicy { kSync, kIgnore };

class HostFileSystem : public FileSystem {
 public:
  using Resolver = os::Beneath::Resolver;

  // ENOENT, ENOTDIR, EACCES as open(2). `host_path` itself may be or contain symbolic links.
  static Result<std::unique_ptr<HostFileSystem>> open(const std::string& host_path,
                                                      SyncPolicy durability = SyncPolicy::kSync,
                                                      Resolver resolver = Resolver::kAutomatic);
  // The directory that was opened as `directory`, whatever its path is by now. ENOTDIR: it is none.
  // sync_all() reports the writes that have failed since it was opened.
  static Result<std::unique_ptr<HostFileSystem>> open(os::UniqueFd directory,
                                                      SyncPolicy durability = SyncPolicy::kSync,
                                                      Resolver resolver = Resolver::kAutomatic);

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
  Result<void> sync_all() override;

  // True when the system resolves paths, false for the walk.
  [[nodiscard]] bool resolved_by_system() const { return beneath_.resolved_by_system(); }
  // The root's descriptor (the one it was made from), owned by this.
  [[nodiscard]] int root_descriptor() const { return beneath_.directory(); }

 private:
  HostFileSystem(os::Beneath beneath, SyncPolicy durability)
      : beneath_(std::move(beneath)), durability_(durability) {}

  os::Beneath beneath_;
  SyncPolicy durability_;
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_HOST_FILESYSTEM_H_
