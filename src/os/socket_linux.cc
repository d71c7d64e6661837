#include <sys/socket.h>

#include "os/socket.h"

namespace pglite::os {

Result<UniqueFd> open_stream_socket(int family) {
  return owned(
      retry([&] { return ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }));
}

ssize_t send_bytes(int socket, const void* bytes, size_t size) {
  return ::send(socket, bytes, size, MSG_NOSIGNAL);
}

}  // namespace pglite::os
