// Process::save and Process::restore: a process at rest, as bytes and back.
//
// What is read is validated whole before anything is made of it (process_state.h). What is left to
// be found out while building (a file that is missing, a place in the table that is another) is an
// error, too, and a trap on the way is one.
#include <algorithm>
#include <map>
#include <new>
#include <tuple>

#include "emscripten/pipe.h"
#include "emscripten/process.h"

namespace pglite::emscripten {

namespace {

using Description = ProcessState::Description;

std::vector<uint32_t> globals_of(const guest_module& module, void* instance) {
  std::vector<uint32_t> values(module.global_count);
  module.save_globals(instance, values.data());
  return values;
}

bool fail(RestoreError* error, std::string_view what) {
  *error = {.is_damaged = true,
            .message = "the snapshot's process state is damaged: " + std::string(what)};
  return false;
}

// Gives a module that was just instantiated the values of its globals. What it exports as data are
// constants, addresses that the host reads as well; false when `values` has another for one.
bool load_globals(const guest_module& module, void* instance, const std::vector<uint32_t>& values) {
  std::vector<std::pair<const uint32_t*, uint32_t>> constants;
  for (uint32_t i = 0; i < module.export_count; ++i) {
    const guest_export& export_ = module.exports[i];
    if (export_.global == nullptr || export_.name == std::string_view("__stack_pointer")) continue;
    const uint32_t* global = export_.global(instance);
    constants.emplace_back(global, *global);
  }
  module.load_globals(instance, values.data());
  return std::ranges::all_of(
      constants, [](const auto& constant) { return *constant.first == constant.second; });
}

}  // namespace

// ---- Saving ----

void Process::save_libraries(ProcessState* state) const {
  for (const auto& library : libraries_) {
    state->libraries.push_back({.module = library->module,
                                .path = library->path,
                                .failure = library->failure,
                                .memory_base = library->env.memory_base,
                                .table_base = library->env.table_base,
                                .globals = globals_of(*library->module, library->instance.get())});
  }
  for (const auto& [handle, library] : handles_) {
    state->handles.push_back(
        {.address = handle, .library = static_cast<uint32_t>(index_of(*library))});
  }
  state->growth = growth_;
}

bool Process::save_description(const vfs::OpenFile& open, Description* out, std::string* error) {
  if (const auto* pipe = dynamic_cast<const PipeFile*>(open.file.get())) {
    if (pipe->ready()) {
      *error = "a signal is pending in the guest";
      return false;
    }
    out->kind = pipe->is_reader() ? Description::Kind::kPipeReader : Description::Kind::kPipeWriter;
    out->pipe = pipe->identity();
  } else {
    const auto here = open.file->metadata();
    const auto named = filesystem().metadata(open.path, true);
    if (!here || !named || here->inode != named->inode || here->device != named->device) {
      *error = "the file \"" + open.path + "\" is open and has been removed";
      return false;
    }
  }
  out->path = open.path;
  out->position = open.position;
  out->readable = open.readable;
  out->writable = open.writable;
  out->append = open.append;
  out->non_blocking = open.non_blocking;
  return true;
}

// Descriptors that share an open file description come out as that again.
bool Process::save_files(ProcessState* state, std::string* error) {
  state->working_directory = working_directory;
  state->umask = umask;
  std::map<const vfs::OpenFile*, uint32_t> places;
  // A pipe's identity is an address of this run, which is nobody else's business.
  std::map<uint64_t, uint64_t> pipes;
  for (int fd = 0; fd < descriptors_.limit(); ++fd) {
    const auto open = descriptors_.get(fd);
    if (!open) continue;
    const auto [place, is_new] =
        places.try_emplace(*open, static_cast<uint32_t>(state->descriptions.size()));
    if (is_new) {
      Description& description = state->descriptions.emplace_back();
      if (!save_description(**open, &description, error)) return false;
      if (description.kind != Description::Kind::kFile) {
        description.pipe = pipes.try_emplace(description.pipe, pipes.size()).first->second;
      }
    }
    state->descriptors.push_back({.number = fd,
                                  .description = place->second,
                                  .close_on_exec = descriptors_.close_on_exec(fd).value_or(false)});
  }
  return true;
}

bool Process::save(std::string* state, std::string* error) {
  ProcessState saved;
  saved.memory_pages = env_.memory->pages;
  saved.globals = globals_of(*main_, env_.main);
  save_libraries(&saved);
  if (!save_files(&saved, error)) return false;
  *state = encode_process_state(*main_, saved);
  return true;
}

// ---- Restoring ----

bool Process::restore_memory(const ProcessState& state, RestoreError* error) {
  wasm_rt_memory_t* memory = env_.memory;
  if (wasm_rt_grow_memory(memory, state.memory_pages - memory->pages) != UINT64_MAX) return true;
  *error = {.is_damaged = false, .message = "not enough memory for the snapshot"};
  return false;
}

bool Process::restore_main_module(const ProcessState& state, RestoreError* error) {
  wasm::Outcome outcome;
  run([&] { outcome = execution_.protect([&] { main_->instantiate_bare(instance(), &env_); }); });
  if (!outcome.returned()) return fail(error, "the module cannot be instantiated");
  instantiated_ = true;
  std::string missing;
  if (!bind_main_module(&missing)) return fail(error, missing);
  if (!load_globals(*main_, env_.main, state.globals)) return fail(error, "a constant is another");
  const uint32_t stack_pointer = *env_.stack_pointer;
  constexpr uint32_t kStackAlignment = 16;
  if (stack_pointer == 0 || stack_pointer % kStackAlignment != 0 ||
      stack_pointer > env_.memory->size) {
    return fail(error, "its stack pointer is out of range");
  }
  return true;
}

void Process::restore_libraries(const ProcessState& state) {
  for (const ProcessState::Library& saved : state.libraries) {
    auto library = make_library(saved.path, saved.module);
    library->failure = saved.failure;
    library->env.memory_base = saved.memory_base;
    library->env.table_base = saved.table_base;
    libraries_.push_back(std::move(library));
  }
}

const guest_export& Process::export_of(const TableGrowth& growth) const {
  const guest_module& module = growth.library < 0 ? *main_ : *libraries_[growth.library]->module;
  return module.exports[growth.export_index];
}

// What each step of growth fills its entries with: a library's elements with nothing at first.
bool Process::table_entries(const ProcessState& state,
                            const std::function<Callback(std::string_view)>& callback,
                            std::vector<wasm_rt_funcref_t>* entries, RestoreError* error) {
  for (const TableGrowth& growth : state.growth) {
    wasm_rt_funcref_t& entry = entries->emplace_back();
    if (growth.kind == TableGrowth::Kind::kCallback) {
      const Callback known = callback(growth.name);
      if (known.function == nullptr) return fail(error, "a callback is unknown");
      entry.func_type = known.type;
      entry.func = known.function;
      entry.module_instance = known.context;
    } else if (growth.kind == TableGrowth::Kind::kExport) {
      const guest_export& export_ = export_of(growth);
      entry.func_type = export_.type;
      entry.func = export_.function;
      entry.module_instance =
          growth.library < 0 ? env_.main : libraries_[growth.library]->instance.get();
    }
  }
  return true;
}

bool Process::restore_table(const ProcessState& state,
                            const std::function<Callback(std::string_view)>& callback,
                            RestoreError* error) {
  std::vector<wasm_rt_funcref_t> entries;
  if (!table_entries(state, callback, &entries, error)) return false;
  std::vector<uint32_t> places(entries.size());
  bool fits = true;
  // Allocates nothing, as a trap would lose it.
  const auto grow = [&] {
    for (size_t i = 0; fits && i < entries.size(); ++i) {
      const TableGrowth& growth = state.growth[i];
      places[i] = wasm_rt_grow_funcref_table(env_.table, growth.count, entries[i]);
      fits = places[i] != UINT32_MAX;
      if (!fits || growth.kind != TableGrowth::Kind::kElements) continue;
      Library& library = *libraries_[growth.library];
      fits = places[i] == library.env.table_base;
      if (fits) library.module->instantiate_bare(library.instance.get(), &library.env);
    }
  };
  wasm::Outcome outcome;
  run([&] { outcome = execution_.protect(grow); });
  if (!outcome.returned()) return fail(error, "a library cannot be instantiated");
  if (!fits) return fail(error, "a library's place in the table is another");
  for (size_t i = 0; i < places.size(); ++i) {
    const TableGrowth& growth = state.growth[i];
    if (growth.kind != TableGrowth::Kind::kExport) continue;
    addresses_[{growth.library, &export_of(growth)}] = places[i];
  }
  growth_ = state.growth;
  return true;
}

bool Process::restore_library_globals(const ProcessState& state, RestoreError* error) {
  for (size_t i = 0; i < libraries_.size(); ++i) {
    const Library& library = *libraries_[i];
    if (!load_globals(*library.module, library.instance.get(), state.libraries[i].globals)) {
      return fail(error, "a library's constant is another");
    }
  }
  return true;
}

bool Process::restore_symbols(const ProcessState& state, RestoreError* error) {
  for (const ProcessState::Handle& handle : state.handles) {
    handles_[handle.address] = libraries_[handle.library].get();
  }
  // Every address that a GOT has is in the table already: one that had to be added would be one
  // that the process has not had.
  const size_t growth = growth_.size();
  bool is_whole = true;
  const auto fill = [&] {
    for (const auto& library : libraries_) {
      if (library->failure.empty()) is_whole &= fill_got(*library) == nullptr;
    }
  };
  wasm::Outcome outcome;
  run([&] { outcome = execution_.protect(fill); });
  if (!outcome.returned() || !is_whole || growth_.size() != growth) {
    return fail(error, "a symbol is out of place");
  }
  return true;
}

bool Process::restore_files(const ProcessState& state, RestoreError* error) {
  working_directory = state.working_directory;
  umask = state.umask;
  std::vector<std::shared_ptr<vfs::OpenFile>> descriptions;
  std::map<uint64_t, std::pair<std::unique_ptr<PipeFile>, std::unique_ptr<PipeFile>>> pipes;
  for (const Description& saved : state.descriptions) {
    auto open = std::make_shared<vfs::OpenFile>();
    open->path = saved.path;
    open->position = saved.position;
    open->readable = saved.readable;
    open->writable = saved.writable;
    open->append = saved.append;
    open->non_blocking = saved.non_blocking;
    if (saved.kind == Description::Kind::kFile) {
      auto file =
          filesystem().open(saved.path, {.read = saved.readable, .write = saved.writable}, 0);
      if (!file) return fail(error, "its file \"" + saved.path + "\" cannot be opened");
      open->file = std::move(*file);
    } else {
      const auto [place, is_new] = pipes.try_emplace(saved.pipe);
      auto& [reader, writer] = place->second;
      if (is_new) std::tie(reader, writer) = make_pipe();
      auto& end = saved.kind == Description::Kind::kPipeReader ? reader : writer;
      open->file = std::move(end);
    }
    descriptions.push_back(std::move(open));
  }
  for (const ProcessState::Descriptor& saved : state.descriptors) {
    const auto placed =
        descriptors_.open(descriptions[saved.description], saved.number, saved.close_on_exec);
    if (!placed || *placed != saved.number) return fail(error, "a descriptor is taken");
  }
  return true;
}

std::unique_ptr<Process> Process::restore(ProcessConfig config, std::string_view state,
                                          const PageSource& pages,
                                          const std::function<Callback(std::string_view)>& callback,
                                          RestoreError* error) {
  try {
    ProcessState saved;
    if (const char* wrong = decode_process_state(state, *config.main, config.modules.get(),
                                                 config.descriptor_limit, &saved)) {
      fail(error, wrong);
      return nullptr;
    }
    std::unique_ptr<Process> process(new Process(std::move(config)));
    if (!process->restore_memory(saved, error) || !process->restore_main_module(saved, error)) {
      return nullptr;
    }
    if (!pages.fill(process->memory_owner())) {
      fail(error, "its memory has another size");
      return nullptr;
    }
    process->restore_libraries(saved);
    if (!process->restore_table(saved, callback, error) ||
        !process->restore_library_globals(saved, error) ||
        !process->restore_symbols(saved, error) || !process->restore_files(saved, error)) {
      return nullptr;
    }
    return process;
  } catch (const std::bad_alloc&) {
    *error = {.is_damaged = false,
              .message =
                  "not enough address space for a guest (8 GiB of reservation and a 256 MiB "
                  "stack): check RLIMIT_AS and vm.overcommit_memory"};
    return nullptr;
  }
}

}  // namespace pglite::emscripten
