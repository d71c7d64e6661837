#include "server/server.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "server/address.h"
#include "server/metrics.h"

extern char** environ;

namespace pglite::server {

namespace asio = boost::asio;
namespace ip = boost::asio::ip;

using boost::system::error_code;

namespace {

// How long the cluster runs before sockets are looked at again.
constexpr std::chrono::milliseconds kTurn{1};
// After accept() failed for want of descriptors or memory.
constexpr std::chrono::milliseconds kAcceptPause{100};
// How long clients get to take their last words.
constexpr std::chrono::seconds kFarewell{5};

Status failed(const std::string& what, const error_code& error) {
  const bool in_use = error == asio::error::address_in_use;
  const std::string message = what + ": " + error.message();
  return in_use ? Status::in_use(message) : Status::io_error(message);
}

}  // namespace

Server::Server(ServerOptions options) : options_(std::move(options)) {}

Server::~Server() {
  if (command_ > 0) ::kill(command_, SIGTERM);
}

Status Server::listen() {
  Status status = load_tls();
  std::vector<ip::tcp::endpoint> endpoints;
  for (const std::string& text : options_.listen) {
    if (status.ok()) status = parse_endpoints(text, &endpoints);
  }
  for (const ip::tcp::endpoint& endpoint : endpoints) {
    if (!status.ok()) break;
    ip::tcp::endpoint wanted = endpoint;
    // Both families of one name get one port.
    if (wanted.port() == 0 && !tcp_.empty() && endpoints.size() == 2 &&
        options_.listen.size() == 1) {
      wanted.port(tcp_.front().local_endpoint().port());
    }
    status = listen_on(wanted);
    // localhost and * are served where there is no IPv6, too.
    const bool optional = wanted.address().is_v6() && !tcp_.empty() &&
                          (wanted.address().is_loopback() || wanted.address().is_unspecified());
    if (!status.ok() && status.code() != StatusCode::kInUse && optional) status = {};
  }
  if (status.ok() && !options_.socket_directory.empty()) status = listen_on_unix_socket();
  if (status.ok()) status = adopt_inherited();
  if (status.ok() && tcp_.empty() && unix_.empty()) {
    status = Status::invalid_argument(
        "the server listens nowhere; accepted are --listen HOST:PORT and --socket-dir DIR");
  }
  if (status.ok() && !options_.metrics.empty()) {
    status = Metrics::open(io_, options_.metrics, traffic_, &metrics_);
  }
  return status;
}

Status Server::load_tls() {
  if (options_.tls_certificate.empty()) return {};
  auto tls = std::make_shared<TlsContext>(TlsContext::tls_server);
  error_code error;
  tls->set_options(TlsContext::default_workarounds | TlsContext::no_sslv2 | TlsContext::no_sslv3 |
                       TlsContext::no_tlsv1 | TlsContext::no_tlsv1_1 | TlsContext::single_dh_use,
                   error);
  tls->use_certificate_chain_file(options_.tls_certificate, error);
  if (error) {
    return Status::io_error("the certificate \"" + options_.tls_certificate +
                            "\" cannot be used: " + error.message());
  }
  tls->use_private_key_file(options_.tls_key, TlsContext::pem, error);
  if (error) {
    return Status::io_error("the key \"" + options_.tls_key +
                            "\" cannot be used: " + error.message());
  }
  // libpq's direct TLS names the protocol, and wants to have it confirmed.
  SSL_CTX_set_alpn_select_cb(
      tls->native_handle(),
      [](SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
         unsigned int in_size, void*) {
        static constexpr std::array<unsigned char, 11> kProtocol = {10,  'p', 'o', 's', 't', 'g',
                                                                    'r', 'e', 's', 'q', 'l'};
        unsigned char* chosen = nullptr;
        if (SSL_select_next_proto(&chosen, out_size, kProtocol.data(), kProtocol.size(), in,
                                  in_size) != OPENSSL_NPN_NEGOTIATED) {
          return SSL_TLSEXT_ERR_ALERT_FATAL;
        }
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
      },
      nullptr);
  tls_ = std::move(tls);
  return {};
}

Status Server::listen_on(const ip::tcp::endpoint& endpoint) {
  const std::string where = "cannot listen on " + to_string(endpoint);
  TcpAcceptor acceptor(io_);
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (error) return failed(where, error);
  acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed(where, error);
  tcp_.push_back(std::move(acceptor));
  return {};
}

Status Server::listen_on_unix_socket() {
  Status status = SocketLock::take(options_.socket_directory, options_.socket_port, &socket_lock_);
  if (!status.ok()) return status;
  const std::string& path = socket_lock_->path();
  UnixAcceptor acceptor(io_);
  error_code error;
  acceptor.open(asio::local::stream_protocol(), error);
  if (!error) acceptor.bind(asio::local::stream_protocol::endpoint(path), error);
  if (!error && ::chmod(path.c_str(), options_.socket_mode) != 0) {
    error = error_code(errno, boost::system::system_category());
  }
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed("cannot listen on \"" + path + "\"", error);
  unix_.push_back(std::move(acceptor));
  return {};
}

Status Server::adopt_inherited() {
  for (const int fd : options_.inherited) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      return Status::invalid_argument("the descriptor " + std::to_string(fd) +
                                      " that was handed over is no socket");
    }
    error_code error;
    if (address.ss_family == AF_UNIX) {
      UnixAcceptor acceptor(io_);
      acceptor.assign(asio::local::stream_protocol(), fd, error);
      if (!error) unix_.push_back(std::move(acceptor));
    } else {
      TcpAcceptor acceptor(io_);
      acceptor.assign(address.ss_family == AF_INET6 ? ip::tcp::v6() : ip::tcp::v4(), fd, error);
      if (!error) tcp_.push_back(std::move(acceptor));
    }
    if (error) {
      return failed("the descriptor " + std::to_string(fd) + " that was handed over cannot be used",
                    error);
    }
  }
  return {};
}

std::vector<std::string> Server::addresses() const {
  std::vector<std::string> all;
  for (const TcpAcceptor& acceptor : tcp_) {
    error_code error;
    const ip::tcp::endpoint endpoint = acceptor.local_endpoint(error);
    if (!error) all.push_back(to_string(endpoint));
  }
  if (socket_lock_ != nullptr) all.push_back(socket_lock_->path());
  return all;
}

std::string Server::host() const {
  if (tcp_.empty()) return options_.socket_directory;
  error_code error;
  const ip::address address = tcp_.front().local_endpoint(error).address();
  if (!address.is_unspecified()) return address.to_string();
  return address.is_v6() ? ip::address_v6::loopback().to_string()
                         : ip::address_v4::loopback().to_string();
}

uint16_t Server::port() const {
  error_code error;
  return tcp_.empty() ? options_.socket_port : tcp_.front().local_endpoint(error).port();
}

std::string Server::url(const std::string& username, const std::string& database) const {
  const std::string role = "postgres://" + username + "@";
  if (!tcp_.empty()) {
    error_code error;
    ip::tcp::endpoint endpoint = tcp_.front().local_endpoint(error);
    if (endpoint.address().is_unspecified()) {
      endpoint.address(endpoint.address().is_v6() ? ip::address(ip::address_v6::loopback())
                                                  : ip::address(ip::address_v4::loopback()));
    }
    return role + to_string(endpoint) + "/" + database;
  }
  if (socket_lock_ == nullptr) return {};
  std::string directory;
  for (const char c : options_.socket_directory) {
    directory += c == '/' ? "%2F" : std::string(1, c);
  }
  return role + directory + ":" + std::to_string(options_.socket_port) + "/" + database;
}

std::vector<std::string> Server::settings() const {
  std::vector<std::string> settings;
  uint16_t port = options_.socket_port;
  std::string hosts;
  for (const TcpAcceptor& acceptor : tcp_) {
    error_code error;
    const ip::tcp::endpoint endpoint = acceptor.local_endpoint(error);
    if (hosts.empty()) port = endpoint.port();
    hosts += (hosts.empty() ? "" : ",") + endpoint.address().to_string();
  }
  settings.push_back("listen_addresses=" + hosts);
  settings.push_back("port=" + std::to_string(port));
  settings.push_back("unix_socket_directories=" + options_.socket_directory);
  return settings;
}

std::string Server::access_rules() const {
  const auto rules = [](std::string_view type, std::string_view address, std::string_view method) {
    std::string lines;
    for (const std::string_view database : {"all", "replication"}) {
      lines += std::string(type) + " " + std::string(database) + " all " + std::string(address) +
               " " + std::string(method) + "\n";
    }
    return lines;
  };
  const std::string scram = "scram-sha-256";
  switch (options_.authentication) {
    case Authentication::kNobody:
      return rules("local", "", "trust") + rules("host", "all", "trust");
    case Authentication::kAll:
      return rules("local", "", scram) + rules("host", "all", scram);
    case Authentication::kCluster:
      return "include /pglite/data/pg_hba.conf\n";
    case Authentication::kRemote:
      break;
  }
  return rules("local", "", "trust") + rules("host", "127.0.0.0/8", "trust") +
         rules("host", "::1/128", "trust") + rules("host", "all", scram);
}

template <class Acceptor>
void Server::accept(Acceptor& acceptor) {
  acceptor.async_accept([this, &acceptor](const error_code& error, auto socket) {
    if (error == asio::error::operation_aborted || !acceptor.is_open()) return;
    if (error) {
      // Out of descriptors or memory: those who wait are served when others have gone.
      log(0, "a client cannot be accepted: " + error.message());
      auto timer = std::make_shared<asio::steady_timer>(io_, kAcceptPause);
      timer->async_wait([this, &acceptor, timer](const error_code& cancelled) {
        if (!cancelled && acceptor.is_open()) accept(acceptor);
      });
      return;
    }
    error_code ignored;
    socket.non_blocking(true, ignored);
    if constexpr (std::is_same_v<Acceptor, TcpAcceptor>) {
      socket.set_option(ip::tcp::no_delay(true), ignored);
      socket.set_option(asio::socket_base::keep_alive(true), ignored);
      const ip::tcp::endpoint remote = socket.remote_endpoint(ignored);
      if (!ignored) add(Socket(std::move(socket)), peer_of(remote), to_string(remote));
    } else {
      Peer peer;
      peer.kind = Peer::Kind::kUnixSocket;
      add(Socket(std::move(socket)), peer, "the Unix socket");
    }
    accept(acceptor);
  });
}

void Server::add(Socket socket, Peer peer, std::string name) {
  ++traffic_.accepted;
  ConnectionConfig config;
  config.cluster = cluster_;
  config.peer = std::move(peer);
  config.tls = config.peer.kind == Peer::Kind::kInternet ? tls_ : nullptr;
  config.traffic = &traffic_;
  config.name = std::move(name);
  config.log = [this](std::string_view line) { log(1, line); };
  connections_.push_back(std::make_shared<Connection>(std::move(socket), std::move(config)));
  connections_.back()->start();
}

void Server::watch_signals() {
  signals_.async_wait([this](const error_code& error, int signal) {
    if (error) return;
    on_signal(signal);
    watch_signals();
  });
}

void Server::on_signal(int signal) {
  switch (signal) {
    case SIGHUP: {
      log(0, "the configuration is read again");
      (void)cluster_->reload();
      if (Status status = load_tls(); !status.ok()) log(0, status.message());
      return;
    }
    case SIGCHLD:
      return watch_command();
    case SIGTERM:
      ending_ = ending_ == Ending::kNot ? Ending::kSmart : Ending::kImmediate;
      break;
    case SIGINT:
      ending_ =
          ending_ == Ending::kNot || ending_ == Ending::kSmart ? Ending::kFast : Ending::kImmediate;
      break;
    default:
      ending_ = Ending::kImmediate;
      break;
  }
  if (command_ > 0) ::kill(command_, signal);
  stop_listening();
  if (ending_ == Ending::kFast) {
    for (const auto& connection : connections_) connection->terminate();
  }
  for (const auto& connection : connections_) {
    if (!connection->has_session()) connection->terminate();
  }
}

void Server::stop_listening() {
  error_code ignored;
  for (TcpAcceptor& acceptor : tcp_) acceptor.close(ignored);
  for (UnixAcceptor& acceptor : unix_) acceptor.close(ignored);
  socket_lock_.reset();
}

void Server::watch_cluster() {
  is_watching_ = true;
  wake_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code&) {
    // The descriptor is readable until the cluster runs: only then is it watched again.
    is_watching_ = false;
  });
}

Status Server::turn() {
  io_.restart();
  io_.poll();
  Status status = cluster_->run(Clock::now() + kTurn);
  if (!is_watching_) watch_cluster();
  for (auto it = connections_.begin(); it != connections_.end();) {
    (*it)->pump();
    it = (*it)->closed() ? connections_.erase(it) : std::next(it);
  }
  return status;
}

void Server::tell_ready() {
  std::string where;
  for (const std::string& address : addresses()) where += (where.empty() ? "" : ", ") + address;
  log(0, "ready for clients on " + where);
  if (options_.ready_fd < 0) return;
  const std::string line = "ready " + where + "\n";
  (void)!::write(options_.ready_fd, line.data(), line.size());
  ::close(options_.ready_fd);
  options_.ready_fd = -1;
}

Status Server::start_command() {
  if (options_.command.empty()) return {};
  const std::string shell = "/bin/sh";
  std::array<std::string, 3> words = {"sh", "-c", options_.command};
  std::array<char*, 4> arguments = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  // The signals that the server has for itself are the command's own to handle.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD}) {
    sigaddset(&defaults, signal);
  }
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const int error =
      posix_spawn(&command_, shell.c_str(), nullptr, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  if (error == 0) return {};
  command_ = 0;
  return Status::io_error("the command cannot be started: " + std::string(strerror(error)));
}

void Server::watch_command() {
  int status = 0;
  if (command_ <= 0 || waitpid(command_, &status, WNOHANG) != command_) return;
  command_ = 0;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (ending_ == Ending::kNot || ending_ == Ending::kSmart) on_signal(SIGINT);
}

Status Server::run(Cluster& cluster, int* exit_code, bool* crash) {
  cluster_ = &cluster;
  signals_.add(SIGINT);
  signals_.add(SIGTERM);
  signals_.add(SIGHUP);
  signals_.add(SIGQUIT);
  signals_.add(SIGCHLD);
  watch_signals();
  wake_.emplace(io_, ::dup(cluster.wake_descriptor()));
  watch_cluster();
  for (TcpAcceptor& acceptor : tcp_) accept(acceptor);
  for (UnixAcceptor& acceptor : unix_) accept(acceptor);
  if (metrics_ != nullptr) metrics_->start(cluster);
  tell_ready();
  Status status = start_command();

  std::optional<Clock::time_point> farewell;
  while (status.ok() && ending_ != Ending::kImmediate) {
    status = turn();
    if (ending_ != Ending::kNot && connections_.empty()) break;
    if (ending_ == Ending::kFast && !farewell) farewell = Clock::now() + kFarewell;
    if (farewell && Clock::now() >= *farewell) break;
    std::optional<Clock::time_point> due = cluster.deadline();
    if (farewell && (!due || *farewell < *due)) due = farewell;
    io_.restart();
    if (!due) {
      io_.run_one();
    } else if (*due > Clock::now()) {
      io_.run_one_until(*due);
    }
  }
  *exit_code = exit_code_;
  *crash = ending_ == Ending::kImmediate;
  for (const auto& connection : connections_) connection->terminate();
  stop_listening();
  // Sessions go before the cluster.
  metrics_.reset();
  connections_.clear();
  wake_.reset();
  io_.restart();
  io_.poll();
  return status;
}

}  // namespace pglite::server
