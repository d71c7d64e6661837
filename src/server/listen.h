// Sockets that listen. Commands that are started do not get them.
#ifndef PGLITE_SERVER_LISTEN_H_
#define PGLITE_SERVER_LISTEN_H_

#include <pglite/status.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <string>

namespace pglite::server {

using TcpAcceptor = boost::asio::ip::tcp::acceptor;
using UnixAcceptor = boost::asio::local::stream_protocol::acceptor;

// Each begins to listen with an acceptor that is not open. kInUse: somebody else does. kIoError.
Status listen_on(const boost::asio::ip::tcp::endpoint& endpoint, TcpAcceptor* acceptor);
Status listen_on(const std::string& path, uint32_t mode, UnixAcceptor* acceptor);

// Takes over a socket that listens already, of either kind. kInvalidArgument: it is none.
Status adopt(int descriptor, TcpAcceptor* tcp, UnixAcceptor* unix_socket);

}  // namespace pglite::server

#endif  // PGLITE_SERVER_LISTEN_H_
