#include "server/connection.h"

#include <boost/asio/write.hpp>
#include <cstring>
#include <utility>

#include "wire/backend_message.h"
#include "wire/startup_packet.h"
#include "wire/tls_end_point.h"

namespace pglite::server {

namespace asio = boost::asio;

using boost::system::error_code;

namespace {

constexpr size_t kLengthWord = 4;
constexpr size_t kCodeEnd = 8;
constexpr char kTlsRecord = 0x16;  // how a TLS handshake begins
// How long a client may take to answer the end of TLS.
constexpr std::chrono::seconds kGoodbye{1};

uint32_t word_at(std::string_view bytes, size_t at) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4; ++i) word = word << 8 | static_cast<uint8_t>(bytes[at + i]);
  return word;
}

}  // namespace

Connection::Connection(Socket socket, ConnectionConfig config)
    : socket_(std::move(socket)), config_(std::move(config)), timer_(socket_.get_executor()) {}

void Connection::start() {
  timer_.expires_after(config_.patience);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error && !self->has_session()) self->refuse("it has not sent a startup packet");
  });
  read();
}

template <class Handler>
void Connection::write_output(Handler handler) {
  if (tls_ != nullptr) {
    asio::async_write(*tls_, asio::buffer(output_), std::move(handler));
  } else {
    asio::async_write(socket_, asio::buffer(output_), std::move(handler));
  }
}

void Connection::read() {
  if (reading_ || input_ended_ || closed_) return;
  reading_ = true;
  const auto handler = [self = shared_from_this()](const error_code& error, size_t size) {
    self->reading_ = false;
    self->on_read(error, size);
  };
  if (tls_ != nullptr) {
    tls_->async_read_some(asio::buffer(input_), handler);
  } else {
    socket_.async_read_some(asio::buffer(input_), handler);
  }
}

void Connection::on_read(const error_code& error, size_t size) {
  if (closed_) return;
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) return input_ends();
  if (error || size == 0) return client_is_gone();
  config_.traffic->bytes_in += size;
  const std::string_view bytes(input_.data(), size);
  if (session_ == nullptr) {
    first_bytes_ += bytes;
    return examine();
  }
  session_->send(bytes);
  if (session_->unread() < kUnreadLimit) read();
}

void Connection::examine() {
  if (first_bytes_[0] == kTlsRecord && tls_ == nullptr) {
    if (config_.tls == nullptr) return refuse("it wants TLS, and there is none");
    return begin_tls(std::exchange(first_bytes_, {}));
  }
  if (first_bytes_.size() < kLengthWord) return read();
  const uint32_t length = word_at(first_bytes_, 0);
  if (length < kCodeEnd || length > wire::kStartupPacketLimit) {
    return refuse("what it sent is no startup packet");
  }
  if (first_bytes_.size() < kCodeEnd) return read();
  const uint32_t code = word_at(first_bytes_, kLengthWord);
  const bool wants_tls = code == wire::kSslRequestCode;
  if (length == kCodeEnd && (wants_tls || code == wire::kGssEncRequestCode)) {
    // What comes behind the request was not encrypted, and must not be taken for what will be.
    if (first_bytes_.size() > kCodeEnd) {
      return refuse("it did not wait for the answer to a request");
    }
    first_bytes_.clear();
    return answer_and_read(wants_tls && config_.tls != nullptr && tls_ == nullptr ? 'S' : 'N');
  }
  if (first_bytes_.size() < length) return read();
  begin_session();
}

void Connection::answer_and_read(char answer) {
  output_.assign(1, answer);
  write_output([self = shared_from_this(), answer](const error_code& error, size_t) {
    self->output_.clear();
    if (error) return self->client_is_gone();
    if (answer == 'S') {
      self->begin_tls({});
    } else {
      self->read();
    }
  });
}

void Connection::begin_tls(std::string already_read) {
  tls_ = std::make_unique<asio::ssl::stream<Socket&>>(socket_, *config_.tls);
  const bool has_asked = already_read.empty();
  const auto bytes = std::make_shared<std::string>(std::move(already_read));
  tls_->async_handshake(
      asio::ssl::stream_base::server, asio::buffer(*bytes),
      [self = shared_from_this(), bytes, has_asked](const error_code& error, size_t) {
        if (self->closed_) return;
        if (error) return self->refuse("TLS failed: " + error.message());
        self->tls_is_up_ = true;
        // Somebody else's TLS, such as a browser's, must not be taken for PostgreSQL's.
        const unsigned char* protocol = nullptr;
        unsigned int size = 0;
        SSL_get0_alpn_selected(self->tls_->native_handle(), &protocol, &size);
        if (!has_asked && size == 0) {
          return self->refuse("it began with TLS, and did not name the protocol postgresql in it");
        }
        self->read();
      });
}

void Connection::begin_session() {
  const std::string_view packet =
      std::string_view(first_bytes_).substr(0, word_at(first_bytes_, 0));
  if (*config_.is_ending && !wire::is_cancel_request(packet)) {
    return refuse("57P03", "the database system is shutting down");
  }
  if (!config_.refusal.empty()) return refuse("28000", config_.refusal);
  if (tls_ != nullptr) {
    // Of this connection: the server's files may have been replaced since.
    config_.peer.certificate_hash = wire::tls_end_point(SSL_get_certificate(tls_->native_handle()));
  }
  const Status status = config_.cluster->accept(config_.peer, &session_);
  if (!status.ok()) return refuse("53200", status.message());
  timer_.cancel();
  session_->send(std::exchange(first_bytes_, {}));
  read();
}

void Connection::pump() {
  if (closed_ || session_ == nullptr) return;
  if (!writing_) write();
  if (closed_) return;
  if (session_->ended() && !writing_ && session_->output().empty()) return close();
  if (!reading_ && session_->unread() < kUnreadLimit) read();
}

void Connection::write() {
  const std::string_view bytes = session_->output();
  if (bytes.empty()) return;
  if (tls_ == nullptr) {
    // Most answers go out at once, and from where PostgreSQL has put them.
    error_code error;
    const size_t size = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), error);
    session_->take(size);
    config_.traffic->bytes_out += size;
    if (size == bytes.size()) return;
    if (error && error != asio::error::would_block && error != asio::error::try_again) {
      return client_is_gone();
    }
  }
  const std::string_view rest = session_->output();
  output_.assign(rest.substr(0, tls_ != nullptr ? 4 * kChunk : kChunk));
  session_->take(output_.size());
  writing_ = true;
  write_output([self = shared_from_this()](const error_code& error, size_t size) {
    self->on_written(error, size);
  });
}

void Connection::on_written(const error_code& error, size_t size) {
  writing_ = false;
  config_.traffic->bytes_out += size;
  if (closed_) return;
  if (error) return client_is_gone();
  pump();
}

void Connection::input_ends() {
  if (session_ == nullptr) return client_is_gone();
  input_ended_ = true;
  // PostgreSQL reads what has come, and then the end.
  session_->close_input();
}

// What PostgreSQL has to say fails from now on, and it ends the session.
void Connection::client_is_gone() {
  gone_ = true;
  close();
}

void Connection::terminate() {
  if (session_ == nullptr) return close();
  session_->terminate();
}

void Connection::refuse(std::string_view why) {
  if (closed_) return;
  ++config_.traffic->refused;
  config_.log("the client at " + config_.name + " is refused: " + std::string(why));
  close();
}

void Connection::refuse(std::string_view sqlstate, std::string_view why) {
  ++config_.traffic->refused;
  config_.log("the client at " + config_.name + " is refused: " + std::string(why));
  output_ = wire::error_response("FATAL", sqlstate, why);
  write_output([self = shared_from_this()](const error_code&, size_t) { self->close(); });
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  timer_.cancel();
  session_.reset();
  if (!tls_is_up_ || gone_) return close_socket();
  // TLS has an end of its own, by which the client knows that nothing was cut off. It need not
  // answer.
  timer_.expires_after(kGoodbye);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->close_socket();
  });
  tls_->async_shutdown([self = shared_from_this()](const error_code&) {
    self->timer_.cancel();
    self->close_socket();
  });
}

void Connection::close_socket() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace pglite::server
