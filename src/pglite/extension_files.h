// The files of an extension that compile_extension() has prepared: an image of its tree, beside the
// libraries of its modules, under the SHA-256 of the archive it came in.
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

// The name of the image in wasm::library_directory(), of an archive whose bytes have that SHA-256.
std::string image_name(std::string_view sha256);

// The file's bytes. kIoError.
Status read_extension(const std::string& file, std::string* bytes);

// The mapped image of an extension. Must outlive the trees that it is laid into.
class ExtensionImage {
 public:
  // kIncompatible: `file` was not compiled for this program.
  static Status open(const std::string& file, const std::string& cache,
                     std::shared_ptr<const ExtensionImage>* out);
  ~ExtensionImage();
  ExtensionImage(const ExtensionImage&) = delete;
  ExtensionImage& operator=(const ExtensionImage&) = delete;

  // Lays it over PGlite's files in `tree`.
  Status add_to(vfs::MemoryFileSystem& tree) const;

 private:
  explicit ExtensionImage(std::string file) : file_(std::move(file)) {}

  std::string file_;
  std::byte* mapping_ = nullptr;
  size_t mapped_ = 0;  // bytes, whole pages
  size_t size_ = 0;    // of the image
};

}  // namespace pglite

#endif  // PGLITE_PGLITE_EXTENSION_FILES_H_
