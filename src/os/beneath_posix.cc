// What is the same however the system resolves paths: beneath_linux.cc, beneath_walk_posix.cc.
#include <fcntl.h>

#include "os/beneath.h"
#include "os/walk.h"

namespace pglite::os {

Result<UniqueFd> Beneath::open_directory(const std::string& path) {
  return owned(retry([&] { return ::open(path.c_str(), kSearch | O_DIRECTORY | O_CLOEXEC); }));
}

Result<Beneath::Parent> Beneath::parent(std::string_view path, std::errc at_root) const {
  if (path.empty()) return error(std::errc::no_such_file_or_directory);
  const size_t slash = path.rfind('/');
  const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
  std::string name(path.substr(begin));
  if (name.find('\0') != std::string::npos) return error(std::errc::invalid_argument);
  if (name.empty()) return error(at_root);
  // These two would lead out of what was resolved.
  if (name == "." || name == "..") return error(std::errc::invalid_argument);
  const std::string_view directory = path.substr(0, begin);
  if (directory.find_first_not_of('/') == std::string_view::npos) {
    return Parent{.opened = {}, .fd = directory_.get(), .name = std::move(name)};
  }
  auto opened = open(directory, kSearch | O_DIRECTORY, 0);
  if (!opened) return error(opened.error());
  const int fd = opened->get();
  return Parent{.opened = std::move(*opened), .fd = fd, .name = std::move(name)};
}

}  // namespace pglite::os
