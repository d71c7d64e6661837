#include "cli/error_report.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "cli/display_text.h"

namespace pglite::cli {
namespace {

struct Place {
  uint64_t line = 0;      // in the query, from 0
  std::string_view text;  // that line
  size_t column = 0;      // in characters, from 0
};

// Where character `position` (from 1) of `query` is. False: nowhere.
bool find_place(std::string_view query, std::string_view position, Place* place) {
  size_t wanted = 0;
  const auto [end, error] =
      std::from_chars(position.data(), position.data() + position.size(), wanted);
  if (error != std::errc() || end != position.data() + position.size() || wanted == 0) return false;
  size_t line_begin = 0;
  size_t at = 0;
  for (size_t character = 1; character < wanted; ++character) {
    if (at >= query.size()) return false;
    const bool newline = query[at] == '\n';
    at += first_character(query.substr(at)).size;
    if (newline) {
      ++place->line;
      line_begin = at;
      place->column = 0;
    } else {
      ++place->column;
    }
  }
  place->text = query.substr(line_begin, query.find('\n', line_begin) - line_begin);
  if (place->text.ends_with('\r')) place->text.remove_suffix(1);
  return true;
}

// "LINE n: text" with a caret below; a long line is cut around it. The numbers are those of
// reportErrorPosition (libpq/fe-protocol3.c).
std::string excerpt(const Place& place, uint64_t line_number) {
  constexpr size_t kDisplaySize = 60;
  constexpr size_t kMinRightCut = 10;

  std::vector<std::string> characters;
  std::vector<size_t> columns = {0};  // where each begins, and where the last ends
  for (std::string_view rest = place.text; !rest.empty();) {
    const Character character = first_character(rest);
    // A control character would spoil the caret's place.
    const bool shown = character.width >= 0;
    characters.push_back(shown ? std::string(rest.substr(0, character.size)) : " ");
    columns.push_back(columns.back() + (shown ? static_cast<size_t>(character.width) : 1));
    rest.remove_prefix(character.size);
  }
  const size_t location = std::min(place.column, characters.size());
  size_t begin = 0;
  size_t end = characters.size();
  const auto too_wide = [&] { return columns[end] - columns[begin] > kDisplaySize; };
  if (too_wide()) {
    if (kDisplaySize >= columns[location] + kMinRightCut) {
      while (too_wide()) --end;
    } else {
      while (columns[location] + kMinRightCut < columns[end]) --end;
      while (too_wide()) ++begin;
    }
  }
  std::string out = "LINE " + std::to_string(line_number) + ": ";
  if (begin > 0) out += "...";
  const size_t indent = out.size() + columns[location] - columns[begin];
  for (size_t i = begin; i < end; ++i) out += characters[i];
  if (end < characters.size()) out += "...";
  return out + "\n" + std::string(indent, ' ') + "^\n";
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out.append(name).append(":  ").append(value).append("\n");
}

}  // namespace

std::string report(const wire::ErrorFields& fields, std::string_view query, std::string_view script,
                   uint64_t first_line, bool is_error) {
  Place place;
  std::string lines;
  uint64_t line = first_line;
  if (find_place(query, fields.position, &place)) {
    line += place.line;
    lines = excerpt(place, line);
  } else {
    place = {};
    if (find_place(fields.internal_query, fields.internal_position, &place)) {
      lines = excerpt(place, place.line + 1);
    }
  }
  std::string out;
  if (!script.empty()) out.append(script).append(":" + std::to_string(line) + ": ");
  append_field(out, fields.severity, fields.message);
  out += lines;
  append_field(out, "DETAIL", fields.detail);
  append_field(out, "HINT", fields.hint);
  append_field(out, "QUERY", fields.internal_query);
  if (is_error) {
    append_field(out, "CONTEXT", fields.where);
    append_field(out, "SQLSTATE", fields.sqlstate);
  }
  return out;
}

}  // namespace pglite::cli
