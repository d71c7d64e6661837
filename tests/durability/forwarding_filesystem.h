// A file system, and an opened file, that hand every call on. The layers of these tests build upon
// them.
#ifndef PGLITE_TESTS_DURABILITY_FORWARDING_FILESYSTEM_H_
#define PGLITE_TESTS_DURABILITY_FORWARDING_FILESYSTEM_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vfs/filesystem.h"

namespace pglite::durability {

using vfs::error;
using vfs::Result;

class ForwardingFile : public vfs::File {
 public:
  explicit ForwardingFile(std::unique_ptr<vfs::File> inner) : inner_(std::move(inner)) {}

  Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) override {
    return inner_->read(buffer, offset);
  }
  Result<size_t> write(std::span<const std::byte> data, uint64_t offset) override {
    return inner_->write(data, offset);
  }
  Result<void> truncate(uint64_t size) override { return inner_->truncate(size); }
  Result<void> sync() override { return inner_->sync(); }
  Result<void> sync_data() override { return inner_->sync_data(); }
  Result<vfs::Metadata> metadata() override { return inner_->metadata(); }
  Result<void> change_mode(uint32_t permissions) override {
    return inner_->change_mode(permissions);
  }
  Result<std::vector<vfs::DirectoryEntry>> entries() override { return inner_->entries(); }
  [[nodiscard]] bool seekable() const override { return inner_->seekable(); }

 private:
  std::unique_ptr<vfs::File> inner_;
};

class ForwardingFileSystem : public vfs::FileSystem {
 public:
  explicit ForwardingFileSystem(std::shared_ptr<vfs::FileSystem> inner)
      : inner_(std::move(inner)) {}

  Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                          uint32_t permissions) override {
    return inner_->open(path, flags, permissions);
  }
  Result<vfs::Metadata> metadata(std::string_view path, bool follow) override {
    return inner_->metadata(path, follow);
  }
  Result<void> make_directory(std::string_view path, uint32_t permissions) override {
    return inner_->make_directory(path, permissions);
  }
  Result<void> remove_file(std::string_view path) override { return inner_->remove_file(path); }
  Result<void> remove_directory(std::string_view path) override {
    return inner_->remove_directory(path);
  }
  Result<void> rename(std::string_view from, std::string_view to) override {
    return inner_->rename(from, to);
  }
  Result<void> make_symbolic_link(std::string_view target, std::string_view path) override {
    return inner_->make_symbolic_link(target, path);
  }
  Result<std::string> read_symbolic_link(std::string_view path) override {
    return inner_->read_symbolic_link(path);
  }
  Result<void> make_hard_link(std::string_view from, std::string_view to) override {
    return inner_->make_hard_link(from, to);
  }
  Result<void> change_mode(std::string_view path, uint32_t permissions, bool follow) override {
    return inner_->change_mode(path, permissions, follow);
  }
  Result<void> set_times(std::string_view path, std::optional<timespec> access,
                         std::optional<timespec> modification, bool follow) override {
    return inner_->set_times(path, access, modification, follow);
  }
  Result<void> truncate(std::string_view path, uint64_t size) override {
    return inner_->truncate(path, size);
  }
  Result<vfs::Statistics> statistics(std::string_view path) override {
    return inner_->statistics(path);
  }
  Result<void> sync_all() override { return inner_->sync_all(); }

 protected:
  vfs::FileSystem& inner() { return *inner_; }

 private:
  std::shared_ptr<vfs::FileSystem> inner_;
};

}  // namespace pglite::durability

#endif  // PGLITE_TESTS_DURABILITY_FORWARDING_FILESYSTEM_H_
