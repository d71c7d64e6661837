// A process of the real PGlite module over a small tree, for tests that call the imports as the
// translated code does.
#ifndef PGLITE_TESTS_UNIT_EMSCRIPTEN_PROCESS_TEST_UTIL_H_
#define PGLITE_TESTS_UNIT_EMSCRIPTEN_PROCESS_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emscripten/process.h"
#include "host_imports.h"
#include "vfs/memory_filesystem.h"
#include "wasm/module_registry.h"

namespace pglite::emscripten {

// Addresses that no guest memory has (PGlite's is at most 2 GiB), or that end beyond it.
inline constexpr uint32_t kBadAddresses[] = {0x80000000, 0xfffffff0, 0xffffffff};

// The guest's errno numbers that the tests name.
inline constexpr uint32_t kAccess = 2, kAgain = 6, kBadFile = 8, kExists = 20, kFault = 21,
                          kInvalid = 28, kIsDirectory = 31, kManyFiles = 33, kNoEntry = 44,
                          kNoMemory = 48, kNotDirectory = 54, kNotPermitted = 63, kNotTerminal = 59,
                          kPipe = 64, kRange = 68, kSeek = 70, kNoDevice = 43, kNoAddress = 60,
                          kNotSupported = 138;
inline constexpr uint32_t kCwd = static_cast<uint32_t>(-100);

// What __syscall_* answers for an errno.
constexpr uint32_t failed(uint32_t error) {
  return 0u - error;
}

class ProcessTest : public testing::Test {
 public:  // to functions of tests, too
  // Most tests leave the process as good as new; making one takes some milliseconds.
  void SetUp() override {
    filesystem = std::make_shared<vfs::MemoryFileSystem>();
    ASSERT_TRUE(filesystem->make_directories("/dev", 0755));
    ASSERT_TRUE(filesystem->make_directories("/tmp", 0777));
    ASSERT_TRUE(filesystem->add_device("/dev/stdin", vfs::make_end_of_file_device()));
    ASSERT_TRUE(filesystem->add_device("/dev/stdout", vfs::make_null_device()));
    ASSERT_TRUE(filesystem->add_device("/dev/stderr", vfs::make_null_device()));
    process = make_process();
    ASSERT_NE(process, nullptr);
    scratch = allocate(65536);
  }

  std::unique_ptr<Process> make_process() {
    ProcessConfig config;
    config.main = wasm::find_module_by_name("pglite");
    config.program = "/test";
    config.environment = {"A=1", "LONGER=value"};
    config.filesystem = tree != nullptr ? tree : filesystem;
    config.is_never_replaced = [](std::string_view path) { return path == "/tmp/kept"; };
    config.kernel = kernel_of_process;
    config.log = [this](std::string_view line) { log.emplace_back(line); };
    std::string error;
    auto made = Process::create(std::move(config), &error);
    EXPECT_NE(made, nullptr) << error;
    return made;
  }

  w2c_env* env() { return &process->env(); }
  w2c_wasi__snapshot__preview1* wasi() {
    return reinterpret_cast<w2c_wasi__snapshot__preview1*>(env());
  }

  // Calls into the guest on its stack, as the host does; the test fails unless `f` returns.
  template <class F>
  void on_guest_stack(F&& f) {
    const wasm::Outcome outcome = end_of(f);
    EXPECT_TRUE(outcome.returned()) << (outcome.trap != nullptr ? outcome.trap : "exited");
  }
  template <class F>
  wasm::Outcome end_of(F&& f) {
    wasm::Outcome outcome;
    process->run([&] { outcome = process->call(f); });
    return outcome;
  }

  uint32_t allocate(uint32_t size) {
    uint32_t address = 0;
    on_guest_stack([&] { address = process->function<uint32_t(uint32_t)>("malloc")(size); });
    EXPECT_NE(address, 0U);
    return address;
  }

  // Writes to the scratch area of guest memory, from its start: strings and numbers for one call.
  uint32_t text(std::string_view value, uint32_t offset = 0) {
    auto target =
        process->memory().bytes(scratch + offset, static_cast<uint32_t>(value.size() + 1));
    std::memcpy(target->data(), value.data(), value.size());
    (*target)[value.size()] = std::byte{0};
    return scratch + offset;
  }
  template <class T>
  uint32_t put(T value, uint32_t offset) {
    EXPECT_TRUE(process->memory().store(wasm::GuestPtr<T>{scratch + offset}, value));
    return scratch + offset;
  }
  template <class T>
  T get(uint32_t offset) {
    return *process->memory().load(wasm::GuestPtr<T>{scratch + offset});
  }
  std::string bytes(uint32_t offset, uint32_t size) {
    const auto found = process->memory().bytes(scratch + offset, size);
    return {reinterpret_cast<const char*>(found->data()), found->size()};
  }

  // An iovec array of one buffer, at `offset`.
  uint32_t vector(uint32_t buffer, uint32_t size, uint32_t offset = 8192) {
    put(buffer, offset);
    put(size, offset + 4);
    return scratch + offset;
  }

  // A string that runs to the end of guest memory without a NUL.
  uint32_t unterminated() {
    const auto size = static_cast<uint32_t>(process->memory().size());
    auto target = process->memory().bytes(size - 64, 64);
    std::memset(target->data(), 'x', 64);
    return size - 64;
  }

  static constexpr uint32_t kReadOnly = 0, kWriteOnly = 1, kReadWrite = 2, kCreate = 0100,
                            kExclusive = 0200, kTruncate = 01000, kAppend = 02000,
                            kNonBlocking = 04000, kDirectory = 0200000;

  uint32_t open(std::string_view path, uint32_t flags, uint32_t mode = 0644) {
    put(mode, 4096);
    return w2c_env_0x5F_syscall_openat(env(), kCwd, text(path), flags, scratch + 4096);
  }
  uint32_t close(uint32_t fd) { return w2c_wasi__snapshot__preview1_fd_close(wasi(), fd); }
  // The number of bytes written; fails the test on an error.
  uint32_t write(uint32_t fd, std::string_view data) {
    const uint32_t list = vector(text(data, 16384), static_cast<uint32_t>(data.size()));
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_write(wasi(), fd, list, 1, scratch + 8200), 0U);
    return get<uint32_t>(8200);
  }
  std::string read(uint32_t fd, uint32_t size) {
    const uint32_t list = vector(scratch + 16384, size);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_read(wasi(), fd, list, 1, scratch + 8200), 0U);
    return bytes(16384, get<uint32_t>(8200));
  }
  uint64_t seek(uint32_t fd, int64_t offset, uint32_t whence = 0) {
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_seek(wasi(), fd, static_cast<uint64_t>(offset),
                                                   whence, scratch + 8208),
              0U);
    return get<uint64_t>(8208);
  }
  std::string content(std::string_view path) {
    const uint32_t fd = open(path, kReadOnly);
    const std::string found = read(fd, 32768);
    close(fd);
    return found;
  }

  std::shared_ptr<vfs::MemoryFileSystem> filesystem;
  std::shared_ptr<vfs::FileSystem> tree;  // null: `filesystem` is all of it
  std::vector<std::string> log;
  Kernel* kernel_of_process = nullptr;  // to be set before SetUp()
  std::unique_ptr<Process> process;
  uint32_t scratch = 0;
};

}  // namespace pglite::emscripten

#endif  // PGLITE_TESTS_UNIT_EMSCRIPTEN_PROCESS_TEST_UTIL_H_
