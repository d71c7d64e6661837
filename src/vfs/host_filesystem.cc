#include "vfs/host_filesystem.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>
#include <new>

#include "os/file.h"
#include "os/file_times.h"
#include "os/filesystem_sync.h"

namespace pglite::vfs {

namespace {

// A guest gets no set-user-ID, set-group-ID or sticky bits: the files are ours, and it must not
// make programs that run as us or as root.
constexpr uint32_t kPermissions = 0777;
constexpr uint64_t kMaximumOffset = std::numeric_limits<int64_t>::max();

using os::done;
using os::last_error;
using os::owned;
using os::retry;

template <class Operation>
auto guarded(Operation operation) -> decltype(operation()) {
  try {
    return operation();
  } catch (const std::bad_alloc&) {
    return error(std::errc::not_enough_memory);
  }
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
  const os::FileTimes times = os::times_of(from);
  result.access_time = times.access;
  result.modification_time = times.modification;
  result.change_time = times.change;
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

bool has_nul(std::string_view path) {
  return path.find('\0') != std::string_view::npos;
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

  Result<size_t> read_at_once(std::span<std::byte> buffer, uint64_t offset) override {
    if (offset > kMaximumOffset) return error(std::errc::invalid_argument);
    size_t total = 0;
    while (total < buffer.size()) {
      const auto got = os::read_cached_at(fd_.get(), buffer.subspan(total), offset + total);
      if (!got) return error(std::errc::resource_unavailable_try_again);  // read() says what it is
      if (*got == 0) break;
      total += *got;
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
    return os::allocate(fd_.get(), offset, length);
  }

  Result<void> sync() override {
    if (durability_ == SyncPolicy::kIgnore) return {};
    return os::sync(fd_.get());
  }

  Result<void> sync_data() override {
    if (durability_ == SyncPolicy::kIgnore) return {};
    return os::sync_data(fd_.get());
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

}  // namespace

Result<std::unique_ptr<HostFileSystem>> HostFileSystem::open(const std::string& host_path,
                                                             SyncPolicy durability,
                                                             Resolver resolver) {
  auto root = os::Beneath::open_directory(host_path);
  if (!root) return error(root.error());
  return open(std::move(*root), durability, resolver);
}

Result<std::unique_ptr<HostFileSystem>> HostFileSystem::open(os::UniqueFd directory,
                                                             SyncPolicy durability,
                                                             Resolver resolver) {
  const auto status = stat_descriptor(directory.get());
  if (!status) return error(status.error());
  if (!S_ISDIR(status->st_mode)) return error(std::errc::not_a_directory);
  return std::unique_ptr<HostFileSystem>(
      new HostFileSystem(os::Beneath(std::move(directory), resolver), durability));
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
    auto fd = beneath_.open(path, bits, permissions & kPermissions);
    if (!fd) return error(fd.error());
    if (auto checked = check_is_ours(*fd); !checked) return error(checked.error());
    return std::make_unique<HostFile>(std::move(*fd), durability_);
  });
}

Result<Metadata> HostFileSystem::metadata(std::string_view path, bool follow) {
  return guarded([&]() -> Result<Metadata> {
    const auto status = beneath_.status(path, follow);
    if (!status) return error(status.error());
    return to_metadata(*status);
  });
}

Result<void> HostFileSystem::make_directory(std::string_view path, uint32_t permissions) {
  return guarded([&]() -> Result<void> {
    const auto parent = beneath_.parent(path, std::errc::file_exists);
    if (!parent) return error(parent.error());
    return done(retry(
        [&] { return ::mkdirat(parent->fd, parent->name.c_str(), permissions & kPermissions); }));
  });
}

Result<void> HostFileSystem::remove_file(std::string_view path) {
  return guarded([&]() -> Result<void> {
    const auto parent = beneath_.parent(path, std::errc::is_a_directory);
    if (!parent) return error(parent.error());
    return done(retry([&] { return ::unlinkat(parent->fd, parent->name.c_str(), 0); }));
  });
}

Result<void> HostFileSystem::remove_directory(std::string_view path) {
  return guarded([&]() -> Result<void> {
    const auto parent = beneath_.parent(path, std::errc::device_or_resource_busy);
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
    const auto source = beneath_.parent(from, std::errc::device_or_resource_busy);
    if (!source) return error(source.error());
    const auto target = beneath_.parent(to, std::errc::device_or_resource_busy);
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
  // Such a link could be made and never be followed: PostgreSQL would have a tablespace that can
  // neither be used nor dropped.
  if (target.starts_with('/')) return error(std::errc::operation_not_permitted);
  return guarded([&]() -> Result<void> {
    if (has_nul(target)) return error(std::errc::invalid_argument);
    const std::string text(target);
    const auto parent = beneath_.parent(path, std::errc::file_exists);
    if (!parent) return error(parent.error());
    return done(retry([&] { return ::symlinkat(text.c_str(), parent->fd, parent->name.c_str()); }));
  });
}

Result<std::string> HostFileSystem::read_symbolic_link(std::string_view path) {
  return guarded([&]() -> Result<std::string> {
    const auto parent = beneath_.parent(path, std::errc::invalid_argument);
    if (!parent) return error(parent.error());
    return os::read_symbolic_link(parent->fd, parent->name.c_str());
  });
}

Result<void> HostFileSystem::make_hard_link(std::string_view from, std::string_view to) {
  return guarded([&]() -> Result<void> {
    const auto source = beneath_.parent(from, std::errc::operation_not_permitted);
    if (!source) return error(source.error());
    const auto target = beneath_.parent(to, std::errc::file_exists);
    if (!target) return error(target.error());
    return done(retry([&] {
      return ::linkat(source->fd, source->name.c_str(), target->fd, target->name.c_str(), 0);
    }));
  });
}

Result<void> HostFileSystem::change_mode(std::string_view path, uint32_t permissions, bool follow) {
  return guarded([&] { return beneath_.change_mode(path, permissions & kPermissions, follow); });
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
    return beneath_.set_times(path, times, follow);
  });
}

Result<void> HostFileSystem::truncate(std::string_view path, uint64_t size) {
  return guarded([&]() -> Result<void> {
    if (size > kMaximumOffset) return error(std::errc::invalid_argument);
    const auto fd = beneath_.open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (!fd) return error(fd.error());
    if (auto checked = check_is_ours(*fd); !checked) return checked;
    return done(retry([&] { return ::ftruncate(fd->get(), static_cast<off_t>(size)); }));
  });
}

Result<Statistics> HostFileSystem::statistics(std::string_view path) {
  return guarded([&]() -> Result<Statistics> {
    const auto status = beneath_.statistics(path);
    if (!status) return error(status.error());
    Statistics result;
    result.block_size = static_cast<uint32_t>(status->f_frsize);
    result.blocks = status->f_blocks;
    result.blocks_free = status->f_bavail;
    result.files = status->f_files;
    result.files_free = status->f_favail;
    return result;
  });
}

Result<void> HostFileSystem::sync_all() {
  if (durability_ == SyncPolicy::kIgnore) return {};
  const auto synced = os::sync_filesystem(beneath_.directory());
  if (!synced && synced.error() == std::errc::bad_file_descriptor) {  // opened as a path only
    const auto directory = owned(retry(
        [&] { return ::openat(beneath_.directory(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!directory) return error(directory.error());
    return os::sync_filesystem(directory->get());
  }
  return synced;
}

}  // namespace pglite::vfs
