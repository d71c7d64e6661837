// The packet that opens a session (PostgreSQL manual, "Message Formats", StartupMessage), and the
// codes that other packets carry in the place of its protocol version.
//
// The packet has no type byte. It holds an int32 length that counts itself, an int32 protocol
// version, and then names and values by turns. Each of these strings ends with a NUL, and one more
// NUL ends the packet. The layout is the same in protocol 3.0 and 3.2.
#ifndef PGLITE_WIRE_STARTUP_PACKET_H_
#define PGLITE_WIRE_STARTUP_PACKET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::wire {

// MAX_STARTUP_PACKET_LENGTH (libpq/pqcomm.h): the largest length field.
inline constexpr uint32_t kStartupPacketLimit = 10000;

// A protocol version: the major number in the upper 16 bits, the minor number in the lower.
constexpr uint32_t protocol_version(uint16_t major, uint16_t minor) {
  return (uint32_t{major} << 16) | minor;
}
inline constexpr uint16_t kProtocolMajor = 3;
inline constexpr uint16_t kNewestProtocolMinor = 2;  // that PostgreSQL 18 speaks

// A major number that no protocol has marks a request. Its minor number says which one.
inline constexpr uint16_t kRequestMajor = 1234;
inline constexpr uint32_t kCancelRequestCode = protocol_version(kRequestMajor, 5678);
inline constexpr uint32_t kSslRequestCode = protocol_version(kRequestMajor, 5679);
inline constexpr uint32_t kGssEncRequestCode = protocol_version(kRequestMajor, 5680);

// Whether `packet` is a whole CancelRequest. Its key has 4 bytes in protocol 3.0 and 1 to 256 bytes
// in 3.2. Async-signal-safe.
bool is_cancel_request(std::string_view packet);

// A parameter whose name begins so is an option of the protocol, not a setting. A server that does
// not know one says so in NegotiateProtocolVersion.
inline constexpr std::string_view kProtocolOptionPrefix = "_pq_.";

// All views point into the packet that was parsed.
struct StartupPacket {
  struct Parameter {
    std::string_view name;   // never empty
    std::string_view value;  // may be empty
  };

  uint16_t minor = 0;                 // of the protocol version; the major number is 3
  std::vector<Parameter> parameters;  // in the packet's order; a name may come more than once

  // The value of the parameter `name`. The last one counts where there are several, as in
  // PostgreSQL. There are no defaults: a packet may lack even "user".
  [[nodiscard]] std::optional<std::string_view> value(std::string_view name) const;
};

// Parses a whole startup packet, its length included. Returns an empty string and fills `*startup`,
// or returns what is wrong with the packet; `*startup` is then of no use.
//
// It judges as PostgreSQL's ProcessStartupPacket does: the length must be the packet's, the major
// version 3, and the last byte the NUL that ends the packet. A minor version that is newer than
// kNewestProtocolMinor is no error: the server answers it with NegotiateProtocolVersion.
std::string parse_startup_packet(std::string_view packet, StartupPacket* startup);

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_STARTUP_PACKET_H_
