// What Tab may put where the cursor is.
#ifndef PGLITE_CLI_PROMPT_COMPLETION_H_
#define PGLITE_CLI_PROMPT_COMPLETION_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::cli {

struct Completion {
  size_t begin = 0;                     // of the word, in the line
  std::vector<std::string> candidates;  // for the whole word; in order, each once
};

// The names to choose from. Identifiers are quoted where SQL wants that.
class Catalogue {
 public:
  using Names = std::vector<std::string>;
  struct Relation {
    std::string schema;  // empty: in the search path
    std::string name;
  };

  virtual ~Catalogue() = default;
  virtual Names keywords() = 0;  // in lower case
  virtual Names relations(const std::string& schema) = 0;
  virtual Names columns(const Relation& relation) = 0;
  virtual Names functions(const std::string& schema) = 0;
  virtual Names schemas() = 0;
  virtual Names databases() = 0;
  virtual Names roles() = 0;
  virtual Names settings() = 0;
};

// `statement`: the lines of the statement above this one. `line`: this one, up to the cursor.
Completion complete(std::string_view statement, std::string_view line, Catalogue& catalogue);

// The longest beginning that all of them have; characters of UTF-8 are not cut.
std::string common_beginning(const std::vector<std::string>& candidates);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_COMPLETION_H_
