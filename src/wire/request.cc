#include "wire/request.h"

#include "wire/backend_message.h"
#include "wire/frontend.h"

namespace pglite::wire {
namespace {

Request::Step::InCopy in_copy(char type) {
  using InCopy = Request::Step::InCopy;
  switch (type) {
    case 'c':
    case 'f':
      return InCopy::kEnds;
    case 'd':
    case 'H':
    case 'S':
      return InCopy::kContinues;
    default:
      return InCopy::kForbidden;
  }
}

}  // namespace

void Request::add_message(char type, std::string_view bytes) {
  const bool goes_on = !steps_.empty() && steps_.back().kind == Step::Kind::kMessages &&
                       steps_.back().bytes.end() == bytes.begin();
  if (!goes_on) {
    steps_.push_back({Step::Kind::kMessages, in_copy(type), bytes});
    return;
  }
  Step& run = steps_.back();
  run.bytes = {run.bytes.data(), run.bytes.size() + bytes.size()};
  if (run.in_copy == Step::InCopy::kContinues) run.in_copy = in_copy(type);
}

std::string Request::parse(std::string_view bytes) {
  steps_.clear();
  bool has_password = false;
  std::string error = for_each_packet(bytes, [&](const FrontendPacket& packet) {
    switch (packet.kind) {
      case PacketKind::kMessage:
        has_password = has_password || packet.type == 'p';
        if (packet.type != 'X') add_message(packet.type, packet.bytes);
        break;
      case PacketKind::kStartup:
        steps_.push_back({Step::Kind::kStartup, Step::InCopy::kForbidden, packet.bytes});
        break;
      case PacketKind::kSslRequest:
      case PacketKind::kGssEncRequest:
        steps_.push_back({Step::Kind::kAnswer, Step::InCopy::kContinues, kEncryptionRefused});
        break;
      case PacketKind::kCancelRequest:
        break;
    }
  });
  // PostgreSQL gives up a connection that sends a password nobody asked for.
  if (error.empty() && has_password) {
    error = "message 'p' (a password) was not asked for and is refused";
  }
  if (!error.empty()) steps_.clear();
  return error;
}

bool Request::may_run_in_copy(size_t first) const {
  for (const Step& step : steps().subspan(first)) {
    if (step.in_copy != Step::InCopy::kContinues) return step.in_copy == Step::InCopy::kEnds;
  }
  return true;
}

}  // namespace pglite::wire
