// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), the client's side.
//
// The server is not trusted: it has to show that it knows the password, too.
#ifndef PGLITE_CLIENT_SCRAM_H_
#define PGLITE_CLIENT_SCRAM_H_

#include <pglite/status.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pglite::client {

// What the server may ask for. More of them would only be a way to keep a client busy.
inline constexpr uint32_t kScramIterationLimit = 10'000'000;

// The user's password as it is hashed: SASLprep (RFC 4013), or, where that refuses it, as it is.
// PostgreSQL does the same.
std::string prepare_password(std::string_view password);

class Scram {
 public:
  struct Config {
    std::string user;      // PostgreSQL takes the startup packet's, and an empty one here
    std::string password;  // prepared
    std::string nonce;     // printable, without a comma
    // The gs2 header: "n,,", "y,,", or "p=tls-server-end-point,," with what the channel is bound to
    // in `channel`.
    std::string header;
    std::string channel;
  };
  explicit Scram(Config config) : config_(std::move(config)) {}

  std::string first_message();
  // kEngineGone: the server does not follow the protocol, or asks for too much work.
  Status final_message(std::string_view server_first, std::string* message);
  // kEngineGone: the server has not shown that it knows the password.
  Status verify(std::string_view server_final);
  [[nodiscard]] bool verified() const { return verified_; }

 private:
  Config config_;
  std::string first_bare_;
  std::string server_signature_;
  bool verified_ = false;
};

// 24 characters that nobody can guess. kEngineGone: the system gives no random bytes.
Status make_nonce(std::string* nonce);

// "md5" and what PostgreSQL's older way to send a password asks for.
Status md5_answer(std::string_view user, std::string_view password, std::string_view salt,
                  std::string* answer);

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_SCRAM_H_
