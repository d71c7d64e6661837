// Which server to connect to, and how: what a URL says, completed by the environment and defaults.
#ifndef PGLITE_CLIENT_PARAMETERS_H_
#define PGLITE_CLIENT_PARAMETERS_H_

#include <pglite/status.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace pglite::client {

// As libpq's sslmode. Each asks for more than the one before.
enum class TlsMode { kDisable, kAllow, kPrefer, kRequire, kVerifyCa, kVerifyFull };
enum class ChannelBinding { kDisable, kPrefer, kRequire };

struct Parameters {
  std::string
      host;  // a name, an address, or (with a slash in front) the directory of a Unix socket
  uint16_t port = 5432;
  std::string user;
  std::string database;
  std::optional<std::string> password;
  std::string application_name;
  std::string options;          // of the backend, as in PGOPTIONS
  std::string client_encoding;  // empty: what the server takes by itself
  TlsMode tls = TlsMode::kPrefer;
  bool direct_tls = false;  // sslnegotiation=direct
  // PEM file of the authorities that are trusted; "system": those of the system; empty: none.
  std::string root_certificate;
  ChannelBinding channel_binding = ChannelBinding::kPrefer;
  std::chrono::seconds connect_timeout{0};  // for each address; 0: none

  [[nodiscard]] bool is_unix_socket() const { return host.starts_with('/'); }
  // "localhost:5432", or the path of the socket.
  [[nodiscard]] std::string place() const;
};

struct ParameterSources {
  std::string url;
  // Where the URL does not say them; they come before the environment. Empty: none.
  std::string user;
  std::string database;
  std::string application_name;
  // getenv(3): libpq's variables.
  std::function<const char*(const char* name)> environment;
  // Gets what is worth a line but is no failure.
  std::function<void(std::string_view line)> warn;
};

// kInvalidArgument: a parameter that is not known, or a value that is not. No message contains a
// password.
Status read_parameters(const ParameterSources& sources, Parameters* parameters);

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_PARAMETERS_H_
