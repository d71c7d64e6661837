#include "postgres/guest/postgres_process.h"

#include <sys/resource.h>

#include <algorithm>

#include "emscripten/import_result.h"
#include "postgres/guest/layout.h"
#include "wasm/module_registry.h"

namespace pglite::postgres {

namespace {

using namespace std::string_view_literals;
using emscripten::Process;
using wasm::GuestPtr;

// ereport(ERROR, ...): leaves by the guest's own longjmp.
void raise_missing_function(Process& process, const char* name) {
  const auto errstart = find_symbol(process, symbols::kErrStart);
  const auto errcode = find_symbol(process, symbols::kErrCode);
  const auto errmsg = find_symbol(process, symbols::kErrMessage);
  const auto errfinish = find_symbol(process, symbols::kErrFinish);
  const auto allocate = find_symbol(process, symbols::kStackAlloc);
  if (!errstart || !errcode || !errmsg || !errfinish) return;
  const uint32_t format =
      process.push_string("function \"%s\" of PostgreSQL is not part of this PGlite build");
  const uint32_t argument = process.push_string(name);
  const uint32_t arguments = allocate(16);
  (void)process.memory().store(GuestPtr<uint32_t>{arguments}, argument);
  errstart(kLayout.error_level, 0);
  errcode(kLayout.feature_not_supported);
  errmsg(format, arguments);
  // PostgreSQL keeps these two as they are, and what is on the stack does not last.
  errfinish(0, 0, 0);
}

// PostgreSQL proper never needs system(); PGlite answers 1 as well.
uint32_t refuse_system(void* context, uint32_t command) {
  Process& process = **static_cast<std::unique_ptr<Process>*>(context);
  const auto text = process.memory().c_string(command);
  process.log("PostgreSQL wanted to run a program, which is refused: " +
              std::string(text ? *text : "?"));
  return 1;
}

// errno when a program may not be run.
void set_not_permitted(Process& process) {
  const auto errno_location = process.function<uint32_t()>("__errno_location");
  if (!errno_location) return;
  (void)process.memory().store(GuestPtr<uint32_t>{errno_location()},
                               emscripten::guest_errno(std::errc::operation_not_permitted));
}

// The one program PostgreSQL reads from: "locale -a", whose output PGlite ships as a file. The
// others (COPY ... PROGRAM) are refused.
uint32_t open_locale_list(void* context, uint32_t command, uint32_t mode) {
  Process& process = **static_cast<std::unique_ptr<Process>*>(context);
  const auto text = process.memory().c_string(command);
  const auto mode_text = process.memory().c_string(mode);
  if (!text || !text->starts_with("locale -a") || !mode_text || !mode_text->starts_with('r')) {
    set_not_permitted(process);
    return 0;
  }
  return guest_fopen(process, "/pglite/locale-a", "r");
}

uint32_t close_locale_list(void* context, uint32_t stream) {
  Process& process = **static_cast<std::unique_ptr<Process>*>(context);
  const auto fclose = process.function<uint32_t(uint32_t)>("fclose");
  return fclose ? fclose(stream) : 0;
}

// WAL segments. PostgreSQL gives a segment it no longer needs the name of a later one that is free,
// and takes a name for free when stat() fails, whatever the reason (InstallXLogFileSegment): an I/O
// error there would replace the WAL it is writing. Refused, it removes the old segment instead.
bool is_wal_segment(std::string_view path) {
  for (const std::string_view prefix : {kDataDirectory, "/"sv, names::kWal, "/"sv}) {
    if (!path.starts_with(prefix)) return false;
    path.remove_prefix(prefix.size());
  }
  return path.size() == kWalSegmentNameSize &&
         path.find_first_not_of("0123456789ABCDEF") == std::string_view::npos;
}

// How many descriptors the guest may have, so that those of the host last: PostgreSQL counts what
// it can get and keeps that many files open. Some are for us: each operation on a name takes up to
// three for its time. Fewer than PostgreSQL starts with (FD_MINFREE in fd.c, and its reserve) fail.
Status descriptor_limit(int* out) {
  constexpr rlim_t kOurs = 32;
  constexpr rlim_t kFewest = 100;
  constexpr auto kMost = static_cast<rlim_t>(vfs::DescriptorTable::kDefaultLimit);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = RLIM_INFINITY;
  if (limit.rlim_cur < kFewest) {
    return Status::engine_gone("PostgreSQL cannot be started: this process may open " +
                               std::to_string(limit.rlim_cur) + " files (ulimit -n), at least " +
                               std::to_string(kFewest) + " are needed");
  }
  *out = static_cast<int>(std::min(limit.rlim_cur - kOurs, kMost));
  return {};
}

}  // namespace

std::vector<std::string> postgres_environment(std::string_view username,
                                              std::string_view database) {
  return {
      "USER=postgres",
      "LOGNAME=postgres",
      "PATH=/",
      "PWD=/",
      "HOME=/home/postgres",
      "LANG=en_US.UTF-8",
      "LC_COLLATE=en_US.UTF-8",
      "LC_CTYPE=en_US.UTF-8",
      "PGDATA=" + std::string(kDataDirectory),
      "PGUSER=" + std::string(username),
      "PGDATABASE=" + std::string(database),
      "TZ=UTC",
      "PGTZ=UTC",
      "PGCLIENTENCODING=UTF8",
      "ICU_DATA=/pglite/icu",
  };
}

emscripten::ProcessConfig postgres_process_config(const GuestTree& tree,
                                                  std::vector<std::string> environment,
                                                  std::function<void(std::string_view)> log) {
  emscripten::ProcessConfig config;
  config.main = tree.modules ? &tree.modules->main() : wasm::find_module_by_name("pglite");
  config.program = "/pglite/bin/postgres";
  config.environment = std::move(environment);
  config.filesystem = tree.root;
  config.modules = tree.modules;
  config.is_never_replaced = is_wal_segment;
  config.on_missing_function = raise_missing_function;
  config.log = std::move(log);
  return config;
}

emscripten::Callback postgres_callback(std::string_view setter, std::unique_ptr<Process>* process) {
  const auto make = [&](wasm_rt_func_type_t type, auto* function) {
    return emscripten::Callback{type, reinterpret_cast<wasm_rt_function_ptr_t>(function), process};
  };
  if (setter == "pgl_set_system_fn") return make(wasm_func_type_i_i, refuse_system);
  if (setter == "pgl_set_popen_fn") return make(wasm_func_type_ii_i, open_locale_list);
  if (setter == "pgl_set_pclose_fn") return make(wasm_func_type_i_i, close_locale_list);
  return {};
}

Status make_postgres_process(const GuestTree& tree, std::vector<std::string> environment,
                             std::function<void(std::string_view)> log,
                             std::unique_ptr<Process>* out, emscripten::Kernel* kernel) {
  std::string error;
  emscripten::ProcessConfig config =
      postgres_process_config(tree, std::move(environment), std::move(log));
  config.kernel = kernel;
  Status status = descriptor_limit(&config.descriptor_limit);
  if (!status.ok()) return status;
  *out = Process::create(std::move(config), &error);
  if (*out == nullptr) return Status::engine_gone("PostgreSQL cannot be started: " + error);
  Process& process = **out;
  wasm::Outcome outcome;
  process.run([&] {
    outcome = process.call([&] {
      for (const char* setter : {"pgl_set_system_fn", "pgl_set_popen_fn", "pgl_set_pclose_fn"}) {
        set_callback(process, setter, postgres_callback(setter, out));
      }
    });
  });
  if (!outcome.returned()) {
    return Status::engine_gone("PostgreSQL cannot be started: " + describe(outcome));
  }
  return {};
}

void raise_error(Process& process, const ErrorReport& report) {
  const auto errstart = find_symbol(process, symbols::kErrStart);
  const auto errcode = find_symbol(process, symbols::kErrCode);
  const auto errmsg = find_symbol(process, symbols::kErrMessage);
  const auto errdetail = find_symbol(process, symbols::kErrDetail);
  const auto errhint = find_symbol(process, symbols::kErrHint);
  const auto errfinish = find_symbol(process, symbols::kErrFinish);
  if (!errstart || !errcode || !errmsg || !errdetail || !errhint || !errfinish) return;
  const auto push = [&](const char* text) {
    return text == nullptr ? 0 : process.push_string(text);
  };
  const uint32_t message = push(report.message);
  const uint32_t detail = push(report.detail);
  const uint32_t hint = push(report.hint);
  errstart(kLayout.error_level, 0);
  errcode(report.sqlstate);
  errmsg(message, 0);
  if (detail != 0) errdetail(detail, 0);
  if (hint != 0) errhint(hint, 0);
  errfinish(0, 0, 0);  // as above
}

std::string describe(const wasm::Outcome& outcome) {
  switch (outcome.kind) {
    case wasm::Outcome::Kind::kReturned:
      return "it returned";
    case wasm::Outcome::Kind::kExited:
      return "it exited with status " + std::to_string(outcome.exit_status);
    case wasm::Outcome::Kind::kTrapped:
      break;
  }
  return std::string("it trapped: ") + outcome.trap;
}

void set_callback(Process& process, const char* setter, const emscripten::Callback& callback) {
  process.function<void(uint32_t)>(setter)(process.add_callback(setter, callback));
}

uint32_t guest_fopen(Process& process, std::string_view path, std::string_view mode) {
  const auto fopen = process.function<uint32_t(uint32_t, uint32_t)>("fopen");
  if (!fopen) return 0;
  const uint32_t path_address = process.push_string(path);
  return fopen(path_address, process.push_string(mode));
}

}  // namespace pglite::postgres
