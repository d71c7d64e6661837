// Build-time program: packs the files below a directory of the host into an image (vfs/image.h).
//
//   make_bundle_image DIRECTORY OUTPUT
#include <fstream>
#include <iostream>

#include "vfs/image.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: make_bundle_image DIRECTORY OUTPUT\n";
    return 64;
  }
  const auto image = pglite::vfs::write_image_of_directory(argv[1]);
  if (!image) {
    std::cerr << "make_bundle_image: " << argv[1] << ": "
              << std::make_error_code(image.error()).message() << '\n';
    return 1;
  }
  std::ofstream file(argv[2], std::ios::binary);
  file.write(image->data(), static_cast<std::streamsize>(image->size()));
  if (file.flush()) return 0;
  std::cerr << "make_bundle_image: cannot write " << argv[2] << '\n';
  return 1;
}
