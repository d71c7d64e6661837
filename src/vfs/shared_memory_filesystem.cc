#include "vfs/shared_memory_filesystem.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <new>
#include <vector>

#include "os/anonymous_file.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/unique_fd.h"

namespace pglite::vfs {

// A file, or the root.
struct SharedMemoryFileSystem::Node {
  uint64_t device_id = 0;
  uint64_t inode = 0;
  uint32_t mode = 0;
  uint32_t link_count = 1;
  timespec access_time{};
  timespec modification_time{};
  timespec change_time{};
  Nodes entries;  // of the root

  os::UniqueFd fd;    // of a file
  uint64_t size = 0;  // what the guest has made it
  uint64_t held = 0;  // how long the system's file is: whole pages, and never fewer than before

  [[nodiscard]] bool is_directory() const { return S_ISDIR(mode); }
  void touch_modified() {
    change_time = os::wall_clock();
    modification_time = change_time;
  }
};

namespace {

using Node = SharedMemoryFileSystem::Node;

// Linux's limits.
constexpr size_t kMaximumName = 255;
constexpr size_t kMaximumPath = 4095;
constexpr uint64_t kMaximumOffset = std::numeric_limits<int64_t>::max();
constexpr uint32_t kPermissions = 07777;

// A signal that interrupts the system while it reserves memory undoes all of it. Guests get signals
// every few milliseconds, and so much is done in less.
constexpr uint64_t kReservationStep = uint64_t{1} << 20;

constexpr uint64_t whole_pages(uint64_t size) {
  constexpr uint64_t kPage = SharedMemoryFileSystem::kPageSize;
  return (size + kPage - 1) / kPage * kPage;
}

// Strings and maps throw when memory runs out; callers get ENOSPC.
template <class Operation>
auto guarded(Operation operation) -> decltype(operation()) {
  try {
    return operation();
  } catch (const std::bad_alloc&) {
    return error(std::errc::no_space_on_device);
  }
}

Result<void> set_length(const Node& node, uint64_t length) {
  return os::done(
      os::retry([&] { return ::ftruncate(node.fd.get(), static_cast<off_t>(length)); }));
}

// Calls `transfer(bytes, offset)`, which is pread or pwrite, until all of `bytes` is done or the
// file ends.
template <class Byte, class Transfer>
Result<size_t> transfer_all(std::span<Byte> bytes, uint64_t offset, Transfer transfer) {
  size_t done = 0;
  while (done < bytes.size()) {
    const auto count = os::retry([&] {
      return transfer(bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    });
    if (!count && done == 0) return error(count.error());
    if (!count || *count == 0) break;
    done += static_cast<size_t>(*count);
  }
  return done;
}

Result<size_t> write_bytes(const Node& node, std::span<const std::byte> bytes, uint64_t offset) {
  return transfer_all(bytes, offset, [&](const std::byte* from, size_t size, off_t at) {
    return ::pwrite(node.fd.get(), from, size, at);
  });
}

// The memory of [begin, end), which becomes the end of the file. Where there is not
// enough of it, the file stays as long as it was.
Result<void> reserve(Node& node, uint64_t begin, uint64_t end) {
  for (uint64_t at = begin; at < end; at += kReservationStep) {
    const auto reserved = os::allocate(node.fd.get(), at, std::min(kReservationStep, end - at));
    if (reserved) continue;
    (void)set_length(node, node.held);
    return reserved;
  }
  node.held = std::max(node.held, end);
  return {};
}

Result<void> resize(Node& node, uint64_t size) {
  if (size > kMaximumOffset) return error(std::errc::invalid_argument);
  if (size > SharedMemoryFileSystem::kMaximumSize) return error(std::errc::file_too_large);
  const uint64_t kept = std::min(size, node.size);
  if (kept != node.held) {
    // The system takes back what is behind the end: who has mapped it may have written there. The
    // maps keep their length.
    if (auto done = set_length(node, kept); !done) return done;
    if (auto done = set_length(node, node.held); !done) return done;
  }
  if (size > kept) {
    // From there on: the system's pages are smaller, and of the last page it has taken some back.
    if (auto done = reserve(node, kept, whole_pages(size)); !done) return done;
  }
  node.size = size;
  node.touch_modified();
  return {};
}

Metadata describe(const Node& node) {
  Metadata result;
  result.device = node.device_id;
  result.inode = node.inode;
  result.mode = node.mode;
  result.link_count = node.link_count;
  result.size = node.is_directory() ? SharedMemoryFileSystem::kPageSize : node.size;
  result.block_size = SharedMemoryFileSystem::kPageSize;
  result.blocks = node.is_directory() ? 0 : whole_pages(node.size) / 512;
  result.access_time = node.access_time;
  result.modification_time = node.modification_time;
  result.change_time = node.change_time;
  return result;
}

void set_permissions(Node& node, uint32_t permissions) {
  node.mode = (node.mode & S_IFMT) | (permissions & kPermissions);
  node.change_time = os::wall_clock();
}

class Handle : public File {
 public:
  Handle(std::shared_ptr<Node> node, OpenFlags flags)
      : node_(std::move(node)), readable_(flags.read || !flags.write), writable_(flags.write) {}

  Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) override {
    if (node_->is_directory()) return error(std::errc::is_a_directory);
    if (!readable_) return error(std::errc::bad_file_descriptor);
    if (offset > kMaximumOffset) return error(std::errc::invalid_argument);
    if (offset >= node_->size) return 0;
    const auto wanted = buffer.first(std::min<uint64_t>(buffer.size(), node_->size - offset));
    return transfer_all(wanted, offset, [&](std::byte* to, size_t size, off_t at) {
      return ::pread(node_->fd.get(), to, size, at);
    });
  }
  Result<size_t> write(std::span<const std::byte> data, uint64_t offset) override {
    if (!writable_) return error(std::errc::bad_file_descriptor);
    if (offset > kMaximumOffset) return error(std::errc::invalid_argument);
    if (data.empty()) return 0;
    constexpr uint64_t kMaximum = SharedMemoryFileSystem::kMaximumSize;
    if (offset > kMaximum || data.size() > kMaximum - offset) {
      return error(std::errc::file_too_large);
    }
    const uint64_t end = offset + data.size();
    if (end > node_->size) {
      if (auto grown = resize(*node_, end); !grown) return error(grown.error());
    }
    node_->touch_modified();
    return write_bytes(*node_, data, offset);
  }
  Result<void> truncate(uint64_t size) override {
    if (!writable_) return error(std::errc::invalid_argument);
    return resize(*node_, size);
  }
  Result<void> allocate(uint64_t offset, uint64_t length) override {
    if (!writable_) return error(std::errc::bad_file_descriptor);
    if (length == 0 || offset > kMaximumOffset || length > kMaximumOffset - offset) {
      return error(std::errc::invalid_argument);
    }
    return offset + length <= node_->size ? Result<void>() : resize(*node_, offset + length);
  }
  Result<void> sync() override { return {}; }
  Result<void> sync_data() override { return {}; }
  Result<Metadata> metadata() override { return describe(*node_); }
  Result<void> change_mode(uint32_t permissions) override {
    set_permissions(*node_, permissions);
    return {};
  }
  Result<std::vector<DirectoryEntry>> entries() override {
    if (!node_->is_directory()) return error(std::errc::not_a_directory);
    return guarded([&]() -> Result<std::vector<DirectoryEntry>> {
      std::vector<DirectoryEntry> result;
      result.reserve(node_->entries.size());
      for (const auto& [name, node] : node_->entries) {
        result.push_back({.name = name, .inode = node->inode, .mode = node->mode & S_IFMT});
      }
      return result;
    });
  }
  [[nodiscard]] int mappable_descriptor() const override { return node_->fd.get(); }

 private:
  std::shared_ptr<Node> node_;
  bool readable_;
  bool writable_;
};

}  // namespace

SharedMemoryFileSystem::SharedMemoryFileSystem(uint64_t device_id)
    : device_id_(device_id), root_(std::make_shared<Node>()) {
  root_->device_id = device_id_;
  root_->inode = next_inode_++;
  root_->mode = S_IFDIR | 0777;
  root_->link_count = 2;
  root_->touch_modified();
  root_->access_time = root_->change_time;
}

SharedMemoryFileSystem::~SharedMemoryFileSystem() = default;

Result<std::shared_ptr<Node>> SharedMemoryFileSystem::find(std::string_view path) const {
  if (path.empty()) return error(std::errc::no_such_file_or_directory);
  if (path.size() > kMaximumPath) return error(std::errc::filename_too_long);
  if (path == "/") return root_;
  const std::string_view name = path.substr(1, path.find('/', 1) - 1);
  const bool is_last = name.size() + 1 == path.size();
  if (name.size() > kMaximumName) return error(std::errc::filename_too_long);
  const auto entry = root_->entries.find(name);
  if (entry == root_->entries.end()) return error(std::errc::no_such_file_or_directory);
  if (!is_last) return error(std::errc::not_a_directory);
  return entry->second;
}

Result<std::shared_ptr<Node>> SharedMemoryFileSystem::make_file(std::string_view name,
                                                                uint32_t permissions) {
  auto fd = os::make_anonymous_file("pglite-port-shared");
  if (!fd) {
    const bool no_memory = fd.error() == std::errc::not_enough_memory;
    return error(no_memory ? std::errc::no_space_on_device : fd.error());
  }
  auto node = std::make_shared<Node>();
  node->device_id = device_id_;
  node->inode = next_inode_++;
  node->mode = S_IFREG | (permissions & kPermissions);
  node->fd = std::move(*fd);
  node->touch_modified();
  node->access_time = node->change_time;
  root_->entries.emplace(name, node);
  root_->touch_modified();
  return node;
}

Result<std::unique_ptr<File>> SharedMemoryFileSystem::open(std::string_view path, OpenFlags flags,
                                                           uint32_t permissions) {
  return guarded([&]() -> Result<std::unique_ptr<File>> {
    if (flags.create && flags.directory) return error(std::errc::invalid_argument);
    auto found = find(path);
    const bool is_new = !found && found.error() == std::errc::no_such_file_or_directory &&
                        flags.create && path.rfind('/') == 0;
    if (found && flags.create && flags.exclusive) return error(std::errc::file_exists);
    if (is_new) found = make_file(path.substr(1), permissions);
    if (!found) return error(found.error());
    Node& node = **found;
    if (node.is_directory() && (flags.write || flags.create || flags.truncate)) {
      return error(std::errc::is_a_directory);
    }
    if (!node.is_directory() && flags.directory) return error(std::errc::not_a_directory);
    if (flags.truncate && !is_new) {
      if (auto done = resize(node, 0); !done) return error(done.error());
    }
    return std::make_unique<Handle>(*found, flags);
  });
}

Result<Metadata> SharedMemoryFileSystem::metadata(std::string_view path, bool /*follow*/) {
  const auto found = find(path);
  if (!found) return error(found.error());
  return describe(**found);
}

Result<void> SharedMemoryFileSystem::refuse_to_make(std::string_view path) const {
  const auto found = find(path);
  if (found) return error(std::errc::file_exists);
  const bool is_free =
      found.error() == std::errc::no_such_file_or_directory && path.rfind('/') == 0;
  return error(is_free ? std::errc::operation_not_permitted : found.error());
}

Result<void> SharedMemoryFileSystem::make_directory(std::string_view path,
                                                    uint32_t /*permissions*/) {
  return refuse_to_make(path);
}

Result<void> SharedMemoryFileSystem::remove_file(std::string_view path) {
  const auto found = find(path);
  if (!found) return error(found.error());
  if ((*found)->is_directory()) return error(std::errc::is_a_directory);
  (*found)->link_count = 0;
  (*found)->change_time = os::wall_clock();
  root_->entries.erase(root_->entries.find(path.substr(1)));
  root_->touch_modified();
  return {};
}

Result<void> SharedMemoryFileSystem::remove_directory(std::string_view path) {
  const auto found = find(path);
  if (!found) return error(found.error());
  return error((*found)->is_directory() ? std::errc::device_or_resource_busy
                                        : std::errc::not_a_directory);
}

Result<void> SharedMemoryFileSystem::rename(std::string_view from, std::string_view to) {
  const auto source = find(from);
  if (!source) return error(source.error());
  const auto target = find(to);
  const bool has_root = (*source)->is_directory() || (target && (*target)->is_directory());
  return error(has_root ? std::errc::device_or_resource_busy : std::errc::operation_not_permitted);
}

Result<void> SharedMemoryFileSystem::make_symbolic_link(std::string_view target,
                                                        std::string_view path) {
  if (target.empty()) return error(std::errc::no_such_file_or_directory);
  if (target.size() > kMaximumPath) return error(std::errc::filename_too_long);
  return refuse_to_make(path);
}

Result<std::string> SharedMemoryFileSystem::read_symbolic_link(std::string_view path) {
  const auto found = find(path);
  return error(found ? std::errc::invalid_argument : found.error());
}

Result<void> SharedMemoryFileSystem::make_hard_link(std::string_view from, std::string_view to) {
  const auto source = find(from);
  if (!source) return error(source.error());
  return refuse_to_make(to);
}

Result<void> SharedMemoryFileSystem::change_mode(std::string_view path, uint32_t permissions,
                                                 bool /*follow*/) {
  const auto found = find(path);
  if (!found) return error(found.error());
  set_permissions(**found, permissions);
  return {};
}

Result<void> SharedMemoryFileSystem::set_times(std::string_view path,
                                               std::optional<timespec> access,
                                               std::optional<timespec> modification,
                                               bool /*follow*/) {
  for (const auto& time : {access, modification}) {
    if (time && (time->tv_nsec < 0 || time->tv_nsec >= 1'000'000'000)) {
      return error(std::errc::invalid_argument);
    }
  }
  const auto found = find(path);
  if (!found) return error(found.error());
  Node& node = **found;
  if (access) node.access_time = *access;
  if (modification) node.modification_time = *modification;
  if (access || modification) node.change_time = os::wall_clock();
  return {};
}

Result<void> SharedMemoryFileSystem::truncate(std::string_view path, uint64_t size) {
  const auto found = find(path);
  if (!found) return error(found.error());
  if ((*found)->is_directory()) return error(std::errc::is_a_directory);
  return resize(**found, size);
}

Result<Statistics> SharedMemoryFileSystem::statistics(std::string_view path) {
  const auto found = find(path);
  if (!found) return error(found.error());
  Statistics result;
  result.block_size = kPageSize;
  result.blocks = result.blocks_free = kMaximumSize / kPageSize;
  result.files = std::numeric_limits<uint32_t>::max();
  result.files_free = result.files - root_->entries.size();
  return result;
}

}  // namespace pglite::vfs
