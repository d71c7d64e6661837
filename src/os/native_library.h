// A library of machine code that is loaded into this program while it runs.
//
// The program is linked statically, so the system's dynamic linker is not there. The libraries are
// made for this loader: they need no other library, have no constructors and no thread-local data,
// and are entered at one place. On Linux that is an ELF shared object linked with -nostdlib, whose
// entry (ld -e) is the address of an object.
//
// A library's code is the program's: load only what nobody else may have written. What is damaged
// is an error all the same, as far as the loader reads it.
#ifndef PGLITE_OS_NATIVE_LIBRARY_H_
#define PGLITE_OS_NATIVE_LIBRARY_H_

#include <cstddef>
#include <functional>
#include <string>
#include <tl/expected.hpp>

namespace pglite::os {

// Whether this system has such libraries; where it has none, none can be loaded.
bool has_native_libraries();

class NativeLibrary {
 public:
  // The address of a symbol that the library imports, or that it defines and the program has, too;
  // null: the program has none of that name.
  using Symbols = std::function<const void*(const char* name)>;

  // Maps the library in the file `fd`, which may be closed afterwards and must not be changed in
  // place. What the error says is the end of a sentence.
  static tl::expected<NativeLibrary, std::string> load(int fd, const Symbols& symbols);
  // NOLINTNEXTLINE(performance-trivially-destructible): on systems where nothing is loaded
  ~NativeLibrary();
  NativeLibrary(NativeLibrary&& other) noexcept;
  NativeLibrary& operator=(NativeLibrary&&) = delete;
  NativeLibrary(const NativeLibrary&) = delete;
  NativeLibrary& operator=(const NativeLibrary&) = delete;

  // Where it is entered; at least `size` bytes of the library's own are there, or it is null.
  [[nodiscard]] const void* entry(size_t size) const;

 private:
  NativeLibrary(std::byte* base, size_t size) : base_(base), size_(size) {}

  std::byte* base_;
  size_t size_;
  size_t entry_ = 0;
};

}  // namespace pglite::os

#endif  // PGLITE_OS_NATIVE_LIBRARY_H_
