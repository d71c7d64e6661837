#include "wire/frontend_message.h"

#include "wire/byte_order.h"
#include "wire/startup_packet.h"

namespace pglite::wire {
namespace {

std::string untyped(uint32_t code, std::string_view rest) {
  std::string out;
  append_u32(out, static_cast<uint32_t>(8 + rest.size()));
  append_u32(out, code);
  out.append(rest);
  return out;
}

std::string named(char type, char kind, std::string_view name) {
  std::string body(1, kind);
  append_string(body, name);
  return message(type, body);
}

}  // namespace

std::string startup_packet(
    std::span<const std::pair<std::string_view, std::string_view>> parameters) {
  std::string body;
  for (const auto& [name, value] : parameters) {
    append_string(body, name);
    append_string(body, value);
  }
  body.push_back('\0');
  return untyped(protocol_version(kProtocolMajor, 0), body);
}

std::string ssl_request() {
  return untyped(kSslRequestCode, {});
}
std::string gssenc_request() {
  return untyped(kGssEncRequestCode, {});
}

std::string cancel_request(uint32_t pid, uint32_t key) {
  std::string body;
  append_u32(body, pid);
  append_u32(body, key);
  return untyped(kCancelRequestCode, body);
}

std::string query(std::string_view sql) {
  std::string out;
  out.reserve(6 + sql.size());
  out.push_back('Q');
  append_u32(out, static_cast<uint32_t>(5 + sql.size()));
  append_string(out, sql);
  return out;
}

std::string parse(std::string_view statement, std::string_view sql,
                  std::span<const uint32_t> parameter_types) {
  std::string body;
  append_string(body, statement);
  append_string(body, sql);
  append_u16(body, static_cast<uint16_t>(parameter_types.size()));
  for (uint32_t oid : parameter_types) append_u32(body, oid);
  return message('P', body);
}

std::string bind(std::string_view portal, std::string_view statement,
                 std::span<const Parameter> parameters, bool binary_results) {
  std::string body;
  append_string(body, portal);
  append_string(body, statement);
  append_u16(body, static_cast<uint16_t>(parameters.size()));
  for (const Parameter& parameter : parameters) append_u16(body, parameter.binary ? 1 : 0);
  append_u16(body, static_cast<uint16_t>(parameters.size()));
  for (const Parameter& parameter : parameters) {
    if (!parameter.value) {
      append_u32(body, 0xffffffff);
      continue;
    }
    append_u32(body, static_cast<uint32_t>(parameter.value->size()));
    body.append(*parameter.value);
  }
  append_u16(body, 1);
  append_u16(body, binary_results ? 1 : 0);
  return message('B', body);
}

std::string describe(char kind, std::string_view name) {
  return named('D', kind, name);
}
std::string close(char kind, std::string_view name) {
  return named('C', kind, name);
}

std::string execute(std::string_view portal, uint32_t row_limit) {
  std::string body;
  append_string(body, portal);
  append_u32(body, row_limit);
  return message('E', body);
}

std::string flush() {
  return message('H', {});
}
std::string sync() {
  return message('S', {});
}
std::string terminate() {
  return message('X', {});
}
std::string copy_data(std::string_view data) {
  return message('d', data);
}
std::string copy_done() {
  return message('c', {});
}

std::string copy_fail(std::string_view reason) {
  std::string body;
  append_string(body, reason);
  return message('f', body);
}

}  // namespace pglite::wire
