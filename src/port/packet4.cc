// packet4: every input frame is answered by exactly one output frame, whatever is in it.
//
// A frame is judged as a whole before any of it is run. Since the frames' own lengths keep the
// stream in step, bad content costs one ERROR frame and nothing more.
#include <vector>

#include "port/conversation.h"
#include "wire/byte_order.h"

namespace pglite::port {
namespace {

constexpr size_t kHeaderSize = 4;

// Runs consecutive messages for PostgreSQL in one call. Between them: what the port answers.
bool handle_frame(Conversation& conversation, std::string_view frame,
                  std::vector<wire::FrontendPacket>* packets) {
  if (const std::string error = wire::split_frame(frame, packets); !error.empty()) {
    return conversation.send_error(error);
  }
  for (const wire::FrontendPacket& packet : *packets) {
    if (packet.type == 'p') return conversation.send_error(kNoPassword);
  }
  size_t run_length = 0;
  const char* run_begin = frame.data();
  const auto run = [&] {
    const std::string_view messages(run_begin, run_length);
    run_begin += run_length;
    run_length = 0;
    return messages.empty() || conversation.run(messages);
  };
  for (const wire::FrontendPacket& packet : *packets) {
    if (packet.kind == wire::PacketKind::kMessage && packet.type != 'X') {
      run_length += packet.bytes.size();
      continue;
    }
    if (!run()) return false;
    if (conversation.refused()) return true;
    if (packet.kind == wire::PacketKind::kStartup) {
      run_length = packet.bytes.size();
      if (!run()) return false;
      if (conversation.refused()) return true;
      continue;
    }
    conversation.note_packet(packet);
    run_begin += packet.bytes.size();
    if (packet.kind == wire::PacketKind::kSslRequest ||
        packet.kind == wire::PacketKind::kGssEncRequest) {
      conversation.answer().append("N");
    }
  }
  if (!run()) return false;
  return conversation.refused() || conversation.send();
}

std::string truncated(std::string_view what, size_t has, uint64_t wants) {
  return "input ended inside a frame" + std::string(what) + ": " + std::to_string(has) + " of " +
         std::to_string(wants) + " bytes came";
}

}  // namespace

void serve_packet4(Conversation& conversation) {
  InputBuffer& input = conversation.input();
  std::vector<wire::FrontendPacket> packets;
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
    if (!handle_frame(conversation, input.bytes().substr(kHeaderSize, length), &packets)) return;
    input.consume(kHeaderSize + length);
  }
}

}  // namespace pglite::port
