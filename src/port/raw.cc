// raw: a stream of messages, one frame per message that completes a request.
//
// Answers to the messages before it are kept for that frame. Two things cannot wait: what a Flush
// asks for, and a CopyInResponse inside an extended-protocol batch. Neither adds an empty frame.
//
// Messages that arrive together are run together, up to one that ends a frame, so that frames do
// not depend on how the stream was cut by the pipe.
//
// Newlines between messages are skipped: they are no message type, and what people and scripts
// write by hand (echo, printf) ends in one.
#include <cstdint>
#include <string>

#include "port/conversation.h"
#include "wire/frontend.h"

namespace pglite::port {
namespace {

class Raw {
 public:
  explicit Raw(Conversation& conversation)
      : conversation_(conversation), input_(conversation.input()) {
    conversation.send_copy_in_response_early();
  }

  void serve() {
    while (step()) {
    }
  }

 private:
  bool step() {
    const std::string_view rest = input_.bytes().substr(pending_);
    if (!rest.empty() && (rest[0] == '\n' || rest[0] == '\r')) {
      if (!run_pending()) return false;
      consume(1);
      return true;
    }
    const wire::Split split = wire::split_packet(rest, offset_ + pending_);
    switch (split.result) {
      case wire::Split::Result::kPacket:
        return handle(split.packet);
      case wire::Split::Result::kNeedMore:
        return read_more(split.needed);
      case wire::Split::Result::kError:
        return run_pending() && conversation_.fail_data(split.error);
    }
    return false;
  }

  bool read_more(size_t needed) {
    if (!run_pending()) return false;
    if (conversation_.fill(needed)) return true;
    if (!conversation_.at_end()) return false;
    if (input_.size() > 0) {
      const char type = input_.bytes()[0];
      return conversation_.fail_data(
          "input ended inside " +
          (type == 0 ? "a startup packet" : "message " + wire::type_name(type)) + " at offset " +
          std::to_string(offset_) + ": " + std::to_string(input_.size()) + " of " +
          std::to_string(needed) + " bytes came");
    }
    send_rest();
    return false;
  }

  // `packet` lies right behind the pending bytes.
  bool handle(const wire::FrontendPacket& packet) {
    switch (packet.kind) {
      case wire::PacketKind::kStartup:
      case wire::PacketKind::kSslRequest:
      case wire::PacketKind::kGssEncRequest:
        return run_pending() && append(packet) && finish();
      case wire::PacketKind::kCancelRequest:
        // It concerns the messages before it. It is behind them while they run, where the
        // conversation looks for it.
        return run_pending() && append(packet);
      case wire::PacketKind::kMessage:
        break;
    }
    switch (packet.type) {
      case 'Q':
      case 'F':
      case 'p':
        return run_pending() && append(packet) && finish();
      case 'S':
        return append(packet) && finish();
      case 'P':
      case 'B':
      case 'D':
      case 'E':
      case 'C':
        // What is pending belongs to an earlier request, whose end must not seem to end this batch.
        if (!conversation_.in_batch() && !run_pending()) return false;
        conversation_.begin_batch();
        return append(packet);
      case 'H':
        return append(packet) && run_pending() && send_rest();
      case 'c':
      case 'f':
        // Inside a batch the Sync that must follow completes the request.
        return append(packet) && (conversation_.in_batch() || finish());
      case 'X':
        // The stream ends here, whatever follows.
        if (append(packet) && run_pending()) send_rest();
        return false;
      default:
        return append(packet);  // CopyData
    }
  }

  bool append(const wire::FrontendPacket& packet) {
    pending_ += packet.bytes.size();
    return true;
  }

  bool run_pending() {
    if (pending_ == 0) return true;
    conversation_.watch_for_cancel(Framing::kRaw, pending_);
    const bool go_on = conversation_.run(input_.bytes().substr(0, pending_));
    consume(pending_);
    pending_ = 0;
    return go_on;
  }

  bool finish() { return run_pending() && (conversation_.refused() || conversation_.send()); }
  bool send_rest() { return conversation_.answer().empty() || conversation_.send(); }

  void consume(size_t count) {
    input_.consume(count);
    offset_ += count;
  }

  Conversation& conversation_;
  InputBuffer& input_;
  size_t pending_ = 0;   // whole messages at the front of the input that are still to be run
  uint64_t offset_ = 0;  // of the front of the input in the stream
};

}  // namespace

void serve_raw(Conversation& conversation) {
  Raw(conversation).serve();
}

}  // namespace pglite::port
