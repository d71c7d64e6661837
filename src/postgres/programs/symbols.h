// Names of functions that the modules of initdb and pg_dump export. The names of PostgreSQL's
// module are in postgres/guest/layout.h.
#ifndef PGLITE_POSTGRES_PROGRAMS_SYMBOLS_H_
#define PGLITE_POSTGRES_PROGRAMS_SYMBOLS_H_

#include <cstdint>

#include "postgres/guest/layout.h"

namespace pglite::postgres::symbols {

// The C library's. exit() calls the first two after main.
inline constexpr FunctionSymbol<void()> kRunExitFunctions{"__funcs_on_exit"};
inline constexpr FunctionSymbol<uint32_t(uint32_t stream)> kFlushStream{"fflush"};  // 0: all
inline constexpr FunctionSymbol<uint32_t(uint32_t stream)> kCloseStream{"fclose"};

// PGlite's. Each sets the function that is called in place of system(), popen() or pclose().
inline constexpr FunctionSymbol<void(uint32_t callback)> kSetSystem{"pgl_set_system_fn"};
inline constexpr FunctionSymbol<void(uint32_t callback)> kSetPopen{"pgl_set_popen_fn"};
inline constexpr FunctionSymbol<void(uint32_t callback)> kSetPclose{"pgl_set_pclose_fn"};
// PostgreSQL's module exports this one, for the processes that initdb runs. `stream`: 0 is stdin, 1
// is stdout.
inline constexpr FunctionSymbol<uint32_t(uint32_t path, uint32_t mode, uint32_t stream)>
    kReopenStream{"pgl_freopen"};
// Sets the functions by which pg_dump's libpq receives and sends.
inline constexpr FunctionSymbol<void(uint32_t receive, uint32_t send)> kSetSocket{"pgl_set_rw_cbs"};

}  // namespace pglite::postgres::symbols

#endif  // PGLITE_POSTGRES_PROGRAMS_SYMBOLS_H_
