// The role and the database that a new cluster is to have.
#ifndef PGLITE_PGLITE_NAMES_H_
#define PGLITE_PGLITE_NAMES_H_

#include "pglite/options.h"
#include "pglite/status.h"
#include "postgres/guest/session_sql.h"

namespace pglite {

// Makes the role of `options`, a superuser, and its database, unless they are there: the cluster
// may have been begun before. `exec` runs requests of the first superuser. PostgreSQL's error is
// the status.
Status create_names(const postgres::ExecFunction& exec, const Options& options);

}  // namespace pglite

#endif  // PGLITE_PGLITE_NAMES_H_
