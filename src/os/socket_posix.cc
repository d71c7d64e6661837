#include <fcntl.h>
#include <sys/socket.h>

#include "os/socket.h"

namespace pglite::os {

Result<UniqueFd> open_stream_socket(int family) {
  auto socket = owned(retry([&] { return ::socket(family, SOCK_STREAM, 0); }));
  if (!socket) return socket;
  if (::fcntl(socket->get(), F_SETFD, FD_CLOEXEC) != 0 ||
      ::fcntl(socket->get(), F_SETFL, O_NONBLOCK) != 0) {
    return last_error();
  }
#ifdef SO_NOSIGPIPE
  const int on = 1;
  if (::setsockopt(socket->get(), SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on) != 0)
    return last_error();
#endif
  return socket;
}

ssize_t send_bytes(int socket, const void* bytes, size_t size) {
#ifdef SO_NOSIGPIPE
  return ::send(socket, bytes, size, 0);
#else
  return ::send(socket, bytes, size, MSG_NOSIGNAL);
#endif
}

}  // namespace pglite::os
