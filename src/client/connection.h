// A session of a PostgreSQL server that runs elsewhere: ours behind `serve`, or a native one.
//
//   std::unique_ptr<client::Connection> connection;
//   status = client::Connection::open(parameters, &connection);
//   status = connection->exec(wire::query("select 1"), sink);
#ifndef PGLITE_CLIENT_CONNECTION_H_
#define PGLITE_CLIENT_CONNECTION_H_

#include <pglite/bytes.h>
#include <pglite/status.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/message_scanner.h"
#include "client/parameters.h"
#include "client/startup.h"
#include "client/transport.h"
#include "wire/request.h"

namespace pglite::client {

// Asks a server to give up what a session runs. It shares nothing with the connection, so another
// thread may use it.
class Canceller {
 public:
  // Returns when the server has passed the request on, or could not be reached in that time.
  void cancel(std::chrono::milliseconds patience) const;

 private:
  friend class Connection;
  Address address_;
  TlsSettings tls_;
  bool is_encrypted_ = false;
  uint32_t pid_ = 0;
  uint32_t key_ = 0;
};

class Connection {
 public:
  // kInvalidArgument: the server refuses the user, or does less than `parameters` want. kIoError:
  // there is no way to it. kIncompatible: its certificate is not what is wanted. kSessionEnded: it
  // refuses the session for another reason. kEngineGone: it is no PostgreSQL.
  static Status open(const Parameters& parameters, std::unique_ptr<Connection>* out);
  // Says goodbye.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // As Instance::exec_protocol; a startup packet is answered with how the session has begun.
  // kDisconnected: the server has gone. kSessionEnded: it has said why, in the last message.
  // kEngineGone: what it sends is no answer.
  Status exec(std::string_view request, const ResponseSink& sink);

  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  // What the server has said of itself when the session began; empty: nothing.
  [[nodiscard]] std::string reported(std::string_view name) const;
  [[nodiscard]] const Canceller& canceller() const { return canceller_; }

 private:
  explicit Connection(const Parameters& parameters) : parameters_(parameters) {}

  // How one attempt to begin a session went.
  struct Attempt {
    Status status;
    bool was_answered = false;  // there is a server
    bool may_differ = false;    // with TLS where this was without, or the other way round
    std::unique_ptr<Connection> connection;
  };
  static Attempt attempt(const Parameters& parameters, const Address& address, bool encrypt);
  Status begin_session(const Deadline& deadline, Attempt* attempt);

  // Sends messages and has them answered.
  Status converse(std::string_view messages, const ResponseSink& sink);
  Status take(std::string_view bytes, const ResponseSink& sink);
  Status gone(const std::string& why);
  [[nodiscard]] std::string greeting() const;

  Parameters parameters_;
  std::unique_ptr<Transport> transport_;
  MessageScanner scanner_;
  Canceller canceller_;
  std::map<std::string, std::string, std::less<>> reported_;
  std::string early_;  // what came before anything was asked for
  wire::Request request_;
  std::vector<char> buffer_;
  uint64_t owed_ = 0;        // ReadyForQuery messages that are to come
  bool wants_data_ = false;  // COPY FROM STDIN waits
  char last_type_ = 0;       // of the last message
  std::string last_error_;
  Status status_;  // not ok: it is over
};

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_CONNECTION_H_
