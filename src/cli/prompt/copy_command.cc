#include "cli/prompt/copy_command.h"

#include <algorithm>

namespace pglite::cli {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool is_word(std::string_view text, std::string_view word) {
  return std::ranges::equal(text, word, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a | 0x20) : a) == b;
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Takes from `*text` a word, a quoted string or identifier, or something in parentheses.
std::string_view take_token(std::string_view* text) {
  *text = trimmed(*text);
  size_t size = 0;
  int depth = 0;
  while (size < text->size()) {
    const char c = (*text)[size];
    if (c == '\'' || c == '"') {
      const size_t end = text->find(c, size + 1);
      size = end == std::string_view::npos ? text->size() : end + 1;
      continue;
    }
    if (depth == 0 && size > 0 && (is_space(c) || c == '(')) break;
    ++size;
    if (c == '(') ++depth;
    if (c == ')' && depth > 0) --depth;
    if (c == ')' && depth == 0) break;
  }
  const std::string_view token = text->substr(0, size);
  text->remove_prefix(size);
  return token;
}

std::string unquoted(std::string_view token) {
  std::string text;
  token = token.substr(1, token.size() - 2);
  for (size_t i = 0; i < token.size(); ++i) {
    text += token[i];
    if (token[i] == '\'' && i + 1 < token.size() && token[i + 1] == '\'') ++i;
  }
  return text;
}

CopyCommand wrong(std::string error) {
  CopyCommand command;
  command.error = std::move(error);
  return command;
}

}  // namespace

CopyCommand parse_copy_command(std::string_view text) {
  text = trimmed(text);
  if (text.ends_with(';')) text = trimmed(text.substr(0, text.size() - 1));
  std::string_view rest = text;
  size_t target_size = 0;
  std::string_view word;
  while (!is_word(word = take_token(&rest), "from") && !is_word(word, "to")) {
    if (word.empty()) return wrong("\\copy: FROM or TO, and a file, are missing");
    target_size = text.size() - rest.size();
  }
  if (target_size == 0) return wrong("\\copy: the table or (query) is missing");
  CopyCommand command;
  command.from = is_word(word, "from");
  // A quote inside quotes is doubled: the tokens of such a name touch each other.
  const size_t file_at = text.size() - trimmed(rest).size();
  std::string_view file = take_token(&rest);
  while (file.starts_with('\'') && rest.starts_with('\'')) {
    static_cast<void>(take_token(&rest));
    file = text.substr(file_at, text.size() - rest.size() - file_at);
  }
  if (file.empty()) return wrong("\\copy: the file is missing");
  const bool is_quoted = file.starts_with('\'');
  if (is_quoted && (file.size() < 2 || !file.ends_with('\''))) {
    return wrong("\\copy: the quote of the file's name is not closed");
  }
  if (is_word(file, "program")) return wrong("\\copy: PROGRAM is not supported; a file is");
  const bool is_piped = is_word(file, "pstdin") || is_word(file, "pstdout");
  if (is_word(file, command.from ? "stdin" : "stdout") || is_piped) {
    command.is_program_stdin = is_piped && command.from;
  } else {
    command.file = is_quoted ? unquoted(file) : std::string(file);
  }
  command.sql = "COPY " + std::string(text.substr(0, target_size)) +
                (command.from ? " FROM STDIN" : " TO STDOUT");
  if (const std::string_view options = trimmed(rest); !options.empty()) {
    command.sql += ' ' + std::string(options);
  }
  return command;
}

}  // namespace pglite::cli
