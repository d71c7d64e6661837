#include "cli/display_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdio>

namespace pglite::cli {

Character first_character(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte < 0x80) return {1, byte < ' ' || byte == 0x7f ? -1 : 1, byte};
  utf8proc_int32_t code_point = -1;
  const utf8proc_ssize_t size =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(text.size()), &code_point);
  if (size <= 0) return {1, -1, -1};
  const bool control = utf8proc_category(code_point) == UTF8PROC_CATEGORY_CC;
  return {static_cast<size_t>(size), control ? -1 : utf8proc_charwidth(code_point), code_point};
}

std::vector<DisplayLine> display_lines(std::string_view value) {
  std::vector<DisplayLine> lines(1);
  if (std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c < 0x7f; })) {
    lines[0] = {std::string(value), value.size()};
    return lines;
  }
  while (!value.empty()) {
    DisplayLine& line = lines.back();
    const Character character = first_character(value);
    const std::string_view bytes = value.substr(0, character.size);
    value.remove_prefix(character.size);
    if (character.width >= 0) {
      line.text += bytes;
      line.width += static_cast<size_t>(character.width);
    } else if (bytes == "\n") {
      lines.emplace_back();
    } else if (bytes == "\t") {
      const size_t spaces = 8 - line.width % 8;
      line.text.append(spaces, ' ');
      line.width += spaces;
    } else if (bytes == "\r") {
      line.text += "\\r";
      line.width += 2;
    } else {
      char escape[16];
      const int size =
          bytes.size() == 1
              ? std::snprintf(escape, sizeof escape, "\\x%02X",
                              static_cast<unsigned>(static_cast<unsigned char>(bytes[0])))
              : std::snprintf(escape, sizeof escape, "\\u%04X",
                              static_cast<unsigned>(character.code_point));
      line.text += escape;
      line.width += static_cast<size_t>(size);
    }
  }
  return lines;
}

}  // namespace pglite::cli
