// line: each line is one simple Query and gets one frame. For people and shell scripts.
#include <string>

#include "port/conversation.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"

namespace pglite::port {
namespace {

bool handle_line(Conversation& conversation, std::string_view line, uint64_t number) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (number == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return true;
  if (line.find('\0') != std::string_view::npos) {
    return conversation.send_error("line " + std::to_string(number) + " contains a NUL byte");
  }
  if (line.size() > wire::kLargeMessageLimit - 5) {
    return conversation.send_error("line " + std::to_string(number) + " is longer than " +
                                   std::to_string(wire::kLargeMessageLimit - 5) + " bytes");
  }
  if (!conversation.run(wire::query(line))) return false;
  // Nobody can give the COPY its data, and without an answer it would wait forever.
  while (!conversation.refused() && conversation.in_copy()) {
    if (!conversation.run(wire::copy_fail("COPY FROM STDIN is not possible in line framing"))) {
      return false;
    }
  }
  return conversation.refused() || conversation.send();
}

}  // namespace

void serve_line(Conversation& conversation) {
  InputBuffer& input = conversation.input();
  uint64_t number = 0;
  size_t searched = 0;  // bytes at the front of the input without a newline
  while (true) {
    const std::string_view bytes = input.bytes();
    const size_t end = bytes.find('\n', searched);
    if (end != std::string_view::npos) {
      if (!handle_line(conversation, bytes.substr(0, end), ++number)) return;
      input.consume(end + 1);
      searched = 0;
      continue;
    }
    searched = bytes.size();
    if (searched > conversation.options().max_request) {
      conversation.fail_data("line " + std::to_string(number + 1) +
                             " is longer than the limit of " +
                             std::to_string(conversation.options().max_request) + " bytes");
      return;
    }
    if (conversation.fill(SIZE_MAX)) continue;
    if (conversation.at_end() && input.size() > 0)
      handle_line(conversation, input.bytes(), ++number);
    return;
  }
}

}  // namespace pglite::port
