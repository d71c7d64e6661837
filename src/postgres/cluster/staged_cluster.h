// A cluster in the making: files written into a directory that nobody uses yet.
#ifndef PGLITE_POSTGRES_CLUSTER_STAGED_CLUSTER_H_
#define PGLITE_POSTGRES_CLUSTER_STAGED_CLUSTER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "pglite/status.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

class StagedCluster {
 public:
  // Puts at most buffer.size() bytes of a file into `buffer` and their number into `*count`.
  using Content = std::function<Status(std::span<std::byte> buffer, size_t* count)>;

  // `path` is an existing empty directory of `files`, which must outlive this. `shown_path` stands
  // for it in messages.
  StagedCluster(vfs::FileSystem& files, std::string path, std::string shown_path)
      : files_(files), path_(std::move(path)), shown_path_(std::move(shown_path)) {}

  // `name` is relative, with components other than "", "." and "..". Its parent must be there.
  // `permissions` are subject to the umask of the process on the host.
  Status make_directory(const std::string& name, uint32_t permissions);
  // As make_directory for it and every parent that is missing; no error when it is there.
  Status make_directories(const std::string& name, uint32_t permissions);
  // A new file of `size` bytes. Blocks of zeros become holes, except in WAL segments: PostgreSQL
  // allocates those in advance so that a commit never finds the disk full. The file grows, and
  // takes space, only by what `content` has given: `size` may be a lie. kIncompatible: it is there
  // already. Failures of `content` are returned as they are; it must not end early.
  Status write_file(const std::string& name, uint32_t permissions, uint64_t size,
                    const Content& content);

  [[nodiscard]] vfs::FileSystem& files() const { return files_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] Status failed(std::string_view name, const char* what, std::errc error) const;

  vfs::FileSystem& files_;
  std::string path_;
  std::string shown_path_;
  std::set<std::string, std::less<>> made_;  // directories that make_directories() knows of
};

// Copies the directories and files below `directory` (which begins with a slash) of `source`.
// kIoError: something cannot be read or written. kIncompatible: there is something else, a link.
Status copy_tree(vfs::FileSystem& source, const std::string& directory, StagedCluster& target);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_STAGED_CLUSTER_H_
