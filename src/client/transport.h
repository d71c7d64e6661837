// The bytes of one connection: a socket, and TLS over it. It waits with poll(), so that a cancel
// can be sent from another thread on a connection of its own.
#ifndef PGLITE_CLIENT_TRANSPORT_H_
#define PGLITE_CLIENT_TRANSPORT_H_

#include <pglite/status.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "client/parameters.h"
#include "client/resolve.h"
#include "os/unique_fd.h"

struct ssl_st;
struct ssl_ctx_st;

namespace pglite::client {

// What TLS must be like.
struct TlsSettings {
  TlsMode mode = TlsMode::kPrefer;
  bool direct = false;
  std::string host;  // as the certificate must name it
  std::string root_certificate;
};

class Transport {
 public:
  // kIoError: the message ends with why, such as "Connection refused".
  static Status connect(const Address& address, const Deadline& deadline,
                        std::unique_ptr<Transport>* out);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Begins TLS; nothing of it may have been read. kIoError: it cannot be had. kIncompatible: the
  // server's certificate is not what is wanted.
  Status start_tls(const TlsSettings& settings, const Deadline& deadline);
  [[nodiscard]] bool is_encrypted() const { return ssl_ != nullptr; }
  // The hash of the server's certificate (RFC 5929); empty where its signature has no hash.
  [[nodiscard]] std::string end_point() const;

  struct Moved {
    enum class Result { kSome, kBlocked, kEnd, kFailed };
    Result result = Result::kSome;
    size_t size = 0;
    std::string why;  // kFailed
  };
  // What can be had or sent now.
  Moved read(std::span<char> buffer);
  Moved write(std::string_view bytes);
  // Until read(), or, where `to_write`, write() may have more luck. False: the time is up.
  bool wait(bool to_write, const Deadline& deadline);

  // All of it, or as much as comes. kIoError, kDisconnected.
  Status write_all(std::string_view bytes, const Deadline& deadline);
  Status read_some(std::span<char> buffer, const Deadline& deadline, size_t* size);

 private:
  explicit Transport(os::UniqueFd socket) : socket_(std::move(socket)) {}
  Status set_up_tls(const TlsSettings& settings);
  Moved tls_failure(int result, bool writing);

  struct Free {
    void operator()(ssl_st* ssl) const;
    void operator()(ssl_ctx_st* context) const;
  };
  os::UniqueFd socket_;
  std::unique_ptr<ssl_ctx_st, Free> context_;
  std::unique_ptr<ssl_st, Free> ssl_;
  bool broken_ = false;  // TLS must not say goodbye any more
  bool read_wants_write_ = false;
  bool write_wants_read_ = false;
};

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_TRANSPORT_H_
