// sync(2) only begins to write, and tells nobody what failed: each file has to be written by
// itself.
#include <fcntl.h>

#include "os/filesystem_sync.h"

namespace pglite::os {

Result<void> sync_filesystem(int descriptor) {
  const auto flags = retry([&] { return ::fcntl(descriptor, F_GETFL); });
  return error(flags ? std::errc::operation_not_supported : flags.error());
}

}  // namespace pglite::os
