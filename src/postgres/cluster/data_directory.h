// A data directory on the host: checking it, owning it, making it. What happens to the files in it
// is staging.h's.
#ifndef PGLITE_POSTGRES_CLUSTER_DATA_DIRECTORY_H_
#define PGLITE_POSTGRES_CLUSTER_DATA_DIRECTORY_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "os/unique_fd.h"
#include "pglite/options.h"
#include "pglite/status.h"
#include "postgres/cluster/staging.h"
#include "vfs/host_filesystem.h"

namespace pglite::postgres {

// The path of a data directory that must be one of the host: a path or file://PATH, in which %XX
// stands for a byte. kInvalidArgument for others.
Status host_path(std::string_view data_dir, std::string* path);

// What a durability means for the files of a directory.
vfs::SyncPolicy sync_policy_of(Durability durability);

class DataDirectory {
 public:
  // Takes the directory `path`, making it where it is missing, and a cluster in it where it is
  // empty: a copy of `cluster_image`, with an identity of its own. `unfinished`: a new cluster
  // stays new, for later opens as well, until finish(). It stays ours until the object goes: a lock
  // on the directory itself, which the kernel drops with the process. What was locked is what is
  // used from then on, whatever happens to `path`. kInUse: another process has it. kIncompatible:
  // it holds something else, or another major version's cluster; nothing was touched. kIoError: it
  // cannot be read, written or made, or, with SyncPolicy::kSync, not be made durable.
  static Status open(const std::string& path, vfs::SyncPolicy durability,
                     std::span<const std::byte> cluster_image, bool unfinished,
                     std::unique_ptr<DataDirectory>* out);
  // Takes a directory that holds a cluster. Failures as open(), also: kIoError, it is missing;
  // kIncompatible, it is empty.
  static Status open_existing(const std::string& path, vfs::SyncPolicy durability,
                              std::unique_ptr<DataDirectory>* out);
  // Takes the directory `path`, which must be missing or empty, and has `fill` make a cluster for
  // it. What `fill` makes is checked and then moved into its place: if anything fails, or we die,
  // the directory is missing or empty as it was (or has a staging directory that the next open
  // removes, or moves into place where it was complete). Failures as open(), also: kIncompatible,
  // it is not empty, or what was made is not a cluster of this version.
  static Status create(const std::string& path, vfs::SyncPolicy durability,
                       const Staging::Fill& fill, std::unique_ptr<DataDirectory>* out);

  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  [[nodiscard]] std::shared_ptr<vfs::HostFileSystem> filesystem() const { return filesystem_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // True when open() copied the cluster from the image, or finished that copy, or when it is
  // unfinished.
  [[nodiscard]] bool is_new() const { return is_new_; }
  // The directory that this one is in, as a file system. kIoError.
  Status open_parent(std::unique_ptr<vfs::HostFileSystem>* out) const;
  // Writes all of it to disk at once, where recovery will want it there. `*synced` is false where
  // that is not known to have been done: the cluster was shut down, durability does not ask for it,
  // or the host's file system does not promise it. kIoError.
  Status sync_before_recovery(bool* synced);
  // It is not new any more. kIoError.
  Status finish();

 private:
  explicit DataDirectory(std::string path, vfs::SyncPolicy durability)
      : path_(std::move(path)), durability_(durability) {}
  [[nodiscard]] Status failed(std::string_view what, int error) const;
  Status make();
  // Undoes make(), where the directory is empty and still the one that was made.
  void unmake();
  // Opens and locks it, and opens its files by the descriptor that is locked.
  Status lock();
  // What is there, after whatever was interrupted has been cleared away.
  Status settle(Staging::Content* content);
  // kInUse: a server of the host's, which does not know our lock, runs on it. Removes the lock file
  // of one that does not run.
  Status check_server();
  Status make_cluster(Staging::Kind kind, const Staging::Fill& fill);
  // Makes the directory's own name durable.
  [[nodiscard]] Status sync_name() const;

  std::string path_;
  vfs::SyncPolicy durability_;
  bool was_made_ = false;  // by make()
  os::UniqueFd lock_;
  std::shared_ptr<vfs::HostFileSystem> filesystem_;
  bool is_new_ = false;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_DATA_DIRECTORY_H_
