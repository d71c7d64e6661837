#include "cli/run.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include "cli/type_oid.h"
#include "os/unique_fd.h"
#include "scripted_instance.h"

namespace pglite::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class RunTest : public ::testing::Test {
 protected:
  int run_with(std::vector<const char*> arguments, std::string_view input = {}) {
    const MemoryFile in(input);
    const MemoryFile out;
    const MemoryFile err;
    Host host;
    host.open = [this](const Options& options, std::unique_ptr<Instance>* instance) {
      opened.push_back(options);
      if (options.log) options.log(1, "engine: starting");
      if (!open_status.ok()) return open_status;
      // The test keeps its object; the program gets one that passes everything on.
      class Forward : public Instance {
       public:
        explicit Forward(Instance& to) : to_(to) {}
        Status exec_protocol(std::string_view request, const ResponseSink& sink) override {
          return to_.exec_protocol(request, sink);
        }
        Status dump_sql(const std::vector<std::string>& arguments, Compression compression,
                        const ByteSink& sink) override {
          return to_.dump_sql(arguments, compression, sink);
        }
        Status close() override { return to_.close(); }

       private:
        Instance& to_;
      };
      *instance = std::make_unique<Forward>(scripted);
      return Status();
    };
    host.version = {"0.1.0", "0.5.16", "18.6"};
    host.program_directory = "/nonexistent";
    host.in = in.fd();
    host.out = out.fd();
    host.err = err.fd();
    arguments.insert(arguments.begin(), "pglite-port");
    const int exit_code = run(static_cast<int>(arguments.size()), arguments.data(), host);
    out_text = out.content();
    err_text = err.content();
    return exit_code;
  }

  ScriptedInstance scripted;
  Status open_status;
  std::vector<Options> opened;
  std::string out_text;
  std::string err_text;
};

// On a terminal, what takes long says so.
TEST(RunOnATerminal, RepairShowsHowLongItTakes) {
  const os::UniqueFd terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(terminal);
  ASSERT_EQ(::grantpt(terminal.get()), 0);
  ASSERT_EQ(::unlockpt(terminal.get()), 0);
  const os::UniqueFd seen_as(::open(::ptsname(terminal.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(seen_as);
  std::string shown;
  const auto read_until = [&](std::string_view text) {
    while (shown.find(text) == std::string::npos) {
      char buffer[256];
      const ssize_t size = ::read(terminal.get(), buffer, sizeof buffer);
      ASSERT_GT(size, 0) << shown;
      shown.append(buffer, static_cast<size_t>(size));
    }
  };
  const MemoryFile out;
  Host host;
  host.out = out.fd();
  host.err = seen_as.get();
  host.reset_wal = [&](const Options& /*options*/, const RepairRequest& /*request*/,
                       const ReportSink& report) {
    read_until("repairing ./data: 1 s");
    report("done");
    return Status::in_use("somebody has it");
  };
  const char* const arguments[] = {"pglite-port", "repair", "--reset-wal", "-D", "./data"};
  EXPECT_EQ(run(std::size(arguments), arguments, host), 75);
  read_until("somebody has it");
  EXPECT_EQ(out.content(), "done\n");
  EXPECT_THAT(shown, HasSubstr(" s\r\x1b[K"));
}

std::string framed(std::string_view content) {
  std::string out;
  wire::append_u32(out, static_cast<uint32_t>(content.size()));
  return out.append(content);
}

TEST_F(RunTest, Port) {
  EXPECT_EQ(run_with({}, framed(wire::query("x"))), 0);
  EXPECT_EQ(out_text, framed(complete("OK") + ready()));
  EXPECT_EQ(err_text, "");
  EXPECT_EQ(scripted.close_count, 1);
}

TEST_F(RunTest, PortThatCannotOpen) {
  open_status = Status::io_error("cannot create /x: Permission denied");
  EXPECT_EQ(run_with({"-D", "/x"}, framed(wire::query("x"))), 74);
  EXPECT_EQ(out_text, framed("ERROR: cannot create /x: Permission denied"));
  EXPECT_EQ(err_text, "ERROR: cannot create /x: Permission denied\n");
}

TEST_F(RunTest, UnreadableModule) {
  EXPECT_EQ(run_with({"--wasm", "/nonexistent.wasm"}), 74);
  EXPECT_EQ(
      err_text,
      "ERROR: cannot read the module /nonexistent.wasm (--wasm, PGLITE_WASM_PATH): No such "
      "file or directory; leave both unset for the module that this program was built with\n");
  EXPECT_EQ(run_with({"sql", "--wasm", "/"}), 74);
  EXPECT_THAT(err_text, HasSubstr("cannot read the module / "));
  EXPECT_THAT(err_text, HasSubstr("it is a directory, not a regular file"));
  EXPECT_TRUE(opened.empty());
}

TEST_F(RunTest, AModuleThatIsNoFileIsNotWaitedFor) {
  const std::string fifo = std::filesystem::temp_directory_path().string() + "/module.fifo." +
                           std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(run_with({"sql", "--wasm", fifo.c_str()}), 74);
  ::unlink(fifo.c_str());
  EXPECT_THAT(err_text,
              StartsWith("pglite-port: cannot read the module " + fifo +
                         " (--wasm, PGLITE_WASM_PATH): it is a FIFO, not a regular file; "));
  EXPECT_EQ(run_with({"sql", "--wasm", "/dev/zero"}), 74);
  EXPECT_THAT(err_text, HasSubstr("it is a device, not a regular file"));
  EXPECT_TRUE(opened.empty());
}

TEST_F(RunTest, ReadableModuleIsTheEnginesToJudge) {
  EXPECT_EQ(run_with({"--wasm", "/proc/self/exe"}), 0);
  ASSERT_EQ(opened.size(), 1U);
  EXPECT_EQ(opened[0].wasm_path, "/proc/self/exe");
}

TEST_F(RunTest, SignalWhileTheEngineStarts) {
  open_status = {};
  scripted.answers["x"] = complete("NEVER") + ready();
  Host host;
  const MemoryFile out;
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  host.open = [](const Options&, std::unique_ptr<Instance>* instance) {
    ::kill(::getpid(), SIGTERM);
    *instance = std::make_unique<ScriptedInstance>();
    return Status();
  };
  host.in = pipe_fds[0];  // stays open, so only the signal can end it
  host.out = out.fd();
  const char* arguments[] = {"pglite-port"};
  EXPECT_EQ(run(1, arguments, host), 0);
  ::close(pipe_fds[0]);
  ::close(pipe_fds[1]);
}

TEST_F(RunTest, DumpAsSql) {
  EXPECT_EQ(run_with({"dump", "--sql", "-D", "/x", "--", "-s", "-t", "fruit"}), 0);
  EXPECT_EQ(out_text, "-- SQL\n");
  EXPECT_THAT(scripted.dump_arguments, ElementsAre("-s", "-t", "fruit"));
  ASSERT_EQ(opened.size(), 1U);
  EXPECT_FALSE(opened[0].create);
  EXPECT_EQ(scripted.close_count, 1);
  EXPECT_EQ(run_with({"dump", "--sql", "--gzip", "-D", "/x"}), 0);
  EXPECT_EQ(out_text, "gzip");
}

TEST_F(RunTest, DumpAsSqlThatFails) {
  scripted.next_status = {StatusCode::kToolFailed, "pg_dump failed"};
  EXPECT_EQ(run_with({"dump", "--sql", "-D", "/x"}), 1);
  EXPECT_EQ(err_text, "pglite-port: pg_dump failed\n");
  EXPECT_EQ(scripted.close_count, 1);
  scripted.next_status = {};
  scripted.close_status = Status::engine_gone("no checkpoint");
  EXPECT_EQ(run_with({"dump", "--sql", "-D", "/x"}), 70);
  EXPECT_EQ(err_text, "pglite-port: no checkpoint\n");
}

TEST_F(RunTest, Sql) {
  scripted.answers["select 1"] =
      description({{"a", kInt4Oid}}) + data_row({"1"}) + complete("SELECT 1") + ready();
  EXPECT_EQ(run_with({"sql", "-c", "select 1", "-U", "me"}), 0);
  EXPECT_EQ(out_text, " a \n---\n 1\n(1 row)\n\n");
  EXPECT_EQ(scripted.close_count, 1);
  EXPECT_EQ(opened[0].username, "me");
}

TEST_F(RunTest, SqlThatCannotOpen) {
  open_status = Status::in_use("./x is in use by process 7");
  EXPECT_EQ(run_with({"sql", "-c", "select 1"}), 75);
  EXPECT_EQ(err_text, "pglite-port: ./x is in use by process 7\n");
  EXPECT_EQ(out_text, "");
}

TEST_F(RunTest, SqlThatCannotClose) {
  scripted.close_status = Status::io_error("cannot write the checkpoint");
  EXPECT_EQ(run_with({"sql", "-c", "select 1"}), 74);
  EXPECT_EQ(err_text, "pglite-port: cannot write the checkpoint\n");
}

TEST_F(RunTest, SqlWhoseReaderWentAway) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  ::close(pipe_fds[0]);
  const MemoryFile err;
  Host host;
  host.open = [](const Options&, std::unique_ptr<Instance>* instance) {
    *instance = std::make_unique<ScriptedInstance>();
    return Status();
  };
  host.out = pipe_fds[1];
  host.err = err.fd();
  const char* arguments[] = {"pglite-port", "sql", "-c", "x"};
  EXPECT_EQ(run(4, arguments, host), 74) << "and not killed by SIGPIPE";
  EXPECT_EQ(err.content(), "pglite-port: cannot write to stdout: Broken pipe\n");
  ::close(pipe_fds[1]);
}

TEST_F(RunTest, Initdb) {
  EXPECT_EQ(run_with({"initdb", "-D", "x"}), 0);
  EXPECT_EQ(opened[0].data_dir, "./x");
  EXPECT_EQ(scripted.close_count, 1);
  EXPECT_TRUE(scripted.queries.empty());
  EXPECT_EQ(out_text, "");
}

TEST_F(RunTest, WrongUsage) {
  EXPECT_EQ(run_with({"--framing", "tcp"}), 64);
  EXPECT_EQ(err_text,
            "pglite-port: --framing (PGLITE_FRAMING) is 'tcp'; accepted is auto, packet4, raw or "
            "line\n");
  EXPECT_EQ(out_text, "");
  EXPECT_TRUE(opened.empty());
}

TEST_F(RunTest, Version) {
  EXPECT_EQ(run_with({"--version"}), 0);
  EXPECT_EQ(out_text, "pglite-port 0.1.0 (PGlite 0.5.16, PostgreSQL 18.6)\n");
}

TEST_F(RunTest, DebugLevelDecidesWhatIsLogged) {
  EXPECT_EQ(run_with({"sql", "-c", "x"}), 0);
  EXPECT_EQ(err_text, "");
  EXPECT_EQ(run_with({"--debug", "1", "sql", "-c", "x"}), 0);
  EXPECT_EQ(err_text, "engine: starting\n");
}

}  // namespace
}  // namespace pglite::cli
