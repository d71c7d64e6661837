#include "wire/backend_message.h"

#include <utility>

#include "wire/byte_order.h"
#include "wire/startup_packet.h"

namespace pglite::wire {
namespace {

std::string report(char type, const ErrorFields& fields) {
  const std::pair<char, std::string_view> coded[] = {
      {'S', fields.severity},       {'V', fields.severity},
      {'C', fields.sqlstate},       {'M', fields.message},
      {'D', fields.detail},         {'H', fields.hint},
      {'P', fields.position},       {'p', fields.internal_position},
      {'q', fields.internal_query}, {'W', fields.where},
  };
  std::string body;
  for (const auto& [code, text] : coded) {
    if (text.empty()) continue;
    body.push_back(code);
    append_string(body, text);
  }
  body.push_back('\0');
  return message(type, body);
}

}  // namespace

std::string error_response(const ErrorFields& fields) {
  return report('E', fields);
}
std::string notice_response(const ErrorFields& fields) {
  return report('N', fields);
}

std::string error_response(std::string_view severity, std::string_view sqlstate,
                           std::string_view message) {
  ErrorFields fields;
  fields.severity = severity;
  fields.sqlstate = sqlstate;
  fields.message = message;
  return error_response(fields);
}

std::string authentication_ok() {
  std::string body;
  append_u32(body, 0);
  return message('R', body);
}

std::string backend_key_data(uint32_t pid, std::string_view key) {
  std::string body;
  append_u32(body, pid);
  body.append(key);
  return message('K', body);
}

std::string parameter_status(std::string_view name, std::string_view value) {
  std::string body;
  append_string(body, name);
  append_string(body, value);
  return message('S', body);
}

std::string negotiate_protocol_version(uint16_t minor,
                                       std::span<const std::string_view> unknown_options) {
  std::string body;
  append_u32(body, protocol_version(kProtocolMajor, minor));
  append_u32(body, static_cast<uint32_t>(unknown_options.size()));
  for (std::string_view option : unknown_options) append_string(body, option);
  return message('v', body);
}

std::string command_complete(std::string_view tag) {
  std::string body;
  append_string(body, tag);
  return message('C', body);
}

std::string ready_for_query(char transaction_status) {
  return message('Z', {&transaction_status, 1});
}

}  // namespace pglite::wire
