// Work on whole directories and trees of a file system.
#ifndef PGLITE_VFS_TREE_H_
#define PGLITE_VFS_TREE_H_

#include <string>
#include <string_view>

#include "vfs/filesystem.h"

namespace pglite::vfs {

// Makes the names in the directory durable. Succeeds on a file system that syncs no directories
// (EINVAL, EBADF), as PostgreSQL does.
Result<void> sync_directory(FileSystem& files, std::string_view path);

// Makes everything at and below the directory `path` durable: with FileSystem::sync_all, or, where
// that is not supported, by a sync of each file and directory. The name of `path` itself needs a
// sync of the directory it is in.
Result<void> make_durable(FileSystem& files, std::string_view path);

// Removes the directory and everything below it; links are not followed. ENOENT where it is not
// there. A failure leaves the rest.
Result<void> remove_tree(FileSystem& files, std::string_view path);

// The path of `name` in the directory `path`.
std::string child_path(std::string_view path, std::string_view name);

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_TREE_H_
