// Follows what a server sends, message by message, and refuses what no server sends: unknown types,
// and lengths that are only there to use up memory.
#ifndef PGLITE_CLIENT_MESSAGE_SCANNER_H_
#define PGLITE_CLIENT_MESSAGE_SCANNER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace pglite::client {

// libpq's limits on a message without data, and on one that authenticates.
inline constexpr uint32_t kPlainMessageLimit = 30000;
inline constexpr uint32_t kAuthenticationLimit = 2000;

class MessageScanner {
 public:
  struct Message {
    char type = 0;
    // Without type and length. Empty for those that carry data (T, D, d, V): they are not kept. At
    // most kPlainMessageLimit bytes of the others.
    std::string_view body;
    size_t end = 0;  // where it ends in the bytes that were scanned
  };

  // Calls `handle` for each message that ends in `bytes`. Returns an empty string, or what is wrong
  // with them; the scanner is then of no more use.
  std::string scan(std::string_view bytes, const std::function<void(const Message&)>& handle);

  // From now on, messages of a session are accepted, too.
  void session_begins() { in_session_ = true; }
  [[nodiscard]] bool at_boundary() const { return header_size_ == 0; }

 private:
  [[nodiscard]] std::string judge_header();

  bool in_session_ = false;
  char header_[5];
  size_t header_size_ = 0;
  uint64_t body_left_ = 0;
  bool is_kept_ = false;
  std::string body_;
};

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_MESSAGE_SCANNER_H_
