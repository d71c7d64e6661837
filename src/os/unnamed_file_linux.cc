#include <fcntl.h>
#include <unistd.h>

#include "os/unnamed_file.h"

namespace pglite::os {

namespace {

// The link by which a descriptor gets a name. Without it, that takes a privilege.
std::string descriptor_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

}  // namespace

Result<UniqueFd> open_unnamed_file(int directory, uint32_t permissions) {
  auto fd = owned(
      retry([&] { return ::openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, permissions); }));
  // In a container, /proc may be missing.
  if (fd && ::access(descriptor_path(fd->get()).c_str(), F_OK) != 0) {
    return error(std::errc::operation_not_supported);
  }
  return fd;
}

Result<void> name_file(int fd, int directory, const std::string& name) {
  return done(retry([&] {
    return ::linkat(AT_FDCWD, descriptor_path(fd).c_str(), directory, name.c_str(),
                    AT_SYMLINK_FOLLOW);
  }));
}

}  // namespace pglite::os
