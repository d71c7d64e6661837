// packet4: every input frame is answered by exactly one output frame, whatever is in it.
//
// A frame is one request: the instance judges it as a whole before it runs any of it. The frames'
// own lengths tell where the next one begins, so bad content costs one ERROR frame and nothing
// more.
#include <string>

#include "port/conversation.h"
#include "wire/byte_order.h"

namespace pglite::port {
namespace {

constexpr size_t kHeaderSize = 4;

bool handle_frame(Conversation& conversation, std::string_view frame) {
  return conversation.run(frame) && (conversation.refused() || conversation.send());
}

std::string truncated(std::string_view what, size_t has, uint64_t wants) {
  return "input ended inside a frame" + std::string(what) + ": " + std::to_string(has) + " of " +
         std::to_string(wants) + " bytes came";
}

}  // namespace

void serve_packet4(Conversation& conversation) {
  InputBuffer& input = conversation.input();
  while (true) {
    while (input.size() < kHeaderSize) {
      if (conversation.fill(kHeaderSize)) continue;
      if (conversation.at_end() && input.size() > 0) {
        conversation.fail_data(truncated("'s length", input.size(), kHeaderSize));
      }
      return;
    }
    const uint32_t length = wire::load_u32(input.bytes());
    if (length > conversation.options().max_request) {
      conversation.fail_data("a frame of " + std::to_string(length) +
                             " bytes is larger than the limit " + "of " +
                             std::to_string(conversation.options().max_request));
      return;
    }
    while (input.size() - kHeaderSize < length) {
      if (conversation.fill(kHeaderSize + length)) continue;
      if (conversation.at_end()) {
        conversation.fail_data(truncated("", input.size() - kHeaderSize, length));
      }
      return;
    }
    conversation.watch_for_cancel(Framing::kPacket4, kHeaderSize + length);
    if (!handle_frame(conversation, input.bytes().substr(kHeaderSize, length))) return;
    input.consume(kHeaderSize + length);
  }
}

}  // namespace pglite::port
