// The walk resolves paths. Where an object must not be opened, its name in the directory that
// contains it stands for it, and calls that do not follow links.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "os/beneath.h"
#include "os/walk.h"

namespace pglite::os {

namespace {

// Opens a directory only to look up names in it, as far as the system has that.
#if defined(O_SEARCH)
constexpr int kSearch = O_SEARCH;
#else
constexpr int kSearch = O_RDONLY;
#endif

// Paths reach the kernel as C strings, where a NUL would silently end them.
bool has_nul(std::string_view path) {
  return path.find('\0') != std::string_view::npos;
}

Result<std::string_view> relative_path(std::string_view path) {
  if (path.empty()) return error(std::errc::no_such_file_or_directory);
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  if (has_nul(path)) return error(std::errc::invalid_argument);
  if (path.size() >= PATH_MAX) return error(std::errc::filename_too_long);
  return path.empty() ? "." : path;
}

Result<WalkedPlace> find(int root, std::string_view path, bool follow) {
  const auto relative = relative_path(path);
  if (!relative) return error(relative.error());
  return find_by_walk(root, *relative, follow, kSearch);
}

Result<struct stat> status_of(const WalkedPlace& place) {
  struct stat result{};
  if (auto ok = retry([&] {
        return ::fstatat(place.directory.get(), place.name.c_str(), &result, AT_SYMLINK_NOFOLLOW);
      });
      !ok) {
    return error(ok.error());
  }
  return result;
}

}  // namespace

Result<UniqueFd> Beneath::open_directory(const std::string& path) {
  return owned(retry([&] { return ::open(path.c_str(), kSearch | O_DIRECTORY | O_CLOEXEC); }));
}

Beneath::Beneath(UniqueFd directory, Resolver /*resolver*/)
    : directory_(std::move(directory)), resolved_by_system_(false) {}

Result<UniqueFd> Beneath::open(std::string_view path, int flags, uint32_t mode) const {
  const auto relative = relative_path(path);
  if (!relative) return error(relative.error());
  return open_by_walk(directory_.get(), *relative, flags | O_CLOEXEC, mode, kSearch);
}

Result<struct stat> Beneath::status(std::string_view path, bool follow) const {
  const auto place = find(directory_.get(), path, follow);
  if (!place) return error(place.error());
  return status_of(*place);
}

Result<struct statvfs> Beneath::statistics(std::string_view path) const {
  auto place = find(directory_.get(), path, true);
  if (!place) return error(place.error());
  const auto status = status_of(*place);
  if (!status) return error(status.error());
  if (S_ISDIR(status->st_mode)) {
    // Another file system may begin here.
    auto inside = owned(retry([&] {
      return ::openat(place->directory.get(), place->name.c_str(),
                      kSearch | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }));
    if (!inside) return error(inside.error());
    place->directory = std::move(*inside);
  }
  struct statvfs result{};
  if (auto ok = retry([&] { return ::fstatvfs(place->directory.get(), &result); }); !ok) {
    return error(ok.error());
  }
  return result;
}

Result<void> Beneath::change_mode(std::string_view path, uint32_t mode, bool follow) const {
  const auto place = find(directory_.get(), path, follow);
  if (!place) return error(place.error());
  const auto status = status_of(*place);
  if (!status) return error(status.error());
  if (S_ISLNK(status->st_mode)) return error(std::errc::operation_not_supported);
  return done(retry([&] {
    return ::fchmodat(place->directory.get(), place->name.c_str(), static_cast<mode_t>(mode),
                      AT_SYMLINK_NOFOLLOW);
  }));
}

Result<void> Beneath::set_times(std::string_view path, const std::array<timespec, 2>& times,
                                bool follow) const {
  const auto place = find(directory_.get(), path, follow);
  if (!place) return error(place.error());
  return done(retry([&] {
    return ::utimensat(place->directory.get(), place->name.c_str(), times.data(),
                       AT_SYMLINK_NOFOLLOW);
  }));
}

Result<Beneath::Parent> Beneath::parent(std::string_view path, std::errc at_root) const {
  if (path.empty()) return error(std::errc::no_such_file_or_directory);
  const size_t slash = path.rfind('/');
  const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
  std::string name(path.substr(begin));
  if (has_nul(name)) return error(std::errc::invalid_argument);
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
