// Makes the checksum of a changed file tree image right again (vfs/image.cc), so that what is
// behind it can be tested. Written a second time, so that a change of the format shows.
#ifndef PGLITE_TESTS_UNIT_VFS_IMAGE_SEAL_H_
#define PGLITE_TESTS_UNIT_VFS_IMAGE_SEAL_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace pglite::vfs {

inline uint64_t image_checksum(std::string_view bytes, uint64_t state) {
  for (size_t i = 0; i <= bytes.size() / 8 + 1; ++i) {
    uint64_t word = bytes.size();
    if (i <= bytes.size() / 8) {
      const std::string_view piece = bytes.substr(i * 8, 8);
      word = 0;
      if (!piece.empty()) std::memcpy(&word, piece.data(), piece.size());
    }
    state = std::rotl((state ^ word) * 0x9e3779b97f4a7c15, 29);
  }
  return state;
}

// Puts the right checksum of an index that ends at `index_end` into the header.
inline void seal_image(std::string& image, size_t index_end) {
  image.replace(56, 8, 8, '\0');
  const std::string_view all = image;
  const uint64_t sum =
      image_checksum(all.substr(64, index_end - 64), image_checksum(all.substr(0, 64), 0));
  std::memcpy(image.data() + 56, &sum, sizeof(sum));
}

}  // namespace pglite::vfs

#endif  // PGLITE_TESTS_UNIT_VFS_IMAGE_SEAL_H_
