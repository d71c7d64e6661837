// The nodes of a MemoryFileSystem's tree. For memory_filesystem.cc and image.cc only.
#ifndef PGLITE_VFS_MEMORY_NODE_H_
#define PGLITE_VFS_MEMORY_NODE_H_

#include <sys/stat.h>

#include <ctime>
#include <map>
#include <memory>
#include <string>
#include <variant>

#include "os/clock.h"
#include "vfs/devices.h"
#include "vfs/paged_content.h"

namespace pglite::vfs {

struct MemoryNode;

// Ordered by name: a listing has a stable order, and images come out the same every time.
using MemoryEntries = std::map<std::string, std::shared_ptr<MemoryNode>, std::less<>>;

// The entries of a directory that nobody has looked at.
class UnreadEntries {
 public:
  UnreadEntries() = default;
  virtual ~UnreadEntries() = default;
  UnreadEntries(const UnreadEntries&) = delete;
  UnreadEntries& operator=(const UnreadEntries&) = delete;
  // Attaches them to `directory`, which has none. May throw std::bad_alloc, and may then have
  // attached some.
  virtual void read_into(MemoryNode& directory) const = 0;
};

struct MemoryDirectory {
  MemoryEntries entries;  // MemoryNode::entries() gives them
  std::unique_ptr<const UnreadEntries> unread;
  // The directory this one is in; itself for the root. Null once it was removed. Never dangles
  // otherwise: a directory that is not empty cannot be removed.
  MemoryNode* parent = nullptr;
};

struct MemorySymbolicLink {
  std::string target;
};

using MemoryDevice = std::shared_ptr<Device>;

// An inode.
struct MemoryNode : std::enable_shared_from_this<MemoryNode> {
  uint64_t device_id = 0;
  uint64_t inode = 0;
  uint32_t mode = 0;  // type bits and permissions
  uint32_t link_count = 0;
  timespec access_time{};
  timespec modification_time{};
  timespec change_time{};
  std::variant<std::monostate, PagedContent, MemoryDirectory, MemorySymbolicLink, MemoryDevice>
      body;  // as the type bits say

  PagedContent* content() { return std::get_if<PagedContent>(&body); }
  MemoryDirectory* directory() { return std::get_if<MemoryDirectory>(&body); }
  // Of a directory, read if they were not. May throw std::bad_alloc, and then nothing has changed.
  MemoryEntries& entries();
  MemorySymbolicLink* symbolic_link() { return std::get_if<MemorySymbolicLink>(&body); }
  MemoryDevice* device() { return std::get_if<MemoryDevice>(&body); }

  void touch_changed() { change_time = os::wall_clock(); }
  void touch_modified() {
    touch_changed();
    modification_time = change_time;
  }

  // Enters `child` into this directory under a name that is free, with all that hangs on it: link
  // counts, parent, times. May throw std::bad_alloc, then nothing has changed.
  void attach(std::string_view name, std::shared_ptr<MemoryNode> child);
  // Takes the entry `name`, which is there, out of this directory.
  void detach(std::string_view name);
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_MEMORY_NODE_H_
