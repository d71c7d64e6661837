// One client on a socket, and its session. Bytes go from the socket to PostgreSQL and back;
// PostgreSQL itself reads the startup packet, authenticates and answers. Only what comes before the
// session is done here: TLS, and waiting for the whole startup packet, so that a client that says
// nothing costs no process of PostgreSQL's.
#ifndef PGLITE_SERVER_CONNECTION_H_
#define PGLITE_SERVER_CONNECTION_H_

#include <pglite/cluster.h>

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pglite::server {

using Socket = boost::asio::generic::stream_protocol::socket;
using TlsContext = boost::asio::ssl::context;

// Counted over all connections of a server.
struct Traffic {
  uint64_t accepted = 0;
  uint64_t refused = 0;  // before they were sessions
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
};

struct ConnectionConfig {
  Cluster* cluster = nullptr;
  Peer peer;
  // Null: there is no TLS.
  std::shared_ptr<TlsContext> tls;
  // How long a client may take until its startup packet is here.
  std::chrono::seconds patience{60};
  // Whether the server is about to end: there are no new sessions then.
  const bool* is_ending = nullptr;
  Traffic* traffic = nullptr;
  // For the log: where the client is.
  std::string name;
  // Why it may not have a session; empty: it may.
  std::string refusal;
  std::function<void(std::string_view line)> log;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Socket socket, ConnectionConfig config);

  // Begins to read.
  void start();
  // Moves what the session has said to the socket, and goes on reading where that was stopped. To
  // be called after the cluster has run.
  void pump();
  // PostgreSQL is asked to end the session; a client without one is gone.
  void terminate();
  // Nothing is left of it but the object.
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] bool has_session() const { return session_ != nullptr; }
  [[nodiscard]] bool is_walsender() const {
    return session_ != nullptr && session_->is_walsender();
  }

 private:
  // What a buffer of the socket's holds, in each direction.
  static constexpr size_t kChunk = size_t{16} << 10;
  // Reading stops while PostgreSQL has so much to read.
  static constexpr size_t kUnreadLimit = size_t{64} << 10;

  void read();
  void on_read(const boost::system::error_code& error, size_t size);
  // Looks at the first bytes.
  void examine();
  void answer_and_read(char answer);
  // `already_read` is where a client begins that has not asked first.
  void begin_tls(std::string already_read);
  void begin_session();
  // Writes all of output_.
  template <class Handler>
  void write_output(Handler handler);
  void write();
  void on_written(const boost::system::error_code& error, size_t size);
  // The client has closed its side; it may still read.
  void input_ends();
  // Reading or writing has failed.
  void client_is_gone();
  void close();
  void close_socket();
  void refuse(std::string_view why);
  // Lets the client know, too.
  void refuse(std::string_view sqlstate, std::string_view why);

  Socket socket_;
  ConnectionConfig config_;
  std::unique_ptr<boost::asio::ssl::stream<Socket&>> tls_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<Session> session_;
  std::array<char, kChunk> input_;
  std::string first_bytes_;
  std::string output_;
  bool reading_ = false;
  bool writing_ = false;
  bool tls_is_up_ = false;
  bool input_ended_ = false;
  bool gone_ = false;  // the client
  bool closed_ = false;
};

}  // namespace pglite::server

#endif  // PGLITE_SERVER_CONNECTION_H_
