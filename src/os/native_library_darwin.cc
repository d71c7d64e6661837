// Libraries of later are ELF shared objects for our own loader (native_library_linux.cc). What the
// system's dynamic linker would make of a Mach-O library's symbols is not ours to decide, so there
// are none yet: `pglite-port compile` says so.
#include <utility>

#include "os/native_library.h"

namespace pglite::os {

bool has_native_libraries() {
  return false;
}

tl::expected<NativeLibrary, std::string> NativeLibrary::load(int /*fd*/,
                                                             const Symbols& /*symbols*/) {
  return tl::unexpected(
      std::string("cannot be loaded: on macOS there are only the modules that are built in"));
}

NativeLibrary::NativeLibrary(NativeLibrary&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)), size_(other.size_), entry_(other.entry_) {}

NativeLibrary::~NativeLibrary() = default;

const void* NativeLibrary::entry(size_t /*size*/) const {
  return nullptr;
}

}  // namespace pglite::os
