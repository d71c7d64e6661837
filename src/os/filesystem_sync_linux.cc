// syncfs(2).
#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>

#include "os/filesystem_sync.h"

namespace pglite::os {
namespace {

// Whether syncfs is what fsync of every file is: it reaches the disk, and failures of earlier
// writes are reported (since Linux 5.8). Network and user-space file systems leave out either, and
// an overlay does not report the failures of the file system below it.
bool is_as_good_as_fsync(int descriptor) {
  constexpr long kFileSystems[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
                                   F2FS_SUPER_MAGIC, TMPFS_MAGIC};
  struct statfs type{};
  utsname kernel{};
  if (fstatfs(descriptor, &type) != 0 || uname(&kernel) != 0) return false;
  int major_number = 0;
  int minor_number = 0;
  // NOLINTNEXTLINE(cert-err34-c): a release that does not begin so is not known to report failures
  if (std::sscanf(kernel.release, "%d.%d", &major_number, &minor_number) != 2) return false;
  const bool reports = major_number > 5 || (major_number == 5 && minor_number >= 8);
  return reports && std::ranges::find(kFileSystems, type.f_type) != std::end(kFileSystems);
}

}  // namespace

std::errc sync_filesystem(int descriptor) {
  while (::syncfs(descriptor) != 0) {
    if (errno == ENOSYS) return std::errc::operation_not_supported;
    if (errno != EINTR) return static_cast<std::errc>(errno);
  }
  return is_as_good_as_fsync(descriptor) ? std::errc() : std::errc::operation_not_supported;
}

}  // namespace pglite::os
