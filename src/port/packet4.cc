// packet4: every input frame is answered by exactly one output frame, whatever is in it.
//
// A frame is judged as a whole before any of it is run. Since the frames' own lengths keep the
// stream in step, bad content costs one ERROR frame and nothing more.
#include <vector>

#include "port/session.h"
#include "wire/byte_order.h"

namespace pglite::port {
namespace {

constexpr size_t kHeaderSize = 4;

// Runs consecutive messages for PostgreSQL in one call. Between them: what the port answers.
bool handle_frame(Session& session, std::string_view frame,
                  std::vector<wire::FrontendPacket>* packets) {
  if (const std::string error = wire::split_frame(frame, packets); !error.empty()) {
    return session.send_error(error);
  }
  for (const wire::FrontendPacket& packet : *packets) {
    if (packet.type == 'p') return session.send_error(kNoPassword);
  }
  size_t run_length = 0;
  const char* run_begin = frame.data();
  const auto run = [&] {
    const std::string_view messages(run_begin, run_length);
    run_begin += run_length;
    run_length = 0;
    return messages.empty() || session.run(messages);
  };
  for (const wire::FrontendPacket& packet : *packets) {
    if (packet.kind == wire::PacketKind::kMessage && packet.type != 'X') {
      run_length += packet.bytes.size();
      continue;
    }
    if (!run()) return false;
    if (session.refused()) return true;
    if (packet.kind == wire::PacketKind::kStartup) {
      run_length = packet.bytes.size();
      if (!run()) return false;
      if (session.refused()) return true;
      continue;
    }
    session.note_packet(packet);
    run_begin += packet.bytes.size();
    if (packet.kind == wire::PacketKind::kSslRequest ||
        packet.kind == wire::PacketKind::kGssEncRequest) {
      session.answer().append("N");
    }
  }
  if (!run()) return false;
  return session.refused() || session.send();
}

std::string truncated(std::string_view what, size_t has, uint64_t wants) {
  return "input ended inside a frame" + std::string(what) + ": " + std::to_string(has) + " of " +
         std::to_string(wants) + " bytes came";
}

}  // namespace

void serve_packet4(Session& session) {
  InputBuffer& input = session.input();
  std::vector<wire::FrontendPacket> packets;
  while (true) {
    while (input.size() < kHeaderSize) {
      if (session.fill(kHeaderSize)) continue;
      if (session.at_end() && input.size() > 0) {
        session.fail_data(truncated("'s length", input.size(), kHeaderSize));
      }
      return;
    }
    const uint32_t length = wire::load_u32(input.bytes());
    if (length > session.options().max_request) {
      session.fail_data("a frame of " + std::to_string(length) +
                        " bytes is larger than the limit " + "of " +
                        std::to_string(session.options().max_request));
      return;
    }
    while (input.size() - kHeaderSize < length) {
      if (session.fill(kHeaderSize + length)) continue;
      if (session.at_end()) {
        session.fail_data(truncated("", input.size() - kHeaderSize, length));
      }
      return;
    }
    session.watch_for_cancel(Framing::kPacket4, kHeaderSize + length);
    if (!handle_frame(session, input.bytes().substr(kHeaderSize, length), &packets)) return;
    input.consume(kHeaderSize + length);
  }
}

}  // namespace pglite::port
