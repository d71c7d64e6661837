// Whether this program knows PostgreSQL's processes as they are: the part of layout.h that only a
// server of many processes shows.
#ifndef PGLITE_POSTGRES_SESSIONS_VERIFY_H_
#define PGLITE_POSTGRES_SESSIONS_VERIFY_H_

#include "pglite/status.h"
#include "postgres/sessions/postmaster.h"

namespace pglite::postgres {

// Starts a server on the tree of `config`, which is for nothing else afterwards, and watches what
// its processes do. kIncompatible: the message names the first thing that is not as it should be.
Status verify_sessions(PostmasterConfig config);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SESSIONS_VERIFY_H_
