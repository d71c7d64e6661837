#include "wire/message.h"

#include <cstdint>

#include "wire/byte_order.h"

namespace pglite::wire {

std::string message(char type, std::string_view body) {
  std::string out;
  out.reserve(5 + body.size());
  out.push_back(type);
  append_u32(out, static_cast<uint32_t>(4 + body.size()));
  out.append(body);
  return out;
}

}  // namespace pglite::wire
