// Build-time program: packs the files below a directory of the host into an image (vfs/image.h).
//
//   make_bundle_image DIRECTORY OUTPUT
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "vfs/image.h"
#include "vfs/memory_filesystem.h"

namespace {

namespace fs = std::filesystem;

[[noreturn]] void die(const std::string& message) {
  std::cerr << "make_bundle_image: " << message << '\n';
  std::exit(1);
}

template <class T>
T check(pglite::vfs::Result<T> result, const std::string& what) {
  if (!result) die(what + ": " + std::make_error_code(result.error()).message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

void add(const fs::path& directory, pglite::vfs::MemoryFileSystem& tree) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory)) {
    const std::string name = "/" + fs::relative(entry.path(), directory).string();
    const auto mode = static_cast<uint32_t>(entry.status().permissions());
    if (entry.is_directory()) {
      check(tree.make_directories(name, mode), name);
      continue;
    }
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(file)), {});
    check(tree.make_directories(fs::path(name).parent_path().string(), 0755), name);
    auto target =
        check(tree.open(name, {.write = true, .create = true, .exclusive = true}, mode), name);
    check(target->write(std::as_bytes(std::span(content)), 0), name);
    // The image must not depend on when it was made.
    check(tree.set_times(name, timespec{}, timespec{}, false), name);
  }
}

void make_bundle(const std::vector<fs::path>& directories, const fs::path& output) {
  pglite::vfs::MemoryFileSystem tree;
  for (const fs::path& directory : directories) add(directory, tree);
  const std::string image = check(pglite::vfs::write_image(tree, "/"), "bundle");
  std::ofstream file(output, std::ios::binary);
  file.write(image.data(), static_cast<std::streamsize>(image.size()));
  if (!file.flush()) die("cannot write " + output.string());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) die("usage: make_bundle_image DIRECTORY... OUTPUT");
  make_bundle({argv + 1, argv + argc - 1}, argv[argc - 1]);
}
