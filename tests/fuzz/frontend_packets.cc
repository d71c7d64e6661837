// Splitting of frontend messages: split_packet and split_frame.
#include "target.h"
#include "wire/byte_order.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"
#include "wire/hex_dump.h"

namespace pglite::fuzz {

std::vector<std::string> seeds() {
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  return {wire::query("select 1") + wire::terminate(),
          wire::parse("s", "select $1") + wire::bind("", "s") + wire::describe('P', "") +
              wire::execute("", 1) + wire::close('S', "s") + wire::flush() + wire::sync(),
          wire::ssl_request() + wire::gssenc_request() + wire::startup_packet(user),
          wire::cancel_request(1, 2) + wire::copy_data("1\n") + wire::copy_done() +
              wire::copy_fail("no")};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::wire;
  const std::string_view frame(reinterpret_cast<const char*>(data), size);
  // One packet after the other, as they come in a stream.
  std::vector<FrontendPacket> one_by_one;
  size_t at = 0;
  bool whole = true;
  while (whole && at < frame.size()) {
    const std::string_view rest = frame.substr(at);
    const Split split = split_packet(rest, at);
    switch (split.result) {
      case Split::Result::kPacket: {
        const FrontendPacket& packet = split.packet;
        FUZZ_CHECK(packet.bytes.data() == rest.data() && packet.bytes.size() <= rest.size());
        if (packet.kind == PacketKind::kMessage) {
          FUZZ_CHECK(is_frontend_type(packet.type) && packet.bytes[0] == packet.type);
          FUZZ_CHECK(packet.bytes.size() == size_t{1} + load_u32(packet.bytes.substr(1)));
        } else {
          FUZZ_CHECK(packet.type == 0 && packet.bytes.size() == load_u32(packet.bytes));
          FUZZ_CHECK(packet.bytes.size() >= 8);
        }
        // With less than all of it the answer is to wait for more, and never for less than it has.
        for (const size_t part : {packet.bytes.size() - 1, packet.bytes.size() / 2, size_t{0}}) {
          const Split cut = split_packet(rest.substr(0, part), at);
          FUZZ_CHECK(cut.result == Split::Result::kNeedMore);
          FUZZ_CHECK(cut.needed > part && cut.needed <= packet.bytes.size());
        }
        one_by_one.push_back(packet);
        at += packet.bytes.size();
        break;
      }
      case Split::Result::kNeedMore:
        FUZZ_CHECK(split.needed > rest.size());
        FUZZ_CHECK(split.needed <= size_t{1} + kLargeMessageLimit);
        whole = false;
        break;
      case Split::Result::kError:
        FUZZ_CHECK(!split.error.empty());
        whole = false;
        break;
    }
  }
  std::vector<FrontendPacket> packets;
  const std::string error = split_frame(frame, &packets);
  FUZZ_CHECK(error.empty() == whole);
  FUZZ_CHECK(packets.size() == one_by_one.size());
  for (size_t i = 0; i < packets.size(); ++i) {
    FUZZ_CHECK(packets[i].bytes.data() == one_by_one[i].bytes.data());
    FUZZ_CHECK(packets[i].bytes.size() == one_by_one[i].bytes.size());
    FUZZ_CHECK(packets[i].kind == one_by_one[i].kind && packets[i].type == one_by_one[i].type);
  }
  hex_dump(frame, 64, [](std::string_view line) {
    FUZZ_CHECK(!line.empty());
    for (const char c : line) FUZZ_CHECK(c >= ' ' && c < 0x7f);
  });
  return 0;
}
