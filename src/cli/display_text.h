// How text looks in a terminal: psql's rules (fe_utils/mbprint.c, pg_wcsformat) over Unicode's
// widths.
#ifndef PGLITE_CLI_DISPLAY_TEXT_H_
#define PGLITE_CLI_DISPLAY_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::cli {

struct DisplayLine {
  std::string text;  // what to print
  size_t width = 0;  // columns it takes
};

// The lines of a value: at least one. Tabs become spaces up to the next multiple of 8, control
// characters \r, \x1B or \u0085, bytes that are not UTF-8 \xFF.
std::vector<DisplayLine> display_lines(std::string_view value);

// The character at `text`, which is not empty: how many bytes, how many columns.
struct Character {
  size_t size = 1;
  int width = 1;        // -1: a control character
  int code_point = -1;  // -1: not UTF-8 (then size is 1)
};
Character first_character(std::string_view text);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_DISPLAY_TEXT_H_
