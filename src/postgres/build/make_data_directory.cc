// Build-time program: makes the template data directory by running initdb, as an image
// (vfs/image.h).
//
//   make_data_directory OUTPUT
#include <fstream>
#include <iostream>
#include <string>

#include "postgres/build/images.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/programs/initdb.h"
#include "vfs/image.h"

int main(int argc, char** argv) {
  const auto die = [](const std::string& message) {
    std::cerr << "make_data_directory: " << message << '\n';
    return 1;
  };
  if (argc != 2) return die("usage: make_data_directory OUTPUT");
  std::string transcript;
  const auto log = [&](std::string_view line) { transcript.append(line).append("\n"); };
  auto tree = pglite::postgres::make_guest_tree(pglite::postgres::bundle_image(), log);
  if (!tree) return die("the bundle image cannot be unpacked");
  const pglite::Status status = pglite::postgres::run_initdb(*tree, log);
  if (!status.ok()) return die(status.message() + "\n" + transcript);
  const auto image = pglite::vfs::write_image(*tree->memory, pglite::postgres::kDataDirectory);
  if (!image) return die(std::make_error_code(image.error()).message());
  std::ofstream file(argv[1], std::ios::binary);
  file.write(image->data(), static_cast<std::streamsize>(image->size()));
  if (!file.flush()) return die(std::string("cannot write ") + argv[1]);
}
