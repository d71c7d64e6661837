#include <sys/mman.h>

#include "os/anonymous_file.h"

namespace pglite::os {

Result<UniqueFd> make_anonymous_file(const char* name) {
  return owned(retry([&] { return ::memfd_create(name, MFD_CLOEXEC); }));
}

}  // namespace pglite::os
