// A file system whose files are known to be on disk: syncing what was not changed since costs
// nothing.
//
// Before PostgreSQL recovers it syncs every file of the data directory, one after the other
// (SyncDataDirectory), because a server that died may have left writes in the kernel's cache. Where
// the host can write all of a file system at once (vfs::FileSystem::sync_all), one call does the
// same for all of them: PostgreSQL has a setting for that (recovery_init_sync_method), but PGlite's
// build has not. So the host makes that call, and this layer leaves out what PostgreSQL asks for
// after it.
#ifndef PGLITE_POSTGRES_CLUSTER_SYNCED_FILESYSTEM_H_
#define PGLITE_POSTGRES_CLUSTER_SYNCED_FILESYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include "vfs/filesystem.h"

namespace pglite::postgres {

class SyncedFileSystem : public vfs::FileSystem {
 public:
  // `inner` was synced, and nobody else changes it. Files on other devices than its root are not
  // taken to be (another file system may be mounted below it).
  explicit SyncedFileSystem(std::shared_ptr<vfs::FileSystem> inner);

  // From here on every sync reaches the inner file system.
  void forget();

  vfs::Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                               uint32_t permissions) override;
  vfs::Result<vfs::Metadata> metadata(std::string_view path, bool follow) override;
  vfs::Result<void> make_directory(std::string_view path, uint32_t permissions) override;
  vfs::Result<void> remove_file(std::string_view path) override;
  vfs::Result<void> remove_directory(std::string_view path) override;
  vfs::Result<void> rename(std::string_view from, std::string_view to) override;
  vfs::Result<void> make_symbolic_link(std::string_view target, std::string_view path) override;
  vfs::Result<std::string> read_symbolic_link(std::string_view path) override;
  vfs::Result<void> make_hard_link(std::string_view from, std::string_view to) override;
  vfs::Result<void> change_mode(std::string_view path, uint32_t permissions, bool follow) override;
  vfs::Result<void> set_times(std::string_view path, std::optional<timespec> access,
                              std::optional<timespec> modification, bool follow) override;
  vfs::Result<void> truncate(std::string_view path, uint64_t size) override;
  vfs::Result<vfs::Statistics> statistics(std::string_view path) override;
  vfs::Result<void> sync_all() override { return inner_->sync_all(); }

 private:
  friend class SyncedFile;
  // Shared with opened files.
  struct Changes {
    bool known = true;  // false: anything may have changed
    uint64_t device = 0;
    std::unordered_set<uint64_t> inodes;
  };

  // `path` and the directory it is in are about to change.
  void change(std::string_view path);
  void change_one(std::string_view path);

  std::shared_ptr<vfs::FileSystem> inner_;
  std::shared_ptr<Changes> changes_;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_SYNCED_FILESYSTEM_H_
