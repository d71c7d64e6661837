#include <sys/prctl.h>
#include <unistd.h>

#include "os/parent_death.h"

namespace pglite::os {

bool end_with_parent(int signal) {
  const pid_t parent = getppid();
  if (parent == 1 || prctl(PR_SET_PDEATHSIG, static_cast<unsigned long>(signal)) != 0) return false;
  // It may have died before the system knew.
  return getppid() == parent;
}

}  // namespace pglite::os
