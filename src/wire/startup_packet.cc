#include "wire/startup_packet.h"

#include <algorithm>
#include <ranges>

#include "wire/byte_order.h"

namespace pglite::wire {
namespace {

constexpr size_t kHeaderSize = 8;  // length and version

// Takes one NUL-terminated string from the front of `*rest`. None: there is no NUL.
std::optional<std::string_view> take_string(std::string_view* rest) {
  const size_t end = rest->find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view text = rest->substr(0, end);
  rest->remove_prefix(end + 1);
  return text;
}

std::string check_header(std::string_view packet) {
  if (packet.size() < kHeaderSize) {
    return "the startup packet has only " + std::to_string(packet.size()) + " bytes";
  }
  const uint32_t length = load_u32(packet);
  if (length != packet.size()) {
    return "the startup packet has length " + std::to_string(length) + ", but " +
           std::to_string(packet.size()) + " bytes";
  }
  if (length > kStartupPacketLimit) {
    return "the startup packet has length " + std::to_string(length) + ", which is more than " +
           std::to_string(kStartupPacketLimit);
  }
  const uint32_t version = load_u32(packet.substr(4));
  if ((version >> 16) == kProtocolMajor) return {};
  return "the startup packet asks for protocol " + std::to_string(version >> 16) + "." +
         std::to_string(version & 0xffff) + ", which is not 3";
}

}  // namespace

bool is_cancel_request(std::string_view packet) {
  constexpr size_t kFixedSize = 12;  // length, code, process id
  constexpr size_t kLongestKey = 256;
  return packet.size() > kFixedSize && packet.size() <= kFixedSize + kLongestKey &&
         load_u32(packet) == packet.size() && load_u32(packet.substr(4)) == kCancelRequestCode;
}

std::optional<std::string_view> StartupPacket::value(std::string_view name) const {
  const auto backwards = std::views::reverse(parameters);
  const auto found = std::ranges::find(backwards, name, &Parameter::name);
  if (found == backwards.end()) return std::nullopt;
  return found->value;
}

std::string parse_startup_packet(std::string_view packet, StartupPacket* startup) {
  if (std::string error = check_header(packet); !error.empty()) return error;
  startup->minor = static_cast<uint16_t>(load_u32(packet.substr(4)) & 0xffff);
  startup->parameters.clear();
  std::string_view rest = packet.substr(kHeaderSize);
  while (!rest.empty()) {
    const auto name = take_string(&rest);
    if (!name) return "the startup packet ends inside a parameter's name";
    if (name->empty()) {
      if (rest.empty()) return {};
      return "the startup packet has " + std::to_string(rest.size()) +
             " bytes behind the NUL that ends it";
    }
    if (rest.empty()) {
      return "the startup packet's parameter \"" + std::string(*name) + "\" has no value";
    }
    const auto value = take_string(&rest);
    if (!value) {
      return "the startup packet ends inside the value of \"" + std::string(*name) + "\"";
    }
    startup->parameters.push_back({*name, *value});
  }
  return "the startup packet lacks the NUL that ends it";
}

}  // namespace pglite::wire
