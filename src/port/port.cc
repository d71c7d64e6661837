#include "port/port.h"

#include <cstdio>
#include <string>

#include "port/session.h"

namespace pglite::port {
namespace {

// Reads until the framing is clear. kAuto: the session has ended before.
Framing detect(Session& session) {
  while (true) {
    const std::string_view bytes = session.input().bytes();
    switch (detect_framing(bytes, session.at_end())) {
      case Detection::kPacket4:
        return Framing::kPacket4;
      case Detection::kRaw:
        return Framing::kRaw;
      case Detection::kLine:
        return Framing::kLine;
      case Detection::kNeedMore:
        if (session.at_end() ||
            (!session.fill(InputBuffer::kInitialCapacity) && !session.at_end())) {
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
        session.fail_data(session.at_end()
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
  Session session(instance, options);
  Framing framing = options.framing;
  session.log(1, "port: ready, framing " + std::string(framing_name(framing)));
  if (framing == Framing::kAuto) {
    framing = detect(session);
    if (framing != Framing::kAuto) {
      session.log(1, "port: the framing is " + std::string(framing_name(framing)));
    }
  }
  switch (framing) {
    case Framing::kPacket4:
      serve_packet4(session);
      break;
    case Framing::kRaw:
      serve_raw(session);
      break;
    case Framing::kLine:
      serve_line(session);
      break;
    case Framing::kAuto:
      break;
  }
  int exit_code = session.exit_code();
  const auto report = [&](const Status& status) {
    if (status.ok()) return;
    session.log(0, "ERROR: " + status.message());
    if (exit_code == kExitOk) exit_code = status.exit_code();
  };
  if (exit_code == kExitOk && options.before_close) report(options.before_close(instance));
  report(instance.close());
  session.log(1, "port: closed, exit code " + std::to_string(exit_code));
  return exit_code;
}

void send_error_frame(std::string_view message, const PortOptions& options) {
  // Session needs an instance to run requests on; here there are none.
  class NoInstance : public Instance {
   public:
    Status exec_protocol(std::string_view, const ResponseSink&) override {
      return Status::engine_gone("there is no instance");
    }
    Status close() override { return {}; }
  } none;
  Session(none, options).send_error(message);
}

}  // namespace pglite::port
