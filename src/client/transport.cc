#include "client/transport.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "os/socket.h"
#include "wire/tls_end_point.h"

namespace pglite::client {
namespace {

constexpr std::string_view kAlpn = "\x0apostgresql";

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> bytes;
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

std::string last_tls_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "the connection was closed" : reason;
}

Status bad_certificate(const std::string& host, long result) {
  if (result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    return Status::incompatible("the server's certificate is not for \"" + host +
                                "\", and sslmode=verify-full wants that");
  }
  return Status::incompatible(std::string("the server's certificate is not trusted: ") +
                              X509_verify_cert_error_string(result));
}

}  // namespace

void Transport::Free::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}
void Transport::Free::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

Status Transport::connect(const Address& address, const Deadline& deadline,
                          std::unique_ptr<Transport>* out) {
  const auto failed = [](int error) { return Status::io_error(std::strerror(error)); };
  const int family = address.storage.ss_family;
  auto opened = os::open_stream_socket(family);
  if (!opened) return failed(static_cast<int>(opened.error()));
  os::UniqueFd socket = std::move(*opened);
  if (family != AF_UNIX) {
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  std::unique_ptr<Transport> transport(new Transport(std::move(socket)));
  const int fd = transport->socket_.get();
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) return failed(errno);
    if (!transport->wait(true, deadline)) return failed(ETIMEDOUT);
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return failed(error);
  }
  *out = std::move(transport);
  return {};
}

Transport::~Transport() {
  // A goodbye without waiting for an answer.
  if (ssl_ != nullptr && !broken_) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

Status Transport::set_up_tls(const TlsSettings& settings) {
  const auto failed = [](const std::string& what) {
    return Status::io_error(what + ": " + last_tls_error());
  };
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (context_ == nullptr) return failed("TLS cannot be set up");
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context_.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (settings.root_certificate == "system") {
    if (SSL_CTX_set_default_verify_paths(context_.get()) != 1) {
      return failed("the system's certificates cannot be read");
    }
  } else if (!settings.root_certificate.empty() &&
             SSL_CTX_load_verify_file(context_.get(), settings.root_certificate.c_str()) != 1) {
    return failed("the certificate " + settings.root_certificate + " cannot be read");
  }
  ssl_.reset(SSL_new(context_.get()));
  if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), socket_.get()) != 1) {
    return failed("TLS cannot be set up");
  }
  if (!settings.root_certificate.empty()) SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER, nullptr);
  const bool is_name = !is_address(settings.host);
  bool good = SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(kAlpn.data()),
                                  kAlpn.size()) == 0;
  if (is_name) {
    good = good && SSL_set_tlsext_host_name(ssl_.get(), settings.host.c_str()) == 1;
  }
  if (settings.mode == TlsMode::kVerifyFull) {
    X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl_.get());
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    good = good && (is_name ? X509_VERIFY_PARAM_set1_host(wanted, settings.host.c_str(), 0)
                            : X509_VERIFY_PARAM_set1_ip_asc(wanted, settings.host.c_str())) == 1;
  }
  return good ? Status() : failed("TLS cannot be set up");
}

Status Transport::start_tls(const TlsSettings& settings, const Deadline& deadline) {
  Status status = set_up_tls(settings);
  if (!status.ok()) {
    broken_ = true;
    return status;
  }
  while (true) {
    ERR_clear_error();
    const int result = SSL_connect(ssl_.get());
    if (result == 1) break;
    const Moved moved = tls_failure(result, false);
    if (moved.result == Moved::Result::kBlocked) {
      if (wait(false, deadline)) continue;
      broken_ = true;
      return Status::io_error("TLS: " + std::string(std::strerror(ETIMEDOUT)));
    }
    broken_ = true;
    if (const long verified = SSL_get_verify_result(ssl_.get());
        verified != X509_V_OK && !settings.root_certificate.empty()) {
      return bad_certificate(settings.host, verified);
    }
    return Status::io_error("TLS: " +
                            (moved.why.empty() ? "the server closed the connection" : moved.why));
  }
  if (settings.direct) {
    const unsigned char* chosen = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &chosen, &size);
    if (std::string_view(reinterpret_cast<const char*>(chosen), size) != kAlpn.substr(1)) {
      return Status::io_error(
          "TLS: sslnegotiation=direct, but the server does not say that it is "
          "PostgreSQL (ALPN)");
    }
  }
  return {};
}

std::string Transport::end_point() const {
  if (ssl_ == nullptr) return {};
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      SSL_get1_peer_certificate(ssl_.get()), X509_free);
  const std::vector<uint8_t> hash = wire::tls_end_point(certificate.get());
  return {hash.begin(), hash.end()};
}

Transport::Moved Transport::tls_failure(int result, bool writing) {
  const int system_error = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      write_wants_read_ = writing;
      return {Moved::Result::kBlocked, 0, {}};
    case SSL_ERROR_WANT_WRITE:
      read_wants_write_ = !writing;
      return {Moved::Result::kBlocked, 0, {}};
    case SSL_ERROR_ZERO_RETURN:
      return {Moved::Result::kEnd, 0, {}};
    case SSL_ERROR_SYSCALL:
      broken_ = true;
      return {Moved::Result::kFailed, 0,
              system_error == 0 ? "the connection was closed" : std::strerror(system_error)};
    default:
      broken_ = true;
      return {Moved::Result::kFailed, 0, last_tls_error()};
  }
}

Transport::Moved Transport::read(std::span<char> buffer) {
  if (ssl_ != nullptr) {
    ERR_clear_error();
    errno = 0;
    size_t size = 0;
    const int result = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &size);
    return result == 1 ? Moved{Moved::Result::kSome, size, {}} : tls_failure(result, false);
  }
  while (true) {
    const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size > 0) return {Moved::Result::kSome, static_cast<size_t>(size), {}};
    if (size == 0) return {Moved::Result::kEnd, 0, {}};
    if (errno == EAGAIN) return {Moved::Result::kBlocked, 0, {}};
    if (errno != EINTR) return {Moved::Result::kFailed, 0, std::strerror(errno)};
  }
}

Transport::Moved Transport::write(std::string_view bytes) {
  if (ssl_ != nullptr) {
    ERR_clear_error();
    errno = 0;
    size_t size = 0;
    const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &size);
    return result == 1 ? Moved{Moved::Result::kSome, size, {}} : tls_failure(result, true);
  }
  while (true) {
    const ssize_t size = os::send_bytes(socket_.get(), bytes.data(), bytes.size());
    if (size >= 0) return {Moved::Result::kSome, static_cast<size_t>(size), {}};
    if (errno == EAGAIN) return {Moved::Result::kBlocked, 0, {}};
    if (errno != EINTR) return {Moved::Result::kFailed, 0, std::strerror(errno)};
  }
}

bool Transport::wait(bool to_write, const Deadline& deadline) {
  // In TLS, either may have to wait for the other first.
  const bool writing = read_wants_write_ || (to_write && !write_wants_read_);
  const auto events = static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN);
  while (true) {
    pollfd polled = {socket_.get(), events, 0};
    const int ready = ::poll(&polled, 1, milliseconds_until(deadline));
    if (ready < 0 && errno == EINTR) continue;
    read_wants_write_ = write_wants_read_ = false;
    return ready != 0;
  }
}

Status Transport::write_all(std::string_view bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    const Moved moved = write(bytes);
    bytes.remove_prefix(moved.size);
    if (moved.result == Moved::Result::kBlocked && !wait(true, deadline)) {
      return Status::io_error(std::strerror(ETIMEDOUT));
    }
    if (moved.result == Moved::Result::kEnd) {
      return Status::disconnected("the server closed the connection");
    }
    if (moved.result == Moved::Result::kFailed) return Status::disconnected(moved.why);
  }
  return {};
}

Status Transport::read_some(std::span<char> buffer, const Deadline& deadline, size_t* size) {
  while (true) {
    const Moved moved = read(buffer);
    *size = moved.size;
    switch (moved.result) {
      case Moved::Result::kSome:
        return {};
      case Moved::Result::kEnd:
        return Status::disconnected("the server closed the connection");
      case Moved::Result::kFailed:
        return Status::disconnected(moved.why);
      case Moved::Result::kBlocked:
        if (!wait(false, deadline)) return Status::io_error(std::strerror(ETIMEDOUT));
    }
  }
}

}  // namespace pglite::client
