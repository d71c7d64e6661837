// One of psql's commands as it stands in a line: \name argument 'another argument'.
#ifndef PGLITE_CLI_PROMPT_META_COMMAND_H_
#define PGLITE_CLI_PROMPT_META_COMMAND_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::cli {

struct MetaCommand {
  std::string name;  // without the backslash
  // Separated by white space. In single quotes white space is kept, '' is a quote, and a backslash
  // begins an escape as in C; double quotes stay, with the white space between them.
  std::vector<std::string> arguments;
  std::string rest;   // the line behind the name, as it stands
  size_t size = 0;    // how much of the line is taken: another command or SQL may stand behind
  std::string error;  // not empty: what is wrong with it
};

// `line` begins with the backslash. Arguments end at the next backslash outside of quotes, of which
// two (\\) only separate; those of \copy, \h and \restrict take the whole line.
MetaCommand parse_meta_command(std::string_view line);

// An SQL identifier among the arguments: what it names, without quotes, and in lower case where it
// has none.
std::string identifier_named(std::string_view argument);

// "on", "off" and the like; false: it is none of them.
bool parse_switch(std::string_view argument, bool* value);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_META_COMMAND_H_
