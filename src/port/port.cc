#include "port/port.h"

#include <cstdio>
#include <string>

#include "port/conversation.h"

namespace pglite::port {
namespace {

// Reads until the framing is clear. kAuto: the session has ended before.
Framing detect(Conversation& conversation) {
  while (true) {
    const std::string_view bytes = conversation.input().bytes();
    switch (detect_framing(bytes, conversation.at_end())) {
      case Detection::kPacket4:
        return Framing::kPacket4;
      case Detection::kRaw:
        return Framing::kRaw;
      case Detection::kLine:
        return Framing::kLine;
      case Detection::kNeedMore:
        if (conversation.at_end() ||
            (!conversation.fill(InputBuffer::kInitialCapacity) && !conversation.at_end())) {
          return Framing::kAuto;
        }
        break;
      case Detection::kUnknown: {
        std::string hex;
        for (char c : bytes.substr(0, 8)) {
          char text[4];
          std::snprintf(text, sizeof text, " %02x",
                        static_cast<unsigned>(static_cast<unsigned char>(c)));
          hex += text;
        }
        conversation.fail_data(
            conversation.at_end()
                ? "input ended after" + hex + ", too early to tell its framing"
                : "the first bytes" + hex +
                      " belong to no framing; accepted are packet4, raw and line");
        return Framing::kAuto;
      }
    }
  }
}

}  // namespace

int serve(Instance& instance, const PortOptions& options) {
  Conversation conversation(instance, options);
  Framing framing = options.framing;
  conversation.log(1, "port: ready, framing " + std::string(framing_name(framing)));
  if (framing == Framing::kAuto) {
    framing = detect(conversation);
    if (framing != Framing::kAuto) {
      conversation.log(1, "port: the framing is " + std::string(framing_name(framing)));
    }
  }
  switch (framing) {
    case Framing::kPacket4:
      serve_packet4(conversation);
      break;
    case Framing::kRaw:
      serve_raw(conversation);
      break;
    case Framing::kLine:
      serve_line(conversation);
      break;
    case Framing::kAuto:
      break;
  }
  int exit_code = conversation.exit_code();
  const auto report = [&](const Status& status) {
    if (status.ok()) return;
    conversation.log(0, "ERROR: " + status.message());
    if (exit_code == kExitOk) exit_code = status.exit_code();
  };
  if (exit_code == kExitOk && options.before_close) report(options.before_close(instance));
  report(instance.close());
  conversation.log(1, "port: closed, exit code " + std::to_string(exit_code));
  return exit_code;
}

void send_error_frame(std::string_view message, const PortOptions& options) {
  // Conversation needs an instance to run requests on; here there are none.
  class NoInstance : public Instance {
   public:
    Status exec_protocol(std::string_view, const ResponseSink&) override {
      return Status::engine_gone("there is no instance");
    }
    Status close() override { return {}; }
  } none;
  Conversation(none, options).send_error(message);
}

}  // namespace pglite::port
