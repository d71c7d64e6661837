// A main module that is linked when it is loaded: it imports table, stack pointer and the addresses
// of its data.
#include "process_test_util.h"
#include "vfs/devices.h"

namespace pglite::emscripten {
namespace {

struct PgDumpProcess {
  PgDumpProcess() {
    auto files = std::make_shared<vfs::MemoryFileSystem>();
    EXPECT_TRUE(files->make_directories("/dev", 0755));
    EXPECT_TRUE(files->add_device("/dev/stdin", vfs::make_end_of_file_device()));
    EXPECT_TRUE(files->add_device("/dev/stdout", lines));
    EXPECT_TRUE(files->add_device("/dev/stderr", lines));
    ProcessConfig config;
    config.main = wasm::find_module_by_name("pg_dump");
    config.program = "pg_dump";
    config.filesystem = files;
    config.has_sockets = true;
    std::string error;
    process = Process::create(std::move(config), &error);
    EXPECT_NE(process, nullptr) << error;
  }

  wasm::Outcome main(const std::vector<std::string>& arguments) {
    wasm::Outcome outcome;
    process->run([&] {
      outcome = process->call_main(arguments);
      process->call([&] { process->function<uint32_t(uint32_t)>("fflush")(0); });
    });
    return outcome;
  }

  std::vector<std::string> output;
  std::shared_ptr<vfs::LineSink> lines =
      std::make_shared<vfs::LineSink>([this](std::string_view line) { output.emplace_back(line); });
  std::unique_ptr<Process> process;
};

TEST(PgDumpProcess, DataStackAndHeapLieOneBehindTheOther) {
  PgDumpProcess program;
  const w2c_env& env = program.process->env();
  const uint32_t data_end = env.memory_base + wasm::find_module_by_name("pg_dump")->memory_size;
  EXPECT_EQ(env.memory_base, 1024U);
  EXPECT_GE(*env.stack_pointer, data_end + (1 << 20));
  EXPECT_EQ(env.table_base, 1U);
  EXPECT_EQ(env.table->data[0].func, nullptr);
  EXPECT_NE(env.table->data[1].func, nullptr);
  uint32_t allocated = 0;
  program.process->run([&] {
    program.process->call(
        [&] { allocated = program.process->function<uint32_t(uint32_t)>("malloc")(100); });
  });
  EXPECT_GT(allocated, *env.stack_pointer);
}

TEST(PgDumpProcess, Runs) {
  PgDumpProcess program;
  EXPECT_TRUE(program.main({"--version"}).exited(0));
  EXPECT_EQ(program.output.back(), "pg_dump (PostgreSQL) 18.3");
}

TEST(PgDumpProcess, ManyHaveTheirOwnState) {
  PgDumpProcess program;
  PgDumpProcess other;
  EXPECT_TRUE(program.main({"--nonsense"}).exited(1));
  EXPECT_TRUE(other.main({"--version"}).exited(0));
  EXPECT_EQ(other.output.back(), "pg_dump (PostgreSQL) 18.3");
}

TEST(PgDumpProcess, SocketsOfOneKindAreOpenAndNoMore) {
  PgDumpProcess program;
  w2c_env* env = &program.process->env();
  const uint32_t fd = w2c_env_0x5F_syscall_socket(env, 1, 1, 0, 0, 0, 0);
  EXPECT_EQ(fd, 3U);
  EXPECT_EQ(w2c_env_0x5F_syscall_fcntl64(env, fd, 1, 0), 0U);  // F_GETFD
  std::array<std::byte, 4> buffer{};
  EXPECT_EQ(*program.process->descriptors().read(3, buffer), 0U);
  EXPECT_FALSE(program.process->descriptors().write(3, buffer));
  EXPECT_EQ(w2c_env_0x5F_syscall_socket(env, 2, 1, 0, 0, 0, 0), failed(5));
  EXPECT_EQ(w2c_env_0x5F_syscall_0x5Fnewselect(env, 1, 0, 0, 0, 0), failed(52));
}

}  // namespace
}  // namespace pglite::emscripten
