// Addresses of the command line and of clients.
#ifndef PGLITE_SERVER_ADDRESS_H_
#define PGLITE_SERVER_ADDRESS_H_

#include <pglite/cluster.h>
#include <pglite/status.h>

#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::server {

// The endpoints that "HOST:PORT" names (ServerOptions::listen): two for localhost and *, one
// otherwise. No name service is asked. kInvalidArgument.
Status parse_endpoints(std::string_view text, std::vector<boost::asio::ip::tcp::endpoint>* out);

// An IPv4 address that came in over IPv6 is one of IPv4.
Peer peer_of(const boost::asio::ip::tcp::endpoint& endpoint);

std::string to_string(const boost::asio::ip::tcp::endpoint& endpoint);

// "postgres://..."; an empty password is left out. `host` is an address or the directory of a Unix
// socket.
std::string url_of(std::string_view username, std::string_view password, std::string_view host,
                   uint16_t port, std::string_view database);

}  // namespace pglite::server

#endif  // PGLITE_SERVER_ADDRESS_H_
