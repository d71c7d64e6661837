#include "server/server.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <thread>
#include <utility>

#include "os/peer_user.h"
#include "os/unique_fd.h"
#include "server/address.h"
#include "server/metrics.h"
#include "server/statement.h"

extern char** environ;

namespace pglite::server {

namespace asio = boost::asio;
namespace ip = boost::asio::ip;

using boost::system::error_code;

namespace {

// Whether a Unix socket was connected by our own user, or by root.
bool is_owners(int socket) {
  const auto user = os::peer_user(socket);
  return user && (*user == geteuid() || *user == 0);
}

// How long the cluster runs before sockets are looked at again.
constexpr std::chrono::milliseconds kTurn{1};
// A client that has been answered often asks again before a processor that goes to sleep would be
// awake. So the server looks out for it that long before it waits, unless it was in vain so often.
// What comes within the second time would have been worth it.
constexpr std::chrono::microseconds kWatch{100};
constexpr std::chrono::microseconds kSoon{130};
constexpr int kWatches = 8;
// After accept() failed for want of descriptors or memory.
constexpr std::chrono::milliseconds kAcceptPause{100};
// How long clients get to take their last words.
constexpr std::chrono::seconds kFarewell{5};

}  // namespace

Server::Server(ServerOptions options) : options_(std::move(options)) {
  // From here on, so that what is made is also removed when one comes early. Whoever started us may
  // have blocked them.
  sigset_t ours;
  sigemptyset(&ours);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD}) {
    signals_.add(signal);
    sigaddset(&ours, signal);
  }
  pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
}

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
    status = listen_on_tcp(wanted);
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

Status Server::listen_on_tcp(const ip::tcp::endpoint& endpoint) {
  TcpAcceptor acceptor(io_);
  Status status = listen_on(endpoint, &acceptor);
  if (status.ok()) tcp_.push_back(std::move(acceptor));
  return status;
}

Status Server::listen_on_unix_socket() {
  Status status = SocketLock::take(options_.socket_directory, options_.socket_port, &socket_lock_);
  if (!status.ok()) return status;
  UnixAcceptor acceptor(io_);
  status = listen_on(socket_lock_->path(), options_.socket_mode, &acceptor);
  if (status.ok()) unix_.push_back(std::move(acceptor));
  return status;
}

Status Server::adopt_inherited() {
  for (const int descriptor : options_.inherited) {
    TcpAcceptor tcp(io_);
    UnixAcceptor unix_socket(io_);
    if (Status status = adopt(descriptor, &tcp, &unix_socket); !status.ok()) return status;
    if (tcp.is_open()) {
      tcp_.push_back(std::move(tcp));
    } else {
      unix_.push_back(std::move(unix_socket));
    }
  }
  return {};
}

std::vector<std::string> Server::addresses() const {
  std::vector<std::string> all;
  all.reserve(tcp_.size() + unix_.size());
  error_code error;
  for (const TcpAcceptor& acceptor : tcp_) all.push_back(to_string(acceptor.local_endpoint(error)));
  for (const UnixAcceptor& acceptor : unix_) all.push_back(acceptor.local_endpoint(error).path());
  return all;
}

Server::Place Server::place() const {
  error_code error;
  if (!tcp_.empty()) {
    const ip::tcp::endpoint endpoint = tcp_.front().local_endpoint(error);
    ip::address address = endpoint.address();
    if (address.is_unspecified() && address.is_v4()) address = ip::address_v4::loopback();
    if (address.is_unspecified() && address.is_v6()) address = ip::address_v6::loopback();
    return {.host = address.to_string(), .port = endpoint.port()};
  }
  // libpq makes the name of a socket from its directory and a number.
  constexpr std::string_view kName = "/.s.PGSQL.";
  for (const UnixAcceptor& acceptor : unix_) {
    const std::string path = acceptor.local_endpoint(error).path();
    const size_t name = path.rfind('/');
    uint16_t port = 0;
    if (name == std::string::npos || path.compare(name, kName.size(), kName) != 0) continue;
    const char* const end = path.data() + path.size();
    const auto parsed = std::from_chars(path.data() + name + kName.size(), end, port);
    if (parsed.ptr == end && port != 0) return {.host = path.substr(0, name), .port = port};
  }
  return {.host = {}, .port = options_.socket_port};
}

std::vector<std::string> Server::settings() const {
  std::string hosts;
  for (const TcpAcceptor& acceptor : tcp_) {
    error_code error;
    hosts += (hosts.empty() ? "" : ",") + acceptor.local_endpoint(error).address().to_string();
  }
  std::string directories = options_.socket_directory;
  const Place where = place();
  if (directories.empty() && where.host.starts_with('/')) directories = where.host;
  return {"listen_addresses=" + hosts, "port=" + std::to_string(where.port),
          "unix_socket_directories=" + directories};
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
      const bool may = !options_.socket_owner_only || is_owners(socket.native_handle());
      add(Socket(std::move(socket)), peer, "the Unix socket",
          may ? "" : "the Unix socket is for the user that the server runs as");
    }
    accept(acceptor);
  });
}

void Server::add(Socket socket, Peer peer, std::string name, std::string refusal) {
  ++traffic_.accepted;
  ConnectionConfig config;
  config.cluster = cluster_;
  config.peer = std::move(peer);
  config.tls = config.peer.kind == Peer::Kind::kInternet ? tls_ : nullptr;
  config.patience = patience_;
  config.is_ending = &is_ending_;
  config.traffic = &traffic_;
  config.name = std::move(name);
  config.refusal = std::move(refusal);
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
      read_patience();
      if (Status status = load_tls(); !status.ok()) log(0, status.message());
      return;
    }
    case SIGCHLD:
      return watch_command();
    case SIGTERM:
    case SIGINT:
      if (command_ > 0) {
        forward(signal);
        // It may still need the server for its own end, and the server ends with it.
        if (!std::exchange(has_forwarded_, true)) return;
      }
      if (ending_ == Ending::kNot)
        return end(signal == SIGTERM && command_ == 0 ? Ending::kSmart : Ending::kFast);
      return end(ending_ == Ending::kSmart && signal == SIGINT ? Ending::kFast
                                                               : Ending::kImmediate);
    default:
      forward(signal);
      return end(Ending::kImmediate);
  }
}

void Server::end(Ending how) {
  ending_ = how;
  is_ending_ = true;
  switch (how) {
    case Ending::kNot:
      break;
    case Ending::kSmart:
      log(0, "the server waits for its clients to leave, and ends then");
      break;
    case Ending::kFast:
      log(0, "the server ends its sessions");
      farewell_ = Clock::now() + kFarewell;
      break;
    case Ending::kImmediate:
      log(0, "the server ends at once");
      break;
  }
}

void Server::forward(int signal) {
  if (command_ <= 0) return;
  if (signal == SIGINT || signal == SIGQUIT) {
    // A terminal sends these to all that runs in its foreground.
    const os::UniqueFd terminal(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC));
    if (terminal && tcgetpgrp(terminal.get()) == getpgrp()) return;
  }
  ::kill(command_, signal);
}

bool Server::is_deserted() const {
  return command_ == 0 && std::ranges::none_of(connections_, [](const auto& connection) {
           return connection->has_session();
         });
}

void Server::stop_listening() {
  error_code ignored;
  for (TcpAcceptor& acceptor : tcp_) acceptor.close(ignored);
  for (UnixAcceptor& acceptor : unix_) acceptor.close(ignored);
  socket_lock_.reset();
}

void Server::watch_cluster() {
  if (!wake_) return;
  is_watching_ = true;
  wake_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code&) {
    // The descriptor is readable until the cluster runs: only then is it watched again.
    is_watching_ = false;
  });
}

void Server::watch_life() {
  if (!life_) return;
  // What cannot be waited for, such as a file, is read at once.
  life_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& error) {
    if (error == asio::error::operation_aborted || !life_) return;
    std::array<char, 4096> dropped;
    const ssize_t got = ::read(life_->native_handle(), dropped.data(), dropped.size());
    if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN))) return watch_life();
    life_.reset();
    on_signal(SIGINT);
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
  if (ending_ == Ending::kNot || ending_ == Ending::kSmart) end(Ending::kFast);
}

void Server::read_patience() {
  const Status status = run_statement(
      *cluster_, {},
      "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'authentication_timeout'",
      [&](const Row& row) {
        const std::string_view text = row.at(0).value_or("");
        int seconds = 0;
        std::from_chars(text.data(), text.data() + text.size(), seconds);
        if (seconds > 0) patience_ = std::chrono::seconds(seconds);
      });
  if (!status.ok()) log(0, "authentication_timeout is not known: " + status.message());
}

Status Server::serve() {
  constexpr std::chrono::milliseconds kAgain{100};
  Clock::time_point next_farewell{};
  while (ending_ != Ending::kImmediate) {
    if (Status status = turn(); !status.ok()) return status;
    if (is_ending_ && is_deserted()) break;
    // The clients that are waited for have gone.
    if (ending_ == Ending::kSmart &&
        std::ranges::all_of(connections_, [](const auto& each) { return each->is_walsender(); })) {
      for (const auto& connection : connections_) connection->terminate();
    }
    std::optional<Clock::time_point> due = cluster_->deadline();
    if (ending_ == Ending::kFast) {
      if (Clock::now() >= farewell_) break;
      // A session that has just begun loses the signal.
      if (Clock::now() >= next_farewell) {
        for (const auto& connection : connections_) connection->terminate();
        next_farewell = Clock::now() + kAgain;
        continue;
      }
      due = std::min({due.value_or(farewell_), farewell_, next_farewell});
    }
    wait(due);
  }
  return {};
}

void Server::wait(std::optional<Clock::time_point> due) {
  const Clock::time_point begin = Clock::now();
  if (due && *due <= begin) return;
  io_.restart();
  if (watches_ > 0) {
    const Clock::time_point end = std::min(due.value_or(begin + kWatch), begin + kWatch);
    do {
      if (io_.poll_one() > 0) {
        watches_ = kWatches;
        return;
      }
      std::this_thread::yield();
    } while (Clock::now() < end);
    --watches_;
  }
  if (due) {
    io_.run_one_until(*due);
  } else {
    io_.run_one();
  }
  if (may_watch_ && Clock::now() - begin < kSoon) watches_ = kWatches;
}

Status Server::run(Cluster& cluster, int* exit_code, bool* crash) {
  cluster_ = &cluster;
  watch_signals();
  wake_.emplace(io_, ::fcntl(cluster.wake_descriptor(), F_DUPFD_CLOEXEC, 0));
  read_patience();
  for (TcpAcceptor& acceptor : tcp_) accept(acceptor);
  for (UnixAcceptor& acceptor : unix_) accept(acceptor);
  if (metrics_ != nullptr) metrics_->start(cluster);
  tell_ready();
  Status status = start_command();
  if (options_.life_fd >= 0) {
    life_.emplace(io_, ::fcntl(options_.life_fd, F_DUPFD_CLOEXEC, 0));
    watch_life();
  }
  if (status.ok()) status = serve();
  if (command_ > 0) {
    // It has not ended in time, or the server cannot go on.
    ::kill(command_, SIGTERM);
    command_ = 0;
    exit_code_ = 128 + SIGTERM;
  }
  *crash = ending_ == Ending::kImmediate;
  *exit_code = *crash && exit_code_ == 0 ? 128 + SIGQUIT : exit_code_;
  stop_listening();
  // Sessions go before the cluster.
  metrics_.reset();
  connections_.clear();
  wake_.reset();
  life_.reset();
  io_.restart();
  io_.poll();
  return status;
}

}  // namespace pglite::server
