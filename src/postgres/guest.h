// A PGlite process: the main module with its environment and the host functions it expects.
#ifndef PGLITE_POSTGRES_GUEST_H_
#define PGLITE_POSTGRES_GUEST_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emscripten/process.h"
#include "pglite/status.h"

namespace pglite::postgres {

// The environment that PGlite gives PostgreSQL.
std::vector<std::string> postgres_environment(std::string_view username, std::string_view database);

// Makes a process of the main module over `filesystem`, ready for main. A call of a function that
// PGlite's modules lack becomes a PostgreSQL ERROR (feature_not_supported) in it.
Status make_postgres_process(std::shared_ptr<vfs::FileSystem> filesystem,
                             std::vector<std::string> environment,
                             std::function<void(std::string_view)> log,
                             std::unique_ptr<emscripten::Process>* out);

// How a guest that did not return as it should have ended, for a message.
std::string describe(const wasm::Outcome& outcome);

// Registers `function`, whose first parameter is `context`, under an identifier for a host callback
// and hands its table index to the guest's setter `setter` (pgl_set_system_fn and the like). On the
// guest stack.
void set_callback(emscripten::Process& process, const char* setter, wasm_rt_func_type_t type,
                  wasm_rt_function_ptr_t function, void* context);

// Opens `path` with the guest's own fopen: a FILE* in the guest, 0 where it fails. On the guest
// stack.
uint32_t guest_fopen(emscripten::Process& process, std::string_view path, std::string_view mode);

}  // namespace pglite::postgres

extern "C" {
extern const char wasm_func_type_i_i[];
extern const char wasm_func_type_ii_i[];
}

#endif  // PGLITE_POSTGRES_GUEST_H_
