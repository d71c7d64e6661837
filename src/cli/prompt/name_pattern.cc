#include "cli/prompt/name_pattern.h"

#include <vector>

namespace pglite::cli {

std::optional<NamePattern> parse_name_pattern(std::string_view text) {
  constexpr std::string_view kSpecial = "|*+?()[]{}.^$\\";
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::string& part = parts.back();
    if (c == '"') {
      if (quoted && i + 1 < text.size() && text[i + 1] == '"') {
        part += text[i++];
      } else {
        quoted = !quoted;
      }
    } else if (!quoted && c == '.') {
      parts.emplace_back();
    } else if (!quoted && c == '*') {
      part += ".*";
    } else if (!quoted && c == '?') {
      part += '.';
    } else if (c == '$' || (quoted && kSpecial.find(c) != std::string_view::npos)) {
      part += '\\';
      part += c;
    } else {
      part += !quoted && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    }
  }
  if (parts.size() > 2) return std::nullopt;
  NamePattern pattern;
  pattern.name = "^(" + parts.back() + ")$";
  if (parts.size() == 2) pattern.schema = "^(" + parts.front() + ")$";
  return pattern;
}

std::string sql_literal(std::string_view text) {
  std::string literal = text.find('\\') == std::string_view::npos ? "'" : " E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') literal += c;
    literal += c;
  }
  return literal + "'";
}

}  // namespace pglite::cli
