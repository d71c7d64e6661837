// Where a process gets its modules from: those that are linked in, and libraries in a directory, each
// with one module that `pglite-port compile` has translated (aot/compile.py).
//
// A library is machine code, and so the program's own: nothing of the sandbox holds it. It is taken
// from a directory that only its user and root can write to, under a name that says for which program
// (guest_abi_identity) it was made of which module:
//
//   DIRECTORY/ABI-IDENTITY/SHA-256 OF THE WASM.so
#ifndef PGLITE_WASM_MODULE_STORE_H_
#define PGLITE_WASM_MODULE_STORE_H_

#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "os/native_library.h"
#include "os/result.h"
#include "os/unique_fd.h"
#include "wasm/guest_module.h"

namespace pglite::wasm {

// The module that is linked in; what the error says is the end of a sentence.
tl::expected<const guest_module*, std::string> find_linked_module(std::string_view sha256);

// The directory in `cache` that has the libraries for this program; empty for an empty `cache`.
std::string library_directory(std::string_view cache);

// Opens a file of that directory, or the directory itself for an empty name. no_such_file_or_directory
// where there is none; operation_not_permitted: others than its user and root can write to the file or
// the directory.
os::Result<os::UniqueFd> open_library_file(const std::string& directory, const std::string& name);

// Not thread-safe. Lives as long as the processes that use its modules.
class ModuleStore {
 public:
  // `directory` may be missing, or empty: there are no libraries. The main module is the one that is
  // linked in.
  explicit ModuleStore(std::string directory);
  ModuleStore(const ModuleStore&) = delete;
  ModuleStore& operator=(const ModuleStore&) = delete;

  // Makes the module of that wasm binary the main module, whose functions the side modules call. What
  // is linked in was linked with its own main module, and is not for another: find() then gives none
  // of it. To be called before find().
  tl::expected<void, std::string> choose_main(std::string_view sha256);
  [[nodiscard]] const guest_module& main() const { return *main_; }
  [[nodiscard]] bool is_main_linked() const;

  // The side module of that wasm binary. What the error says is the end of a sentence.
  tl::expected<const guest_module*, std::string> find(std::string_view sha256);

 private:
  struct Library {
    os::NativeLibrary library;
    const guest_library* head;
  };
  [[nodiscard]] const void* symbol(const char* name) const;
  tl::expected<const guest_library*, std::string> loaded(std::string_view sha256);
  tl::expected<Library, std::string> load(std::string_view sha256) const;

  std::string directory_;
  const guest_module* main_;
  const guest_library* main_library_ = nullptr;  // null: the main module is linked in
  std::map<std::string, Library, std::less<>> loaded_;  // by the wasm's SHA-256
};

}  // namespace pglite::wasm

#endif  // PGLITE_WASM_MODULE_STORE_H_
