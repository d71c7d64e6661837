// A PGlite process: the main module with its environment and the host functions it expects.
#ifndef PGLITE_POSTGRES_GUEST_POSTGRES_PROCESS_H_
#define PGLITE_POSTGRES_GUEST_POSTGRES_PROCESS_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emscripten/process.h"
#include "pglite/status.h"
#include "postgres/guest/guest_tree.h"

namespace pglite::postgres {

// The environment that PGlite gives PostgreSQL.
std::vector<std::string> postgres_environment(std::string_view username, std::string_view database);

// Makes a process of the main module over `tree`, ready for main. A call of a function that
// PGlite's modules lack becomes a PostgreSQL ERROR (feature_not_supported) in it. `*out` must stay
// where it is while the process lives: callbacks find the process through it.
Status make_postgres_process(const GuestTree& tree, std::vector<std::string> environment,
                             std::function<void(std::string_view)> log,
                             std::unique_ptr<emscripten::Process>* out,
                             emscripten::Kernel* kernel = nullptr);

// How a guest that did not return as it should have ended, for a message.
std::string describe(const wasm::Outcome& outcome);

// Gives the guest the host function `callback` through its setter `setter` (pgl_set_system_fn and
// the like), which is also its name in snapshots. On the guest stack.
void set_callback(emscripten::Process& process, const char* setter,
                  const emscripten::Callback& callback);

// The callbacks that make_postgres_process() sets, by their setters; empty for other names.
// `process` is where the process's address will be when they are called.
emscripten::Callback postgres_callback(std::string_view setter,
                                       std::unique_ptr<emscripten::Process>* process);

// What make_postgres_process() configures.
emscripten::ProcessConfig postgres_process_config(const GuestTree& tree,
                                                  std::vector<std::string> environment,
                                                  std::function<void(std::string_view)> log);

struct ErrorReport {
  uint32_t sqlstate = 0;
  const char* message = nullptr;
  const char* detail = nullptr;  // may be null
  const char* hint = nullptr;    // may be null
};
// On the guest stack: reports an error as PostgreSQL's ereport(ERROR) does, and so does not return,
// unless the guest is none of ours. The texts are constants.
void raise_error(emscripten::Process& process, const ErrorReport& report);
// PostgreSQL's MAKE_SQLSTATE (utils/elog.h).
constexpr uint32_t make_sqlstate(const char (&code)[6]) {
  uint32_t state = 0;
  for (int i = 0; i < 5; ++i) state |= static_cast<uint32_t>((code[i] - '0') & 0x3F) << (6 * i);
  return state;
}

// Opens `path` with the guest's own fopen: a FILE* in the guest, 0 where it fails. On the guest
// stack.
uint32_t guest_fopen(emscripten::Process& process, std::string_view path, std::string_view mode);

}  // namespace pglite::postgres

extern "C" {
extern const char wasm_func_type_i_i[];
extern const char wasm_func_type_ii_i[];
extern const char wasm_func_type_ii_v[];
extern const char wasm_func_type_iii_i[];
extern const char wasm_func_type_iiiiii_i[];
}

#endif  // PGLITE_POSTGRES_GUEST_POSTGRES_PROCESS_H_
