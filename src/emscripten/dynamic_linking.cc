// dlopen and dlsym over modules that were translated ahead of time.
//
// A library is found in the guest's file system, recognised by the SHA-256 of its bytes, and
// instantiated from the descriptor that the build linked in. The steps are Emscripten's
// (src/lib/libdylink.js, loadWebAssemblyModule): memory and table slots, imports, GOT, data
// relocations, constructors.
//
// Allocating, instantiating and constructing call into the guest, where a trap or an exit jumps out
// over the frames here. So what has a destructor is the process's, or gone again before the call: a
// function either works on the host or calls into the guest with plain values.
#include <algorithm>

#include "emscripten/import_result.h"
#include "emscripten/invoke.h"
#include "emscripten/process.h"
#include "host_imports.h"

namespace pglite::emscripten {

namespace {

// Offsets in Emscripten's struct dso (system/lib/libc/dynlink.c).
constexpr uint32_t kDsoMemoryAllocated = 8;
constexpr uint32_t kDsoMemoryAddress = 12;
constexpr uint32_t kDsoMemorySize = 16;
constexpr uint32_t kDsoTableAddress = 20;
constexpr uint32_t kDsoTableSize = 24;
constexpr uint32_t kDsoName = 36;

constexpr size_t kMaximumLibrarySize = size_t{64} << 20;

vfs::Result<std::string> sha256_of_file(vfs::FileSystem& filesystem, const std::string& path) {
  auto file = filesystem.open(path, {.read = true}, 0);
  if (!file) return vfs::error(file.error());
  auto metadata = (*file)->metadata();
  if (!metadata) return vfs::error(metadata.error());
  if (metadata->size > kMaximumLibrarySize) return vfs::error(std::errc::file_too_large);
  std::vector<std::byte> content(metadata->size);
  auto size = (*file)->read(content, 0);
  if (!size) return vfs::error(size.error());
  return wasm::sha256(std::span(content).first(*size));
}

}  // namespace

uint32_t Process::function_address(int32_t library, const guest_export& export_) {
  const guest_module& module = library < 0 ? *main_ : *libraries_[library]->module;
  const uint32_t table_base =
      library < 0 ? data_address("__table_base") : libraries_[library]->env.table_base;
  if (export_.element >= 0) return table_base + export_.element;
  const auto [place, is_new] = addresses_.try_emplace({library, &export_}, 0);
  if (is_new) {
    wasm_rt_funcref_t entry{};
    entry.func_type = export_.type;
    entry.func = export_.function;
    entry.module_instance = library < 0 ? env_.main : libraries_[library]->instance.get();
    place->second = grow_table(entry, 1,
                               {.kind = TableGrowth::Kind::kExport,
                                .name = {},
                                .library = library,
                                .export_index = static_cast<uint32_t>(&export_ - module.exports)});
    if (place->second == UINT32_MAX) wasm_rt_trap(WASM_RT_TRAP_OOB);
  }
  return place->second;
}

const char* Process::fill_got(Library& library) {
  const int32_t self = index_of(library);
  for (uint32_t i = 0; i < library.module->got_import_count; ++i) {
    const guest_got_symbol& symbol = library.module->got_imports[i];
    bool is_found = false;
    for (int32_t from = -1; from <= self && !is_found; ++from) {
      if (from >= 0 && !libraries_[from]->failure.empty()) continue;
      const guest_module& module = from < 0 ? *main_ : *libraries_[from]->module;
      const guest_export* found = wasm::find_export(module, symbol.name);
      if (found == nullptr || (found->function != nullptr) != (symbol.is_function != 0)) continue;
      if (symbol.is_function) {
        library.got[i] = function_address(from, *found);
      } else {
        void* instance = from < 0 ? env_.main : libraries_[from]->instance.get();
        library.got[i] =
            (from < 0 ? 0 : libraries_[from]->env.memory_base) + *found->global(instance);
      }
      is_found = true;
    }
    if (!is_found) return symbol.name;
  }
  return nullptr;
}

std::unique_ptr<Process::Library> Process::make_library(const std::string& path,
                                                        const guest_module* module) const {
  auto library = std::make_unique<Library>();
  library->path = path;
  library->module = module;
  library->instance =
      std::make_unique<std::max_align_t[]>(module->instance_size / sizeof(std::max_align_t) + 1);
  library->got.resize(module->got_import_count);
  library->env = env_;
  library->env.got = library->got.data();
  return library;
}

std::string Process::library_path(uint32_t handle) const {
  const auto name = memory().c_string(handle + kDsoName);
  return name ? vfs::normalize_path(working_directory, *name) : std::string();
}

Process::Library* Process::find_library(uint32_t handle) const {
  const std::string path = library_path(handle);
  const auto found =
      std::ranges::find_if(libraries_, [&](const auto& known) { return known->path == path; });
  return found == libraries_.end() ? nullptr : found->get();
}

int32_t Process::index_of(const Library& library) const {
  const auto found =
      std::ranges::find_if(libraries_, [&](const auto& known) { return known.get() == &library; });
  return static_cast<int32_t>(found - libraries_.begin());
}

// The module behind the library's file; null and dl_error_ set where there is none.
const guest_module* Process::recognise_library(uint32_t handle) {
  const auto sha256 = sha256_of_file(filesystem(), library_path(handle));
  if (!sha256) {
    dl_error_ = std::make_error_code(sha256.error()).message();
    return nullptr;
  }
  const auto module = config_.modules ? config_.modules->find(*sha256)
                                      : wasm::find_linked_module(*sha256);
  if (!module) {
    dl_error_ = module.error();
    return nullptr;
  }
  if (!is_side_module(**module)) {
    dl_error_ = "it is a program and no library";
    return nullptr;
  }
  return *module;
}

std::optional<guest_function> Process::library_function(std::string_view name,
                                                        wasm_rt_func_type_t type) const {
  for (const auto& library : libraries_) {
    if (!library->failure.empty()) continue;
    const guest_export* found = wasm::find_export(*library->module, name);
    if (found == nullptr || found->function == nullptr) continue;
    if (is_same_type(found->type, type)) {
      return guest_function{found->function, library->instance.get()};
    }
  }
  return std::nullopt;
}

// Gives the library its place in the table; null and dl_error_ set where there is none.
Process::Library* Process::add_library(uint32_t handle, const guest_module* module,
                                       uint32_t memory_base) {
  std::unique_ptr<Library> made = make_library(library_path(handle), module);
  libraries_.reserve(libraries_.size() + 1);  // from here on nothing can fail halfway
  made->env.memory_base = memory_base;
  made->env.table_base = grow_table({}, module->table_size,
                                    {.kind = TableGrowth::Kind::kElements,
                                     .name = {},
                                     .library = static_cast<int32_t>(libraries_.size()),
                                     .count = module->table_size});
  if (made->env.table_base == UINT32_MAX) {
    dl_error_ = "the function table is full";
    return nullptr;
  }
  return libraries_.emplace_back(std::move(made)).get();
}

// Calls into the guest. Null and dl_error_ set when the library cannot be linked.
Process::Library* Process::link_library(uint32_t handle) {
  const guest_module* module = recognise_library(handle);
  if (module == nullptr) return nullptr;
  uint32_t memory_base = 0;
  if (module->memory_size != 0) {
    const uint32_t alignment = uint32_t{1} << module->memory_align;
    const uint32_t block =
        function<uint32_t(uint32_t, uint32_t)>("calloc")(module->memory_size + alignment, 1);
    if (block == 0) {
      dl_error_ = "out of memory";
      return nullptr;
    }
    memory_base = (block + alignment - 1) & ~(alignment - 1);
  }
  Library* library = add_library(handle, module, memory_base);
  if (library == nullptr) return nullptr;
  // Instantiating takes the addresses of GOT cells only; their values are read by the relocations.
  module->instantiate(library->instance.get(), &library->env);
  if (const char* missing = fill_got(*library)) {
    // The library stays: the table may have entries that refer to it.
    library->failure = std::string("undefined symbol: ") + missing;
    return library;
  }
  for (const char* name : {"__wasm_apply_data_relocs", "__wasm_call_ctors"}) {
    if (const guest_export* found = wasm::find_export(*module, name)) {
      GuestFunction<void()>(library->instance.get(), found->function)();
    }
  }
  return library;
}

void Process::report_dl_error() {
  // __dl_seterr(format, arguments): the format must not be the message, which may hold a '%'.
  const auto set_error = function<void(uint32_t, uint32_t)>("__dl_seterr");
  const uint32_t stack_pointer = *env_.stack_pointer;
  const uint32_t format = push_string("%s");
  const uint32_t text = push_string(dl_error_);
  const auto allocate = function<uint32_t(uint32_t)>("_emscripten_stack_alloc");
  const uint32_t arguments = allocate(16);
  (void)memory().store(wasm::GuestPtr<uint32_t>{arguments}, text);
  set_error(format, arguments);
  *env_.stack_pointer = stack_pointer;
}

// Writes down for the guest what it has opened.
void Process::enter_handle(uint32_t handle, Library* library) {
  handles_[handle] = library;
  const wasm::GuestMemory guest = memory();
  (void)guest.store(wasm::GuestPtr<uint8_t>{handle + kDsoMemoryAllocated}, 1);
  const std::pair<uint32_t, uint32_t> fields[] = {{kDsoMemoryAddress, library->env.memory_base},
                                                  {kDsoMemorySize, library->module->memory_size},
                                                  {kDsoTableAddress, library->env.table_base},
                                                  {kDsoTableSize, library->module->table_size}};
  for (const auto& [offset, value] : fields) {
    (void)guest.store(wasm::GuestPtr<uint32_t>{handle + offset}, value);
  }
}

bool Process::open_library(uint32_t handle) {
  const bool in_memory = handle != 0 && memory().bytes(handle, kDsoName).has_value();
  if (!in_memory || !memory().c_string(handle + kDsoName)) return false;
  Library* library = find_library(handle);
  if (library == nullptr) library = link_library(handle);
  if (library != nullptr && library->failure.empty()) {
    enter_handle(handle, library);
    return true;
  }
  if (library != nullptr) dl_error_ = library->failure;
  dl_error_ = "could not load dynamic lib: " + library_path(handle) + ": " + dl_error_;
  report_dl_error();
  return false;
}

uint32_t Process::find_symbol(uint32_t handle, std::string_view symbol, uint32_t* new_index) {
  const auto open = handles_.find(handle);
  const guest_export* found = nullptr;
  if (open != handles_.end()) found = wasm::find_export(*open->second->module, symbol);
  if (found == nullptr) {
    dl_error_ = "undefined symbol: " + std::string(symbol);
    report_dl_error();
    return 0;
  }
  Library& library = *open->second;
  if (found->function == nullptr) {
    return library.env.memory_base + *found->global(library.instance.get());
  }
  const uint32_t table_size = env_.table->size;
  const uint32_t address = function_address(index_of(library), *found);
  // A function that was not in the table yet: libdylink remembers which export it was, to put it
  // there again in other threads.
  if (env_.table->size != table_size) {
    *new_index = static_cast<uint32_t>(found - library.module->exports);
  }
  return address;
}

}  // namespace pglite::emscripten

using pglite::emscripten::guarded;
using pglite::emscripten::Process;

extern "C" {

uint32_t w2c_env_0x5Fdlopen_js(w2c_env* env, uint32_t handle) {
  return guarded(0u, [&]() -> uint32_t { return Process::of(env).open_library(handle) ? 1 : 0; });
}

uint32_t w2c_env_0x5Fdlsym_js(w2c_env* env, uint32_t handle, uint32_t name, uint32_t new_index) {
  return guarded(0u, [&]() -> uint32_t {
    Process& process = Process::of(env);
    const auto symbol = process.memory().c_string(name);
    if (!symbol) return 0;
    uint32_t index = UINT32_MAX;
    const uint32_t address = process.find_symbol(handle, *symbol, &index);
    if (index != UINT32_MAX) {
      (void)process.memory().store(pglite::wasm::GuestPtr<uint32_t>{new_index}, index);
    }
    return address;
  });
}

}  // extern "C"
