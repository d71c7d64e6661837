#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "os/pipe.h"

namespace pglite::os {

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return last_error();
  Pipe pipe{.reader = UniqueFd(ends[0]), .writer = UniqueFd(ends[1])};
  // A pipe that was just made does not refuse it.
  for (const int end : ends) (void)::fcntl(end, F_SETFD, FD_CLOEXEC);
  return pipe;
}

}  // namespace pglite::os
