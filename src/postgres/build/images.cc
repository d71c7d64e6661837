#include "postgres/build/images.h"

extern "C" {
extern const std::byte pglite_bundle_begin[];
extern const std::byte pglite_bundle_end[];
#ifdef PGLITE_HAS_DATA_DIRECTORY_IMAGE
extern const std::byte pglite_data_directory_begin[];
extern const std::byte pglite_data_directory_end[];
#endif
#ifdef PGLITE_HAS_BOOT_SNAPSHOT
extern const std::byte pglite_boot_snapshot_begin[];
extern const std::byte pglite_boot_snapshot_end[];
#endif
}

namespace pglite::postgres {

std::span<const std::byte> bundle_image() {
  return {pglite_bundle_begin, pglite_bundle_end};
}

std::span<const std::byte> data_directory_image() {
#ifdef PGLITE_HAS_DATA_DIRECTORY_IMAGE
  return {pglite_data_directory_begin, pglite_data_directory_end};
#else
  return {};
#endif
}

std::span<const std::byte> boot_snapshot() {
#ifdef PGLITE_HAS_BOOT_SNAPSHOT
  return {pglite_boot_snapshot_begin, pglite_boot_snapshot_end};
#else
  return {};
#endif
}

}  // namespace pglite::postgres
