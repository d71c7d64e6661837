// Where one frontend message ends and the next begins (PostgreSQL manual, "Message Formats").
//
// A message is a type byte, an int32 length that counts itself but not the type, and a body. The
// packets that open a connection (startup, SSLRequest, GSSENCRequest, CancelRequest) have no type
// byte; their lengths are so small that the first byte is always 0, and no type is 0.
//
// Only boundaries are judged here. What a body says is PostgreSQL's business: it answers a
// malformed one with an ErrorResponse of its own. A wrong length is different: PostgreSQL gives the
// connection up (FATAL), so such bytes must not get that far.
#ifndef PGLITE_WIRE_FRONTEND_H_
#define PGLITE_WIRE_FRONTEND_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/startup_packet.h"

namespace pglite::wire {

// PostgreSQL's own limits on the length field: PQ_LARGE_MESSAGE_LIMIT and PQ_SMALL_MESSAGE_LIMIT
// (libpq/libpq.h). kStartupPacketLimit (wire/startup_packet.h) is the limit for packets without a
// type.
inline constexpr uint32_t kLargeMessageLimit = 0x3ffffffe;
inline constexpr uint32_t kSmallMessageLimit = 10000;

enum class PacketKind {
  kMessage,  // has a type byte
  kStartup,  // protocol 3.x
  kSslRequest,
  kGssEncRequest,
  kCancelRequest,
};

struct FrontendPacket {
  PacketKind kind = PacketKind::kMessage;
  char type = 0;           // kMessage only
  std::string_view bytes;  // all of it, type and length included; points into the input
};

// What stands at the start of a buffer.
struct Split {
  enum class Result {
    kPacket,    // `packet` is whole
    kNeedMore,  // a good beginning; `needed` bytes in all, as far as can be told by now
    kError,     // no packet begins here; `error` says why, and where
  };
  Result result = Result::kNeedMore;
  FrontendPacket packet;
  size_t needed = 0;
  std::string error;
};

// Whether `type` is one a frontend may send: Q P B E D C S H F d c f p X.
bool is_frontend_type(char type);

// The largest length field PostgreSQL accepts for a message of this (known) type.
uint32_t length_limit(char type);

// Looks at the packet at the start of `buffer`. `offset` is the position of `buffer` in the stream
// (or frame), for the error message only.
Split split_packet(std::string_view buffer, uint64_t offset);

// Says what is wrong when split_packet(rest, offset) gave `split` instead of a packet and no more
// bytes will come.
std::string describe_failure(std::string_view rest, size_t offset, const Split& split);

// Calls `visit(packet)` for each packet of a frame that must hold whole packets and nothing else.
// Returns an empty string, or what is wrong with the first bytes that are no packet; `visit` then
// got the packets before them.
template <class Visit>
std::string for_each_packet(std::string_view frame, Visit&& visit) {
  size_t offset = 0;
  while (offset < frame.size()) {
    const std::string_view rest = frame.substr(offset);
    const Split split = split_packet(rest, offset);
    if (split.result != Split::Result::kPacket) return describe_failure(rest, offset, split);
    visit(split.packet);
    offset += split.packet.bytes.size();
  }
  return {};
}

// The same, into `*packets` (whose previous content is dropped).
std::string split_frame(std::string_view frame, std::vector<FrontendPacket>* packets);

// 'Q' where that can be printed, 0x01 where it cannot.
std::string type_name(char type);

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_FRONTEND_H_
