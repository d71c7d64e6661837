// How a session begins, from the startup packet to the first ReadyForQuery: what to answer to each
// message of the server's. It has no socket.
#ifndef PGLITE_CLIENT_STARTUP_H_
#define PGLITE_CLIENT_STARTUP_H_

#include <pglite/status.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "client/message_scanner.h"
#include "client/parameters.h"
#include "client/scram.h"

namespace pglite::client {

// What of TLS matters to who authenticates over it.
struct Channel {
  bool is_encrypted = false;
  // The hash of the server's certificate (RFC 5929, tls-server-end-point); empty: there is none.
  std::string end_point;
};

class Startup {
 public:
  // `nonce` for SCRAM. `parameters` must stay.
  Startup(const Parameters& parameters, Channel channel, std::string nonce);

  [[nodiscard]] std::string packet() const;

  // Takes one message; what has to be sent now is added to `*reply`. kInvalidArgument: the server
  // refuses this user or password, wants one and there is none, or does less than is asked of it.
  // kSessionEnded: it refuses for another reason. kEngineGone: it does not follow the protocol.
  Status receive(const MessageScanner::Message& message, std::string* reply);

  [[nodiscard]] bool done() const { return done_; }
  // Of the error with which the server refused; empty: it did not.
  [[nodiscard]] const std::string& sqlstate() const { return sqlstate_; }

  [[nodiscard]] uint32_t pid() const { return pid_; }
  [[nodiscard]] uint32_t key() const { return key_; }
  // Parameters that the server reports.
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& reported() const {
    return reported_;
  }
  // Notices, as messages.
  [[nodiscard]] const std::string& notices() const { return notices_; }

 private:
  Status authenticate(std::string_view body, std::string* reply);
  Status begin_scram(std::string_view mechanisms, std::string* reply);
  Status accepted();
  Status need_password(const char* method) const;
  Status refused(std::string_view body);

  const Parameters& parameters_;
  Channel channel_;
  std::string nonce_;
  std::optional<Scram> scram_;
  bool final_sent_ = false;
  bool is_bound_ = false;  // SCRAM with channel binding
  bool authenticated_ = false;
  bool done_ = false;
  std::string sqlstate_;
  uint32_t pid_ = 0;
  uint32_t key_ = 0;
  std::map<std::string, std::string, std::less<>> reported_;
  std::string notices_;
};

// "FATAL: no such thing (3D000)", on one line, without control characters.
std::string describe_error(std::string_view body);

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_STARTUP_H_
