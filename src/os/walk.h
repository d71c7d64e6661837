// The walk that resolves a path beneath a directory where the system does not (os/beneath.h).
#ifndef PGLITE_OS_WALK_H_
#define PGLITE_OS_WALK_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

// Opens `path` beneath the opened directory `root`, as Beneath::open. `search` are the flags that
// open a directory only to look up names in it.
Result<UniqueFd> open_by_walk(int root, std::string_view path, int flags, uint32_t mode,
                              int search);

// Where a path leads: a name in an opened directory.
struct WalkedPlace {
  UniqueFd directory;
  std::string name;  // ".": the directory itself
};
// Finds what `path` names without opening it; there need not be anything of the last name. A last
// symbolic link is followed if `follow`: then `name` was no link when it was looked at, and the
// caller must not follow one.
Result<WalkedPlace> find_by_walk(int root, std::string_view path, bool follow, int search);

}  // namespace pglite::os

#endif  // PGLITE_OS_WALK_H_
