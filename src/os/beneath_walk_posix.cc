// The walk resolves paths. Where an object must not be opened, its name in the directory that
// contains it stands for it, and calls that do not follow links.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/beneath.h"
#include "os/walk.h"

namespace pglite::os {

namespace {

Result<WalkedPlace> find(int root, std::string_view path, bool follow) {
  const auto relative = relative_path(path);
  if (!relative) return error(relative.error());
  return find_by_walk(root, *relative, follow);
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

Beneath::Beneath(UniqueFd directory, Resolver /*resolver*/)
    : directory_(std::move(directory)), resolved_by_system_(false) {}

Result<UniqueFd> Beneath::open(std::string_view path, int flags, uint32_t mode) const {
  const auto relative = relative_path(path);
  if (!relative) return error(relative.error());
  return open_by_walk(directory_.get(), *relative, flags | O_CLOEXEC, mode);
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

}  // namespace pglite::os
