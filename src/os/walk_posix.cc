// The walk keeps the promise of beneath.h by construction. It opens each component by its bare
// name, never through a link, in a directory that it reached in the same way; ".." is a step back
// on its own stack.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <string>
#include <vector>

#include "os/file.h"
#include "os/walk.h"

namespace pglite::os {

namespace {

constexpr int kMaximumLinks = 40;
constexpr int kMostAttempts = 32;  // while a name is exchanged between our calls

class Walk {
 public:
  explicit Walk(int root) : root_(root) {}

  Result<UniqueFd> open(std::string_view path, int flags, uint32_t mode) {
    std::string rest(path);
    while (true) {
      const auto last = descend(rest);
      if (!last) return error(last.error());
      if (last->name == ".") {
        return owned(retry([&] { return ::openat(directory(), ".", flags, mode); }));
      }
      std::string target;
      auto opened = open_last(last->name, flags, mode, last->want_directory, target);
      if (target.empty()) return opened;
      if (auto ok = follow(target, rest); !ok) return error(ok.error());
    }
  }

  Result<WalkedPlace> find(std::string_view path, bool follow_last) {
    std::string rest(path);
    while (true) {
      auto last = descend(rest);
      if (!last) return error(last.error());
      if (last->name == ".") return place(".");
      const auto found = look_at(last->name);
      if (!found) return error(found.error());
      if (found->target.empty() || (!follow_last && !last->want_directory)) {
        if (last->want_directory && !S_ISDIR(found->mode)) {
          return error(std::errc::not_a_directory);
        }
        return place(std::move(last->name));
      }
      if (auto ok = follow(found->target, rest); !ok) return error(ok.error());
    }
  }

 private:
  struct Last {
    std::string name;     // ".": the directory that the walk has reached
    bool want_directory;  // a slash comes after it: a link's target may end so
  };
  // Enters the directories of the path `rest`, whose last component it takes away, too.
  Result<Last> descend(std::string& rest) {
    while (true) {
      rest.erase(0, rest.find_first_not_of('/'));
      std::string name = rest.substr(0, rest.find('/'));
      rest.erase(0, name.size());
      const bool last = rest.find_first_not_of('/') == std::string::npos;
      if (name.empty() || name == "." || name == "..") {
        if (name == "..") {
          if (above_.empty()) return error(std::errc::permission_denied);
          above_.pop_back();
        }
        if (last) return Last{.name = ".", .want_directory = true};
        continue;
      }
      if (last) return Last{.name = std::move(name), .want_directory = !rest.empty()};
      std::string target;
      if (auto ok = enter(name, target); !ok) return error(ok.error());
      if (target.empty()) continue;
      if (auto ok = follow(target, rest); !ok) return error(ok.error());
    }
  }

  // Puts a link's target before what is left of the path.
  Result<void> follow(const std::string& target, std::string& rest) {
    if (++links_ > kMaximumLinks) return error(std::errc::too_many_symbolic_link_levels);
    if (target.starts_with('/')) return error(std::errc::permission_denied);
    rest.insert(0, target);
    return {};
  }

  [[nodiscard]] Result<WalkedPlace> place(std::string name) const {
    auto opened =
        owned(retry([&] { return ::openat(directory(), ".", kSearch | O_DIRECTORY | O_CLOEXEC); }));
    if (!opened) return error(opened.error());
    return WalkedPlace{.directory = std::move(*opened), .name = std::move(name)};
  }

  [[nodiscard]] int directory() const { return above_.empty() ? root_ : above_.back().get(); }

  // What `name` is at one moment, and its target if it is a symbolic link.
  struct Found {
    mode_t mode;
    std::string target;
  };
  [[nodiscard]] Result<Found> look_at(const std::string& name) const {
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      struct stat status{};
      const auto known =
          retry([&] { return ::fstatat(directory(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW); });
      if (!known) return error(known.error());
      if (!S_ISLNK(status.st_mode)) return Found{.mode = status.st_mode, .target = {}};
      auto target = read_symbolic_link(directory(), name.c_str());
      if (target) return Found{.mode = status.st_mode, .target = std::move(*target)};
      // It is no link any more.
      if (target.error() != std::errc::invalid_argument) return error(target.error());
    }
    return error(std::errc::resource_unavailable_try_again);
  }

  // Steps into the directory `name`, or sets `target` when it is a symbolic link.
  Result<void> enter(const std::string& name, std::string& target) {
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      auto fd = owned(retry([&] {
        return ::openat(directory(), name.c_str(), kSearch | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      }));
      if (fd) {
        above_.push_back(std::move(*fd));
        return {};
      }
      if (!may_be_link(fd.error())) return error(fd.error());
      auto found = look_at(name);
      if (!found) return error(found.error());
      if (S_ISDIR(found->mode)) continue;  // it has become one
      if (!S_ISLNK(found->mode)) return error(std::errc::not_a_directory);
      target = std::move(found->target);
      return {};
    }
    return error(std::errc::resource_unavailable_try_again);
  }

  // Opens `name`, or sets `target` when it is a symbolic link to follow.
  Result<UniqueFd> open_last(const std::string& name, int flags, uint32_t mode, bool want_directory,
                             std::string& target) {
    const bool follow = want_directory || (flags & O_NOFOLLOW) == 0;
    if (want_directory) {
      if ((flags & O_CREAT) != 0) return error(std::errc::is_a_directory);
      flags |= O_DIRECTORY;
    }
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      auto fd = owned(
          retry([&] { return ::openat(directory(), name.c_str(), flags | O_NOFOLLOW, mode); }));
      if (!follow) return fd;
      if (fd) {
        // Flags that do not open the object itself open a link as well.
        struct stat status{};
        if (::fstat(fd->get(), &status) != 0) return last_error();
        if (!S_ISLNK(status.st_mode)) return fd;
      } else if (!may_be_link(fd.error())) {
        return fd;
      }
      auto found = look_at(name);
      if (!found) return error(found.error());
      target = std::move(found->target);
      if (!target.empty()) return fd;
      const bool still_explains_it =
          !fd && fd.error() == std::errc::not_a_directory && !S_ISDIR(found->mode);
      if (still_explains_it) return fd;
      // It was exchanged between the calls.
    }
    return error(std::errc::resource_unavailable_try_again);
  }

  // Whether O_NOFOLLOW may have met a link: O_DIRECTORY checks for a directory first. (Some systems
  // say EMLINK, NetBSD and FreeBSD among them.)
  static bool may_be_link(std::errc reason) {
    return reason == std::errc::too_many_symbolic_link_levels ||
           reason == std::errc::not_a_directory || reason == std::errc::too_many_links;
  }

  int root_;
  std::vector<UniqueFd> above_;  // the directories from below the root to the current one
  int links_ = 0;
};

}  // namespace

Result<std::string> relative_path(std::string_view path) {
  if (path.empty()) return error(std::errc::no_such_file_or_directory);
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  // It would reach the kernel as a C string, which a NUL ends.
  if (path.find('\0') != std::string_view::npos) return error(std::errc::invalid_argument);
  if (path.size() >= PATH_MAX) return error(std::errc::filename_too_long);
  return std::string(path.empty() ? "." : path);
}

Result<UniqueFd> open_by_walk(int root, std::string_view path, int flags, uint32_t mode) {
  return Walk(root).open(path, flags, mode);
}

Result<WalkedPlace> find_by_walk(int root, std::string_view path, bool follow) {
  return Walk(root).find(path, follow);
}

}  // namespace pglite::os
