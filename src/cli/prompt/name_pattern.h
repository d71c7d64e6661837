// The patterns behind \d and its kin (psql's manual, "Patterns").
#ifndef PGLITE_CLI_PROMPT_NAME_PATTERN_H_
#define PGLITE_CLI_PROMPT_NAME_PATTERN_H_

#include <optional>
#include <string>
#include <string_view>

namespace pglite::cli {

// "schema.name", with * and ? for any characters and any one, in lower case outside of double
// quotes. Regular expressions, from the beginning of a name to its end.
struct NamePattern {
  std::optional<std::string> schema;
  std::string name;
};

// nullopt: there are more than two dots.
std::optional<NamePattern> parse_name_pattern(std::string_view text);

// An SQL literal.
std::string sql_literal(std::string_view text);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_NAME_PATTERN_H_
