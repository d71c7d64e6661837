#include "postgres/programs/command_line.h"

#include <algorithm>

namespace pglite::postgres {

std::vector<std::string> split_command_line(std::string_view command) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (quote == '\'') {
      if (c == '\'') {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\\' && i + 1 < command.size() &&
               (quote == 0 ||
                std::string_view("\"\\$`").find(command[i + 1]) != std::string::npos)) {
      word += command[++i];
      in_word = true;
    } else if (quote == '"') {
      if (c == '"') {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else if (std::string_view("<>|&;").find(c) != std::string::npos) {
      // A descriptor number directly before a redirection belongs to it.
      const bool number = (c == '<' || c == '>') && in_word &&
                          std::ranges::all_of(word, [](char d) { return d >= '0' && d <= '9'; });
      if (number) in_word = false;
      break;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace pglite::postgres
