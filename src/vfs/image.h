// A file tree as one run of bytes, made at build time and linked into the program: load_image puts
// it into a MemoryFileSystem without copying contents. The format is described in image.cc.
#ifndef PGLITE_VFS_IMAGE_H_
#define PGLITE_VFS_IMAGE_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "vfs/memory_filesystem.h"

namespace pglite::vfs {

// Full pages lie at multiples of this from the image's first byte: an image aligned to it in the
// executable has page-aligned pages.
inline constexpr size_t kImageAlignment = 8192;

// The tree below (and with) the directory `root_path`: names, modes, modification times, contents,
// symbolic and hard links. Pages of the same contents are stored once, pages of zeros not at all.
// Device nodes are left out: they are objects of the running program. The bytes depend on nothing
// but the tree. ENOTDIR, ENOENT for a wrong path; EFBIG for a tree the format cannot hold.
Result<std::string> write_image(MemoryFileSystem& filesystem, std::string_view root_path);

// write_image() of the files and directories below the host's directory `path`. The modification
// times are 1970, and what others may do is what the owner may, writing aside: the bytes do not
// depend on when and by whom the files were made. Errors are those of
// reading them; operation_not_supported: something else is among them.
Result<std::string> write_image_of_directory(const std::string& path);

enum class Unpacking {
  kAtOnce,
  // A directory that was not there before is read when it is first looked into. For an image that
  // nobody can change, as one that is linked into the program: its index is read later, too.
  kAsUsed,
};

// Lays the tree of `image` over the directory `mount_path`, which is made with its parents where it
// is missing. Existing directories are merged (and get the image's mode and time), existing files
// and links are replaced; EEXIST where a directory meets something else.
//
// `image` must stay in place and unchanged as long as the file system and files opened in it live.
// A damaged index is refused before anything is changed: EINVAL when it is not an image of this
// version, EILSEQ when it is one and damaged. Page contents are not checked.
Result<void> load_image(std::span<const std::byte> image, MemoryFileSystem& filesystem,
                        std::string_view mount_path, Unpacking unpacking = Unpacking::kAtOnce);

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_IMAGE_H_
