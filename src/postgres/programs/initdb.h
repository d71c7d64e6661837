// Runs initdb: PGlite's initdb.wasm, and for each command it gives to system() or popen() a fresh
// PostgreSQL over the same files.
#ifndef PGLITE_POSTGRES_PROGRAMS_INITDB_H_
#define PGLITE_POSTGRES_PROGRAMS_INITDB_H_

#include <functional>
#include <string_view>

#include "pglite/status.h"
#include "postgres/guest/guest_tree.h"

namespace pglite::postgres {

// Makes a cluster in the tree's (empty) data directory, with the arguments that PGlite uses: role
// "postgres", encoding UTF8, locale C.UTF-8, trust authentication. `log` receives initdb's and
// PostgreSQL's messages.
Status run_initdb(const GuestTree& tree, const std::function<void(std::string_view)>& log);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_PROGRAMS_INITDB_H_
