// What PostgreSQL does at the beginning of a session and a single-user backend leaves out.
#ifndef PGLITE_POSTGRES_GUEST_SESSION_BEGIN_H_
#define PGLITE_POSTGRES_GUEST_SESSION_BEGIN_H_

#include <string>
#include <vector>

#include "pglite/status.h"
#include "postgres/guest/backend.h"

namespace pglite::postgres {

// Makes the session, which must be at rest and the bootstrap superuser's, that of `role`: also
// RESET SESSION AUTHORIZATION and DISCARD ALL come back to it. kInvalidArgument: there is no such
// role.
Status begin_session(Backend& backend, const std::string& role);

// Applies what ALTER ROLE ... SET and ALTER DATABASE ... SET have for the session's role and
// database, all but client_encoding, which is the program's that speaks with the session. What
// cannot be followed is a warning in the server log, as PostgreSQL has it.
Status apply_role_settings(Backend& backend);

// Sets one as the server's command line does, for this session and for RESET.
Status set_from_command_line(Backend& backend, const std::string& name, const std::string& value);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_SESSION_BEGIN_H_
