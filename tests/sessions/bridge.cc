// A cluster behind a Unix socket, so that PostgreSQL's own clients and test suites can talk to it.
// PostgreSQL does the talking, from the startup packet on; this only moves bytes.
//
//   session_bridge --socket-dir DIR [--port N] [--data-dir DIR] [--durability off|relaxed|full]
//                  [--setting name=value]...
//
// It prints "ready" when clients can connect; the server log goes to standard error. SIGTERM and
// SIGINT close the cluster in order. Any other end is a crash of the cluster.
#include <fcntl.h>
#include <pglite/cluster.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "os/shutdown_signals.h"
#include "os/unique_fd.h"

namespace {

using pglite::Clock;
using pglite::Status;
using pglite::os::UniqueFd;

// How long clients wait for the bridge to look at them while others compute.
constexpr std::chrono::milliseconds kSlice{5};
// No more is read from a client while PostgreSQL has this much of it to read.
constexpr size_t kMaxUnread = 65536;

struct Client {
  UniqueFd socket;
  std::unique_ptr<pglite::Session> session;
  bool open = true;   // there may be more input
  bool gone = false;  // nobody reads the answers any more
};

Status failed(const std::string& what) {
  return Status::io_error(what + ": " + std::strerror(errno));
}

Status listen_at(const std::string& path, UniqueFd* out) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Status::invalid_argument("the socket's path is too long: " + path);
  }
  path.copy(address.sun_path, path.size());
  (void)::unlink(path.c_str());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return failed("socket");
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket.get(), 128) != 0) {
    return failed(path);
  }
  *out = std::move(socket);
  return {};
}

void read_from(Client& client) {
  char room[kMaxUnread];
  const ssize_t count = ::recv(client.socket.get(), room, sizeof(room), MSG_DONTWAIT);
  if (count > 0) {
    client.session->send({room, static_cast<size_t>(count)});
  } else if (count == 0) {
    client.open = false;
    client.session->close_input();
  } else {
    client.gone = errno != EAGAIN && errno != EINTR;
  }
}

void write_to(Client& client) {
  while (!client.gone && !client.session->output().empty()) {
    const std::string_view output = client.session->output();
    const ssize_t count =
        ::send(client.socket.get(), output.data(), output.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0) {
      client.gone = errno != EAGAIN && errno != EINTR;
      return;
    }
    client.session->take(static_cast<size_t>(count));
  }
}

class Bridge {
 public:
  Bridge(pglite::Cluster& cluster, UniqueFd listener, pglite::os::ShutdownSignals& signals)
      : cluster_(cluster), listener_(std::move(listener)), signals_(signals) {}

  // Returns when a signal says so, or the cluster is gone.
  Status serve() {
    while (!signals_.take()) {
      const Status status = cluster_.run(Clock::now() + kSlice);
      // What sessions say before a crash is worth having.
      write_all();
      if (!status.ok()) return status;
      const Status moved = move_bytes();
      if (!moved.ok()) return moved;
    }
    return {};
  }

 private:
  // Hands over what PostgreSQL has said, and drops the clients that are done.
  void write_all() {
    std::erase_if(clients_, [](const auto& client) {
      write_to(*client);
      return client->gone || (client->session->ended() && client->session->output().empty());
    });
  }

  // Waits until something can be done, and takes what clients have sent.
  Status move_bytes() {
    std::vector<pollfd> polled = {{listener_.get(), POLLIN, 0},
                                  {signals_.descriptor(), POLLIN, 0},
                                  {cluster_.wake_descriptor(), POLLIN, 0}};
    const size_t first = polled.size();
    for (const auto& client : clients_) {
      short events = 0;
      if (client->open && client->session->unread() <= kMaxUnread) events |= POLLIN;
      if (!client->session->output().empty()) events |= POLLOUT;
      // One that nothing is wanted of would report its hang-up again and again.
      polled.push_back({events != 0 ? client->socket.get() : -1, events, 0});
    }
    if (::poll(polled.data(), polled.size(), timeout()) < 0 && errno != EINTR) {
      return failed("poll");
    }
    for (size_t i = 0; i < clients_.size(); ++i) {
      const pollfd& found = polled[first + i];
      if ((found.events & POLLIN) != 0 && found.revents != 0) read_from(*clients_[i]);
    }
    return polled[0].revents != 0 ? accept() : Status();
  }

  [[nodiscard]] int timeout() {
    const std::optional<Clock::time_point> deadline = cluster_.deadline();
    if (!deadline) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now());
    return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
  }

  Status accept() {
    for (;;) {
      auto client = std::make_unique<Client>();
      client->socket = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client->socket) return {};  // none is left, or the client has given up
      const Status status =
          cluster_.accept({.kind = pglite::Peer::Kind::kUnixSocket}, &client->session);
      if (!status.ok()) return status;
      clients_.push_back(std::move(client));
    }
  }

  pglite::Cluster& cluster_;
  UniqueFd listener_;
  pglite::os::ShutdownSignals& signals_;
  std::vector<std::unique_ptr<Client>> clients_;
};

Status run(const pglite::Options& options, const std::string& socket_path) {
  pglite::os::ShutdownSignals signals;
  std::unique_ptr<pglite::Cluster> cluster;
  Status status = pglite::Cluster::open(options, &cluster);
  if (!status.ok()) return status;
  UniqueFd listener;
  status = listen_at(socket_path, &listener);
  if (!status.ok()) return status;
  std::puts("ready");
  std::fflush(stdout);
  // The clients' sessions are gone when it returns.
  status = Bridge(*cluster, std::move(listener), signals).serve();
  (void)::unlink(socket_path.c_str());
  return status.ok() ? cluster->close() : status;
}

}  // namespace

int main(int argc, char** argv) {
  pglite::Options options;
  std::string socket_directory;
  int port = 5432;
  CLI::App app("A cluster behind a Unix socket");
  app.add_option("--socket-dir", socket_directory)->required();
  app.add_option("--port", port);
  app.add_option("--data-dir", options.data_dir);
  app.add_option("--setting", options.settings)->allow_extra_args(false);
  const std::map<std::string, pglite::Durability> durabilities = {
      {"off", pglite::Durability::kOff},
      {"relaxed", pglite::Durability::kRelaxed},
      {"full", pglite::Durability::kFull}};
  app.add_option("--durability", options.durability)
      ->transform(CLI::CheckedTransformer(durabilities));
  CLI11_PARSE(app, argc, argv);

  // A file that grows over RLIMIT_FSIZE must be an error for PostgreSQL, and not end this process.
  (void)std::signal(SIGXFSZ, SIG_IGN);
  options.debug = 1;  // the whole server log
  options.log = [](int, std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  const Status status = run(options, socket_directory + "/.s.PGSQL." + std::to_string(port));
  if (!status.ok()) std::fprintf(stderr, "session_bridge: %s\n", status.message().c_str());
  return status.exit_code();
}
