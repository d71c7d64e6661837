// The files that compile_extension() has prepared: an image of an extension's tree, or of those that
// belong to a main module, beside the libraries of the modules in it.
#ifndef PGLITE_PGLITE_EXTENSION_FILES_H_
#define PGLITE_PGLITE_EXTENSION_FILES_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "pglite/status.h"
#include "vfs/memory_filesystem.h"

namespace pglite {

// `cache`, or the user's where it is empty. Empty: there is none.
std::string cache_directory(const std::string& cache);

// A file that was given to compile_extension(), or will be.
struct CompiledFile {
  std::string path;    // for messages
  std::string sha256 = {};  // of its bytes
  // Whether all its modules have libraries, for another main module than the one that is linked in;
  // else those that are linked in have none.
  bool is_whole = false;

  // In wasm::library_directory().
  [[nodiscard]] std::string image_name() const;
};

// The bytes of the file `path`, which messages call a `what`, and their SHA-256. kIoError.
Status read_module_file(const char* what, const std::string& path, std::string* bytes,
                        std::string* sha256);

// The mapped image. Must outlive the trees that it is laid into.
class ExtensionImage {
 public:
  // kIncompatible: the file was not compiled for this program.
  static Status open(const CompiledFile& file, const std::string& cache,
                     std::shared_ptr<const ExtensionImage>* out);
  ~ExtensionImage();
  ExtensionImage(const ExtensionImage&) = delete;
  ExtensionImage& operator=(const ExtensionImage&) = delete;

  // An extension's: lays it over PGlite's files in `tree`.
  Status add_to(vfs::MemoryFileSystem& tree) const;
  [[nodiscard]] std::span<const std::byte> bytes() const { return {mapping_, size_}; }

 private:
  explicit ExtensionImage(std::string file) : file_(std::move(file)) {}

  std::string file_;
  std::byte* mapping_ = nullptr;
  size_t mapped_ = 0;  // bytes, whole pages
  size_t size_ = 0;    // of the image
};

}  // namespace pglite

#endif  // PGLITE_PGLITE_EXTENSION_FILES_H_
