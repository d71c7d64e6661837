// One array of objects per result, one object per line.
//
// Written by hand, not by a JSON library: rows leave as they come, and values that PostgreSQL
// already writes as JSON (numbers, json, jsonb) must keep every digit and not pass through a
// double. What remains is escaping strings.
#include <algorithm>
#include <cstdio>

#include "cli/display_text.h"
#include "cli/result_writer.h"
#include "cli/type_oid.h"

namespace pglite::cli {
namespace {

class JsonWriter : public ResultWriter {
 public:
  explicit JsonWriter(Output& out) : out_(out) {}

  void begin(const std::vector<wire::Column>& columns) override {
    columns_.clear();
    for (const wire::Column& column : columns) {
      columns_.push_back({json_string(column.name) + ":", column.type_oid, column.binary});
    }
    first_ = true;
    out_.write("[");
  }

  void row(const Row& row) override {
    line_ = first_ ? "\n{" : ",\n{";
    first_ = false;
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line_ += ',';
      line_ += columns_[i].key;
      append_value(columns_[i], row[i]);
    }
    line_ += '}';
    out_.write(line_);
  }

  // This is done after an error too: the output stays valid JSON, and the exit code tells of the
  // error.
  void end(bool) override { out_.write(first_ ? "]\n" : "\n]\n"); }
  void command(std::string_view, bool) override {}

 private:
  struct Key {
    std::string key;
    uint32_t type_oid = 0;
    bool binary = false;
  };

  void append_value(const Key& column, const std::optional<std::string_view>& value) {
    if (!value) {
      line_ += "null";
      return;
    }
    if (!column.binary) {
      switch (column.type_oid) {
        case kBoolOid:
          line_ += *value == "t" ? "true" : "false";
          return;
        case kInt2Oid:
        case kInt4Oid:
        case kInt8Oid:
        case kOidOid:
        case kFloat4Oid:
        case kFloat8Oid:
        case kNumericOid:
          if (!is_json_number(*value)) break;
          line_ += *value;
          return;
        case kJsonOid:
        case kJsonbOid:
          append_json(*value);
          return;
        default:
          break;
      }
    }
    line_ += json_string(*value);
  }

  // PostgreSQL keeps a json value as it was written. Within its strings there are no newlines, and
  // elsewhere any white space is as good: an object stays one line.
  void append_json(std::string_view value) {
    const size_t begin = line_.size();
    line_ += value;
    std::replace_if(
        line_.begin() + static_cast<ptrdiff_t>(begin), line_.end(),
        [](char c) { return c == '\n' || c == '\r'; }, ' ');
  }

  Output& out_;
  std::vector<Key> columns_;
  std::string line_;
  bool first_ = true;
};

}  // namespace

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text[0];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<unsigned char>(c) < ' ') {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      const Character character = first_character(text);
      out += character.code_point < 0 ? "\xef\xbf\xbd" : text.substr(0, character.size);
      text.remove_prefix(character.size);
      continue;
    }
    text.remove_prefix(1);
  }
  return out += '"';
}

bool is_json_number(std::string_view text) {
  const auto digits = [&text] {
    size_t count = 0;
    while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
    text.remove_prefix(count);
    return count;
  };
  if (text.starts_with('-')) text.remove_prefix(1);
  const bool leading_zero = text.starts_with('0');
  const size_t whole = digits();
  if (whole == 0 || (leading_zero && whole > 1)) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return text.empty();
}

std::unique_ptr<ResultWriter> make_json_writer(Output& out) {
  return std::make_unique<JsonWriter>(out);
}

}  // namespace pglite::cli
