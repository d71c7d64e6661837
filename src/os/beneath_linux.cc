// openat2(2) with RESOLVE_BENEATH resolves paths; where a kernel or a filter for system calls has
// no openat2, the walk does. Where an object must not be opened, an O_PATH descriptor stands for
// it.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "os/beneath.h"
#include "os/walk.h"

// Linux 6.6; Debian 12's headers are older than kernels it runs on. The number is the same on every
// architecture.
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace pglite::os {

namespace {

constexpr uint32_t kModeBits = 07777;

int call_openat2(int root, const char* path, int flags, uint32_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags);
  how.mode = (flags & O_CREAT) != 0 ? mode & kModeBits : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof(how)));
}

Result<UniqueFd> open_with_openat2(int root, const char* relative, int flags, uint32_t mode) {
  constexpr int kAttempts = 128;
  for (int attempt = 1;; ++attempt) {
    const auto fd = retry([&] { return call_openat2(root, relative, flags, mode); });
    if (fd) return UniqueFd(*fd);
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

Result<UniqueFd> open_with_walk(int root, std::string_view relative, int flags, uint32_t mode) {
  auto fd = open_by_walk(root, relative, flags, mode);
  if (!fd && fd.error() == std::errc::resource_unavailable_try_again && (flags & O_NONBLOCK) != 0) {
    return open_by_walk(root, relative, flags & ~O_NONBLOCK, mode);
  }
  return fd;
}

// The name of the object behind an O_PATH descriptor, for kernels whose system calls do not take
// the descriptor itself. The magic link leads to that very object, whatever its path is by now.
std::array<char, 32> proc_name(int fd) {
  std::array<char, 32> name{};
  (void)std::snprintf(name.data(), name.size(), "/proc/self/fd/%d", fd);
  return name;
}

}  // namespace

Beneath::Beneath(UniqueFd directory, Resolver resolver)
    : directory_(std::move(directory)),
      // Asked once. Filters answer EPERM or ENOSYS, and what they answer does not change.
      resolved_by_system_(
          resolver == Resolver::kAutomatic &&
          UniqueFd(call_openat2(directory_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0))
                  .get() >= 0) {}

Result<UniqueFd> Beneath::open(std::string_view path, int flags, uint32_t mode) const {
  const auto relative = relative_path(path);
  if (!relative) return error(relative.error());
  flags |= O_CLOEXEC;
  return resolved_by_system_ ? open_with_openat2(directory_.get(), relative->c_str(), flags, mode)
                             : open_with_walk(directory_.get(), *relative, flags, mode);
}

Result<UniqueFd> Beneath::locate(std::string_view path, bool follow) const {
  return open(path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
}

Result<struct stat> Beneath::status(std::string_view path, bool follow) const {
  const auto fd = locate(path, follow);
  if (!fd) return error(fd.error());
  struct stat result{};
  if (auto ok = retry([&] { return ::fstat(fd->get(), &result); }); !ok) return error(ok.error());
  return result;
}

Result<struct statvfs> Beneath::statistics(std::string_view path) const {
  const auto fd = locate(path, true);
  if (!fd) return error(fd.error());
  struct statvfs result{};
  if (auto ok = retry([&] { return ::fstatvfs(fd->get(), &result); }); !ok) {
    return error(ok.error());
  }
  return result;
}

Result<void> Beneath::change_mode(std::string_view path, uint32_t mode, bool follow) const {
  const auto fd = locate(path, follow);
  if (!fd) return error(fd.error());
  struct stat status{};
  if (auto ok = retry([&] { return ::fstat(fd->get(), &status); }); !ok) return error(ok.error());
  // Linux has no permissions on links, but some of its file systems pretended.
  if (S_ISLNK(status.st_mode)) return error(std::errc::operation_not_supported);
  const auto changed = retry([&] {
    return static_cast<int>(::syscall(SYS_fchmodat2, fd->get(), "", mode, AT_EMPTY_PATH));
  });
  if (changed) return {};
  return done(retry([&] { return ::chmod(proc_name(fd->get()).data(), mode); }));
}

Result<void> Beneath::set_times(std::string_view path, const std::array<timespec, 2>& times,
                                bool follow) const {
  const auto fd = locate(path, follow);
  if (!fd) return error(fd.error());
  // Linux 5.8 and later.
  const auto changed =
      retry([&] { return ::utimensat(fd->get(), "", times.data(), AT_EMPTY_PATH); });
  if (changed) return {};
  return done(
      retry([&] { return ::utimensat(AT_FDCWD, proc_name(fd->get()).data(), times.data(), 0); }));
}

}  // namespace pglite::os
