#include "port/read_ahead.h"

#include "wire/byte_order.h"
#include "wire/startup_packet.h"

namespace pglite::port {

bool has_cancel_request(Framing framing, std::string_view bytes, size_t* seen) {
  *seen = 0;
  while (true) {
    std::string_view rest = bytes.substr(*seen);
    size_t header = 0;  // of the frame or message, beside what its length counts
    if (framing == Framing::kPacket4) {
      header = 4;
    } else if (framing != Framing::kRaw || rest.empty()) {
      return false;
    } else if (rest[0] == '\n' || rest[0] == '\r') {
      ++*seen;
      continue;
    } else if (rest[0] != 0) {
      header = 1;
      rest.remove_prefix(1);
    }
    if (rest.size() < 4) return false;
    const size_t size = header + wire::load_u32(rest);
    // The shortest raw message is as long as its length field.
    if (size < 4 || bytes.size() - *seen < size) return false;
    const std::string_view whole = bytes.substr(*seen, size);
    *seen += size;
    // A message with a type (header 1) is none.
    if (header != 1 && wire::is_cancel_request(whole.substr(header))) return true;
  }
}

}  // namespace pglite::port
