#include "client/startup.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "wire/backend.h"
#include "wire/byte_order.h"
#include "wire/frontend_message.h"
#include "wire/message.h"

namespace pglite::client {
namespace {

// AuthenticationXXX (manual, "Message Formats").
enum Authentication : uint32_t {
  kOk = 0,
  kCleartext = 3,
  kMd5 = 5,
  kSasl = 10,
  kSaslContinue = 11,
  kSaslFinal = 12,
};

constexpr std::string_view kPlain = "SCRAM-SHA-256";
constexpr std::string_view kPlus = "SCRAM-SHA-256-PLUS";

Status malformed(const std::string& what) {
  return Status::engine_gone("the server sent " + what);
}

Status no_password() {
  return Status::invalid_argument(
      "the server asks for a password, and there is none; accepted are PGPASSWORD, a line in "
      "~/.pgpass, and postgres://USER:PASSWORD@...");
}

std::string password_message(std::string_view password) {
  std::string body;
  wire::append_string(body, password);
  return wire::message('p', body);
}

}  // namespace

std::string describe_error(std::string_view body) {
  wire::ErrorFields fields;
  if (!wire::parse_error(body, &fields)) return "an error that cannot be read";
  std::string text = std::string(fields.severity) + ": " + std::string(fields.message);
  if (!fields.detail.empty()) text += "; " + std::string(fields.detail);
  text += " (" + std::string(fields.sqlstate) + ")";
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return text;
}

Startup::Startup(const Parameters& parameters, Channel channel, std::string nonce)
    : parameters_(parameters), channel_(std::move(channel)), nonce_(std::move(nonce)) {}

std::string Startup::packet() const {
  std::vector<std::pair<std::string_view, std::string_view>> settings = {
      {"user", parameters_.user}, {"database", parameters_.database}};
  const std::pair<std::string_view, std::string_view> optional[] = {
      {"options", parameters_.options},
      {"application_name", parameters_.application_name},
      {"client_encoding", parameters_.client_encoding},
  };
  for (const auto& setting : optional) {
    if (!setting.second.empty()) settings.push_back(setting);
  }
  return wire::startup_packet(settings);
}

Status Startup::receive(const MessageScanner::Message& message, std::string* reply) {
  const std::string_view body = message.body;
  if (message.type != 'R' && message.type != 'E' && message.type != 'N' && !authenticated_) {
    return malformed("a message of a session before it has authenticated");
  }
  switch (message.type) {
    case 'R':
      return authenticate(body, reply);
    case 'E':
      return refused(body);
    case 'N':
      notices_ += wire::message('N', body);
      return {};
    case 'S': {
      std::string_view name;
      std::string_view value;
      if (!wire::parse_parameter_status(body, &name, &value)) {
        return malformed("a malformed ParameterStatus");
      }
      reported_[std::string(name)] = value;
      return {};
    }
    case 'K':
      if (body.size() != 8) return malformed("a malformed BackendKeyData");
      pid_ = wire::load_u32(body);
      key_ = wire::load_u32(body.substr(4));
      return {};
    case 'Z':
      done_ = true;
      return {};
    default:
      return malformed("a message that does not belong there");
  }
}

Status Startup::refused(std::string_view body) {
  wire::ErrorFields fields;
  if (wire::parse_error(body, &fields)) sqlstate_ = fields.sqlstate;
  // Class 28: the caller is not who it says it is.
  const StatusCode code =
      sqlstate_.starts_with("28") ? StatusCode::kInvalidArgument : StatusCode::kSessionEnded;
  return {code, "the server refuses the session: " + describe_error(body)};
}

Status Startup::need_password(const char* method) const {
  if (parameters_.channel_binding == ChannelBinding::kRequire) {
    return Status::invalid_argument(
        std::string("channel_binding=require, but the server asks for a password by ") + method +
        ", which has no channel binding");
  }
  return parameters_.password ? Status() : no_password();
}

Status Startup::accepted() {
  if (scram_ && !scram_->verified()) {
    return malformed("AuthenticationOk before it has shown that it knows the password");
  }
  if (parameters_.channel_binding == ChannelBinding::kRequire && !is_bound_) {
    return Status::invalid_argument(
        "channel_binding=require, but the server authenticates without channel binding");
  }
  authenticated_ = true;
  return {};
}

Status Startup::authenticate(std::string_view body, std::string* reply) {
  if (authenticated_ || body.size() < 4) return malformed("a malformed authentication request");
  const uint32_t kind = wire::load_u32(body);
  const std::string_view rest = body.substr(4);
  const bool in_scram = scram_.has_value();
  if (in_scram && kind != kOk && kind != kSaslContinue && kind != kSaslFinal) {
    return malformed("another authentication request in the middle of SCRAM");
  }
  switch (kind) {
    case kOk:
      return rest.empty() ? accepted() : malformed("a malformed AuthenticationOk");
    case kCleartext: {
      Status status = need_password("cleartext");
      if (status.ok()) *reply += password_message(parameters_.password.value_or(""));
      return status;
    }
    case kMd5: {
      Status status = need_password("md5");
      std::string answer;
      if (status.ok() && rest.size() != 4) return malformed("a malformed request for MD5");
      if (status.ok()) {
        status = md5_answer(parameters_.user, parameters_.password.value_or(""), rest, &answer);
      }
      if (status.ok()) *reply += password_message(answer);
      return status;
    }
    case kSasl:
      return begin_scram(rest, reply);
    case kSaslContinue: {
      if (!in_scram || final_sent_) return malformed("a part of SCRAM that does not belong there");
      final_sent_ = true;
      std::string message;
      Status status = scram_->final_message(rest, &message);
      if (status.ok()) *reply += wire::message('p', message);
      return status;
    }
    case kSaslFinal:
      if (!in_scram || !final_sent_ || scram_->verified()) {
        return malformed("a part of SCRAM that does not belong there");
      }
      return scram_->verify(rest);
    default:
      return Status::invalid_argument(
          "the server asks for a way to authenticate (" + std::to_string(kind) +
          ") that is not supported; supported are scram-sha-256, md5 and password");
  }
}

Status Startup::begin_scram(std::string_view mechanisms, std::string* reply) {
  bool has_plain = false;
  bool has_plus = false;
  while (!mechanisms.empty() && mechanisms.front() != '\0') {
    const size_t end = mechanisms.find('\0');
    if (end == std::string_view::npos) return malformed("a malformed list of SASL mechanisms");
    has_plain = has_plain || mechanisms.substr(0, end) == kPlain;
    has_plus = has_plus || mechanisms.substr(0, end) == kPlus;
    mechanisms.remove_prefix(end + 1);
  }
  if (has_plus && !channel_.is_encrypted) {
    return malformed("an offer of channel binding over a connection without TLS");
  }
  const bool wants_binding = parameters_.channel_binding != ChannelBinding::kDisable;
  const bool can_bind = wants_binding && !channel_.end_point.empty();
  is_bound_ = has_plus && can_bind;
  if (parameters_.channel_binding == ChannelBinding::kRequire && !is_bound_) {
    return Status::invalid_argument("channel_binding=require, but " +
                                    std::string(!channel_.is_encrypted ? "the connection has no TLS"
                                                : channel_.end_point.empty()
                                                    ? "the server's certificate cannot be bound to"
                                                    : "the server offers none"));
  }
  if (!is_bound_ && !has_plain) {
    return Status::invalid_argument(
        "the server offers no way to authenticate that is supported; supported are "
        "scram-sha-256, md5 and password");
  }
  if (!parameters_.password) return no_password();
  Scram::Config config;
  config.password = prepare_password(*parameters_.password);
  config.nonce = nonce_;
  config.header = is_bound_ ? "p=tls-server-end-point,," : can_bind ? "y,," : "n,,";
  if (is_bound_) config.channel = channel_.end_point;
  scram_.emplace(std::move(config));
  const std::string first = scram_->first_message();
  std::string body;
  wire::append_string(body, is_bound_ ? kPlus : kPlain);
  wire::append_u32(body, static_cast<uint32_t>(first.size()));
  *reply += wire::message('p', body + first);
  return {};
}

}  // namespace pglite::client
