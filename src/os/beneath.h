// Opens files beneath a directory. No path leads out of it.
//
// A path is resolved beneath the descriptor of the directory, whatever the directory's name is by
// now. Absolute symbolic links, and ".." or relative links that climb above the directory, are an
// escape: permission_denied. This holds even where somebody swaps a link in while a path is
// resolved. Bind mounts are followed. Paths may begin with slashes, which mean the directory
// itself.
//
// Where the system can resolve paths beneath a directory, it does; elsewhere a walk of our own
// does. Both keep the promise.
//
// No state but a descriptor: usable after fork, and from any thread.
#ifndef PGLITE_OS_BENEATH_H_
#define PGLITE_OS_BENEATH_H_

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

class Beneath {
 public:
  // kWalk is for tests.
  enum class Resolver { kAutomatic, kWalk };

  // Opens the directory `path`, which may be or contain symbolic links; the caller needs no
  // permission to list it. Errors as open(2).
  static Result<UniqueFd> open_directory(const std::string& path);

  // `directory` is an opened directory.
  explicit Beneath(UniqueFd directory, Resolver resolver = Resolver::kAutomatic);

  [[nodiscard]] int directory() const { return directory_.get(); }
  // Whether the system resolves paths.
  [[nodiscard]] bool resolved_by_system() const { return resolved_by_system_; }

  // As open(2) with these flags and this mode for a file that is made; the descriptor is closed on
  // exec. A last symbolic link is followed unless O_NOFOLLOW. filename_too_long, invalid_argument
  // (a NUL in the path), resource_unavailable_try_again (somebody keeps replacing a component of
  // the path).
  [[nodiscard]] Result<UniqueFd> open(std::string_view path, int flags, uint32_t mode) const;

  // These do not open what the path names, which may be a FIFO or a device, and need no permission
  // on it.
  [[nodiscard]] Result<struct stat> status(std::string_view path, bool follow) const;
  [[nodiscard]] Result<struct statvfs> statistics(std::string_view path) const;
  // operation_not_supported for a symbolic link.
  [[nodiscard]] Result<void> change_mode(std::string_view path, uint32_t mode, bool follow) const;
  // Access and modification, as utimensat(2) takes them.
  [[nodiscard]] Result<void> set_times(std::string_view path, const std::array<timespec, 2>& times,
                                       bool follow) const;

  // The directory that contains the last component of a path, for the calls that take a directory
  // and a name.
  struct Parent {
    UniqueFd opened;  // empty where the parent is the directory itself
    int fd;
    std::string name;
  };
  // `at_root` is the error for the directory itself, which has no parent.
  [[nodiscard]] Result<Parent> parent(std::string_view path, std::errc at_root) const;

 private:
  // A descriptor for what `path` names. It only serves to ask for and change attributes.
  [[nodiscard]] Result<UniqueFd> locate(std::string_view path, bool follow) const;

  UniqueFd directory_;
  bool resolved_by_system_;
};

}  // namespace pglite::os

#endif  // PGLITE_OS_BENEATH_H_
