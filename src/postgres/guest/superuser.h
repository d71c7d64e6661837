// Work with the bootstrap superuser's permissions in a session that has a role of its own.
#ifndef PGLITE_POSTGRES_GUEST_SUPERUSER_H_
#define PGLITE_POSTGRES_GUEST_SUPERUSER_H_

#include <cstdint>
#include <functional>

#include "pglite/status.h"
#include "postgres/guest/backend.h"

namespace pglite::postgres {

using SetUserFunction = emscripten::GuestFunction<void(uint32_t user, uint32_t context)>;

// Runs `work` as the bootstrap superuser, and gives the permissions back, also where `work` throws.
// The session must be at rest. In `work`, no name and no operator may be looked up through the
// session's search_path, which its user controls. kInvalidArgument: the session has no user, and
// `work` did not run. Where the permissions cannot be given back, the engine is declared gone: the
// session must not go on as superuser. `set_user`: PostgreSQL's SetUserIdAndSecContext; tests give
// another one.
Status as_superuser(Backend& backend, const std::function<Status()>& work);
Status as_superuser(Backend& backend, const std::function<Status()>& work,
                    const SetUserFunction& set_user);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_SUPERUSER_H_
