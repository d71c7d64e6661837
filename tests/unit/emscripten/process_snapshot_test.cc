// Process::save and Process::restore, and what is refused: states that no process can have been in.
#include <algorithm>
#include <map>

#include "emscripten/pipe.h"
#include "emscripten/process_state.h"
#include "postgres/build/images.h"
#include "process_test_util.h"
#include "vfs/image.h"

extern "C" {
extern const char wasm_func_type_v_i[];
}

namespace pglite::emscripten {
namespace {

constexpr std::string_view kLibrary = "/pglite/lib/postgresql/plpgsql.so";
constexpr std::string_view kCallback = "test";
constexpr size_t kLibraryGrowth = 1;  // where in the growth its elements are, behind the callback

uint32_t answer(void*) {
  return 42;
}

// The pages of a memory that are not zero.
class CopiedPages : public PageSource {
 public:
  explicit CopiedPages(const wasm_rt_memory_t& memory) {
    constexpr size_t kPage = WASM_DEFAULT_PAGE_SIZE;
    for (uint64_t at = 0; at < memory.size; at += kPage) {
      const std::span page(memory.data + at, kPage);
      if (std::ranges::any_of(page, [](uint8_t byte) { return byte != 0; })) {
        pages_[at].assign(page.begin(), page.end());
      }
    }
  }
  bool fill(wasm::LinearMemory& memory) const override {
    for (const auto& [at, page] : pages_) {
      if (at + page.size() > memory.size()) return false;
      std::memcpy(memory.get()->data + at, page.data(), page.size());
    }
    return true;
  }

 private:
  std::map<uint64_t, std::vector<uint8_t>> pages_;
};

class ProcessSnapshotTest : public ProcessTest {
 protected:
  // A process with a library, a callback, an open file and a pipe.
  void SetUp() override {
    ProcessTest::SetUp();
    ASSERT_TRUE(vfs::load_image(postgres::bundle_image(), *filesystem, "/"));
    on_guest_stack([&] { process->add_callback(kCallback, callback()); });
    handle = dlopen(*process);
    ASSERT_NE(handle, 0U);
    symbol = dlsym(*process);
    ASSERT_NE(symbol, 0U);
    ASSERT_EQ(open("/tmp/file", kReadWrite | kCreate), 3U);
    ASSERT_EQ(write(3, "content"), 7U);
    ASSERT_EQ(w2c_env_0x5F_syscall_pipe2(env(), scratch, 0), 0U);
    std::string error;
    ASSERT_TRUE(process->save(&bytes, &error)) << error;
    ASSERT_EQ(decode_process_state(bytes, main(), nullptr, kLimit, &good), nullptr);
    pages.emplace(*process->linear_memory());
  }

  static const guest_module& main() { return *wasm::find_module_by_name("pglite"); }
  static Callback callback() {
    return {wasm_func_type_v_i, reinterpret_cast<wasm_rt_function_ptr_t>(answer), nullptr};
  }
  static uint32_t dlopen(Process& of, std::string_view path = kLibrary) {
    uint32_t result = 0;
    of.run([&] {
      (void)of.call([&] {
        const uint32_t name = of.push_string(path);
        result = of.function<uint32_t(uint32_t, uint32_t)>("dlopen")(name, 2);
      });
    });
    return result;
  }
  uint32_t dlsym(Process& of) const {
    uint32_t result = 0;
    of.run([&] {
      (void)of.call([&] {
        const uint32_t name = of.push_string("plpgsql_call_handler");
        result = of.function<uint32_t(uint32_t, uint32_t)>("dlsym")(handle, name);
      });
    });
    return result;
  }

  std::unique_ptr<Process> restore(std::string_view state, RestoreError* error) {
    ProcessConfig config;
    config.main = &main();
    config.program = "/test";
    config.filesystem = filesystem;
    const auto known = [](std::string_view name) {
      return name == kCallback ? callback() : Callback{};
    };
    return Process::restore(std::move(config), state, *pages, known, error);
  }
  // What restoring says about the good state with one change.
  template <class Change>
  std::string refusal(Change&& change) {
    ProcessState changed = good;
    change(changed);
    RestoreError error;
    const auto made = restore(encode_process_state(main(), changed), &error);
    return made == nullptr ? error.message : "";
  }

  static constexpr int kLimit = vfs::DescriptorTable::kDefaultLimit;
  uint32_t handle = 0;
  uint32_t symbol = 0;
  std::string bytes;
  ProcessState good;
  std::optional<CopiedPages> pages;
};

// Two pipes: what tells them apart says nothing of where they were in memory.
TEST_F(ProcessSnapshotTest, PipesAreNumbered) {
  ASSERT_EQ(w2c_env_0x5F_syscall_pipe2(env(), scratch, 0), 0U);
  std::string error;
  ASSERT_TRUE(process->save(&bytes, &error)) << error;
  ASSERT_EQ(decode_process_state(bytes, main(), nullptr, kLimit, &good), nullptr);
  std::vector<uint64_t> pipes;
  for (const auto& description : good.descriptions) {
    if (description.kind != ProcessState::Description::Kind::kFile) {
      pipes.push_back(description.pipe);
    }
  }
  EXPECT_EQ(pipes, (std::vector<uint64_t>{0, 0, 1, 1}));
}

TEST_F(ProcessSnapshotTest, ARestoredProcessGoesOn) {
  RestoreError error;
  const auto copy = restore(bytes, &error);
  ASSERT_NE(copy, nullptr) << error.message;
  EXPECT_EQ(dlopen(*copy), handle);
  EXPECT_EQ(dlsym(*copy), symbol);
  EXPECT_EQ(copy->env().table->size, process->env().table->size);
  EXPECT_NE(copy->env().table->data[symbol].module_instance,
            process->env().table->data[symbol].module_instance);
  EXPECT_EQ((*copy->descriptors().get(3))->position, 7U);
  EXPECT_NE(dynamic_cast<PipeFile*>((*copy->descriptors().get(4))->file.get()), nullptr);
  std::string again;
  ASSERT_TRUE(copy->save(&again, &error.message)) << error.message;
  EXPECT_EQ(again.size(), bytes.size());
}

TEST_F(ProcessSnapshotTest, WhatWasSavedComesOutTheSame) {
  EXPECT_EQ(encode_process_state(main(), good), bytes);
  EXPECT_EQ(saved_memory_pages(bytes, main()), process->linear_memory()->pages);
}

// It needs libpq, which PGlite does not have, and stays as a library that cannot be linked. Unlike
// most libraries it exports data.
TEST_F(ProcessSnapshotTest, ALibraryThatCannotBeLinkedIsKept) {
  constexpr std::string_view kUnlinked = "/pglite/lib/postgresql/libpqwalreceiver.so";
  EXPECT_EQ(dlopen(*process, kUnlinked), 0U);
  RestoreError error;
  ASSERT_TRUE(process->save(&bytes, &error.message)) << error.message;
  ASSERT_EQ(decode_process_state(bytes, main(), nullptr, kLimit, &good), nullptr);
  ASSERT_EQ(good.libraries.size(), 2U);
  pages.emplace(*process->linear_memory());
  const auto copy = restore(bytes, &error);
  ASSERT_NE(copy, nullptr) << error.message;
  EXPECT_EQ(dlopen(*copy, kUnlinked), 0U);
  EXPECT_EQ(copy->env().table->size, process->env().table->size);
  const std::string said = refusal([](ProcessState& state) { ++state.libraries[1].globals[0]; });
  EXPECT_NE(said.find("a library's constant is another"), std::string::npos) << said;
}

using Change = void (*)(ProcessState&);
struct Hostile {
  const char* what;
  const char* refusal;
  Change change;
};

ProcessState::Description& pipe_of(ProcessState& state) {
  return *std::ranges::find_if(state.descriptions, [](const auto& description) {
    return description.kind == ProcessState::Description::Kind::kPipeReader;
  });
}
TableGrowth& export_of(ProcessState& state) {
  return *std::ranges::find_if(state.growth, [](const TableGrowth& growth) {
    return growth.kind == TableGrowth::Kind::kExport;
  });
}
uint32_t data_export() {
  const guest_module& main = *wasm::find_module_by_name("pglite");
  uint32_t index = 0;
  while (main.exports[index].function != nullptr) ++index;
  return index;
}
uint32_t element_export() {
  const guest_module& main = *wasm::find_module_by_name("pglite");
  uint32_t index = 0;
  while (main.exports[index].element < 0) ++index;
  return index;
}
uint32_t stack_pointer_in(const ProcessState& state, const Process& process) {
  const uint32_t value = *const_cast<Process&>(process).env().stack_pointer;
  return static_cast<uint32_t>(std::ranges::find(state.globals, value) - state.globals.begin());
}

const Hostile kHostile[] = {
    {"less memory than the module has", "impossible size", [](auto& s) { s.memory_pages = 1; }},
    {"more memory than it may have", "impossible size", [](auto& s) { s.memory_pages = 32769; }},
    {"memory without end", "impossible size", [](auto& s) { s.memory_pages = UINT64_MAX; }},
    {"a program as a library", "a library is none",
     [](auto& s) {
       const guest_module& program = *wasm::find_module_by_name("initdb");
       s.libraries[0].module = &program;
       s.libraries[0].globals.resize(program.global_count);
     }},
    {"the main module as a library", "a library is none",
     [](auto& s) {
       s.libraries[0].module = wasm::find_module_by_name("pglite");
       s.libraries[0].globals = s.globals;
     }},
    {"a library at a path that climbs", "path",
     [](auto& s) { s.libraries[0].path = "/pglite/../x.so"; }},
    {"a library twice", "twice", [](auto& s) { s.libraries.push_back(s.libraries[0]); }},
    {"a second library without a place in the table", "no place in the table",
     [](auto& s) {
       s.libraries.push_back(s.libraries[0]);
       s.libraries.back().path = "/other.so";
     }},
    {"a library without a place in the table", "",
     [](auto& s) { s.growth.erase(s.growth.begin() + kLibraryGrowth); }},
    {"a library's elements twice", "place in the table is wrong",
     [](auto& s) { s.growth.push_back(s.growth[kLibraryGrowth]); }},
    {"fewer elements than a library has", "place in the table is wrong",
     [](auto& s) { --s.growth[kLibraryGrowth].count; }},
    {"a function of a library before it is there", "of no library",
     [](auto& s) { s.growth.insert(s.growth.begin(), {TableGrowth::Kind::kExport, "", 0}); }},
    {"a function of a library that is not there", "of no library",
     [](auto& s) { export_of(s).library = 1; }},
    {"a function of library -2", "of no library", [](auto& s) { export_of(s).library = -2; }},
    {"an export beyond the last", "a function in the table is none",
     [](auto& s) { export_of(s).export_index = UINT32_MAX; }},
    {"data as a function", "a function in the table is none",
     [](auto& s) {
       export_of(s).library = -1;
       export_of(s).export_index = data_export();
     }},
    {"a function that is an element", "a function in the table is none",
     [](auto& s) {
       export_of(s).library = -1;
       export_of(s).export_index = element_export();
     }},
    {"a function twice", "twice", [](auto& s) { s.growth.push_back(export_of(s)); }},
    {"a function that fills the table", "table is too large",
     [](auto& s) { export_of(s).count = UINT32_MAX; }},
    {"a table that is full of callbacks", "too large",
     [](auto& s) {
       for (int i = 0; i < 262144; ++i) {
         s.growth.push_back({TableGrowth::Kind::kCallback, std::to_string(i)});
       }
     }},
    {"a callback twice", "twice", [](auto& s) { s.growth.push_back(s.growth[0]); }},
    {"a callback that nobody knows", "unknown", [](auto& s) { s.growth[0].name = "x"; }},
    {"a callback of two entries", "callback is wrong", [](auto& s) { s.growth[0].count = 2; }},
    {"growth of no kind", "no kind",
     [](auto& s) { s.growth[0] = {static_cast<TableGrowth::Kind>(3), ""}; }},
    {"a library at another place in the table", "place in the table is another",
     [](auto& s) { ++s.libraries[0].table_base; }},
    {"a library's data beyond the memory", "data are out of place",
     [](auto& s) { s.libraries[0].memory_base = 0xfffffff0; }},
    {"a library's data out of line", "data are out of place",
     [](auto& s) { ++s.libraries[0].memory_base; }},
    {"another constant", "constant is another",
     [](auto& s) {
       // What the host finds TransamVariables and its like by.
       for (uint32_t& value : s.globals) value += 16;
     }},
    {"a handle beyond the memory", "handle is out of place",
     [](auto& s) { s.handles[0].address = UINT32_MAX; }},
    {"a handle twice", "twice", [](auto& s) { s.handles.push_back(s.handles[0]); }},
    {"a handle of no library", "of no library", [](auto& s) { s.handles[0].library = 1; }},
    {"a handle of a library that cannot be linked", "of no library",
     [](auto& s) { s.libraries[0].failure = "undefined symbol"; }},
    {"an address in the GOT that the table lacks", "symbol is out of place",
     [](auto& s) {
       const auto last = std::ranges::find_if(s.growth, [](const TableGrowth& growth) {
         return growth.kind == TableGrowth::Kind::kExport && growth.library < 0;
       });
       ASSERT_NE(last, s.growth.end());
       s.growth.erase(last);
     }},
    {"a working directory that is relative", "working directory",
     [](auto& s) { s.working_directory = "tmp"; }},
    {"a working directory with a NUL", "working directory",
     [](auto& s) { s.working_directory = std::string("/a\0b", 4); }},
    {"an endless working directory", "working directory",
     [](auto& s) { s.working_directory = "/" + std::string(100000, 'x'); }},
    {"an umask with other bits", "umask", [](auto& s) { s.umask = 01000; }},
    {"a file of no kind", "no kind",
     [](auto& s) { s.descriptions[0].kind = static_cast<ProcessState::Description::Kind>(3); }},
    {"a file that is not there", "cannot be opened",
     [](auto& s) { s.descriptions[0].path = "/none"; }},
    {"a file at a relative path", "path", [](auto& s) { s.descriptions[0].path = "dev/null"; }},
    {"a file open for nothing", "for nothing",
     [](auto& s) { s.descriptions[0].readable = s.descriptions[0].writable = false; }},
    {"a position beyond the largest file", "position",
     [](auto& s) { s.descriptions[3].position = uint64_t{1} << 63; }},
    {"a pipe's end twice", "twice",
     [](auto& s) {
       s.descriptions.push_back(pipe_of(s));
       s.descriptors.push_back({100, static_cast<uint32_t>(s.descriptions.size() - 1)});
     }},
    {"a reader that writes", "other's work",
     [](auto& s) { std::swap(pipe_of(s).readable, pipe_of(s).writable); }},
    {"a file that no descriptor has", "no descriptor",
     [](auto& s) { s.descriptions.push_back(s.descriptions[0]); }},
    {"a descriptor of no file", "no file", [](auto& s) { s.descriptors[0].description = 99; }},
    {"a negative descriptor", "out of range", [](auto& s) { s.descriptors[0].number = -1; }},
    {"a descriptor twice", "out of range", [](auto& s) { s.descriptors[1].number = 0; }},
    {"a descriptor beyond the limit", "out of range",
     [](auto& s) { s.descriptors.back().number = 4096; }},
};

TEST_F(ProcessSnapshotTest, RefusesWhatNoProcessCanHaveBeen) {
  for (const Hostile& hostile : kHostile) {
    const std::string said = refusal(hostile.change);
    EXPECT_NE(said, "") << hostile.what;
    EXPECT_NE(said.find(hostile.refusal), std::string::npos) << hostile.what << ": " << said;
    EXPECT_TRUE(said.starts_with("the snapshot's process state is damaged: ")) << said;
  }
}

TEST_F(ProcessSnapshotTest, RefusesAStackPointerThatPointsNowhere) {
  const uint32_t index = stack_pointer_in(good, *process);
  for (const uint32_t value : {0U, 1U, 0x80000010U, 0xfffffff0U}) {
    EXPECT_NE(refusal([&](ProcessState& state) {
                state.globals[index] = value;
              }).find("stack pointer is out of range"),
              std::string::npos)
        << value;
  }
}

TEST_F(ProcessSnapshotTest, RefusesBytesThatAreNoState) {
  RestoreError error;
  for (size_t size = 0; size < bytes.size(); size += 97) {
    EXPECT_EQ(restore(bytes.substr(0, size), &error), nullptr) << size;
  }
  EXPECT_EQ(restore(bytes + '\0', &error), nullptr);
  EXPECT_EQ(restore("", &error), nullptr);
}

// Each word in turn is made what it is not. Either the state is refused, or there is a process, and
// its guest runs or traps.
TEST_F(ProcessSnapshotTest, NoChangeOfAWordHarmsTheHost) {
  int refused = 0;
  int restored = 0;
  for (size_t at = 0; at + sizeof(uint32_t) <= bytes.size(); at += sizeof(uint32_t)) {
    uint32_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    for (const uint32_t value : {0U, word - 1, word + 1, 0x7fffffffU, 0xffffffffU}) {
      std::string changed = bytes;
      std::memcpy(changed.data() + at, &value, sizeof value);
      RestoreError error;
      const auto made = restore(changed, &error);
      if (made == nullptr) {
        EXPECT_TRUE(error.is_damaged) << at << ": " << error.message;
        ++refused;
        continue;
      }
      ++restored;
      made->run(
          [&] { (void)made->call([&] { made->function<uint32_t(uint32_t)>("malloc")(100); }); });
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(restored, 10);
}

}  // namespace
}  // namespace pglite::emscripten
