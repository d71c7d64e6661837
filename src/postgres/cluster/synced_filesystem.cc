#include "postgres/cluster/synced_filesystem.h"

#include <utility>

namespace pglite::postgres {

using vfs::Result;

class SyncedFile : public vfs::File {
 public:
  SyncedFile(std::unique_ptr<vfs::File> inner, std::shared_ptr<SyncedFileSystem::Changes> changes,
             bool changed)
      : inner_(std::move(inner)), changes_(std::move(changes)) {
    if (!changes_->known) return;
    if (const auto metadata = inner_->metadata()) {
      inode_ = metadata->inode;
      is_known_ = metadata->device == changes_->device;
    }
    if (changed) change();
  }

  Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) override {
    return inner_->read(buffer, offset);
  }
  Result<size_t> read_at_once(std::span<std::byte> buffer, uint64_t offset) override {
    return inner_->read_at_once(buffer, offset);
  }
  Result<size_t> write(std::span<const std::byte> data, uint64_t offset) override {
    change();
    return inner_->write(data, offset);
  }
  Result<void> truncate(uint64_t size) override {
    change();
    return inner_->truncate(size);
  }
  Result<void> allocate(uint64_t offset, uint64_t length) override {
    change();
    return inner_->allocate(offset, length);
  }
  Result<void> sync() override { return unchanged() ? Result<void>() : inner_->sync(); }
  Result<void> sync_data() override { return unchanged() ? Result<void>() : inner_->sync_data(); }
  Result<vfs::Metadata> metadata() override { return inner_->metadata(); }
  Result<void> change_mode(uint32_t permissions) override {
    change();
    return inner_->change_mode(permissions);
  }
  Result<std::vector<vfs::DirectoryEntry>> entries() override { return inner_->entries(); }
  [[nodiscard]] bool seekable() const override { return inner_->seekable(); }

 private:
  void change() {
    if (changes_->known) changes_->inodes.insert(inode_);
  }
  [[nodiscard]] bool unchanged() const {
    return changes_->known && is_known_ && !changes_->inodes.contains(inode_);
  }

  std::unique_ptr<vfs::File> inner_;
  std::shared_ptr<SyncedFileSystem::Changes> changes_;
  uint64_t inode_ = 0;
  bool is_known_ = false;
};

SyncedFileSystem::SyncedFileSystem(std::shared_ptr<vfs::FileSystem> inner)
    : inner_(std::move(inner)), changes_(std::make_shared<Changes>()) {
  const auto root = inner_->metadata("/", true);
  changes_->known = root.has_value();
  if (root) changes_->device = root->device;
}

void SyncedFileSystem::forget() {
  changes_->known = false;
  changes_->inodes.clear();
}

void SyncedFileSystem::change_one(std::string_view path) {
  const auto metadata = inner_->metadata(path, true);
  if (metadata) {
    changes_->inodes.insert(metadata->inode);
  } else if (metadata.error() != std::errc::no_such_file_or_directory) {
    forget();
  }
}

void SyncedFileSystem::change(std::string_view path) {
  if (!changes_->known) return;
  change_one(path);
  const size_t slash = path.rfind('/');
  if (changes_->known) change_one(slash == 0 ? "/" : path.substr(0, slash));
}

Result<std::unique_ptr<vfs::File>> SyncedFileSystem::open(std::string_view path,
                                                          vfs::OpenFlags flags,
                                                          uint32_t permissions) {
  const bool changes = flags.create || flags.truncate;
  if (changes) change(path);
  auto file = inner_->open(path, flags, permissions);
  if (!file) return file;
  return std::make_unique<SyncedFile>(std::move(*file), changes_, changes);
}

Result<vfs::Metadata> SyncedFileSystem::metadata(std::string_view path, bool follow) {
  return inner_->metadata(path, follow);
}
Result<void> SyncedFileSystem::make_directory(std::string_view path, uint32_t permissions) {
  auto made = inner_->make_directory(path, permissions);
  change(path);
  return made;
}
Result<void> SyncedFileSystem::remove_file(std::string_view path) {
  change(path);
  return inner_->remove_file(path);
}
Result<void> SyncedFileSystem::remove_directory(std::string_view path) {
  change(path);
  return inner_->remove_directory(path);
}
Result<void> SyncedFileSystem::rename(std::string_view from, std::string_view to) {
  change(from);
  change(to);
  return inner_->rename(from, to);
}
Result<void> SyncedFileSystem::make_symbolic_link(std::string_view target, std::string_view path) {
  change(path);
  return inner_->make_symbolic_link(target, path);
}
Result<std::string> SyncedFileSystem::read_symbolic_link(std::string_view path) {
  return inner_->read_symbolic_link(path);
}
Result<void> SyncedFileSystem::make_hard_link(std::string_view from, std::string_view to) {
  change(from);
  change(to);
  return inner_->make_hard_link(from, to);
}
Result<void> SyncedFileSystem::change_mode(std::string_view path, uint32_t permissions,
                                           bool follow) {
  change(path);
  return inner_->change_mode(path, permissions, follow);
}
Result<void> SyncedFileSystem::set_times(std::string_view path, std::optional<timespec> access,
                                         std::optional<timespec> modification, bool follow) {
  change(path);
  return inner_->set_times(path, access, modification, follow);
}
Result<void> SyncedFileSystem::truncate(std::string_view path, uint64_t size) {
  change(path);
  return inner_->truncate(path, size);
}
Result<vfs::Statistics> SyncedFileSystem::statistics(std::string_view path) {
  return inner_->statistics(path);
}

}  // namespace pglite::postgres
