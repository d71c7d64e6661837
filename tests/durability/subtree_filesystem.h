// Makes a directory of a file system a file system of its own, as HostFileSystem does with one of
// the host.
#ifndef PGLITE_TESTS_DURABILITY_SUBTREE_FILESYSTEM_H_
#define PGLITE_TESTS_DURABILITY_SUBTREE_FILESYSTEM_H_

#include <memory>
#include <string>
#include <utility>

#include "forwarding_filesystem.h"

namespace pglite::durability {

class SubtreeFileSystem : public ForwardingFileSystem {
 public:
  SubtreeFileSystem(std::shared_ptr<vfs::FileSystem> inner, std::string root)
      : ForwardingFileSystem(std::move(inner)), root_(std::move(root)) {}

  Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                          uint32_t permissions) override {
    return inner().open(at(path), flags, permissions);
  }
  Result<vfs::Metadata> metadata(std::string_view path, bool follow) override {
    return inner().metadata(at(path), follow);
  }
  Result<void> make_directory(std::string_view path, uint32_t permissions) override {
    return inner().make_directory(at(path), permissions);
  }
  Result<void> remove_file(std::string_view path) override { return inner().remove_file(at(path)); }
  Result<void> remove_directory(std::string_view path) override {
    return inner().remove_directory(at(path));
  }
  Result<void> rename(std::string_view from, std::string_view to) override {
    return inner().rename(at(from), at(to));
  }
  Result<void> truncate(std::string_view path, uint64_t size) override {
    return inner().truncate(at(path), size);
  }

 private:
  [[nodiscard]] std::string at(std::string_view path) const {
    return path == "/" ? root_ : root_ + std::string(path);
  }

  std::string root_;
};

}  // namespace pglite::durability

#endif  // PGLITE_TESTS_DURABILITY_SUBTREE_FILESYSTEM_H_
