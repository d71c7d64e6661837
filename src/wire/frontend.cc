#include "wire/frontend.h"

#include <cstdio>

#include "wire/byte_order.h"

namespace pglite::wire {
namespace {

Split need(size_t bytes) {
  Split split;
  split.result = Split::Result::kNeedMore;
  split.needed = bytes;
  return split;
}

Split fail(std::string error) {
  Split split;
  split.result = Split::Result::kError;
  split.error = std::move(error);
  return split;
}

std::string at(uint64_t offset) {
  return " at offset " + std::to_string(offset);
}

Split split_untyped(std::string_view buffer, uint64_t offset) {
  if (buffer.size() < 4) return need(4);
  const uint32_t length = load_u32(buffer);
  if (length < 8 || length > kStartupPacketLimit) {
    return fail("startup packet" + at(offset) + " has length " + std::to_string(length) +
                ", which is not in 8 to " + std::to_string(kStartupPacketLimit));
  }
  if (buffer.size() < 8) return need(length);
  const uint32_t code = load_u32(buffer.substr(4));
  Split split;
  switch (code) {
    case kSslRequestCode:
      split.packet.kind = PacketKind::kSslRequest;
      break;
    case kGssEncRequestCode:
      split.packet.kind = PacketKind::kGssEncRequest;
      break;
    case kCancelRequestCode:
      split.packet.kind = PacketKind::kCancelRequest;
      break;
    default:
      if ((code >> 16) != kProtocolMajor) {
        return fail("startup packet" + at(offset) + " asks for protocol " +
                    std::to_string(code >> 16) + "." + std::to_string(code & 0xffff) +
                    ", which is not 3");
      }
      split.packet.kind = PacketKind::kStartup;
  }
  if (buffer.size() < length) return need(length);
  split.result = Split::Result::kPacket;
  split.packet.bytes = buffer.substr(0, length);
  return split;
}

}  // namespace

std::string type_name(char type) {
  if (type > ' ' && type < 0x7f) return std::string{'\'', type, '\''};
  char text[8];
  std::snprintf(text, sizeof text, "0x%02x",
                static_cast<unsigned>(static_cast<unsigned char>(type)));
  return text;
}

bool is_frontend_type(char type) {
  return type != 0 && std::string_view("QPBEDCSHFdcfpX").find(type) != std::string_view::npos;
}

// The limits are those of SocketBackend (tcop/postgres.c) and CopyGetData
// (commands/copyfromparse.c).
uint32_t length_limit(char type) {
  switch (type) {
    case 'Q':
    case 'P':
    case 'B':
    case 'F':
    case 'd':
      return kLargeMessageLimit;
    default:
      return kSmallMessageLimit;
  }
}

Split split_packet(std::string_view buffer, uint64_t offset) {
  if (buffer.empty()) return need(1);
  const char type = buffer[0];
  if (type == 0) return split_untyped(buffer, offset);
  if (!is_frontend_type(type)) {
    return fail("unknown message type " + type_name(type) + at(offset));
  }
  if (buffer.size() < 5) return need(5);
  const uint32_t length = load_u32(buffer.substr(1));
  if (length < 4 || length > length_limit(type)) {
    return fail("message " + type_name(type) + at(offset) + " has length " +
                std::to_string(length) + ", which is not in 4 to " +
                std::to_string(length_limit(type)));
  }
  if (buffer.size() - 1 < length) return need(size_t{1} + length);
  Split split;
  split.result = Split::Result::kPacket;
  split.packet.type = type;
  split.packet.bytes = buffer.substr(0, size_t{1} + length);
  return split;
}

std::string describe_failure(std::string_view rest, size_t offset, const Split& split) {
  if (split.result == Split::Result::kError) return split.error;
  return (rest[0] == 0 ? "startup packet" : "message " + type_name(rest[0])) + at(offset) +
         " needs " + std::to_string(split.needed) + " bytes, but its frame has only " +
         std::to_string(rest.size()) + " more";
}

std::string split_frame(std::string_view frame, std::vector<FrontendPacket>* packets) {
  packets->clear();
  return for_each_packet(frame, [&](const FrontendPacket& packet) { packets->push_back(packet); });
}

}  // namespace pglite::wire
