// Finds the holder of a lock in /proc/locks.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <charconv>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "os/directory_lock.h"

namespace pglite::os {

int directory_lock_owner(int descriptor) {
  struct stat directory{};
  if (fstat(descriptor, &directory) != 0) return 0;
  char wanted[64];
  (void)std::snprintf(wanted, sizeof wanted, "%02x:%02x:%llu", major(directory.st_dev),
                      minor(directory.st_dev), static_cast<unsigned long long>(directory.st_ino));
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    // "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"
    std::istringstream fields(line);
    std::string number, kind, mode, access, owner, file_id;
    fields >> number >> kind >> mode >> access >> owner >> file_id;
    int pid = 0;
    std::from_chars(owner.data(), owner.data() + owner.size(), pid);
    if (kind == "FLOCK" && file_id == wanted) return pid;
  }
  return 0;
}

}  // namespace pglite::os
