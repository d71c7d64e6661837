// What a server is told.
#ifndef PGLITE_SERVER_OPTIONS_H_
#define PGLITE_SERVER_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::server {

// Who has to give a password.
enum class Authentication {
  kRemote,   // clients that come from another host
  kAll,      // all clients, those of Unix sockets too
  kNobody,   // whoever connects is believed
  kCluster,  // as the data directory's pg_hba.conf says
};

struct ServerOptions {
  // "HOST:PORT": an address, [::1] in brackets, localhost, or * for all addresses. Port 0: a free
  // one.
  std::vector<std::string> listen;
  // The directory of the Unix socket .s.PGSQL.PORT; empty: none.
  std::string socket_directory;
  uint16_t socket_port = 5432;
  uint32_t socket_mode = 0777;
  // Only this process's own user, and root, may connect by Unix sockets.
  bool socket_owner_only = false;
  // Sockets that listen already, from whoever started us (systemd's socket activation).
  std::vector<int> inherited;
  Authentication authentication = Authentication::kRemote;
  // PEM files; empty: no TLS.
  std::string tls_certificate;
  std::string tls_key;
  // "HOST:PORT" of /metrics and /healthz; empty: none.
  std::string metrics;
  // A shell command that runs while the server does; empty: none.
  std::string command;
  // Gets a line when clients can connect, and is closed; -1: none.
  int ready_fd = -1;
  // The server ends as at SIGINT when reading this descriptor is at its end; -1: it is not read.
  // What comes is dropped.
  int life_fd = -1;
  // Diagnostics, as Options::log.
  std::function<void(int level, std::string_view line)> log;
};

}  // namespace pglite::server

#endif  // PGLITE_SERVER_OPTIONS_H_
