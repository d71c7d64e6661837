// Who is at the other end of a Unix socket.
#ifndef PGLITE_OS_PEER_USER_H_
#define PGLITE_OS_PEER_USER_H_

#include <sys/types.h>

#include "os/result.h"

namespace pglite::os {

// The effective user of the process that has connected `socket`, as it was then. not_a_socket and
// the like where `socket` is no connected Unix socket.
Result<uid_t> peer_user(int socket);

}  // namespace pglite::os

#endif  // PGLITE_OS_PEER_USER_H_
