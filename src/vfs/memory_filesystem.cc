#include "vfs/memory_filesystem.h"

#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <new>
#include <vector>

#include "vfs/memory_node.h"

namespace pglite::vfs {

namespace {

// Linux's limits, so that a guest meets the same ones in memory as on the host.
constexpr int kMaximumLinks = 40;
constexpr size_t kMaximumName = 255;
constexpr size_t kMaximumPath = 4095;
constexpr uint64_t kMaximumOffset = std::numeric_limits<int64_t>::max();
constexpr uint32_t kPermissions = 07777;

// Strings and maps throw when memory runs out; callers get ENOSPC.
template <class Operation>
auto guarded(Operation operation) -> decltype(operation()) {
  try {
    return operation();
  } catch (const std::bad_alloc&) {
    return error(std::errc::no_space_on_device);
  }
}

uint32_t type_of(const MemoryNode& node) {
  return node.mode & S_IFMT;
}

Metadata describe(MemoryNode& node) {
  Metadata result;
  result.device = node.device_id;
  result.inode = node.inode;
  result.mode = node.mode;
  result.link_count = node.link_count;
  result.access_time = node.access_time;
  result.modification_time = node.modification_time;
  result.change_time = node.change_time;
  if (const PagedContent* content = node.content()) {
    result.size = content->size();
    result.blocks = content->page_count() * (PagedContent::kPageSize / 512);
  } else if (const MemorySymbolicLink* link = node.symbolic_link()) {
    result.size = link->target.size();
  } else if (node.directory() != nullptr) {
    result.size = 4096;  // something a caller can allocate by, as on disk file systems
  } else if (const MemoryDevice* device = node.device()) {
    result.device_type = (*device)->device_type();
  }
  return result;
}

void set_permissions(MemoryNode& node, uint32_t permissions) {
  node.mode = type_of(node) | (permissions & kPermissions);
  node.touch_changed();
}

Result<void> truncate_node(MemoryNode& node, uint64_t size) {
  PagedContent* content = node.content();
  if (content == nullptr) {
    return error(node.directory() != nullptr ? std::errc::is_a_directory
                                             : std::errc::invalid_argument);
  }
  if (size > kMaximumOffset) return error(std::errc::invalid_argument);
  if (auto done = content->truncate(size); !done) return done;
  node.touch_modified();
  return {};
}

// What all open objects have in common.
class Handle : public File {
 public:
  Handle(std::shared_ptr<MemoryNode> node, OpenFlags flags)
      : node_(std::move(node)), readable_(flags.read || !flags.write), writable_(flags.write) {}

  Result<void> sync() override { return {}; }
  Result<void> sync_data() override { return {}; }
  Result<Metadata> metadata() override { return describe(*node_); }
  Result<void> change_mode(uint32_t permissions) override {
    set_permissions(*node_, permissions);
    return {};
  }
  Result<std::vector<DirectoryEntry>> entries() override {
    return error(std::errc::not_a_directory);
  }

 protected:
  std::shared_ptr<MemoryNode> node_;
  bool readable_;
  bool writable_;
};

class RegularHandle : public Handle {
 public:
  RegularHandle(std::shared_ptr<MemoryNode> node, OpenFlags flags)
      : Handle(std::move(node), flags), content_(*node_->content()) {}

  Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) override {
    if (!readable_) return error(std::errc::bad_file_descriptor);
    if (offset > kMaximumOffset) return error(std::errc::invalid_argument);
    return content_.read(buffer, offset);
  }
  Result<size_t> write(std::span<const std::byte> data, uint64_t offset) override {
    if (!writable_) return error(std::errc::bad_file_descriptor);
    if (offset > kMaximumOffset) return error(std::errc::invalid_argument);
    auto written = content_.write(data, offset);
    if (written && *written > 0) node_->touch_modified();
    return written;
  }
  Result<void> truncate(uint64_t size) override {
    if (!writable_) return error(std::errc::invalid_argument);
    return truncate_node(*node_, size);
  }

 private:
  PagedContent& content_;  // in node_
};

class DirectoryHandle : public Handle {
 public:
  using Handle::Handle;

  Result<size_t> read(std::span<std::byte> /*buffer*/, uint64_t /*offset*/) override {
    return error(std::errc::is_a_directory);
  }
  Result<size_t> write(std::span<const std::byte> /*data*/, uint64_t /*offset*/) override {
    return error(std::errc::bad_file_descriptor);
  }
  Result<void> truncate(uint64_t /*size*/) override { return error(std::errc::invalid_argument); }
  Result<std::vector<DirectoryEntry>> entries() override {
    return guarded([&]() -> Result<std::vector<DirectoryEntry>> {
      std::vector<DirectoryEntry> result;
      const MemoryEntries& entries = node_->entries();
      result.reserve(entries.size());
      for (const auto& [name, node] : entries) {
        result.push_back({.name = name, .inode = node->inode, .mode = type_of(*node)});
      }
      return result;
    });
  }
};

class DeviceHandle : public Handle {
 public:
  DeviceHandle(std::shared_ptr<MemoryNode> node, OpenFlags flags)
      : Handle(std::move(node), flags), device_(**node_->device()) {}

  Result<size_t> read(std::span<std::byte> buffer, uint64_t /*offset*/) override {
    if (!readable_) return error(std::errc::bad_file_descriptor);
    return device_.read(buffer);
  }
  Result<size_t> write(std::span<const std::byte> data, uint64_t /*offset*/) override {
    if (!writable_) return error(std::errc::bad_file_descriptor);
    return device_.write(data);
  }
  Result<void> truncate(uint64_t /*size*/) override { return error(std::errc::invalid_argument); }
  [[nodiscard]] bool seekable() const override { return device_.seekable(); }

 private:
  Device& device_;  // in node_
};

}  // namespace

MemoryEntries& MemoryNode::entries() {
  MemoryDirectory& directory = *this->directory();
  if (directory.unread == nullptr) return directory.entries;
  // Reading is no change of the directory.
  const uint32_t links = link_count;
  const timespec modified = modification_time;
  const timespec changed = change_time;
  std::unique_ptr<const UnreadEntries> unread = std::move(directory.unread);
  const auto restore = [&] {
    link_count = links;
    modification_time = modified;
    change_time = changed;
  };
  try {
    unread->read_into(*this);
  } catch (...) {
    directory.entries.clear();
    directory.unread = std::move(unread);
    restore();
    throw;
  }
  restore();
  return directory.entries;
}

void MemoryNode::attach(std::string_view name, std::shared_ptr<MemoryNode> child) {
  MemoryNode& node = *child;
  // Where entries come in order, as load_image brings them, the hint saves the search.
  MemoryEntries& all = entries();
  all.emplace_hint(all.end(), name, std::move(child));
  if (MemoryDirectory* below = node.directory()) {
    below->parent = this;
    node.link_count = 2;  // its entry here and its own "."; always new and empty here
    ++link_count;
  } else {
    ++node.link_count;
  }
  touch_modified();
  node.change_time = change_time;
}

void MemoryNode::detach(std::string_view name) {
  MemoryEntries& all = entries();
  const auto entry = all.find(name);
  const std::shared_ptr<MemoryNode> child = std::move(entry->second);
  all.erase(entry);
  if (MemoryDirectory* below = child->directory()) {
    below->parent = nullptr;
    --link_count;
  } else {
    --child->link_count;
  }
  touch_modified();
  child->change_time = change_time;
}

// Where a path leads.
struct MemoryFileSystem::Location {
  MemoryNode* parent = nullptr;      // null when the path ends in the root, "." or ".."
  std::string name;                  // in parent
  std::shared_ptr<MemoryNode> node;  // null when there is no such entry

  Location() = default;
  Location(MemoryNode* in, std::string_view as, std::shared_ptr<MemoryNode> found)
      : parent(in), name(as), node(std::move(found)) {}
};

MemoryFileSystem::MemoryFileSystem(Options options)
    : budget_(std::make_shared<MemoryBudget>()),
      device_id_(options.device_id),
      root_(make_node(S_IFDIR | 0755)) {
  budget_->capacity = options.capacity;
  root_->directory()->parent = root_.get();
  root_->link_count = 2;
}

MemoryFileSystem::~MemoryFileSystem() {
  // The nodes are removed one by one. Nested destructors would recurse as deep as the guest nested
  // its directories, and overflow the stack.
  std::vector<std::shared_ptr<MemoryNode>> pending;
  pending.push_back(std::move(root_));
  while (!pending.empty()) {
    const std::shared_ptr<MemoryNode> node = std::move(pending.back());
    pending.pop_back();
    MemoryDirectory* directory = node->directory();
    if (directory == nullptr) continue;
    directory->parent = nullptr;
    directory->unread.reset();
    for (auto& [name, child] : directory->entries) pending.push_back(std::move(child));
    directory->entries.clear();
  }
}

std::shared_ptr<MemoryNode> MemoryFileSystem::make_node(uint32_t mode) {
  auto node = std::make_shared<MemoryNode>();
  node->device_id = device_id_;
  node->inode = next_inode_++;
  node->mode = mode;
  node->touch_modified();
  node->access_time = node->change_time;
  switch (mode & S_IFMT) {
    case S_IFREG:
      node->body.emplace<PagedContent>(budget_);
      break;
    case S_IFDIR:
      node->body.emplace<MemoryDirectory>();
      break;
    case S_IFLNK:
      node->body.emplace<MemorySymbolicLink>();
      break;
    default:
      node->body.emplace<MemoryDevice>();
      break;
  }
  return node;
}

uint64_t MemoryFileSystem::owned_bytes() const {
  return budget_->used;
}

Result<MemoryFileSystem::Location> MemoryFileSystem::locate(std::string_view path,
                                                            bool follow) const {
  if (path.empty()) return error(std::errc::no_such_file_or_directory);
  if (path.size() > kMaximumPath) return error(std::errc::filename_too_long);

  std::string expanded;  // holds `rest` once a link was followed
  std::string_view rest = path;
  MemoryNode* node = root_.get();
  int links = 0;
  while (true) {
    const size_t begin = rest.find_first_not_of('/');
    if (begin == std::string_view::npos) return Location(nullptr, {}, node->shared_from_this());
    rest.remove_prefix(begin);
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(name.size());
    // A trailing slash, which only a link's target can have here, asks for a directory.
    const bool last = rest.find_first_not_of('/') == std::string_view::npos;
    const bool want_directory = !rest.empty();

    MemoryDirectory* directory = node->directory();
    if (directory == nullptr) return error(std::errc::not_a_directory);
    if (name == ".") continue;
    if (name == "..") {
      node = directory->parent;
      continue;
    }
    if (name.size() > kMaximumName) return error(std::errc::filename_too_long);
    const MemoryEntries& entries = node->entries();
    const auto entry = entries.find(name);
    if (entry == entries.end()) {
      if (last && !want_directory) return Location(node, name, nullptr);
      return error(std::errc::no_such_file_or_directory);
    }
    const std::shared_ptr<MemoryNode>& child = entry->second;
    if (const MemorySymbolicLink* link = child->symbolic_link();
        link != nullptr && (!last || want_directory || follow)) {
      if (++links > kMaximumLinks) return error(std::errc::too_many_symbolic_link_levels);
      if (link->target.starts_with('/')) node = root_.get();
      std::string next = link->target;
      next += rest;
      expanded = std::move(next);
      rest = expanded;
      continue;
    }
    if (last) {
      if (want_directory && child->directory() == nullptr) {
        return error(std::errc::not_a_directory);
      }
      return Location(node, name, child);
    }
    node = child.get();
  }
}

Result<std::shared_ptr<MemoryNode>> MemoryFileSystem::node(std::string_view path) {
  return guarded([&]() -> Result<std::shared_ptr<MemoryNode>> {
    auto found = locate(path, true);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    return found->node;
  });
}

Result<std::unique_ptr<File>> MemoryFileSystem::open(std::string_view path, OpenFlags flags,
                                                     uint32_t permissions) {
  return guarded([&]() -> Result<std::unique_ptr<File>> {
    // As Linux since 6.4; before, it made a regular file and failed.
    if (flags.create && flags.directory) return error(std::errc::invalid_argument);
    const bool exclusive = flags.create && flags.exclusive;
    auto found = locate(path, !flags.no_follow && !exclusive);
    if (!found) return error(found.error());
    if (found->node && exclusive) return error(std::errc::file_exists);
    const bool created = !found->node;
    if (created) {
      if (!flags.create) return error(std::errc::no_such_file_or_directory);
      found->node = make_node(S_IFREG | (permissions & kPermissions));
      found->parent->attach(found->name, found->node);
    }
    MemoryNode& node = *found->node;
    if (flags.directory && node.directory() == nullptr) return error(std::errc::not_a_directory);
    if (node.directory() != nullptr) {
      if (flags.write || flags.create || flags.truncate) return error(std::errc::is_a_directory);
      return std::make_unique<DirectoryHandle>(found->node, flags);
    }
    if (node.symbolic_link() != nullptr) {
      return error(std::errc::too_many_symbolic_link_levels);
    }
    if (node.device() != nullptr) return std::make_unique<DeviceHandle>(found->node, flags);
    if (flags.truncate && !created) {
      if (auto done = truncate_node(node, 0); !done) return error(done.error());
    }
    return std::make_unique<RegularHandle>(found->node, flags);
  });
}

Result<Metadata> MemoryFileSystem::metadata(std::string_view path, bool follow) {
  return guarded([&]() -> Result<Metadata> {
    auto found = locate(path, follow);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    return describe(*found->node);
  });
}

Result<void> MemoryFileSystem::make_directory(std::string_view path, uint32_t permissions) {
  return guarded([&]() -> Result<void> {
    auto found = locate(path, false);
    if (!found) return error(found.error());
    if (found->node) return error(std::errc::file_exists);
    found->parent->attach(found->name, make_node(S_IFDIR | (permissions & kPermissions)));
    return {};
  });
}

Result<void> MemoryFileSystem::make_directories(std::string_view path, uint32_t permissions) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    auto made = make_directory(path.substr(0, end), permissions);
    if (!made && made.error() != std::errc::file_exists) return made;
    if (end == std::string_view::npos) break;
  }
  auto result = metadata(path, true);
  if (!result) return error(result.error());
  if (!S_ISDIR(result->mode)) return error(std::errc::not_a_directory);
  return {};
}

Result<void> MemoryFileSystem::add_device(std::string_view path, std::shared_ptr<Device> device) {
  return guarded([&]() -> Result<void> {
    auto found = locate(path, false);
    if (!found) return error(found.error());
    if (found->node) return error(std::errc::file_exists);
    std::shared_ptr<MemoryNode> node = make_node(S_IFCHR | 0666);
    *node->device() = std::move(device);
    found->parent->attach(found->name, std::move(node));
    return {};
  });
}

Result<void> MemoryFileSystem::remove_file(std::string_view path) {
  return guarded([&]() -> Result<void> {
    auto found = locate(path, false);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    if (found->node->directory() != nullptr) return error(std::errc::is_a_directory);
    found->parent->detach(found->name);
    return {};
  });
}

Result<void> MemoryFileSystem::remove_directory(std::string_view path) {
  return guarded([&]() -> Result<void> {
    auto found = locate(path, false);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    const MemoryDirectory* directory = found->node->directory();
    if (directory == nullptr) return error(std::errc::not_a_directory);
    if (found->parent == nullptr) return error(std::errc::device_or_resource_busy);
    if (!found->node->entries().empty()) return error(std::errc::directory_not_empty);
    found->parent->detach(found->name);
    return {};
  });
}

// The checks and their order are those of Linux's do_renameat2 and vfs_rename.
Result<void> MemoryFileSystem::rename(std::string_view from, std::string_view to) {
  return guarded([&]() -> Result<void> {
    auto source = locate(from, false);
    if (!source) return error(source.error());
    auto target = locate(to, false);
    if (!target) return error(target.error());
    if (source->parent == nullptr || target->parent == nullptr) {
      return error(std::errc::device_or_resource_busy);
    }
    if (!source->node) return error(std::errc::no_such_file_or_directory);

    const auto is_above = [&](const MemoryNode* upper, MemoryNode* node) {
      for (; node != root_.get(); node = node->directory()->parent) {
        if (node == upper) return true;
      }
      return false;
    };
    const bool moves_directory = source->node->directory() != nullptr;
    if (moves_directory && is_above(source->node.get(), target->parent)) {
      return error(std::errc::invalid_argument);
    }
    if (target->node) {
      if (target->node->directory() != nullptr && is_above(target->node.get(), source->parent)) {
        return error(std::errc::directory_not_empty);
      }
      if (source->node == target->node) return {};
      const MemoryDirectory* replaced = target->node->directory();
      if (moves_directory && replaced == nullptr) return error(std::errc::not_a_directory);
      if (!moves_directory && replaced != nullptr) return error(std::errc::is_a_directory);
      if (replaced != nullptr && !target->node->entries().empty()) {
        return error(std::errc::directory_not_empty);
      }
      // The entry is there already, so nothing below needs memory.
      const auto entry = target->parent->entries().find(target->name);
      const std::shared_ptr<MemoryNode> old = std::exchange(entry->second, source->node);
      if (moves_directory) {
        old->directory()->parent = nullptr;
      } else {
        --old->link_count;
      }
      old->touch_changed();
    } else {
      target->parent->entries().emplace(target->name, source->node);
    }
    // The node moved: its own link count stays, and its directories' counts change only by "..".
    MemoryEntries& left = source->parent->entries();
    left.erase(left.find(source->name));
    if (moves_directory) {
      --source->parent->link_count;
      if (!target->node) ++target->parent->link_count;
      source->node->directory()->parent = target->parent;
    }
    source->parent->touch_modified();
    target->parent->touch_modified();
    source->node->touch_changed();
    return {};
  });
}

Result<void> MemoryFileSystem::make_symbolic_link(std::string_view target, std::string_view path) {
  return guarded([&]() -> Result<void> {
    if (target.empty()) return error(std::errc::no_such_file_or_directory);
    if (target.size() > kMaximumPath) return error(std::errc::filename_too_long);
    auto found = locate(path, false);
    if (!found) return error(found.error());
    if (found->node) return error(std::errc::file_exists);
    std::shared_ptr<MemoryNode> node = make_node(S_IFLNK | 0777);
    node->symbolic_link()->target = target;
    found->parent->attach(found->name, std::move(node));
    return {};
  });
}

Result<std::string> MemoryFileSystem::read_symbolic_link(std::string_view path) {
  return guarded([&]() -> Result<std::string> {
    auto found = locate(path, false);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    const MemorySymbolicLink* link = found->node->symbolic_link();
    if (link == nullptr) return error(std::errc::invalid_argument);
    return link->target;
  });
}

Result<void> MemoryFileSystem::make_hard_link(std::string_view from, std::string_view to) {
  return guarded([&]() -> Result<void> {
    auto source = locate(from, false);
    if (!source) return error(source.error());
    if (!source->node) return error(std::errc::no_such_file_or_directory);
    auto target = locate(to, false);
    if (!target) return error(target.error());
    if (target->node) return error(std::errc::file_exists);
    if (source->node->directory() != nullptr) return error(std::errc::operation_not_permitted);
    target->parent->attach(target->name, source->node);
    return {};
  });
}

Result<void> MemoryFileSystem::change_mode(std::string_view path, uint32_t permissions,
                                           bool follow) {
  return guarded([&]() -> Result<void> {
    auto found = locate(path, follow);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    // As Linux: a link has no permissions of its own.
    if (found->node->symbolic_link() != nullptr) {
      return error(std::errc::operation_not_supported);
    }
    set_permissions(*found->node, permissions);
    return {};
  });
}

Result<void> MemoryFileSystem::set_times(std::string_view path, std::optional<timespec> access,
                                         std::optional<timespec> modification, bool follow) {
  return guarded([&]() -> Result<void> {
    for (const auto& time : {access, modification}) {
      if (time && (time->tv_nsec < 0 || time->tv_nsec >= 1'000'000'000)) {
        return error(std::errc::invalid_argument);
      }
    }
    auto found = locate(path, follow);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    MemoryNode& node = *found->node;
    if (access) node.access_time = *access;
    if (modification) node.modification_time = *modification;
    if (access || modification) node.touch_changed();
    return {};
  });
}

Result<void> MemoryFileSystem::truncate(std::string_view path, uint64_t size) {
  return guarded([&]() -> Result<void> {
    auto found = locate(path, true);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    return truncate_node(*found->node, size);
  });
}

Result<Statistics> MemoryFileSystem::statistics(std::string_view path) {
  return guarded([&]() -> Result<Statistics> {
    auto found = locate(path, true);
    if (!found) return error(found.error());
    if (!found->node) return error(std::errc::no_such_file_or_directory);
    Statistics result;
    result.block_size = PagedContent::kPageSize;
    result.blocks = budget_->capacity / PagedContent::kPageSize;
    result.blocks_free = (budget_->capacity - budget_->used) / PagedContent::kPageSize;
    result.files = std::numeric_limits<uint32_t>::max();
    result.files_free = result.files - next_inode_;
    return result;
  });
}

}  // namespace pglite::vfs
