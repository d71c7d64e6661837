// How requests are cut out of the port's input (docs/protocol.md), and how `auto` finds out the
// framing.
#ifndef PGLITE_PORT_FRAMING_H_
#define PGLITE_PORT_FRAMING_H_

#include <optional>
#include <string_view>

namespace pglite::port {

enum class Framing {
  kAuto,
  kPacket4,  // int32 length, then whole frontend messages: Erlang's {packet, 4}
  kRaw,      // frontend messages one after the other
  kLine,     // each line is a simple Query
};

// "auto", "packet4", "raw", "line".
std::optional<Framing> framing_named(std::string_view name);
std::string_view framing_name(Framing framing);

enum class Detection { kNeedMore, kPacket4, kRaw, kLine, kUnknown };

// Decides on the first bytes of the input; five are always enough, six where a startup packet may
// be the first. With `at_end` there will be no more bytes and the answer is never kNeedMore, unless
// there are none at all.
Detection detect_framing(std::string_view first_bytes, bool at_end);

}  // namespace pglite::port

#endif  // PGLITE_PORT_FRAMING_H_
