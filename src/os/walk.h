// The walk that resolves a path beneath a directory where the system does not (os/beneath.h).
#ifndef PGLITE_OS_WALK_H_
#define PGLITE_OS_WALK_H_

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

// Opens a directory only to look up names in it, as far as the system has that: no permission to
// list it is needed then.
#if defined(O_PATH)
inline constexpr int kSearch = O_PATH;
#elif defined(O_SEARCH)
inline constexpr int kSearch = O_SEARCH;
#else
inline constexpr int kSearch = O_RDONLY;
#endif

// A path of beneath.h as the calls take it, that go from a directory: without the slashes before
// it,
// "." for the directory itself. Errors as Beneath::open.
Result<std::string> relative_path(std::string_view path);

// Opens the relative path `path` beneath the opened directory `root`, as Beneath::open.
Result<UniqueFd> open_by_walk(int root, std::string_view path, int flags, uint32_t mode);

// Where a path leads: a name in an opened directory.
struct WalkedPlace {
  UniqueFd directory;
  std::string name;  // ".": the directory itself
};
// Finds what the relative path `path` names without opening it; there need not be anything of the
// last name. A last symbolic link is followed if `follow`: then `name` was no link when it was
// looked at, and the caller must not follow one.
Result<WalkedPlace> find_by_walk(int root, std::string_view path, bool follow);

}  // namespace pglite::os

#endif  // PGLITE_OS_WALK_H_
