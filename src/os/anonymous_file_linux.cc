#include <sys/mman.h>

#include <cerrno>

#include "os/anonymous_file.h"

namespace pglite::os {

std::errc make_anonymous_file(const char* name, UniqueFd* out) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC));
  if (!fd) return static_cast<std::errc>(errno);
  *out = std::move(fd);
  return {};
}

}  // namespace pglite::os
