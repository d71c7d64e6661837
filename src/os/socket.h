// Sockets of programs that are not to get SIGPIPE.
#ifndef PGLITE_OS_SOCKET_H_
#define PGLITE_OS_SOCKET_H_

#include <sys/types.h>

#include <cstddef>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

// A stream socket of the address family that does not wait and is closed on exec. Errors as
// socket(2).
Result<UniqueFd> open_stream_socket(int family);

// As send(2), errno included, on a socket of open_stream_socket(): where the other end has gone
// that is an error and no signal.
ssize_t send_bytes(int socket, const void* bytes, size_t size);

}  // namespace pglite::os

#endif  // PGLITE_OS_SOCKET_H_
