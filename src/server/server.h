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
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/connection.h"
#include "server/listen.h"
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
  // with. SIGTERM: no new sessions, and the end when the last client has gone. SIGINT: sessions are
  // ended. Either for the second time, or SIGQUIT: at once, as a crash, and the next start
  // recovers. While the command runs, the first SIGTERM or SIGINT is only for it. SIGHUP:
  // configuration and certificates are read again. The cluster is the caller's to close, unless
  // *crash is set: then it is to be abandoned. Signals wait for this from the constructor on.
  Status run(Cluster& cluster, int* exit_code, bool* crash);

  // Where it listens: "host:port", and paths of Unix sockets.
  [[nodiscard]] std::vector<std::string> addresses() const;
  // What PGHOST and PGPORT are for it: an address, or the directory of a Unix socket. No host: it
  // listens on a socket only that libpq has no name for.
  struct Place {
    std::string host;
    uint16_t port = 0;
  };
  [[nodiscard]] Place place() const;

 private:
  enum class Ending { kNot, kSmart, kFast, kImmediate };

  Status listen_on_tcp(const boost::asio::ip::tcp::endpoint& endpoint);
  Status listen_on_unix_socket();
  Status adopt_inherited();
  Status load_tls();
  template <class Acceptor>
  void accept(Acceptor& acceptor);
  void add(Socket socket, Peer peer, std::string name, std::string refusal = {});
  void watch_signals();
  void watch_cluster();
  // options_.life_fd.
  void watch_life();
  void on_signal(int signal);
  void end(Ending how);
  // Hands a signal on to the command.
  void forward(int signal);
  // Nobody has a session or will have one: neither a client nor the command.
  [[nodiscard]] bool is_deserted() const;
  void stop_listening();
  // authentication_timeout, as it is now.
  void read_patience();
  Status serve();
  // Runs the cluster and moves bytes, once.
  Status turn();
  // Until a handler has run, or `due`.
  void wait(std::optional<Clock::time_point> due);
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
  std::optional<boost::asio::posix::stream_descriptor> life_;
  std::unique_ptr<Metrics> metrics_;
  Cluster* cluster_ = nullptr;
  std::list<std::shared_ptr<Connection>> connections_;
  Traffic traffic_;
  // Alone, a processor is better left to the client.
  const bool may_watch_ = std::thread::hardware_concurrency() > 1;
  int watches_ = 0;           // how often to look out for the next request before waiting for it
  bool is_watching_ = false;  // wake_
  std::chrono::seconds patience_{60};
  Ending ending_ = Ending::kNot;
  bool is_ending_ = false;        // ending_ is not kNot
  Clock::time_point farewell_{};  // kFast: the end, whoever is still there
  bool has_forwarded_ = false;    // a signal that would have ended the server
  pid_t command_ = 0;
  int exit_code_ = 0;
};

}  // namespace pglite::server

#endif  // PGLITE_SERVER_SERVER_H_
