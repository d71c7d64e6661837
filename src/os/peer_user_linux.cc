#include <sys/socket.h>

#include "os/peer_user.h"

namespace pglite::os {

Result<uid_t> peer_user(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  const auto got =
      retry([&] { return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size); });
  if (!got) return error(got.error());
  // Any socket has them; one that nobody has connected so has those of nobody.
  if (credentials.pid == 0) return error(std::errc::not_connected);
  return credentials.uid;
}

}  // namespace pglite::os
