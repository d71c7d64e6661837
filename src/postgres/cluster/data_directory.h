// A data directory on the host: checking it, owning it, making it.
#ifndef PGLITE_POSTGRES_CLUSTER_DATA_DIRECTORY_H_
#define PGLITE_POSTGRES_CLUSTER_DATA_DIRECTORY_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "pglite/options.h"
#include "pglite/status.h"
#include "postgres/cluster/staged_cluster.h"
#include "vfs/host_filesystem.h"

namespace pglite::postgres {

// The path of a data directory that must be one of the host: a path or file://PATH.
// kInvalidArgument for others.
Status host_path(std::string_view data_dir, std::string* path);

// What a durability means for the files of a directory.
vfs::SyncPolicy sync_policy_of(Durability durability);

// In a new cluster until the role and database that were asked for with it are there.
inline constexpr std::string_view kUnfinishedFile = ".pglite-port-unfinished";

class DataDirectory {
 public:
  // Takes the directory `path`, making it where it is missing, and a cluster in it where it is
  // empty: a copy of `cluster_image`, with an identity of its own. `unfinished`: a new cluster
  // stays new, for later opens as well, until finish(). It stays ours until the object goes: an
  // flock(2) on the directory itself, which the kernel drops with the process. kInUse: another
  // process has it. kIncompatible: it holds something else, or another major version's cluster;
  // nothing was touched. kIoError: it cannot be read, written or made.
  static Status open(const std::string& path, vfs::SyncPolicy durability,
                     std::span<const std::byte> cluster_image, bool unfinished,
                     std::unique_ptr<DataDirectory>* out);
  // Takes a directory that holds a cluster. Failures as open(), also: kIoError, it is missing;
  // kIncompatible, it is empty.
  static Status open_existing(const std::string& path, vfs::SyncPolicy durability,
                              std::unique_ptr<DataDirectory>* out);

  // Makes the cluster's files; what it returns, create() returns.
  using Fill = std::function<Status(StagedCluster&)>;
  // Takes the directory `path`, which must be missing or empty, and has `fill` make a cluster for
  // it. What `fill` makes is checked and then moved into its place: if anything fails, or we die,
  // the directory is missing or empty as it was (or has a staging directory that the next open
  // removes). Failures as open(), also: kIncompatible, it is not empty, or what was made is not a
  // cluster of this version.
  static Status create(const std::string& path, vfs::SyncPolicy durability, const Fill& fill,
                       std::unique_ptr<DataDirectory>* out);

  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  [[nodiscard]] std::shared_ptr<vfs::HostFileSystem> filesystem() const { return filesystem_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // True when open() copied the cluster from the image, or finished that copy, or when it is
  // unfinished.
  [[nodiscard]] bool is_new() const { return is_new_; }
  // Writes all of it to disk at once, where recovery will want it there. `*synced` is false where
  // nothing was done: the cluster was shut down, durability does not ask for it, or the host's file
  // system is not known to do that as reliably as fsync(2) of each file.
  Status sync_before_recovery(bool* synced);
  // It is not new any more.
  Status finish();

 private:
  // What a directory holds before anything is done with it.
  enum class Content { kNothing, kCluster };

  explicit DataDirectory(std::string path) : path_(std::move(path)) {}
  Status make();
  Status lock();
  Status check(Content* content);
  // `staging` is the name of the directory that the cluster is made in.
  Status make_cluster(std::string_view staging, vfs::SyncPolicy durability, const Fill& fill);
  // Moves what is in the complete staging directory to its place, PG_VERSION last, and removes it.
  Status finish_staging(std::string_view staging);
  Status open_files(vfs::SyncPolicy durability);

  std::string path_;
  bool was_made_ = false;  // by make()
  int lock_fd_ = -1;
  std::shared_ptr<vfs::HostFileSystem> filesystem_;
  vfs::SyncPolicy durability_ = vfs::SyncPolicy::kSync;
  bool is_new_ = false;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_DATA_DIRECTORY_H_
