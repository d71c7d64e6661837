// What Process::save writes and Process::restore builds from: a process at rest, all but its linear
// memory, as plain values.
//
// Function pointers and instance addresses differ from one run to the next, so the function table
// is not here: what it grew by is, and the modules fill in the rest when they are instantiated
// again. Files are opened again by name.
//
// The bytes come from a snapshot, which anybody may have written. decode_process_state() is where
// they become values, and it refuses what no process can have been: who builds from the values may
// rely on all that is said here.
#ifndef PGLITE_EMSCRIPTEN_PROCESS_STATE_H_
#define PGLITE_EMSCRIPTEN_PROCESS_STATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wasm/guest_module.h"
#include "wasm/module_store.h"

namespace pglite::emscripten {

// One step that the function table grew by. Doing all of them again, in order, gives every entry
// its index again.
struct TableGrowth {
  enum class Kind : uint32_t {
    kCallback,  // `name`, a host function
    kExport,    // `export_index` of the main module (library -1) or of a library
    kElements,  // `count` entries for the elements of `library`
  };
  Kind kind;
  std::string name;
  int32_t library = -1;
  uint32_t export_index = 0;
  uint32_t count = 1;
};

// Whether a process of another module can open this one. The other modules are programs, with a
// memory or a table of their own.
bool is_side_module(const guest_module& module);

struct ProcessState {
  // A library that was opened. Each has a path of its own.
  struct Library {
    const guest_module* module = nullptr;  // a side module
    std::string path;                      // absolute, normalised
    std::string failure;                   // non-empty: it could not be linked, and why
    // Where its data lie: `module->memory_size` bytes from here are in the memory.
    uint32_t memory_base = 0;
    // Where its elements lie in the table. Only growing the table shows whether that is right.
    uint32_t table_base = 0;
    std::vector<uint32_t> globals;  // as many as the module has
  };
  // What dlopen() gave to the guest: a struct dso at this address, which lies in the memory.
  struct Handle {
    uint32_t address = 0;
    uint32_t library = 0;  // an index; the library is one that could be linked
  };
  // An open file description. `path` is absolute and normalised, unless it is a pipe's.
  struct Description {
    enum class Kind : uint32_t { kFile, kPipeReader, kPipeWriter };
    Kind kind = Kind::kFile;
    uint64_t pipe = 0;  // the same for both ends of a pipe; each end is there once at most
    std::string path;
    uint64_t position = 0;  // bytes, at most INT64_MAX
    bool readable = false;
    bool writable = false;
    bool append = false;
    bool non_blocking = false;
  };
  struct Descriptor {
    int number = 0;            // below the limit; ascending
    uint32_t description = 0;  // an index; each description has a descriptor
    bool close_on_exec = false;
  };

  uint64_t memory_pages = 0;      // within the main module's limits
  std::vector<uint32_t> globals;  // of the main module, as many as it has
  std::vector<Library> libraries;
  std::vector<Handle> handles;
  // Every library's elements are there once, in the libraries' order, and its exports after them.
  // An export is a function without an element, and there once; a callback's name is there once.
  // The entries are not more than a table may have.
  std::vector<TableGrowth> growth;
  std::string working_directory;  // absolute, normalised
  uint32_t umask = 0;             // at most 0777
  std::vector<Description> descriptions;
  std::vector<Descriptor> descriptors;
};

// The state of a process of the module `main` as bytes.
std::string encode_process_state(const guest_module& main, const ProcessState& state);

// The opposite. Null, or what is wrong with the bytes (a constant); `*state` is then of no use.
// `modules` is where libraries come from (null: those that are linked in), `descriptor_limit` how
// many descriptors the process may have. May throw std::bad_alloc.
const char* decode_process_state(std::string_view bytes, const guest_module& main,
                                 wasm::ModuleStore* modules, int descriptor_limit,
                                 ProcessState* state);
// What is wrong where the rest may be right: `modules` lacks one. The address tells.
inline constexpr char kUnknownLibrary[] = "it has a library that is not there";

// How many pages of linear memory the process has, read without the rest; nothing when the bytes
// are no state of a process of `main`, or the number is not within the module's limits.
std::optional<uint64_t> saved_memory_pages(std::string_view bytes, const guest_module& main);

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_PROCESS_STATE_H_
