// What frontend and backend messages have in common (PostgreSQL manual, "Message Formats").
#ifndef PGLITE_WIRE_MESSAGE_H_
#define PGLITE_WIRE_MESSAGE_H_

#include <string>
#include <string_view>

namespace pglite::wire {

// Any typed message: `type`, the length, `body`. The body must fit kLargeMessageLimit.
std::string message(char type, std::string_view body);

// A string of the wire ends with a NUL, so `text` must not contain one.
inline void append_string(std::string& out, std::string_view text) {
  out.append(text);
  out.push_back('\0');
}

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_MESSAGE_H_
