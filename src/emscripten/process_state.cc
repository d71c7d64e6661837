#include "emscripten/process_state.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "vfs/filesystem.h"
#include "wasm/byte_stream.h"
#include "wasm/module_registry.h"

namespace pglite::emscripten {

namespace {

using Library = ProcessState::Library;
using Description = ProcessState::Description;

constexpr uint64_t kMaximumPosition = std::numeric_limits<int64_t>::max();
constexpr size_t kLongestPath = 4096;
constexpr uint32_t kMaximumUmask = 0777;
// The least size of Emscripten's struct dso (system/lib/libc/dynlink.c), with an empty name.
constexpr uint32_t kDsoSize = 37;

// The least number of bytes that one item takes.
constexpr size_t kLibrarySize = 20, kHandleSize = 8, kGrowthSize = 20, kDescriptionSize = 28,
                 kDescriptorSize = 9;

// ---- Bytes ----

void put_flag(wasm::ByteWriter& out, bool flag) {
  out.put(static_cast<uint8_t>(flag ? 1 : 0));
}

void put_values(wasm::ByteWriter& out, const std::vector<uint32_t>& values) {
  for (const uint32_t value : values) out.put(value);
}

std::vector<uint32_t> get_values(wasm::ByteReader& in, uint32_t count) {
  std::vector<uint32_t> values(count);
  for (uint32_t& value : values) value = in.get<uint32_t>();
  return values;
}

// Reads the items of a state one after the other. Only form is looked at here: that the bytes are
// there, that flags are flags, and that there is a module for each library.
class Reader {
 public:
  Reader(std::string_view bytes, wasm::ModuleStore* modules) : in_(bytes), modules_(modules) {}

  // After a read() that failed.
  [[nodiscard]] const char* wrong() const { return wrong_; }

  bool read(const guest_module& main, ProcessState* state) {
    if (in_.get_string() != main.sha256) return false;
    state->memory_pages = in_.get<uint64_t>();
    state->globals = get_values(in_, main.global_count);
    state->libraries.resize(in_.get_count(kLibrarySize));
    for (Library& library : state->libraries) {
      if (!read_library(library)) return false;
    }
    state->handles.resize(in_.get_count(kHandleSize));
    for (ProcessState::Handle& handle : state->handles) {
      handle.address = in_.get<uint32_t>();
      handle.library = in_.get<uint32_t>();
    }
    state->growth.resize(in_.get_count(kGrowthSize));
    for (TableGrowth& growth : state->growth) read_growth(growth);
    state->working_directory = in_.get_string();
    state->umask = in_.get<uint32_t>();
    state->descriptions.resize(in_.get_count(kDescriptionSize));
    for (Description& description : state->descriptions) read_description(description);
    state->descriptors.resize(in_.get_count(kDescriptorSize));
    for (ProcessState::Descriptor& descriptor : state->descriptors) {
      descriptor.number = in_.get<int32_t>();
      descriptor.description = in_.get<uint32_t>();
      descriptor.close_on_exec = get_flag();
    }
    return flags_are_right_ && in_.at_end();
  }

 private:
  bool get_flag() {
    const auto flag = in_.get<uint8_t>();
    flags_are_right_ &= flag <= 1;
    return flag == 1;
  }
  bool read_library(Library& library) {
    const std::string_view sha256 = in_.get_string();
    if (!in_.ok()) return false;
    const auto module =
        modules_ != nullptr ? modules_->find(sha256) : wasm::find_linked_module(sha256);
    if (!module) {
      wrong_ = kUnknownLibrary;
      return false;
    }
    library.module = *module;
    library.path = in_.get_string();
    library.failure = in_.get_string();
    library.memory_base = in_.get<uint32_t>();
    library.table_base = in_.get<uint32_t>();
    library.globals = get_values(in_, library.module->global_count);
    return in_.ok();
  }
  void read_growth(TableGrowth& growth) {
    growth.kind = in_.get<TableGrowth::Kind>();
    growth.name = in_.get_string();
    growth.library = in_.get<int32_t>();
    growth.export_index = in_.get<uint32_t>();
    growth.count = in_.get<uint32_t>();
  }
  void read_description(Description& description) {
    description.kind = in_.get<Description::Kind>();
    description.pipe = in_.get<uint64_t>();
    description.path = in_.get_string();
    description.position = in_.get<uint64_t>();
    description.readable = get_flag();
    description.writable = get_flag();
    description.append = get_flag();
    description.non_blocking = get_flag();
  }

  wasm::ByteReader in_;
  wasm::ModuleStore* modules_;
  const char* wrong_ = "it is no state of a process";
  bool flags_are_right_ = true;
};

// ---- Meaning. Each check answers null, or what is wrong. ----

bool is_normal_path(std::string_view path) {
  return path.size() <= kLongestPath && path.find('\0') == std::string_view::npos &&
         vfs::normalize_path("/", path) == path;
}

bool are_pages_possible(uint64_t pages, const guest_module& main) {
  return main.memory_max_pages != 0 && pages >= main.memory_min_pages &&
         pages <= main.memory_max_pages;
}

const char* check_libraries(const ProcessState& state, uint64_t memory_size) {
  std::set<std::string_view> paths;
  for (const Library& library : state.libraries) {
    const guest_module& module = *library.module;
    if (!is_side_module(module)) return "a library is none";
    if (!is_normal_path(library.path)) return "a library's path is not a path";
    if (!paths.insert(library.path).second) return "a library is there twice";
    const uint64_t alignment = module.memory_size == 0 ? 1 : uint64_t{1} << module.memory_align;
    if (library.memory_base % alignment != 0 ||
        uint64_t{library.memory_base} + module.memory_size > memory_size) {
      return "a library's data are out of place";
    }
  }
  return nullptr;
}

const char* check_handles(const ProcessState& state, uint64_t memory_size) {
  std::set<uint32_t> addresses;
  for (const ProcessState::Handle& handle : state.handles) {
    if (handle.address == 0 || uint64_t{handle.address} + kDsoSize > memory_size) {
      return "a library's handle is out of place";
    }
    if (!addresses.insert(handle.address).second) return "a library's handle is there twice";
    if (handle.library >= state.libraries.size() ||
        !state.libraries[handle.library].failure.empty()) {
      return "a handle is of no library";
    }
  }
  return nullptr;
}

// The steps of the table's growth, one after the other.
class GrowthCheck {
 public:
  GrowthCheck(const ProcessState& state, const guest_module& main) : state_(state), main_(main) {}

  const char* check() {
    for (const TableGrowth& growth : state_.growth) {
      entries_ += growth.count;
      if (entries_ > GUEST_TABLE_CAPACITY) return "the function table is too large";
      if (const char* wrong = check(growth)) return wrong;
    }
    if (placed_libraries_ != state_.libraries.size()) return "a library has no place in the table";
    return nullptr;
  }

 private:
  const char* check(const TableGrowth& growth) {
    if (growth.kind != TableGrowth::Kind::kCallback && !growth.name.empty()) {
      return "the table's growth is wrong";
    }
    switch (growth.kind) {
      case TableGrowth::Kind::kCallback:
        return check_callback(growth);
      case TableGrowth::Kind::kExport:
        return check_export(growth);
      case TableGrowth::Kind::kElements:
        return check_elements(growth);
    }
    return "the table's growth is of no kind";
  }
  const char* check_callback(const TableGrowth& growth) {
    if (growth.library != -1 || growth.export_index != 0 || growth.count != 1) {
      return "a callback is wrong";
    }
    return callbacks_.insert(growth.name).second ? nullptr : "a callback is there twice";
  }
  const char* check_export(const TableGrowth& growth) {
    // A library that has no place in the table yet is not instantiated.
    if (growth.library < -1 || growth.library >= static_cast<int64_t>(placed_libraries_)) {
      return "a function in the table is of no library";
    }
    const guest_module& module =
        growth.library < 0 ? main_ : *state_.libraries[growth.library].module;
    if (growth.count != 1 || growth.export_index >= module.export_count ||
        module.exports[growth.export_index].function == nullptr ||
        module.exports[growth.export_index].element >= 0) {
      return "a function in the table is none";
    }
    return exports_.insert({growth.library, growth.export_index}).second
               ? nullptr
               : "a function is in the table twice";
  }
  const char* check_elements(const TableGrowth& growth) {
    if (placed_libraries_ >= state_.libraries.size() ||
        growth.library != static_cast<int64_t>(placed_libraries_) || growth.export_index != 0 ||
        growth.count != state_.libraries[placed_libraries_].module->table_size) {
      return "a library's place in the table is wrong";
    }
    ++placed_libraries_;
    return nullptr;
  }

  const ProcessState& state_;
  const guest_module& main_;
  uint64_t entries_ = 0;
  size_t placed_libraries_ = 0;
  std::set<std::string_view> callbacks_;
  std::set<std::pair<int32_t, uint32_t>> exports_;
};

const char* check_descriptions(const ProcessState& state) {
  std::set<std::pair<uint64_t, Description::Kind>> pipes;
  for (const Description& description : state.descriptions) {
    if (description.position > kMaximumPosition) return "a file's position is out of range";
    switch (description.kind) {
      case Description::Kind::kFile:
        if (!is_normal_path(description.path)) return "a file's path is not a path";
        if (!description.readable && !description.writable) return "a file is open for nothing";
        break;
      case Description::Kind::kPipeReader:
      case Description::Kind::kPipeWriter:
        if (description.readable != (description.kind == Description::Kind::kPipeReader) ||
            description.readable == description.writable) {
          return "a pipe's end is open for the other's work";
        }
        if (!pipes.insert({description.pipe, description.kind}).second) {
          return "a pipe's end is there twice";
        }
        break;
      default:
        return "an open file is of no kind";
    }
  }
  return nullptr;
}

const char* check_descriptors(const ProcessState& state, int limit) {
  int previous = -1;
  std::vector<bool> used(state.descriptions.size());
  for (const ProcessState::Descriptor& descriptor : state.descriptors) {
    if (descriptor.number <= previous || descriptor.number >= limit) {
      return "a descriptor is out of range";
    }
    previous = descriptor.number;
    if (descriptor.description >= used.size()) return "a descriptor is of no file";
    used[descriptor.description] = true;
  }
  return std::ranges::find(used, false) == used.end() ? nullptr : "an open file has no descriptor";
}

const char* check(const ProcessState& state, const guest_module& main, int descriptor_limit) {
  if (!are_pages_possible(state.memory_pages, main)) return "its memory has an impossible size";
  const uint64_t memory_size = state.memory_pages * WASM_DEFAULT_PAGE_SIZE;
  if (const char* wrong = check_libraries(state, memory_size)) return wrong;
  if (const char* wrong = check_handles(state, memory_size)) return wrong;
  if (const char* wrong = GrowthCheck(state, main).check()) return wrong;
  if (!is_normal_path(state.working_directory)) return "its working directory is not a path";
  if (state.umask > kMaximumUmask) return "its umask is out of range";
  if (const char* wrong = check_descriptions(state)) return wrong;
  return check_descriptors(state, descriptor_limit);
}

}  // namespace

bool is_side_module(const guest_module& module) {
  return !module.fused && module.memory == nullptr && module.table == nullptr &&
         module.memory_max_pages == 0;
}

std::string encode_process_state(const guest_module& main, const ProcessState& state) {
  wasm::ByteWriter out;
  out.put_string(main.sha256);
  out.put(state.memory_pages);
  put_values(out, state.globals);
  out.put(static_cast<uint32_t>(state.libraries.size()));
  for (const Library& library : state.libraries) {
    out.put_string(library.module->sha256);
    out.put_string(library.path);
    out.put_string(library.failure);
    out.put(library.memory_base);
    out.put(library.table_base);
    put_values(out, library.globals);
  }
  out.put(static_cast<uint32_t>(state.handles.size()));
  for (const ProcessState::Handle& handle : state.handles) {
    out.put(handle.address);
    out.put(handle.library);
  }
  out.put(static_cast<uint32_t>(state.growth.size()));
  for (const TableGrowth& growth : state.growth) {
    out.put(growth.kind);
    out.put_string(growth.name);
    out.put(growth.library);
    out.put(growth.export_index);
    out.put(growth.count);
  }
  out.put_string(state.working_directory);
  out.put(state.umask);
  out.put(static_cast<uint32_t>(state.descriptions.size()));
  for (const Description& description : state.descriptions) {
    out.put(description.kind);
    out.put(description.pipe);
    out.put_string(description.path);
    out.put(description.position);
    put_flag(out, description.readable);
    put_flag(out, description.writable);
    put_flag(out, description.append);
    put_flag(out, description.non_blocking);
  }
  out.put(static_cast<uint32_t>(state.descriptors.size()));
  for (const ProcessState::Descriptor& descriptor : state.descriptors) {
    out.put(static_cast<int32_t>(descriptor.number));
    out.put(descriptor.description);
    put_flag(out, descriptor.close_on_exec);
  }
  return out.take();
}

const char* decode_process_state(std::string_view bytes, const guest_module& main,
                                 wasm::ModuleStore* modules, int descriptor_limit,
                                 ProcessState* state) {
  Reader reader(bytes, modules);
  if (!reader.read(main, state)) return reader.wrong();
  return check(*state, main, descriptor_limit);
}

std::optional<uint64_t> saved_memory_pages(std::string_view bytes, const guest_module& main) {
  wasm::ByteReader in(bytes);
  if (in.get_string() != main.sha256) return std::nullopt;
  const auto pages = in.get<uint64_t>();
  if (!in.ok() || !are_pages_possible(pages, main)) return std::nullopt;
  return pages;
}

}  // namespace pglite::emscripten
