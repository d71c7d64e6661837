#include "wire/hex_dump.h"

#include <algorithm>
#include <cstdio>
#include <string>

namespace pglite::wire {

void hex_dump(std::string_view bytes, size_t limit,
              const std::function<void(std::string_view)>& line) {
  constexpr size_t kRow = 16;
  const std::string_view shown = bytes.substr(0, limit);
  for (size_t offset = 0; offset < shown.size(); offset += kRow) {
    const std::string_view row = shown.substr(offset, kRow);
    char text[16];
    std::snprintf(text, sizeof text, "%08zx ", offset);
    std::string out = text;
    for (size_t i = 0; i < kRow; ++i) {
      if (i == kRow / 2) out += ' ';
      if (i < row.size()) {
        std::snprintf(text, sizeof text, " %02x",
                      static_cast<unsigned>(static_cast<unsigned char>(row[i])));
        out += text;
      } else {
        out += "   ";
      }
    }
    out += "  |";
    for (char c : row) out += (c >= ' ' && c < 0x7f) ? c : '.';
    out += '|';
    line(out);
  }
  if (bytes.size() > shown.size()) {
    line("... " + std::to_string(bytes.size() - shown.size()) + " more bytes");
  }
}

}  // namespace pglite::wire
