// syncfs(2).
#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>
#include <system_error>

#include "os/filesystem_sync.h"

namespace pglite::os {
namespace {

// Whether syncfs does what fsync of every file does: it reaches the disk, and failures of earlier
// writes are reported (since Linux 5.8). Network and user-space file systems lack the one or the
// other, and an overlay does not report the failures of the file system below it.
bool is_as_good_as_fsync(int descriptor) {
  constexpr long kFileSystems[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
                                   F2FS_SUPER_MAGIC, TMPFS_MAGIC};
  struct statfs type{};
  utsname kernel{};
  if (fstatfs(descriptor, &type) != 0 || uname(&kernel) != 0) return false;
  // "6.1.0-13-amd64"; one that does not begin so is not known to report failures.
  const std::string_view release(kernel.release);
  int major_number = 0;
  int minor_number = 0;
  const auto [dot, no_major] = std::from_chars(release.begin(), release.end(), major_number);
  if (no_major != std::errc() || dot == release.end() || *dot != '.') return false;
  const auto [end, no_minor] = std::from_chars(dot + 1, release.end(), minor_number);
  if (no_minor != std::errc()) return false;
  const bool reports = major_number > 5 || (major_number == 5 && minor_number >= 8);
  return reports && std::ranges::find(kFileSystems, type.f_type) != std::end(kFileSystems);
}

}  // namespace

Result<void> sync_filesystem(int descriptor) {
  const auto synced = done(retry([&] { return ::syncfs(descriptor); }));
  const bool is_missing = !synced && synced.error() == std::errc::function_not_supported;
  if (is_missing || (synced && !is_as_good_as_fsync(descriptor))) {
    return error(std::errc::operation_not_supported);
  }
  return synced;
}

}  // namespace pglite::os
