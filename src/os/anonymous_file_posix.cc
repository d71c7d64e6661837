// A file in the directory for temporary files, whose name is taken away at once. (Memory objects of
// shm_open(3) cannot be read and written everywhere, nor grow more than once.)
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "os/anonymous_file.h"

namespace pglite::os {

Result<UniqueFd> make_anonymous_file(const char* name) {
  const char* const chosen = std::getenv("TMPDIR");
  std::string path = chosen != nullptr && *chosen != '\0' ? chosen : "/tmp";
  path.append("/").append(name).append(".XXXXXX");
  auto fd = owned(retry([&] { return ::mkstemp(path.data()); }));
  if (!fd) return fd;
  if (::unlink(path.c_str()) != 0 || ::fcntl(fd->get(), F_SETFD, FD_CLOEXEC) != 0) {
    return last_error();
  }
  return fd;
}

}  // namespace pglite::os
