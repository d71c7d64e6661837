// A data directory on the host: checking it, owning it, making it.
#ifndef PGLITE_POSTGRES_DATA_DIRECTORY_H_
#define PGLITE_POSTGRES_DATA_DIRECTORY_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "pglite/status.h"
#include "vfs/host_filesystem.h"

namespace pglite::postgres {

class DataDirectory {
 public:
  // Takes the directory `path`, making it where it is missing, and a cluster in it where it is
  // empty: a copy of `cluster_image`, with an identity of its own. It stays ours until the object
  // goes: an flock(2) on the directory itself, which the kernel drops with the process.
  // kInUse: another process has it. kIncompatible: it holds something else, or another major
  // version's cluster; nothing was touched. kIoError: it cannot be read, written or made.
  static Status open(const std::string& path, vfs::Durability durability,
                     std::span<const std::byte> cluster_image, std::unique_ptr<DataDirectory>* out);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  [[nodiscard]] std::shared_ptr<vfs::HostFileSystem> filesystem() const { return filesystem_; }
  // True when the cluster was made by open(), or its making was finished by it.
  [[nodiscard]] bool is_new() const { return is_new_; }

 private:
  DataDirectory() = default;
  Status lock(const std::string& path);
  Status check(const std::string& path, bool* has_cluster);
  Status make_cluster(const std::string& path, vfs::Durability durability,
                      std::span<const std::byte> cluster_image);

  int lock_fd_ = -1;
  std::shared_ptr<vfs::HostFileSystem> filesystem_;
  bool is_new_ = false;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_DATA_DIRECTORY_H_
