#include "postgres/programs/initdb.h"

#include <vector>

#include "postgres/guest/postgres_process.h"
#include "postgres/programs/command_line.h"
#include "postgres/programs/symbols.h"
#include "wasm/module_registry.h"

namespace pglite::postgres {

namespace {

using emscripten::Process;

// Files that stand for the pipes between initdb and the postgres processes it runs. They are
// PGlite's names; the bundle has placeholders there.
constexpr std::string_view kToPostgres = "/pglite/pgstdin";
constexpr std::string_view kFromPostgres = "/pglite/pgstdout";

// One run of initdb.
class Initdb {
 public:
  Initdb(const GuestTree& tree, const std::function<void(std::string_view)>& log)
      : tree_(tree), log_(log) {}

  Status run();

 private:
  static uint32_t system(void* context, uint32_t command);
  static uint32_t popen(void* context, uint32_t command, uint32_t mode);
  static uint32_t pclose(void* context, uint32_t stream);

  // Runs a postgres command line with standard input from kToPostgres and standard output into
  // kFromPostgres; its exit status. Failures of our own are kept in failure_ and answered as 1.
  uint32_t run_postgres(const std::string& command);
  Status try_postgres(const std::string& command, int* exit_status);
  void keep(std::string_view line) {
    if (log_) log_(line);
  }

  const GuestTree& tree_;
  const std::function<void(std::string_view)>& log_;
  std::unique_ptr<Process> process_;
  // The command of an open popen(..., "w"), which runs when its input is complete.
  std::string pending_command_;
  uint32_t last_status_ = 0;
  Status failure_;
};

Status Initdb::run() {
  emscripten::ProcessConfig config;
  config.main = wasm::find_module_by_name("initdb");
  config.program = "/pglite/bin/initdb";
  config.environment = {"USER=postgres", "LOGNAME=postgres",    "HOME=/home/postgres",
                        "PATH=/",        "PGDATA=/pglite/data", "TZ=UTC",
                        "LANG=C.UTF-8",  "ICU_DATA=/pglite/icu"};
  config.filesystem = tree_.root;
  config.log = [this](std::string_view line) { keep(line); };
  std::string error;
  process_ = Process::create(std::move(config), &error);
  if (process_ == nullptr) return Status::engine_gone("initdb cannot be started: " + error);
  const std::vector<std::string> arguments = {
      "--allow-group-access",   "--encoding",  "UTF8", "--locale=C.UTF-8",
      "--locale-provider=libc", "--auth=trust"};
  wasm::Outcome outcome;
  process_->run([&] {
    outcome = process_->call([&] {
      set_callback(*process_, symbols::kSetSystem.name,
                   {wasm_func_type_i_i, reinterpret_cast<wasm_rt_function_ptr_t>(system), this});
      set_callback(*process_, symbols::kSetPopen.name,
                   {wasm_func_type_ii_i, reinterpret_cast<wasm_rt_function_ptr_t>(popen), this});
      set_callback(*process_, symbols::kSetPclose.name,
                   {wasm_func_type_i_i, reinterpret_cast<wasm_rt_function_ptr_t>(pclose), this});
    });
    if (!outcome.returned()) return;
    outcome = process_->call_main(arguments);
    // What exit() would do after main: atexit functions (initdb removes what it made when it
    // failed), then the streams.
    const auto at_exit = find_symbol(*process_, symbols::kRunExitFunctions);
    const auto flush = find_symbol(*process_, symbols::kFlushStream);
    process_->call([&] { at_exit(); });
    process_->call([&] { flush(0); });
  });
  if (!failure_.ok()) return failure_;
  if (!outcome.exited(0)) return Status::engine_gone("initdb failed: " + describe(outcome));
  return {};
}

Status Initdb::try_postgres(const std::string& command, int* exit_status) {
  std::vector<std::string> words = split_command_line(command);
  if (words.empty() || !words.front().ends_with("/postgres")) {
    return Status::engine_gone("initdb wanted to run an unknown program: " + command);
  }
  words.erase(words.begin());
  std::unique_ptr<Process> postgres;
  Status status = make_postgres_process(
      tree_, postgres_environment("postgres", "postgres"),
      [this](std::string_view line) { keep(line); }, &postgres);
  if (!status.ok()) return status;
  wasm::Outcome outcome;
  postgres->run([&] {
    const auto reopen = find_symbol(*postgres, symbols::kReopenStream);
    const auto flush = find_symbol(*postgres, symbols::kFlushStream);
    outcome = postgres->call([&] {
      reopen(postgres->push_string(kToPostgres), postgres->push_string("r"), 0);
      reopen(postgres->push_string(kFromPostgres), postgres->push_string("w"), 1);
    });
    if (!outcome.returned()) return;
    outcome = postgres->call_main(words);
    postgres->call([&] { flush(0); });
  });
  if (outcome.kind != wasm::Outcome::Kind::kExited) {
    return Status::engine_gone("postgres, run by initdb, failed: " + describe(outcome));
  }
  *exit_status = outcome.exit_status;
  return {};
}

uint32_t Initdb::run_postgres(const std::string& command) {
  int exit_status = 1;
  try {
    const Status status = try_postgres(command, &exit_status);
    if (!status.ok() && failure_.ok()) failure_ = status;
  } catch (const std::bad_alloc&) {
    failure_ = Status::engine_gone("out of memory while initdb ran postgres");
  }
  // initdb looks at this as at a wait status, of which any non-zero value is a failure.
  return static_cast<uint32_t>(exit_status);
}

uint32_t Initdb::system(void* context, uint32_t command) {
  auto& self = *static_cast<Initdb*>(context);
  const auto text = self.process_->memory().c_string(command);
  return text ? self.run_postgres(std::string(*text)) : 1;
}

uint32_t Initdb::popen(void* context, uint32_t command, uint32_t mode) {
  auto& self = *static_cast<Initdb*>(context);
  const auto text = self.process_->memory().c_string(command);
  const auto mode_text = self.process_->memory().c_string(mode);
  if (!text || !mode_text) return 0;
  if (*mode_text == "w") {
    self.pending_command_ = *text;
    return guest_fopen(*self.process_, kToPostgres, "w");
  }
  self.last_status_ = self.run_postgres(std::string(*text));
  return guest_fopen(*self.process_, kFromPostgres, "r");
}

uint32_t Initdb::pclose(void* context, uint32_t stream) {
  auto& self = *static_cast<Initdb*>(context);
  find_symbol(*self.process_, symbols::kCloseStream)(stream);
  if (!self.pending_command_.empty()) {
    const std::string command = std::move(self.pending_command_);
    self.pending_command_.clear();
    self.last_status_ = self.run_postgres(command);
  }
  return self.last_status_;
}

}  // namespace

Status run_initdb(const GuestTree& tree, const std::function<void(std::string_view)>& log) {
  return Initdb(tree, log).run();
}

}  // namespace pglite::postgres
