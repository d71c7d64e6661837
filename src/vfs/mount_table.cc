#include "vfs/mount_table.h"

#include <sys/stat.h>

#include <algorithm>

namespace pglite::vfs {

namespace {

// Whether `path` is `prefix` or below it. "" is the root's prefix.
bool is_within(std::string_view path, std::string_view prefix) {
  return path.starts_with(prefix) &&
         (path.size() == prefix.size() || prefix.empty() || path[prefix.size()] == '/');
}

}  // namespace

MountTable::MountTable(std::shared_ptr<FileSystem> root) {
  mounts_.push_back({.path = "", .filesystem = std::move(root)});
}

Result<void> MountTable::mount(std::string_view path, std::shared_ptr<FileSystem> filesystem) {
  if (path == "/" || is_mount_point(path)) return error(std::errc::device_or_resource_busy);
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string_view part = path.substr(0, end);
    const auto there = metadata(part, true);
    if (!there) {
      if (there.error() != std::errc::no_such_file_or_directory) return error(there.error());
      if (auto made = make_directory(part, 0755); !made) return made;
    } else if (!S_ISDIR(there->mode)) {
      return error(std::errc::not_a_directory);
    }
    if (end == std::string_view::npos) break;
  }
  const auto before = std::ranges::find_if(
      mounts_, [&](const Mount& mount) { return mount.path.size() <= path.size(); });
  mounts_.insert(before, {.path = std::string(path), .filesystem = std::move(filesystem)});
  return {};
}

MountTable::Target MountTable::find(std::string_view path) const {
  for (const Mount& mount : mounts_) {
    if (!is_within(path, mount.path)) continue;
    const std::string_view relative = path.substr(mount.path.size());
    return {.filesystem = mount.filesystem.get(), .path = relative.empty() ? "/" : relative};
  }
  return {.filesystem = mounts_.back().filesystem.get(), .path = path};
}

bool MountTable::is_mount_point(std::string_view path) const {
  return std::ranges::any_of(mounts_, [&](const Mount& mount) { return mount.path == path; });
}

bool MountTable::has_mount_below(std::string_view path) const {
  return std::ranges::any_of(mounts_, [&](const Mount& mount) {
    return mount.path.size() > path.size() && is_within(mount.path, path);
  });
}

Result<std::unique_ptr<File>> MountTable::open(std::string_view path, OpenFlags flags,
                                               uint32_t permissions) {
  const Target target = find(path);
  return target.filesystem->open(target.path, flags, permissions);
}

Result<Metadata> MountTable::metadata(std::string_view path, bool follow) {
  const Target target = find(path);
  return target.filesystem->metadata(target.path, follow);
}

Result<void> MountTable::make_directory(std::string_view path, uint32_t permissions) {
  const Target target = find(path);
  return target.filesystem->make_directory(target.path, permissions);
}

Result<void> MountTable::remove_file(std::string_view path) {
  const Target target = find(path);
  return target.filesystem->remove_file(target.path);
}

Result<void> MountTable::remove_directory(std::string_view path) {
  if (is_mount_point(path)) return error(std::errc::device_or_resource_busy);
  const Target target = find(path);
  return target.filesystem->remove_directory(target.path);
}

Result<void> MountTable::rename(std::string_view from, std::string_view to) {
  for (const std::string_view path : {from, to}) {
    if (is_mount_point(path) || has_mount_below(path)) {
      return error(std::errc::device_or_resource_busy);
    }
  }
  const Target source = find(from);
  const Target target = find(to);
  if (source.filesystem != target.filesystem) return error(std::errc::cross_device_link);
  return source.filesystem->rename(source.path, target.path);
}

Result<void> MountTable::make_symbolic_link(std::string_view target, std::string_view path) {
  const Target place = find(path);
  return place.filesystem->make_symbolic_link(target, place.path);
}

Result<std::string> MountTable::read_symbolic_link(std::string_view path) {
  const Target target = find(path);
  return target.filesystem->read_symbolic_link(target.path);
}

Result<void> MountTable::make_hard_link(std::string_view from, std::string_view to) {
  const Target source = find(from);
  const Target target = find(to);
  if (source.filesystem != target.filesystem) return error(std::errc::cross_device_link);
  return source.filesystem->make_hard_link(source.path, target.path);
}

Result<void> MountTable::change_mode(std::string_view path, uint32_t permissions, bool follow) {
  const Target target = find(path);
  return target.filesystem->change_mode(target.path, permissions, follow);
}

Result<void> MountTable::set_times(std::string_view path, std::optional<timespec> access,
                                   std::optional<timespec> modification, bool follow) {
  const Target target = find(path);
  return target.filesystem->set_times(target.path, access, modification, follow);
}

Result<void> MountTable::truncate(std::string_view path, uint64_t size) {
  const Target target = find(path);
  return target.filesystem->truncate(target.path, size);
}

Result<Statistics> MountTable::statistics(std::string_view path) {
  const Target target = find(path);
  return target.filesystem->statistics(target.path);
}

Result<void> MountTable::sync_all() {
  Result<void> result;
  for (const Mount& mount : mounts_) {
    const auto synced = mount.filesystem->sync_all();
    // A file system that does not promise it must not hide the failure of another.
    const bool says_more = result || result.error() == std::errc::operation_not_supported;
    if (!synced && says_more) result = error(synced.error());
  }
  return result;
}

}  // namespace pglite::vfs
