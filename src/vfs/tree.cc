#include "vfs/tree.h"

#include <sys/stat.h>

#include <memory>
#include <vector>

namespace pglite::vfs {
namespace {

// The directory is closed before anything is done with its entries: trees may be deep.
Result<std::vector<DirectoryEntry>> list(FileSystem& files, std::string_view path) {
  const auto directory = files.open(path, {.read = true, .directory = true, .no_follow = true}, 0);
  if (!directory) return error(directory.error());
  return (*directory)->entries();
}

Result<void> sync_one_by_one(FileSystem& files, std::string_view path) {
  const auto entries = list(files, path);
  if (!entries) return error(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    const std::string name = child_path(path, entry.name);
    Result<void> synced;
    if (S_ISDIR(entry.mode)) {
      synced = sync_one_by_one(files, name);
    } else if (S_ISREG(entry.mode)) {
      const auto file = files.open(name, {.read = true, .no_follow = true}, 0);
      if (!file) return error(file.error());
      synced = (*file)->sync();
    }
    if (!synced) return synced;
  }
  return sync_directory(files, path);
}

}  // namespace

std::string child_path(std::string_view path, std::string_view name) {
  std::string child(path == "/" ? "" : path);
  return child.append("/").append(name);
}

Result<void> sync_directory(FileSystem& files, std::string_view path) {
  const auto directory = files.open(path, {.read = true, .directory = true}, 0);
  if (!directory) return error(directory.error());
  auto synced = (*directory)->sync();
  if (!synced && (synced.error() == std::errc::invalid_argument ||
                  synced.error() == std::errc::bad_file_descriptor)) {
    return {};
  }
  return synced;
}

Result<void> make_durable(FileSystem& files, std::string_view path) {
  auto synced = files.sync_all();
  if (synced || synced.error() != std::errc::operation_not_supported) return synced;
  return sync_one_by_one(files, path);
}

Result<void> remove_tree(FileSystem& files, std::string_view path) {
  const auto entries = list(files, path);
  if (!entries) return error(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    const std::string name = child_path(path, entry.name);
    auto removed = S_ISDIR(entry.mode) ? remove_tree(files, name) : files.remove_file(name);
    if (!removed) return removed;
  }
  return files.remove_directory(path);
}

}  // namespace pglite::vfs
