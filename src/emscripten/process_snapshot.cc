// Process::save and Process::restore: a process at rest, as bytes and back.
//
// Function pointers and instance addresses differ from one run to the next, so the table is not
// written: what it grew by is (process.h, Growth), and the modules fill in the rest when they are
// instantiated again. Files are opened again by name.
#include <algorithm>
#include <map>
#include <new>

#include "emscripten/pipe.h"
#include "emscripten/process.h"
#include "wasm/byte_stream.h"
#include "wasm/module_registry.h"

namespace pglite::emscripten {

namespace {

void save_globals(wasm::ByteWriter& out, const guest_module& module, void* instance) {
  std::vector<uint32_t> values(module.global_count);
  module.save_globals(instance, values.data());
  for (const uint32_t value : values) out.put(value);
}

void load_globals(wasm::ByteReader& in, const guest_module& module, void* instance) {
  std::vector<uint32_t> values(module.global_count);
  for (uint32_t& value : values) value = in.get<uint32_t>();
  if (in.ok()) module.load_globals(instance, values.data());
}

enum class DescriptionKind : uint32_t { kFile, kPipeReader, kPipeWriter };

}  // namespace

bool Process::save(std::string* state, std::string* error) {
  wasm::ByteWriter out;
  out.put_string(main_->sha256);
  out.put(env_.memory->pages);
  save_globals(out, *main_, env_.main);

  out.put(static_cast<uint32_t>(libraries_.size()));
  for (const auto& library : libraries_) {
    out.put_string(library->module->sha256);
    out.put_string(library->path);
    out.put_string(library->failure);
    out.put(library->env.memory_base);
    out.put(library->env.table_base);
    out.put(library->references);
    save_globals(out, *library->module, library->instance.get());
  }
  out.put(static_cast<uint32_t>(handles_.size()));
  for (const auto& [handle, library] : handles_) {
    const auto index = std::ranges::find_if(
        libraries_, [&](const auto& candidate) { return candidate.get() == library; });
    out.put(handle);
    out.put(static_cast<uint32_t>(index - libraries_.begin()));
  }

  out.put(static_cast<uint32_t>(growth_.size()));
  for (const Growth& growth : growth_) {
    out.put(growth.kind);
    out.put_string(growth.name);
    out.put(growth.library);
    out.put(growth.export_index);
    out.put(growth.count);
  }
  for (uint32_t i = 0; i < guest_got_symbol_count; ++i) {
    out.put(got_[i]);
    out.put(static_cast<uint8_t>(got_resolved_[i] ? 1 : 0));
  }

  out.put_string(working_directory);
  out.put(umask);

  // Descriptors that share an open file description come out as that again.
  std::map<const vfs::OpenFile*, uint32_t> descriptions;
  std::vector<const vfs::OpenFile*> order;
  wasm::ByteWriter numbers;
  uint32_t count = 0;
  for (int fd = 0; fd < descriptors_.limit(); ++fd) {
    const auto open = descriptors_.get(fd);
    if (!open) continue;
    const auto [place, is_new] =
        descriptions.try_emplace(*open, static_cast<uint32_t>(order.size()));
    if (is_new) order.push_back(*open);
    numbers.put(fd);
    numbers.put(place->second);
    numbers.put(static_cast<uint8_t>(descriptors_.close_on_exec(fd).value_or(false)));
    ++count;
  }
  out.put(static_cast<uint32_t>(order.size()));
  for (const vfs::OpenFile* open : order) {
    auto kind = DescriptionKind::kFile;
    uint64_t pipe_id = 0;
    if (const auto* pipe = dynamic_cast<const PipeFile*>(open->file.get())) {
      if (pipe->ready()) {
        *error = "a signal is pending in the guest";
        return false;
      }
      kind = pipe->is_reader() ? DescriptionKind::kPipeReader : DescriptionKind::kPipeWriter;
      pipe_id = pipe->identity();
    } else {
      const auto here = open->file->metadata();
      const auto named = filesystem().metadata(open->path, true);
      if (!here || !named || here->inode != named->inode || here->device != named->device) {
        *error = "the file \"" + open->path + "\" is open and has been removed";
        return false;
      }
    }
    out.put(kind);
    out.put(pipe_id);
    out.put_string(open->path);
    out.put(open->position);
    out.put(static_cast<uint8_t>(open->readable));
    out.put(static_cast<uint8_t>(open->writable));
    out.put(static_cast<uint8_t>(open->append));
    out.put(static_cast<uint8_t>(open->non_blocking));
  }
  out.put_string(numbers.take());
  out.put(count);
  *state = out.take();
  return true;
}

std::unique_ptr<Process> Process::restore(ProcessConfig config, std::string_view state,
                                          const PageSource& pages,
                                          const std::function<Callback(std::string_view)>& callback,
                                          std::string* error) {
  *error = "the snapshot's process state is damaged";
  try {
    std::unique_ptr<Process> process(new Process(std::move(config)));
    wasm::ByteReader in(state);
    if (in.get_string() != process->main_->sha256) return nullptr;
    const auto page_count = in.get<uint64_t>();
    w2c_env& env = process->env_;
    if (env.memory == nullptr || page_count < env.memory->pages ||
        wasm_rt_grow_memory(env.memory, page_count - env.memory->pages) == UINT64_MAX) {
      *error = "not enough memory for the snapshot";
      return nullptr;
    }
    wasm::Outcome outcome;
    const auto instantiate = [&](const guest_module& module, void* instance, w2c_env& module_env) {
      process->run([&] {
        outcome =
            process->execution_.protect([&] { module.instantiate_bare(instance, &module_env); });
      });
      return outcome.returned();
    };
    if (!instantiate(*process->main_, process->instance(), env)) return nullptr;
    process->instantiated_ = true;
    if (!process->bind_main_module(error)) return nullptr;
    load_globals(in, *process->main_, env.main);
    if (!pages.fill(*env.memory)) {
      *error = "the snapshot's memory cannot be mapped";
      return nullptr;
    }

    const auto library_count = in.get_count(16);
    for (uint32_t i = 0; i < library_count; ++i) {
      const guest_module* module = wasm::find_module_by_sha256(in.get_string());
      const std::string path(in.get_string());
      if (module == nullptr) return nullptr;
      auto library = process->make_library(path, module);
      library->failure = in.get_string();
      library->env.memory_base = in.get<uint32_t>();
      library->env.table_base = in.get<uint32_t>();
      library->references = in.get<uint32_t>();
      // Its instance takes globals now, and its place in the table when the table grows to there.
      load_globals(in, *module, library->instance.get());
      process->libraries_.push_back(std::move(library));
    }
    for (auto count = in.get_count(8); count > 0; --count) {
      const auto handle = in.get<uint32_t>();
      const auto index = in.get<uint32_t>();
      if (index >= process->libraries_.size()) return nullptr;
      process->handles_[handle] = process->libraries_[index].get();
    }

    const auto library_at = [&](int32_t index) -> Library* {
      if (index < 0 || static_cast<size_t>(index) >= process->libraries_.size()) return nullptr;
      return process->libraries_[index].get();
    };
    for (auto left = in.get_count(20); left > 0; --left) {
      Growth growth;
      growth.kind = in.get<Growth::Kind>();
      growth.name = in.get_string();
      growth.library = in.get<int32_t>();
      growth.export_index = in.get<uint32_t>();
      growth.count = in.get<uint32_t>();
      if (!in.ok()) return nullptr;
      switch (growth.kind) {
        case Growth::Kind::kCallback: {
          const Callback known = callback(growth.name);
          if (known.function == nullptr) return nullptr;
          process->add_callback(growth.name, known);
          break;
        }
        case Growth::Kind::kExport: {
          Library* library = library_at(growth.library);
          if (library == nullptr && growth.library >= 0) return nullptr;
          const guest_module& module = library == nullptr ? *process->main_ : *library->module;
          if (growth.export_index >= module.export_count) return nullptr;
          process->function_address(growth.library, module.exports[growth.export_index]);
          break;
        }
        case Growth::Kind::kElements: {
          Library* library = library_at(growth.library);
          if (library == nullptr || growth.count != library->module->table_size) return nullptr;
          const uint32_t base = process->grow_table({}, growth.count, growth);
          if (base != library->env.table_base) return nullptr;
          // instantiate_bare resets the globals to their first values: keep ours.
          std::vector<uint32_t> globals(library->module->global_count);
          library->module->save_globals(library->instance.get(), globals.data());
          if (!instantiate(*library->module, library->instance.get(), library->env)) {
            return nullptr;
          }
          library->module->load_globals(library->instance.get(), globals.data());
          break;
        }
        default:
          return nullptr;
      }
    }
    for (uint32_t i = 0; i < guest_got_symbol_count; ++i) {
      process->got_[i] = in.get<uint32_t>();
      process->got_resolved_[i] = in.get<uint8_t>() != 0;
    }
    process->working_directory = in.get_string();
    process->umask = in.get<uint32_t>();

    std::vector<std::shared_ptr<vfs::OpenFile>> descriptions;
    std::map<uint64_t, std::pair<std::unique_ptr<PipeFile>, std::unique_ptr<PipeFile>>> pipes;
    for (auto left = in.get_count(24); left > 0; --left) {
      const auto kind = in.get<DescriptionKind>();
      const auto pipe_id = in.get<uint64_t>();
      auto open = std::make_shared<vfs::OpenFile>();
      open->path = in.get_string();
      open->position = in.get<uint64_t>();
      open->readable = in.get<uint8_t>() != 0;
      open->writable = in.get<uint8_t>() != 0;
      open->append = in.get<uint8_t>() != 0;
      open->non_blocking = in.get<uint8_t>() != 0;
      if (!in.ok()) return nullptr;
      if (kind == DescriptionKind::kFile) {
        auto file = process->filesystem().open(
            open->path, {.read = open->readable, .write = open->writable}, 0);
        if (!file) {
          *error = "the snapshot's file \"" + open->path + "\" is missing";
          return nullptr;
        }
        open->file = std::move(*file);
      } else {
        auto& pipe = pipes.try_emplace(pipe_id).first->second;
        if (pipe.first == nullptr && pipe.second == nullptr) pipe = make_pipe();
        auto& end = kind == DescriptionKind::kPipeReader ? pipe.first : pipe.second;
        if (end == nullptr) return nullptr;
        open->file = std::move(end);
      }
      descriptions.push_back(std::move(open));
    }
    wasm::ByteReader numbers(in.get_string());
    for (auto left = in.get<uint32_t>(); left > 0; --left) {
      const auto fd = numbers.get<int>();
      const auto index = numbers.get<uint32_t>();
      const bool close_on_exec = numbers.get<uint8_t>() != 0;
      if (!numbers.ok() || index >= descriptions.size()) return nullptr;
      const auto placed = process->descriptors_.open(descriptions[index], fd, close_on_exec);
      if (!placed || *placed != fd) return nullptr;
    }
    if (!in.at_end() || !numbers.at_end()) return nullptr;
    error->clear();
    return process;
  } catch (const std::bad_alloc&) {
    *error =
        "not enough address space for a guest (8 GiB of reservation and a 256 MiB stack): check "
        "RLIMIT_AS and vm.overcommit_memory";
    return nullptr;
  }
}

}  // namespace pglite::emscripten
