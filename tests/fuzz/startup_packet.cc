// The parser of the packet that opens a session.
#include "wire/startup_packet.h"

#include "target.h"
#include "wire/byte_order.h"
#include "wire/frontend_message.h"

namespace pglite::fuzz {

// What follows the length, which is made right; the first byte says how far it is off.
std::vector<std::string> seeds() {
  const std::pair<std::string_view, std::string_view> two[] = {{"user", "postgres"}, {"a", ""}};
  const std::string good(1, '\0');
  return {good + wire::startup_packet(two).substr(4), good + wire::startup_packet({}).substr(4),
          good + wire::cancel_request(1, 2).substr(4), '\1' + wire::ssl_request().substr(4)};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::fuzz;
  using namespace pglite::wire;
  Input input(data, size);
  const auto off = input.get<uint8_t>();
  const std::string_view body = input.rest();
  std::string bytes;
  append_u32(bytes, static_cast<uint32_t>(4 + body.size() + off));
  bytes += body;
  const std::vector<char> copy = exact_copy(bytes);
  const std::string_view packet(copy.data(), copy.size());
  StartupPacket startup;
  (void)is_cancel_request(packet);
  if (!parse_startup_packet(packet, &startup).empty()) return 0;
  FUZZ_CHECK(off == 0 && packet.size() <= kStartupPacketLimit && packet.back() == '\0');
  const auto within = [&](std::string_view part) {
    return part.data() >= packet.data() &&
           part.data() + part.size() < packet.data() + packet.size();
  };
  for (const StartupPacket::Parameter& parameter : startup.parameters) {
    FUZZ_CHECK(!parameter.name.empty() && within(parameter.name) && within(parameter.value));
    FUZZ_CHECK(startup.value(parameter.name).has_value());
  }
  return 0;
}
