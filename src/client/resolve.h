// Addresses of a server.
#ifndef PGLITE_CLIENT_RESOLVE_H_
#define PGLITE_CLIENT_RESOLVE_H_

#include <pglite/status.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pglite::client {

// Until when something may take; none: as long as it takes.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string text;  // for messages
};

// What `host` is: an address as text, or a name in /etc/hosts or in the DNS (as /etc/resolv.conf
// and /etc/nsswitch.conf have it). At least one address, the best first. kIoError.
Status resolve(const std::string& host, uint16_t port, const Deadline& deadline,
               std::vector<Address>* addresses);

// The address of a Unix socket. kInvalidArgument: the path is too long for one.
Status unix_socket_address(const std::string& path, Address* address);

// How long poll() may wait: milliseconds, -1 for no deadline.
int milliseconds_until(const Deadline& deadline);

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_RESOLVE_H_
