#include "pglite/extension_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "os/file.h"
#include "os/virtual_memory.h"
#include "pglite/extensions.h"
#include "vfs/image.h"
#include "wasm/module_registry.h"
#include "wasm/module_store.h"

namespace pglite {

namespace {

constexpr std::string_view kPrefix = "/pglite";  // of the guest's installation

}  // namespace

std::string user_cache() {
  for (const auto& [variable, below] :
       {std::pair{"XDG_CACHE_HOME", ""}, std::pair{"HOME", "/.cache"}}) {
    const char* directory = std::getenv(variable);
    if (directory != nullptr && *directory == '/') {
      return std::string(directory) + below + "/pglite-port";
    }
  }
  return {};
}

std::string cache_directory(const std::string& cache) {
  return cache.empty() ? user_cache() : cache;
}

std::string CompiledFile::image_name() const {
  return sha256 + (is_whole ? "-whole.image" : ".image");
}

Status read_module_file(const char* what, const std::string& path, std::string* bytes,
                        std::string* sha256) {
  const auto cannot_read = [&](const std::string& why) {
    return Status::io_error(std::string("cannot read the ") + what + " \"" + path + "\": " + why);
  };
  const auto opened = os::open_regular_file(path);
  if (!opened) return cannot_read(opened.error().reason);
  auto content = os::read_all(opened->get());
  if (!content) return cannot_read(std::make_error_code(content.error()).message());
  if (content->empty()) return cannot_read("it is empty");
  *bytes = std::move(*content);
  *sha256 = wasm::sha256(std::as_bytes(std::span(*bytes)));
  return {};
}

Status ExtensionImage::open(const CompiledFile& file, const std::string& cache,
                            std::shared_ptr<const ExtensionImage>* out) {
  const std::string directory = wasm::library_directory(cache_directory(cache));
  const std::string name = file.image_name();
  const auto fd = wasm::open_library_file(directory, name);
  if (!fd && fd.error() == std::errc::no_such_file_or_directory) {
    return Status::incompatible("\"" + file.path + "\" (sha256 " + file.sha256 +
                                ") is not compiled yet for this program: give it to \"pglite-port "
                                "compile\"" +
                                (file.is_whole ? " with the same --wasm" : ""));
  }
  if (!fd && fd.error() == std::errc::operation_not_permitted) {
    return Status::incompatible("others than you can write to \"" + directory + "/" + name +
                                "\" or its directory, so it is not used");
  }
  struct stat status{};
  if (!fd || fstat(fd->get(), &status) != 0 || status.st_size == 0) {
    return Status::io_error("cannot read the compiled extension \"" + directory + "/" + name +
                            "\"");
  }
  std::shared_ptr<ExtensionImage> image(new ExtensionImage(file.path));
  const auto page = os::page_size();
  image->size_ = static_cast<size_t>(status.st_size);
  image->mapped_ = (image->size_ + page - 1) / page * page;
  const auto place = os::reserve_address_space(image->mapped_);
  if (!place) return Status::io_error("no address space for \"" + file.path + "\"");
  image->mapping_ = *place;
  if (!os::map_file_copy(*place, image->mapped_, fd->get(), 0)) {
    return Status::io_error("cannot map the compiled extension \"" + directory + "/" + name + "\"");
  }
  *out = std::move(image);
  return {};
}

ExtensionImage::~ExtensionImage() {
  if (mapping_ != nullptr) os::unmap(mapping_, mapped_);
}

Status ExtensionImage::add_to(vfs::MemoryFileSystem& tree) const {
  const auto loaded = vfs::load_image(std::span(mapping_, size_), tree, kPrefix);
  if (loaded) return {};
  return Status::incompatible("the compiled extension \"" + file_ +
                              "\" is damaged: remove it from the cache and compile it again");
}

}  // namespace pglite
