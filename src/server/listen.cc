#include "server/listen.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>

#include "server/address.h"

namespace pglite::server {

namespace asio = boost::asio;
namespace ip = boost::asio::ip;

using boost::system::error_code;

namespace {

Status failed(const std::string& what, const error_code& error) {
  const bool in_use = error == asio::error::address_in_use;
  const std::string message = what + ": " + error.message();
  return in_use ? Status::in_use(message) : Status::io_error(message);
}

template <class Acceptor>
void set_close_on_exec(Acceptor& acceptor) {
  fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
}

}  // namespace

Status listen_on(const ip::tcp::endpoint& endpoint, TcpAcceptor* acceptor) {
  error_code error;
  error_code ignored;
  acceptor->open(endpoint.protocol(), error);
  if (!error) {
    set_close_on_exec(*acceptor);
    acceptor->set_option(asio::socket_base::reuse_address(true), ignored);
    if (endpoint.address().is_v6()) acceptor->set_option(ip::v6_only(true), ignored);
    acceptor->bind(endpoint, error);
  }
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  return error ? failed("cannot listen on " + to_string(endpoint), error) : Status();
}

Status listen_on(const std::string& path, uint32_t mode, UnixAcceptor* acceptor) {
  error_code error;
  acceptor->open(asio::local::stream_protocol(), error);
  if (!error) {
    set_close_on_exec(*acceptor);
    acceptor->bind(asio::local::stream_protocol::endpoint(path), error);
  }
  if (!error && ::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0) {
    error = error_code(errno, boost::system::system_category());
  }
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  return error ? failed("cannot listen on \"" + path + "\"", error) : Status();
}

Status adopt(int descriptor, TcpAcceptor* tcp, UnixAcceptor* unix_socket) {
  const std::string what = "the descriptor " + std::to_string(descriptor) + " that was handed over";
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  int listens = 0;
  socklen_t listens_size = sizeof listens;
  if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return Status::invalid_argument(what + " (LISTEN_FDS) is no socket");
  }
  if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) != 0 ||
      listens == 0) {
    return Status::invalid_argument(what + " (LISTEN_FDS) is a socket that does not listen");
  }
  error_code error;
  switch (address.ss_family) {
    case AF_UNIX:
      unix_socket->assign(asio::local::stream_protocol(), descriptor, error);
      break;
    case AF_INET:
      tcp->assign(ip::tcp::v4(), descriptor, error);
      break;
    case AF_INET6:
      tcp->assign(ip::tcp::v6(), descriptor, error);
      break;
    default:
      return Status::invalid_argument(what + " (LISTEN_FDS) is a socket of an unknown kind");
  }
  return error ? failed(what + " cannot be used", error) : Status();
}

}  // namespace pglite::server
