// dlopen and dlsym through the guest's own libc, with PGlite's side modules from its bundle.
#include <functional>

#include "allocation_count.h"
#include "postgres/build/images.h"
#include "process_test_util.h"
#include "vfs/image.h"

namespace pglite::emscripten {
namespace {

constexpr std::string_view kLibrary = "/pglite/lib/postgresql/plpgsql.so";

class DynamicLinkingTest : public ProcessTest {
 protected:
  void SetUp() override {
    ProcessTest::SetUp();
    ASSERT_TRUE(vfs::load_image(postgres::bundle_image(), *filesystem, "/"));
  }

  uint32_t dlopen(std::string_view path) {
    uint32_t handle = 0;
    const uint32_t name = text(path);
    on_guest_stack(
        [&] { handle = process->function<uint32_t(uint32_t, uint32_t)>("dlopen")(name, 2); });
    return handle;
  }
  uint32_t dlsym(uint32_t handle, std::string_view symbol) {
    uint32_t address = 0;
    const uint32_t name = text(symbol);
    on_guest_stack(
        [&] { address = process->function<uint32_t(uint32_t, uint32_t)>("dlsym")(handle, name); });
    return address;
  }
  std::string dlerror() {
    uint32_t address = 0;
    on_guest_stack([&] { address = process->function<uint32_t()>("dlerror")(); });
    const auto message = process->memory().c_string(address);
    return address != 0 && message ? std::string(*message) : "";
  }
  // Puts a copy of the library at `path`.
  void copy_library(std::string_view path) {
    auto from = filesystem->open(kLibrary, {.read = true}, 0);
    ASSERT_TRUE(from);
    std::vector<std::byte> content((*from)->metadata()->size);
    ASSERT_TRUE((*from)->read(content, 0));
    auto to = filesystem->open(path, {.write = true, .create = true}, 0644);
    ASSERT_TRUE(to);
    ASSERT_TRUE((*to)->write(content, 0));
  }
  void* instance_behind(uint32_t index) { return env()->table->data[index].module_instance; }
};

TEST_F(DynamicLinkingTest, OpensALibraryOnce) {
  const uint32_t handle = dlopen(kLibrary);
  ASSERT_NE(handle, 0U) << dlerror();
  EXPECT_EQ(dlopen(kLibrary), handle);
  const uint32_t size = env()->table->size;
  const uint32_t init = dlsym(handle, "_PG_init");
  ASSERT_NE(init, 0U) << dlerror();
  EXPECT_EQ(dlsym(handle, "_PG_init"), init);  // a function has one address
  EXPECT_LE(env()->table->size, size + 1);
  EXPECT_NE(instance_behind(init), env()->main);
  EXPECT_NE(dlsym(handle, "plpgsql_call_handler"), init);
}

TEST_F(DynamicLinkingTest, SaysWhatIsWrong) {
  EXPECT_EQ(dlopen("/none.so"), 0U);
  EXPECT_NE(dlerror().find("No such file or directory"), std::string::npos);
  EXPECT_EQ(dlopen("/tmp"), 0U);
  const uint32_t fd = open("/tmp/foreign%s%n.so", kWriteOnly | kCreate);
  write(fd, "\0asm");
  EXPECT_EQ(dlopen("/tmp/foreign%s%n.so"), 0U);
  const std::string message = dlerror();
  EXPECT_NE(message.find("foreign%s%n.so"), std::string::npos) << message;
  EXPECT_NE(message.find("not one that this program was built with"), std::string::npos) << message;
  const uint32_t handle = dlopen(kLibrary);
  EXPECT_EQ(dlsym(handle, "no_such_symbol"), 0U);
  EXPECT_NE(dlerror().find("undefined symbol: no_such_symbol"), std::string::npos);
}

TEST_F(DynamicLinkingTest, AHugeFileIsNotRead) {
  const uint32_t fd = open("/tmp/huge.so", kWriteOnly | kCreate);
  EXPECT_EQ(w2c_env_0x5F_syscall_ftruncate64(env(), fd, uint64_t{1} << 40), 0U);
  EXPECT_EQ(dlopen("/tmp/huge.so"), 0U);
  EXPECT_NE(dlerror().find("File too large"), std::string::npos);
}

// Two copies are two libraries, each with its data and its functions.
TEST_F(DynamicLinkingTest, ACopyIsALibraryOfItsOwn) {
  copy_library("/tmp/copy.so");
  const uint32_t first = dlopen(kLibrary);
  const uint32_t second = dlopen("/tmp/copy.so");
  ASSERT_NE(first, 0U);
  ASSERT_NE(second, 0U);
  EXPECT_NE(first, second);
  for (const char* symbol : {"_PG_init", "plpgsql_call_handler", "Pg_magic_func"}) {
    const uint32_t in_first = dlsym(first, symbol);
    const uint32_t in_second = dlsym(second, symbol);
    ASSERT_NE(in_first, 0U);
    ASSERT_NE(in_second, 0U);
    EXPECT_NE(instance_behind(in_first), instance_behind(in_second)) << symbol;
  }
}

TEST_F(DynamicLinkingTest, OpensEveryLibraryOfTheBundleThatCanBeLinked) {
  auto directory = filesystem->open("/pglite/lib/postgresql", {.read = true}, 0);
  ASSERT_TRUE(directory);
  const auto entries = (*directory)->entries();
  int opened = 0;
  for (const vfs::DirectoryEntry& entry : *entries) {
    if (!entry.name.ends_with(".so") || entry.name == "libpqwalreceiver.so") continue;
    EXPECT_NE(dlopen("/pglite/lib/postgresql/" + entry.name), 0U)
        << entry.name << ": " << dlerror();
    ++opened;
  }
  EXPECT_GT(opened, 10);
}

// libpqwalreceiver.so needs libpq, which PGlite does not have. When that shows, the library's
// functions are in the table already: calling one must find an instance, if one of no use.
TEST_F(DynamicLinkingTest, ALibraryThatCannotBeLinkedHarmsNoOther) {
  const uint32_t first_element = env()->table->size;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(dlopen("/pglite/lib/postgresql/libpqwalreceiver.so"), 0U);
    EXPECT_NE(dlerror().find("undefined symbol: "), std::string::npos);
  }
  const uint32_t end = env()->table->size;
  int called = 0;
  for (uint32_t i = first_element; i < end; ++i) {
    const wasm_rt_funcref_t& element = env()->table->data[i];
    // What the library looked up in the main module is there to stay.
    if (element.func == nullptr || element.module_instance == env()->main) continue;
    // Reading its first word is what any of its functions would do first (the sanitizer watches).
    EXPECT_NE(*static_cast<void* volatile*>(element.module_instance), nullptr);
    ++called;
  }
  EXPECT_GT(called, 0);
  EXPECT_NE(dlopen(kLibrary), 0U) << dlerror();
}

TEST_F(DynamicLinkingTest, AnUnknownHandleHasNoSymbols) {
  text("_PG_init");
  uint32_t address = 1;
  on_guest_stack([&] { address = w2c_env_0x5Fdlsym_js(env(), 12345, scratch, scratch + 100); });
  EXPECT_EQ(address, 0U);
}

// A trap jumps out over the frames of the host. What they hold would be lost for good: when the
// process is gone, nothing of it may be left.
class DynamicLinkingTrapTest : public DynamicLinkingTest {
 protected:
  // How many blocks are left over of a process in which `trap` has trapped.
  int64_t left_over(const std::function<void()>& trap) {
    process.reset();
    int64_t left = 0;
    // The first round fills what is kept for the life of the program.
    for (int round = 0; round < 2; ++round) {
      const int64_t before = live_allocations();
      process = make_process();
      scratch = allocate(65536);
      EXPECT_EQ(end_of(trap).kind, wasm::Outcome::Kind::kTrapped);
      process.reset();
      log.clear();
      left = live_allocations() - before;
    }
    process = make_process();
    return left;
  }
  // A struct dso with this name, as the guest's dlopen makes it.
  uint32_t handle_of(std::string_view path) { return text(path, 1024) - 36; }
  // Whatever takes stack from now on lies outside of memory.
  void use_up_stack() { *env()->stack_pointer = 16; }
};

constexpr std::string_view kLongPath =
    "/a/path/that/is/too/long/for/a/string/that/keeps/its/text/in/itself.so";

TEST_F(DynamicLinkingTrapTest, NothingIsLostWhenAnErrorCannotBeTold) {
  EXPECT_EQ(left_over([&] {
              const uint32_t handle = handle_of(kLongPath);
              use_up_stack();
              w2c_env_0x5Fdlopen_js(env(), handle);
            }),
            0);
}

TEST_F(DynamicLinkingTrapTest, NothingIsLostWhenASymbolIsMissing) {
  EXPECT_EQ(left_over([&] {
              const uint32_t symbol = text(kLongPath);
              use_up_stack();
              w2c_env_0x5Fdlsym_js(env(), 12345, symbol, scratch + 200);
            }),
            0);
}

// The library gets its place, and what it imports from the main module none.
TEST_F(DynamicLinkingTrapTest, NothingIsLostWhenTheTableIsFull) {
  EXPECT_EQ(left_over([&] {
              const uint32_t handle = handle_of(kLibrary);
              const uint32_t elements = wasm::find_module_by_name("plpgsql")->table_size;
              const uint32_t rest = GUEST_TABLE_CAPACITY - env()->table->size - elements;
              ASSERT_NE(wasm_rt_grow_funcref_table(env()->table, rest, {}), UINT32_MAX);
              w2c_env_0x5Fdlopen_js(env(), handle);
            }),
            0);
}

// calloc is the first of the guest's functions that dlopen calls.
TEST_F(DynamicLinkingTrapTest, NothingIsLostWhenTheGuestCannotAllocate) {
  EXPECT_EQ(left_over([&] {
              const uint32_t handle = handle_of(kLibrary);
              // An allocator of which all is overwritten finds chunks that lie nowhere.
              const auto heap_base = process->data_address("__heap_base");
              auto below_heap = process->memory().bytes(1024, heap_base - 1024);
              std::memset(below_heap->data(), 0xfd, below_heap->size());
              w2c_env_0x5Fdlopen_js(env(), handle);
            }),
            0);
}

// A program has a memory of its own, which nobody would guard.
TEST_F(DynamicLinkingTest, AProgramIsNoLibrary) {
  EXPECT_TRUE(is_side_module(*wasm::find_module_by_name("plpgsql")));
  for (const char* program : {"pglite", "initdb", "pg_dump"}) {
    EXPECT_FALSE(is_side_module(*wasm::find_module_by_name(program))) << program;
  }
}

}  // namespace
}  // namespace pglite::emscripten
