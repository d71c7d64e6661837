// A backend: the process behind one client connection. What the client sends and gets are bytes of
// PostgreSQL's protocol, from the startup packet on; PostgreSQL itself authenticates, reads the
// startup packet and ends the session. SCRAM-SHA-256-PLUS, which PGlite's PostgreSQL has not, is
// added here, around its SCRAM-SHA-256.
#ifndef PGLITE_POSTGRES_SESSIONS_CLIENT_H_
#define PGLITE_POSTGRES_SESSIONS_CLIENT_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "postgres/guest/free_memory.h"
#include "postgres/sessions/child.h"

namespace pglite::postgres {

// Where a client is, as its process is to see it.
struct SocketAddress {
  bool is_outside = false;     // false: the client is in this process
  std::vector<uint8_t> bytes;  // 4 of IPv4, 16 of IPv6; none: a Unix-domain socket
  uint16_t port = 0;
  // Of the certificate of its TLS (RFC 5929); empty: its channel cannot be bound to.
  std::string certificate_hash = {};
};

class Client final : public Child {
 public:
  // PostgreSQL waits for its client while so much of its output is not taken.
  static constexpr size_t kOutputLimit = size_t{256} << 10;

  // Nobody looks at it any more: it goes when it has ended.
  bool is_orphan = false;

  static Status make(Postmaster& postmaster, int32_t pid, const SocketAddress& address,
                     std::unique_ptr<Client>* out);

  // Adds to what the client has sent. Nothing is read here: PostgreSQL does, in its turns.
  void send(std::string_view bytes);
  // The client has closed its side: after what it has sent comes the end.
  void close_input();
  // How much of it PostgreSQL has not read yet.
  [[nodiscard]] size_t unread() const { return input_.size() - read_; }

  // What the startup packet has made of it.
  [[nodiscard]] bool is_walsender() const {
    return variable(symbols::kMyBackendType) == static_cast<uint32_t>(BackendType::kWalSender);
  }

  // PostgreSQL has read all of it, and waits for more.
  [[nodiscard]] bool wants_input() const { return wants_input_ && unread() == 0; }

  // What the client has not taken of PostgreSQL's output. The view is good until the next turn.
  [[nodiscard]] std::string_view output() const { return std::string_view(output_).substr(taken_); }
  // Takes the first `size` bytes of it.
  void take(size_t size);

 private:
  Client(Postmaster& postmaster, int32_t pid, const SocketAddress& address);

  emscripten::Callback callback(std::string_view name) override;
  void before_main() override;
  uint32_t socket_events(uint32_t events) override;
  uint32_t wait_event_set(emscripten::Process& process, uint32_t set, int32_t timeout,
                          uint32_t occurred, uint32_t count, uint32_t activity) override;

  static uint32_t read_input(void* self, uint32_t buffer, uint32_t size);
  static uint32_t write_output(void* self, uint32_t buffer, uint32_t size);
  // On the guest stack: puts ours in place of the functions of PostgreSQL's SCRAM.
  void offer_channel_binding();
  static void get_mechanisms(void* self, uint32_t port, uint32_t buffer);
  static uint32_t begin_scram(void* self, uint32_t port, uint32_t mechanism, uint32_t secret);
  static uint32_t exchange_scram(void* self, uint32_t state, uint32_t input, uint32_t size,
                                 uint32_t output, uint32_t output_size, uint32_t log_detail);
  // The client-final-message of a client that has chosen SCRAM-SHA-256-PLUS.
  uint32_t end_scram(uint32_t state, uint32_t input, uint32_t size, uint32_t output,
                     uint32_t output_size, uint32_t log_detail);
  // Raises an error, and gives what a function of SCRAM returns that has failed.
  uint32_t refuse_scram(uint32_t output, const char* message, const char* detail);
  // What send() and recv() return that fail.
  uint32_t fail(std::errc error);
  uint32_t would_block() { return fail(std::errc::operation_would_block); }

  SocketAddress address_;
  std::string bound_channel_;  // what its "c=" must be; empty: there is no channel binding
  std::string input_;
  size_t read_ = 0;  // of input_
  bool input_ends_ = false;
  bool wants_input_ = false;
  std::string output_;
  size_t taken_ = 0;  // of output_
  std::optional<FreeMemory> free_memory_;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SESSIONS_CLIENT_H_
