// Serves a cluster on sockets: one session a connection, all on the caller's thread.
#ifndef PGLITE_SERVER_SERVER_H_
#define PGLITE_SERVER_SERVER_H_

#include <pglite/cluster.h>
#include <pglite/status.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/connection.h"
#include "server/options.h"
#include "server/socket_lock.h"

namespace pglite::server {

class Metrics;

class Server {
 public:
  explicit Server(ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and listens: clients may connect from now on, and wait. kInvalidArgument, kInUse,
  // kIoError.
  Status listen();

  // What the cluster must be opened with, after listen(): settings that show where the server is,
  // and access rules.
  [[nodiscard]] std::vector<std::string> settings() const;
  [[nodiscard]] std::string access_rules() const;

  // Serves until a signal ends it or the command does; `*exit_code` is what the program is to end
  // with. SIGTERM: no new clients, and the end when the last one has gone. SIGINT: sessions are
  // ended. Either for the second time, or SIGQUIT: at once, as a crash, and the next start
  // recovers. SIGHUP: configuration and certificates are read again. The cluster is the caller's to
  // close, unless *crash is set: then it must be dropped as it is.
  Status run(Cluster& cluster, int* exit_code, bool* crash);

  // Where it listens, as URLs and "host:port".
  [[nodiscard]] std::vector<std::string> addresses() const;
  // What PGHOST and PGPORT are for it: an address, or the Unix socket's directory.
  [[nodiscard]] std::string host() const;
  [[nodiscard]] uint16_t port() const;
  // A URL of it for the role and database, without a password; empty: it listens nowhere.
  [[nodiscard]] std::string url(const std::string& username, const std::string& database) const;

 private:
  using TcpAcceptor = boost::asio::ip::tcp::acceptor;
  using UnixAcceptor = boost::asio::local::stream_protocol::acceptor;
  enum class Ending { kNot, kSmart, kFast, kImmediate };

  Status listen_on(const boost::asio::ip::tcp::endpoint& endpoint);
  Status listen_on_unix_socket();
  Status adopt_inherited();
  Status load_tls();
  template <class Acceptor>
  void accept(Acceptor& acceptor);
  void add(Socket socket, Peer peer, std::string name);
  void watch_signals();
  void watch_cluster();
  void on_signal(int signal);
  void stop_listening();
  // Runs the cluster and moves bytes, once.
  Status turn();
  Status start_command();
  void watch_command();
  void tell_ready();
  void log(int level, std::string_view line) const {
    if (options_.log) options_.log(level, line);
  }

  ServerOptions options_;
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_{io_};
  std::vector<TcpAcceptor> tcp_;
  std::vector<UnixAcceptor> unix_;
  std::unique_ptr<SocketLock> socket_lock_;
  std::shared_ptr<TlsContext> tls_;
  std::optional<boost::asio::posix::stream_descriptor> wake_;
  std::unique_ptr<Metrics> metrics_;
  Cluster* cluster_ = nullptr;
  std::list<std::shared_ptr<Connection>> connections_;
  Traffic traffic_;
  bool is_watching_ = false;  // wake_
  Ending ending_ = Ending::kNot;
  pid_t command_ = 0;
  int exit_code_ = 0;
};

}  // namespace pglite::server

#endif  // PGLITE_SERVER_SERVER_H_
