#include <unistd.h>

#include "os/peer_user.h"

namespace pglite::os {

Result<uid_t> peer_user(int socket) {
  uid_t user = 0;
  gid_t group = 0;
  if (auto got = done(retry([&] { return ::getpeereid(socket, &user, &group); })); !got) {
    return error(got.error());
  }
  return user;
}

}  // namespace pglite::os
