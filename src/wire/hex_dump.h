// Bytes for people, as PGLITE_DEBUG=2 shows each message.
#ifndef PGLITE_WIRE_HEX_DUMP_H_
#define PGLITE_WIRE_HEX_DUMP_H_

#include <cstddef>
#include <functional>
#include <string_view>

namespace pglite::wire {

// Calls `line` for each 16 bytes: offset, hex, text ("00000000  51 00 ...  |Q...|"). At most
// `limit` bytes are shown; a last line says how many were left out.
void hex_dump(std::string_view bytes, size_t limit,
              const std::function<void(std::string_view)>& line);

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_HEX_DUMP_H_
