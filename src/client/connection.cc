#include "client/connection.h"

#include <array>
#include <utility>

#include "client/resolve.h"
#include "wire/backend_message.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"

namespace pglite::client {
namespace {

constexpr size_t kBufferSize = size_t{64} << 10;

// Connects, and begins TLS where that is wanted. `*encrypt` becomes false where the server has none
// and the mode is content with that.
Status reach(const Address& address, const TlsSettings& tls, const Deadline& deadline,
             bool* encrypt, bool* was_reached, std::unique_ptr<Transport>* out) {
  Status status = Transport::connect(address, deadline, out);
  if (!status.ok()) return status;
  *was_reached = true;
  if (!*encrypt) return {};
  if (!tls.direct) {
    // One byte and no more: what comes behind it must be TLS.
    std::array<char, 1> answer{};
    size_t size = 0;
    status = (*out)->write_all(wire::ssl_request(), deadline);
    if (status.ok()) status = (*out)->read_some(answer, deadline, &size);
    if (!status.ok()) return status;
    if (answer[0] == 'N') {
      *encrypt = false;
      if (tls.mode < TlsMode::kRequire) return {};
      return Status::io_error("the server has no TLS, and sslmode wants it");
    }
    if (answer[0] != 'S') {
      return Status::engine_gone("the answer to the request for TLS is not PostgreSQL's");
    }
  }
  return (*out)->start_tls(tls, deadline);
}

TlsSettings tls_settings(const Parameters& parameters) {
  return {parameters.tls, parameters.direct_tls, parameters.host, parameters.root_certificate};
}

Deadline deadline_in(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

Status find_addresses(const Parameters& parameters, std::vector<Address>* addresses) {
  if (parameters.is_unix_socket()) {
    addresses->emplace_back();
    return unix_socket_address(parameters.place(), &addresses->front());
  }
  const Deadline deadline = parameters.connect_timeout.count() == 0
                                ? Deadline()
                                : deadline_in(parameters.connect_timeout);
  return resolve(parameters.host, parameters.port, deadline, addresses);
}

// Whether to begin with TLS, and then without, or the other way round.
std::vector<bool> encryptions(const Parameters& parameters) {
  if (parameters.is_unix_socket()) return {false};
  switch (parameters.tls) {
    case TlsMode::kDisable:
      return {false};
    case TlsMode::kAllow:
      return {false, true};
    case TlsMode::kPrefer:
      return {true, false};
    default:
      return {true};
  }
}

}  // namespace

void Canceller::cancel(std::chrono::milliseconds patience) const {
  const Deadline deadline = deadline_in(patience);
  std::unique_ptr<Transport> transport;
  bool encrypt = is_encrypted_;
  bool was_reached = false;
  Status status = reach(address_, tls_, deadline, &encrypt, &was_reached, &transport);
  // The key is not shown where the session's own connection hides it.
  if (!status.ok() || encrypt != is_encrypted_) return;
  status = transport->write_all(wire::cancel_request(pid_, key_), deadline);
  // The server closes the connection when it has passed the request on.
  std::array<char, 64> rest;
  size_t size = 0;
  while (status.ok()) status = transport->read_some(rest, deadline, &size);
}

Connection::~Connection() {
  if (transport_ != nullptr && status_.ok()) {
    static_cast<void>(
        transport_->write_all(wire::terminate(), deadline_in(std::chrono::milliseconds(100))));
  }
}

std::string Connection::reported(std::string_view name) const {
  const auto found = reported_.find(name);
  return found == reported_.end() ? std::string() : found->second;
}

Status Connection::begin_session(const Deadline& deadline, Attempt* attempt) {
  std::string nonce;
  Status status = make_nonce(&nonce);
  if (!status.ok()) return status;
  Startup startup(parameters_, {transport_->is_encrypted(), transport_->end_point()}, nonce);
  status = transport_->write_all(startup.packet(), deadline);
  buffer_.resize(kBufferSize);
  while (status.ok() && !startup.done()) {
    size_t size = 0;
    status = transport_->read_some(buffer_, deadline, &size);
    if (!status.ok()) break;
    std::string reply;
    size_t end = size;
    const std::string wrong =
        scanner_.scan({buffer_.data(), size}, [&](const MessageScanner::Message& message) {
          if (!status.ok() || startup.done()) return;
          attempt->was_answered = true;
          status = startup.receive(message, &reply);
          if (!startup.done()) return;
          scanner_.session_begins();
          end = message.end;
        });
    if (status.ok() && !wrong.empty()) {
      status = Status::engine_gone("what answers is not PostgreSQL: it sent " + wrong);
    }
    early_ = startup.notices() + std::string(buffer_.data() + end, size - end);
    if (status.ok() && !reply.empty()) status = transport_->write_all(reply, deadline);
  }
  // Of class 28: no entry in pg_hba.conf for a connection with, or without, TLS. A wrong password
  // has a code of its own.
  attempt->may_differ = startup.sqlstate() == "28000";
  canceller_.pid_ = startup.pid();
  canceller_.key_ = startup.key();
  reported_ = startup.reported();
  return status;
}

Connection::Attempt Connection::attempt(const Parameters& parameters, const Address& address,
                                        bool encrypt) {
  const Deadline deadline = parameters.connect_timeout.count() == 0
                                ? Deadline()
                                : deadline_in(parameters.connect_timeout);
  Attempt attempt;
  std::unique_ptr<Connection> connection(new Connection(parameters));
  const TlsSettings tls = tls_settings(parameters);
  bool is_encrypted = encrypt;
  bool was_reached = false;
  attempt.status =
      reach(address, tls, deadline, &is_encrypted, &was_reached, &connection->transport_);
  if (!attempt.status.ok()) {
    attempt.may_differ = was_reached;
    connection->status_ = attempt.status;
    return attempt;
  }
  connection->canceller_.address_ = address;
  connection->canceller_.tls_ = tls;
  connection->canceller_.is_encrypted_ = is_encrypted;
  attempt.status = connection->begin_session(deadline, &attempt);
  connection->status_ = attempt.status;
  // There was no TLS to be had: the other attempt would be the same.
  attempt.may_differ = attempt.may_differ && is_encrypted == encrypt;
  attempt.connection = std::move(connection);
  return attempt;
}

Status Connection::open(const Parameters& parameters, std::unique_ptr<Connection>* out) {
  std::vector<Address> addresses;
  if (Status status = find_addresses(parameters, &addresses); !status.ok()) return status;
  std::string failures;
  StatusCode code = StatusCode::kIoError;
  const auto note = [&](const Address& address, const Status& status) {
    std::string where = parameters.place();
    if (!parameters.is_unix_socket() && address.text != parameters.host) {
      where += " (" + address.text + ")";
    }
    failures += (failures.empty() ? "" : "; ") + where + ": " + status.message();
    code = status.code();
  };
  for (const Address& address : addresses) {
    for (const bool encrypt : encryptions(parameters)) {
      Attempt attempt = Connection::attempt(parameters, address, encrypt);
      if (attempt.status.ok()) {
        *out = std::move(attempt.connection);
        return {};
      }
      note(address, attempt.status);
      if (attempt.may_differ) continue;
      // Another address leads to the same server, or to one that was not meant.
      if (attempt.was_answered) return {code, "cannot connect to " + failures};
      break;
    }
  }
  return {code, "cannot connect to " + failures};
}

std::string Connection::greeting() const {
  std::string messages = wire::authentication_ok();
  for (const auto& [name, value] : reported_) messages += wire::parameter_status(name, value);
  // Whoever wants to cancel has canceller().
  messages += wire::backend_key_data(0, std::string(4, '\0'));
  return messages + wire::ready_for_query('I');
}

Status Connection::exec(std::string_view request, const ResponseSink& sink) {
  if (!status_.ok()) return status_;
  if (std::string error = request_.parse(request); !error.empty()) {
    return Status::invalid_argument(std::move(error));
  }
  for (const wire::Request::Step& step : request_.steps()) {
    using Kind = wire::Request::Step::Kind;
    if (step.kind == Kind::kStartup) {
      sink(greeting());
    } else if (step.kind == Kind::kAnswer) {
      sink(wire::kEncryptionRefused);
    } else if (status_ = converse(step.bytes, sink); !status_.ok()) {
      return status_;
    }
  }
  return {};
}

Status Connection::converse(std::string_view messages, const ResponseSink& sink) {
  if (!early_.empty()) sink(std::exchange(early_, {}));
  bool ends_copy = false;
  wire::for_each_packet(messages, [&](const wire::FrontendPacket& packet) {
    if (packet.type == 'Q' || packet.type == 'F' || packet.type == 'S') ++owed_;
    ends_copy = ends_copy || packet.type == 'c' || packet.type == 'f';
  });
  if (ends_copy) wants_data_ = false;
  bool can_write = true;
  while (true) {
    while (can_write && !messages.empty()) {
      const Transport::Moved moved = transport_->write(messages);
      messages.remove_prefix(moved.size);
      if (moved.result == Transport::Moved::Result::kBlocked) break;
      // What the server has said before it went is still to be read.
      can_write = moved.result == Transport::Moved::Result::kSome;
    }
    const Transport::Moved moved = transport_->read(buffer_);
    switch (moved.result) {
      case Transport::Moved::Result::kSome:
        if (Status status = take({buffer_.data(), moved.size}, sink); !status.ok()) return status;
        if (messages.empty() && scanner_.at_boundary() && owed_ == 0) return {};
        continue;
      case Transport::Moved::Result::kEnd:
        return gone("the server closed the connection");
      case Transport::Moved::Result::kFailed:
        return gone(moved.why);
      case Transport::Moved::Result::kBlocked:
        break;
    }
    if (messages.empty() && scanner_.at_boundary() && (owed_ == 0 || wants_data_)) return {};
    transport_->wait(can_write && !messages.empty(), {});
  }
}

Status Connection::take(std::string_view bytes, const ResponseSink& sink) {
  const std::string wrong = scanner_.scan(bytes, [this](const MessageScanner::Message& message) {
    last_type_ = message.type;
    switch (message.type) {
      case 'Z':
        if (owed_ > 0) --owed_;
        wants_data_ = false;
        break;
      case 'G':
        wants_data_ = true;
        break;
      case 'E':
        last_error_ = describe_error(message.body);
        wants_data_ = false;
        break;
      default:
        break;
    }
  });
  if (!wrong.empty()) return Status::engine_gone("the server sent " + wrong);
  sink(bytes);
  return {};
}

Status Connection::gone(const std::string& why) {
  if (last_type_ == 'E' && scanner_.at_boundary()) {
    return Status::session_ended("the server at " + parameters_.place() +
                                 " ended the session: " + last_error_);
  }
  return Status::disconnected("the connection to the server at " + parameters_.place() +
                              " is lost: " + why);
}

}  // namespace pglite::client
