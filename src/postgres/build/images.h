// The file trees that are linked into the program (vfs/image.h), made at build time.
#ifndef PGLITE_POSTGRES_BUILD_IMAGES_H_
#define PGLITE_POSTGRES_BUILD_IMAGES_H_

#include <cstddef>
#include <span>

namespace pglite::postgres {

// PGlite's files, rooted at "/".
std::span<const std::byte> bundle_image();

// A data directory as initdb leaves it. Empty in the program that makes it.
std::span<const std::byte> data_directory_image();

// A booted memory:// instance over data_directory_image() (snapshot_file.h). Empty in the programs
// that make it.
std::span<const std::byte> boot_snapshot();

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_BUILD_IMAGES_H_
