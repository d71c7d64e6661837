#include "vfs/host_filesystem.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <limits>
#include <new>

#include "os/filesystem_sync.h"

// Linux 6.6; Debian 12's headers are older than kernels it runs on. The number is the same on every
// architecture.
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace pglite::vfs {

namespace {

// A guest gets no set-user-ID, set-group-ID or sticky bits: the files are ours, and what runs as
// us, or as root, is not for it to make.
constexpr uint32_t kPermissions = 0777;
constexpr int kMaximumLinks = 40;
constexpr uint64_t kMaximumOffset = std::numeric_limits<int64_t>::max();

tl::unexpected<std::errc> last_error() {
  return error(static_cast<std::errc>(errno));
}

template <class Operation>
auto guarded(Operation operation) -> decltype(operation()) {
  try {
    return operation();
  } catch (const std::bad_alloc&) {
    return error(std::errc::not_enough_memory);
  }
}

// Calls `operation` until it is not interrupted by a signal; its result with -1 turned into errno.
template <class Operation>
auto retry(Operation operation) -> Result<decltype(operation())> {
  while (true) {
    const auto result = operation();
    if (result >= 0) return result;
    if (errno != EINTR) return last_error();
  }
}

Result<void> done(const Result<int>& result) {
  if (!result) return error(result.error());
  return {};
}

Result<os::UniqueFd> owned(const Result<int>& descriptor) {
  if (!descriptor) return error(descriptor.error());
  return os::UniqueFd(*descriptor);
}

Metadata to_metadata(const struct stat& from) {
  Metadata result;
  result.device = from.st_dev;
  result.inode = from.st_ino;
  result.mode = from.st_mode;
  result.link_count = static_cast<uint32_t>(from.st_nlink);
  result.uid = from.st_uid;
  result.gid = from.st_gid;
  result.device_type = from.st_rdev;
  result.size = static_cast<uint64_t>(from.st_size);
  result.block_size = static_cast<uint32_t>(from.st_blksize);
  result.blocks = static_cast<uint64_t>(from.st_blocks);
  result.access_time = from.st_atim;
  result.modification_time = from.st_mtim;
  result.change_time = from.st_ctim;
  return result;
}

Result<struct stat> stat_descriptor(int fd) {
  struct stat result{};
  if (auto ok = retry([&] { return ::fstat(fd, &result); }); !ok) return error(ok.error());
  return result;
}

// Files and directories only: a FIFO or a device that somebody put into the directory would reach
// out of it, and may have no end.
Result<void> check_is_ours(const os::UniqueFd& fd) {
  const auto status = stat_descriptor(fd.get());
  if (!status) return error(status.error());
  if (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)) return {};
  return error(std::errc::permission_denied);
}

// Paths reach the kernel as C strings, where a NUL would silently end them.
Result<std::string> c_path(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) return error(std::errc::invalid_argument);
  return std::string(path);
}

// The name of the object behind an O_PATH descriptor, for kernels whose system calls do not take
// the descriptor itself. The magic link leads to that very object, whatever its path is by now.
std::array<char, 32> proc_name(int fd) {
  std::array<char, 32> name{};
  (void)std::snprintf(name.data(), name.size(), "/proc/self/fd/%d", fd);
  return name;
}

class HostFile : public File {
 public:
  HostFile(os::UniqueFd fd, SyncPolicy durability) : fd_(std::move(fd)), durability_(durability) {}

  Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) override {
    if (offset > kMaximumOffset) return error(std::errc::invalid_argument);
    size_t total = 0;
    // Short reads happen before the end too: signals, and the kernel's limit of 2 GiB a call.
    while (total < buffer.size()) {
      const auto got = retry([&] {
        return ::pread(fd_.get(), buffer.data() + total, buffer.size() - total,
                       static_cast<off_t>(offset + total));
      });
      if (!got) {
        if (total > 0) break;
        return error(got.error());
      }
      if (*got == 0) break;
      total += static_cast<size_t>(*got);
    }
    return total;
  }

  Result<size_t> write(std::span<const std::byte> data, uint64_t offset) override {
    if (offset > kMaximumOffset) return error(std::errc::invalid_argument);
    if (data.size() > kMaximumOffset - offset) return error(std::errc::file_too_large);
    size_t total = 0;
    do {
      const auto put = retry([&] {
        return ::pwrite(fd_.get(), data.data() + total, data.size() - total,
                        static_cast<off_t>(offset + total));
      });
      if (!put) {
        if (total > 0) break;
        return error(put.error());
      }
      if (*put == 0) break;
      total += static_cast<size_t>(*put);
    } while (total < data.size());
    return total;
  }

  Result<void> truncate(uint64_t size) override {
    if (size > kMaximumOffset) return error(std::errc::invalid_argument);
    return done(retry([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }));
  }

  Result<void> allocate(uint64_t offset, uint64_t length) override {
    if (offset > kMaximumOffset || length > kMaximumOffset - offset) {
      return error(std::errc::invalid_argument);
    }
    // Not posix_fallocate: where the file system cannot, that writes a byte to each block, and
    // PostgreSQL, told so, writes whole pages.
    return done(retry([&] {
      return ::fallocate(fd_.get(), 0, static_cast<off_t>(offset), static_cast<off_t>(length));
    }));
  }

  Result<void> sync() override {
    if (durability_ == SyncPolicy::kIgnore) return {};
    return done(retry([&] { return ::fsync(fd_.get()); }));
  }

  Result<void> sync_data() override {
    if (durability_ == SyncPolicy::kIgnore) return {};
    return done(retry([&] { return ::fdatasync(fd_.get()); }));
  }

  Result<Metadata> metadata() override {
    const auto result = stat_descriptor(fd_.get());
    if (!result) return error(result.error());
    return to_metadata(*result);
  }

  Result<void> change_mode(uint32_t permissions) override {
    return done(retry([&] { return ::fchmod(fd_.get(), permissions & kPermissions); }));
  }

  Result<std::vector<DirectoryEntry>> entries() override {
    return guarded([&] { return read_entries(); });
  }

 private:
  Result<std::vector<DirectoryEntry>> read_entries() {
    // Opened anew, since a duplicate would share its position with every other listing.
    auto fd = owned(retry(
        [&] { return ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK); }));
    if (!fd) return error(fd.error());
    const auto close = [](DIR* directory) { ::closedir(directory); };
    const std::unique_ptr<DIR, decltype(close)> directory(::fdopendir(fd->get()));
    if (!directory) return last_error();
    (void)fd->release();

    std::vector<DirectoryEntry> result;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      uint32_t type = DTTOIF(entry->d_type);
      if (entry->d_type == DT_UNKNOWN) {  // some file systems do not keep it in the directory
        struct stat status{};
        // NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions): of an open directory
        if (::fstatat(::dirfd(directory.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
          continue;  // removed meanwhile
        }
        type = status.st_mode & S_IFMT;
      }
      result.push_back({.name = std::string(name), .inode = entry->d_ino, .mode = type});
    }
    if (errno != 0) return last_error();
    return result;
  }

  os::UniqueFd fd_;
  SyncPolicy durability_;
};

int call_openat2(int root, const char* path, int flags, uint32_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags);
  how.mode = (flags & O_CREAT) != 0 ? mode & kPermissions : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof(how)));
}

// The target of the link behind an O_PATH descriptor, by the descriptor: what it says cannot be
// exchanged under us. EINVAL or ENOENT when it is no link.
Result<std::string> read_link(int directory, const char* name) {
  std::string target(256, '\0');
  while (true) {
    const auto size =
        retry([&] { return ::readlinkat(directory, name, target.data(), target.size()); });
    if (!size) return error(size.error());
    const auto length = static_cast<size_t>(*size);
    if (length < target.size()) {
      target.resize(length);
      return target;
    }
    target.resize(target.size() * 2);
  }
}

// The walk that stands in for openat2. What RESOLVE_BENEATH promises is kept by construction: each
// component is opened by its bare name, never through a link, in a directory that was itself
// reached so, and ".." is a step back on our own stack.
class Walk {
 public:
  explicit Walk(int root) : root_(root) {}

  Result<os::UniqueFd> open(std::string_view path, int flags, uint32_t mode) {
    std::string rest(path);
    while (true) {
      rest.erase(0, rest.find_first_not_of('/'));
      const std::string name = rest.substr(0, rest.find('/'));
      rest.erase(0, name.size());
      const bool last = rest.find_first_not_of('/') == std::string::npos;

      if (name.empty() || name == "." || name == "..") {
        if (name == "..") {
          if (above_.empty()) return error(std::errc::permission_denied);
          above_.pop_back();
        }
        if (!last) continue;
        return owned(retry([&] { return ::openat(directory(), ".", flags, mode); }));
      }
      std::string target;
      if (last) {
        // With a slash after it (a link's target may end so) it must be a directory.
        const bool want_directory = !rest.empty();
        auto opened = open_last(name, flags, mode, want_directory, target);
        if (target.empty()) return opened;
      } else {
        auto entered = enter(name, target);
        if (!entered) return error(entered.error());
        if (target.empty()) continue;
      }
      if (++links_ > kMaximumLinks) return error(std::errc::too_many_symbolic_link_levels);
      if (target.starts_with('/')) return error(std::errc::permission_denied);
      rest.insert(0, target);
    }
  }

 private:
  [[nodiscard]] int directory() const { return above_.empty() ? root_ : above_.back().get(); }

  // What `name` is at one moment, and its target if it is a symbolic link.
  struct Found {
    os::UniqueFd fd;
    uint32_t mode;
    std::string target;
  };
  Result<Found> look_at(const std::string& name) {
    auto fd = owned(retry(
        [&] { return ::openat(directory(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC); }));
    if (!fd) return error(fd.error());
    const auto status = stat_descriptor(fd->get());
    if (!status) return error(status.error());
    Found found{.fd = std::move(*fd), .mode = status->st_mode, .target = {}};
    if (S_ISLNK(found.mode)) {
      auto target = read_link(found.fd.get(), "");
      if (!target) return error(target.error());
      found.target = std::move(*target);
    }
    return found;
  }

  // Steps into the directory `name`, or sets `target` when it is a symbolic link.
  Result<void> enter(const std::string& name, std::string& target) {
    auto fd = owned(retry([&] {
      return ::openat(directory(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }));
    if (fd) {
      above_.push_back(std::move(*fd));
      return {};
    }
    if (!may_be_link(fd.error())) return error(fd.error());
    auto found = look_at(name);
    if (!found) return error(found.error());
    if (S_ISDIR(found->mode)) {  // by now
      above_.push_back(std::move(found->fd));
      return {};
    }
    if (!S_ISLNK(found->mode)) return error(std::errc::not_a_directory);
    target = std::move(found->target);
    return {};
  }

  // Opens `name`, or sets `target` when it is a symbolic link to follow.
  Result<os::UniqueFd> open_last(const std::string& name, int flags, uint32_t mode,
                                 bool want_directory, std::string& target) {
    const bool follow = want_directory || (flags & O_NOFOLLOW) == 0;
    if (want_directory) {
      if ((flags & O_CREAT) != 0) return error(std::errc::is_a_directory);
      flags |= O_DIRECTORY;
    }
    if (follow && (flags & O_PATH) != 0 && (flags & O_DIRECTORY) == 0) {
      // Opens links, too, and so can be asked what it opened.
      auto found = look_at(name);
      if (!found) return error(found.error());
      target = std::move(found->target);
      return std::move(found->fd);
    }
    constexpr int kAttempts = 32;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      auto fd = owned(
          retry([&] { return ::openat(directory(), name.c_str(), flags | O_NOFOLLOW, mode); }));
      if (fd || !follow || !may_be_link(fd.error())) return fd;
      auto found = look_at(name);
      if (!found) return error(found.error());
      target = std::move(found->target);
      const bool still_explains_it =
          fd.error() == std::errc::not_a_directory && !S_ISDIR(found->mode);
      if (!target.empty() || still_explains_it) return fd;
      // It was exchanged between the two calls.
    }
    return error(std::errc::resource_unavailable_try_again);
  }

  // Whether O_NOFOLLOW may have met a link: O_DIRECTORY checks for a directory first.
  static bool may_be_link(std::errc reason) {
    return reason == std::errc::too_many_symbolic_link_levels ||
           reason == std::errc::not_a_directory;
  }

  int root_;
  std::vector<os::UniqueFd> above_;  // the directories from below the root to the current one
  int links_ = 0;
};

}  // namespace

struct HostFileSystem::Parent {
  os::UniqueFd opened;  // empty where the parent is the root
  int fd;
  std::string name;
};

Result<std::unique_ptr<HostFileSystem>> HostFileSystem::open(const std::string& host_path,
                                                             SyncPolicy durability,
                                                             Resolver resolver) {
  auto root =
      owned(retry([&] { return ::open(host_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC); }));
  if (!root) return error(root.error());
  return open(std::move(*root), durability, resolver);
}

Result<std::unique_ptr<HostFileSystem>> HostFileSystem::open(os::UniqueFd directory,
                                                             SyncPolicy durability,
                                                             Resolver resolver) {
  const auto status = stat_descriptor(directory.get());
  if (!status) return error(status.error());
  if (!S_ISDIR(status->st_mode)) return error(std::errc::not_a_directory);
  // Asked once. Filters answer EPERM or ENOSYS, and what they answer does not change.
  const bool use_openat2 =
      resolver == Resolver::kAutomatic &&
      os::UniqueFd(call_openat2(directory.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0)).get() >=
          0;
  return std::unique_ptr<HostFileSystem>(
      new HostFileSystem(std::move(directory), durability, use_openat2));
}

Result<os::UniqueFd> HostFileSystem::open_with_openat2(const char* relative, int flags,
                                                       uint32_t mode) const {
  constexpr int kAttempts = 128;
  for (int attempt = 1;; ++attempt) {
    const auto fd = retry([&] { return call_openat2(root_.get(), relative, flags, mode); });
    if (fd) return os::UniqueFd(*fd);
    // With RESOLVE_BENEATH this is an escape; no open crosses devices otherwise.
    if (fd.error() == std::errc::cross_device_link) return error(std::errc::permission_denied);
    // A rename elsewhere while ".." was resolved, or a lease that an O_NONBLOCK open does not
    // wait for.
    if (fd.error() != std::errc::resource_unavailable_try_again || attempt == kAttempts) {
      return error(fd.error());
    }
    flags &= ~O_NONBLOCK;
  }
}

Result<os::UniqueFd> HostFileSystem::open_with_walk(std::string_view relative, int flags,
                                                    uint32_t mode) const {
  auto fd = Walk(root_.get()).open(relative, flags, mode);
  if (!fd && fd.error() == std::errc::resource_unavailable_try_again && (flags & O_NONBLOCK) != 0) {
    return Walk(root_.get()).open(relative, flags & ~O_NONBLOCK, mode);
  }
  return fd;
}

Result<os::UniqueFd> HostFileSystem::open_beneath(std::string_view path, int flags,
                                                  uint32_t mode) const {
  if (path.empty()) return error(std::errc::no_such_file_or_directory);
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  const auto relative = c_path(path.empty() ? "." : path);
  if (!relative) return error(relative.error());
  flags |= O_CLOEXEC;
  if (relative->size() >= PATH_MAX) return error(std::errc::filename_too_long);
  return use_openat2_ ? open_with_openat2(relative->c_str(), flags, mode)
                      : open_with_walk(*relative, flags, mode);
}

Result<HostFileSystem::Parent> HostFileSystem::open_parent(std::string_view path,
                                                           std::errc at_root) const {
  if (path.empty()) return error(std::errc::no_such_file_or_directory);
  const size_t slash = path.rfind('/');
  const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
  auto name = c_path(path.substr(begin));
  if (!name) return error(name.error());
  if (name->empty()) return error(at_root);
  // The paths are normalised; these two would lead out of what was resolved.
  if (*name == "." || *name == "..") return error(std::errc::invalid_argument);
  const std::string_view directory = path.substr(0, begin);
  if (directory.find_first_not_of('/') == std::string_view::npos) {
    return Parent{.opened = {}, .fd = root_.get(), .name = std::move(*name)};
  }
  auto opened = open_beneath(directory, O_PATH | O_DIRECTORY, 0);
  if (!opened) return error(opened.error());
  const int fd = opened->get();
  return Parent{.opened = std::move(*opened), .fd = fd, .name = std::move(*name)};
}

Result<std::unique_ptr<File>> HostFileSystem::open(std::string_view path, OpenFlags flags,
                                                   uint32_t permissions) {
  return guarded([&]() -> Result<std::unique_ptr<File>> {
    // As Linux since 6.4; before, it made a regular file and failed.
    if (flags.create && flags.directory) return error(std::errc::invalid_argument);
    int bits = O_NONBLOCK | O_NOCTTY;
    bits |= flags.write ? (flags.read ? O_RDWR : O_WRONLY) : O_RDONLY;
    if (flags.create) bits |= O_CREAT;
    if (flags.create && flags.exclusive) bits |= O_EXCL;
    if (flags.truncate) bits |= O_TRUNC;
    if (flags.directory) bits |= O_DIRECTORY;
    if (flags.no_follow) bits |= O_NOFOLLOW;
    auto fd = open_beneath(path, bits, permissions & kPermissions);
    if (!fd) return error(fd.error());
    if (auto checked = check_is_ours(*fd); !checked) return error(checked.error());
    return std::make_unique<HostFile>(std::move(*fd), durability_);
  });
}

Result<Metadata> HostFileSystem::metadata(std::string_view path, bool follow) {
  return guarded([&]() -> Result<Metadata> {
    const auto fd = open_beneath(path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    if (!fd) return error(fd.error());
    const auto status = stat_descriptor(fd->get());
    if (!status) return error(status.error());
    return to_metadata(*status);
  });
}

Result<void> HostFileSystem::make_directory(std::string_view path, uint32_t permissions) {
  return guarded([&]() -> Result<void> {
    const auto parent = open_parent(path, std::errc::file_exists);
    if (!parent) return error(parent.error());
    return done(retry(
        [&] { return ::mkdirat(parent->fd, parent->name.c_str(), permissions & kPermissions); }));
  });
}

Result<void> HostFileSystem::remove_file(std::string_view path) {
  return guarded([&]() -> Result<void> {
    const auto parent = open_parent(path, std::errc::is_a_directory);
    if (!parent) return error(parent.error());
    return done(retry([&] { return ::unlinkat(parent->fd, parent->name.c_str(), 0); }));
  });
}

Result<void> HostFileSystem::remove_directory(std::string_view path) {
  return guarded([&]() -> Result<void> {
    const auto parent = open_parent(path, std::errc::device_or_resource_busy);
    if (!parent) return error(parent.error());
    auto removed =
        done(retry([&] { return ::unlinkat(parent->fd, parent->name.c_str(), AT_REMOVEDIR); }));
    // POSIX lets a file system say either.
    if (!removed && removed.error() == std::errc::file_exists) {
      return error(std::errc::directory_not_empty);
    }
    return removed;
  });
}

Result<void> HostFileSystem::rename(std::string_view from, std::string_view to) {
  return guarded([&]() -> Result<void> {
    const auto source = open_parent(from, std::errc::device_or_resource_busy);
    if (!source) return error(source.error());
    const auto target = open_parent(to, std::errc::device_or_resource_busy);
    if (!target) return error(target.error());
    auto renamed = done(retry([&] {
      return ::renameat(source->fd, source->name.c_str(), target->fd, target->name.c_str());
    }));
    if (!renamed && renamed.error() == std::errc::file_exists) {
      return error(std::errc::directory_not_empty);
    }
    return renamed;
  });
}

Result<void> HostFileSystem::make_symbolic_link(std::string_view target, std::string_view path) {
  // It could be made and never be followed: PostgreSQL would have a tablespace that can neither be
  // used nor dropped.
  if (target.starts_with('/')) return error(std::errc::operation_not_permitted);
  return guarded([&]() -> Result<void> {
    const auto text = c_path(target);
    if (!text) return error(text.error());
    const auto parent = open_parent(path, std::errc::file_exists);
    if (!parent) return error(parent.error());
    return done(
        retry([&] { return ::symlinkat(text->c_str(), parent->fd, parent->name.c_str()); }));
  });
}

Result<std::string> HostFileSystem::read_symbolic_link(std::string_view path) {
  return guarded([&]() -> Result<std::string> {
    const auto parent = open_parent(path, std::errc::invalid_argument);
    if (!parent) return error(parent.error());
    return read_link(parent->fd, parent->name.c_str());
  });
}

Result<void> HostFileSystem::make_hard_link(std::string_view from, std::string_view to) {
  return guarded([&]() -> Result<void> {
    const auto source = open_parent(from, std::errc::operation_not_permitted);
    if (!source) return error(source.error());
    const auto target = open_parent(to, std::errc::file_exists);
    if (!target) return error(target.error());
    return done(retry([&] {
      return ::linkat(source->fd, source->name.c_str(), target->fd, target->name.c_str(), 0);
    }));
  });
}

Result<void> HostFileSystem::change_mode(std::string_view path, uint32_t permissions, bool follow) {
  return guarded([&]() -> Result<void> {
    const auto fd = open_beneath(path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    if (!fd) return error(fd.error());
    const auto status = stat_descriptor(fd->get());
    if (!status) return error(status.error());
    // Linux has no permissions on links, but some of its file systems pretended.
    if (S_ISLNK(status->st_mode)) return error(std::errc::operation_not_supported);
    const mode_t mode = permissions & kPermissions;
    const auto changed = retry([&] {
      return static_cast<int>(::syscall(SYS_fchmodat2, fd->get(), "", mode, AT_EMPTY_PATH));
    });
    if (changed) return {};
    return done(retry([&] { return ::chmod(proc_name(fd->get()).data(), mode); }));
  });
}

Result<void> HostFileSystem::set_times(std::string_view path, std::optional<timespec> access,
                                       std::optional<timespec> modification, bool follow) {
  return guarded([&]() -> Result<void> {
    constexpr timespec kLeave{.tv_sec = 0, .tv_nsec = UTIME_OMIT};
    for (const auto& time : {access, modification}) {
      // Checked here, since UTIME_NOW and UTIME_OMIT are such numbers.
      if (time && (time->tv_nsec < 0 || time->tv_nsec >= 1'000'000'000)) {
        return error(std::errc::invalid_argument);
      }
    }
    const std::array<timespec, 2> times{access.value_or(kLeave), modification.value_or(kLeave)};
    const auto fd = open_beneath(path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    if (!fd) return error(fd.error());
    // Linux 5.8 and later.
    const auto changed =
        retry([&] { return ::utimensat(fd->get(), "", times.data(), AT_EMPTY_PATH); });
    if (changed) return {};
    return done(
        retry([&] { return ::utimensat(AT_FDCWD, proc_name(fd->get()).data(), times.data(), 0); }));
  });
}

Result<void> HostFileSystem::truncate(std::string_view path, uint64_t size) {
  return guarded([&]() -> Result<void> {
    if (size > kMaximumOffset) return error(std::errc::invalid_argument);
    const auto fd = open_beneath(path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (!fd) return error(fd.error());
    if (auto checked = check_is_ours(*fd); !checked) return checked;
    return done(retry([&] { return ::ftruncate(fd->get(), static_cast<off_t>(size)); }));
  });
}

Result<Statistics> HostFileSystem::statistics(std::string_view path) {
  return guarded([&]() -> Result<Statistics> {
    const auto fd = open_beneath(path, O_PATH, 0);
    if (!fd) return error(fd.error());
    struct statvfs status{};
    if (auto ok = retry([&] { return ::fstatvfs(fd->get(), &status); }); !ok) {
      return error(ok.error());
    }
    Statistics result;
    result.block_size = static_cast<uint32_t>(status.f_frsize);
    result.blocks = status.f_blocks;
    result.blocks_free = status.f_bavail;
    result.files = status.f_files;
    result.files_free = status.f_favail;
    return result;
  });
}

Result<void> HostFileSystem::sync_all() {
  if (durability_ == SyncPolicy::kIgnore) return {};
  std::errc failure = os::sync_filesystem(root_.get());
  if (failure == std::errc::bad_file_descriptor) {  // opened as a path only
    const auto directory = owned(
        retry([&] { return ::openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!directory) return error(directory.error());
    failure = os::sync_filesystem(directory->get());
  }
  return failure == std::errc() ? Result<void>() : error(failure);
}

}  // namespace pglite::vfs
