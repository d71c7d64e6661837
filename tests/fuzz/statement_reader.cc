// The splitter of SQL scripts.
#include "cli/statement_reader.h"

#include <algorithm>

#include "cli/line_source.h"
#include "target.h"

namespace pglite::fuzz {

// The first byte: bit 0 for standard_conforming_strings, the others say after which statements
// lines are taken as the data of a COPY.
std::vector<std::string> seeds() {
  return {"\1select 1; select 'it''s', \"a\"\"b\" -- comment\n;",
          "\1/* a /* nested */ comment */ select $tag$ ; $tag$, $$;$$;\n",
          "\1create or replace function f() begin atomic select case when a then 1 end; end;\n;",
          "\5copy t from stdin;\n1\n2\n\\.\nselect 1;",
          std::string(1, '\0') + "select 'a\\';', e'\\';' ';';\n\\connect x\nselect 1",
          "\1\xef\xbb\xbfselect (1;2);\ncreate procedure p() begin atomic end;"};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::cli;
  using namespace pglite::fuzz;
  Input input(data, size);
  const auto how = input.get<uint8_t>();
  const std::string script(input.rest());
  LineSource source(script);
  StatementReader reader(source);
  reader.set_standard_strings((how & 1) != 0);
  const auto lines = static_cast<uint64_t>(std::ranges::count(script, '\n')) + 1;
  const auto is_space = [](char c) {
    return std::string_view(" \t\n\r\f\v").find(c) != std::string_view::npos;
  };
  // All that is handed out stands in the script, in order; but lines of data lie within what
  // follows the statement on its own line.
  size_t at = 0;
  bool had_data = false;
  uint64_t line = 0;
  const auto find = [&](const std::string& text) {
    if (had_data) return;
    at = script.find(text, at);
    FUZZ_CHECK(at != std::string::npos);
    at += text.size();
  };
  for (int turn = 0;; ++turn) {
    Statement statement;
    const StatementReader::Result result = reader.next(&statement);
    if (result == StatementReader::Result::kEnd) break;
    FUZZ_CHECK(!statement.text.empty() && !is_space(statement.text.front()));
    FUZZ_CHECK(statement.first_line >= line && statement.first_line <= lines);
    FUZZ_CHECK(reader.line_number() >= statement.first_line && reader.line_number() <= lines);
    line = statement.first_line;
    find(statement.text);
    if (result == StatementReader::Result::kBackslash) {
      FUZZ_CHECK(statement.text[0] == '\\' && !is_space(statement.text.back()));
      // A statement around it does not stand in one piece.
      if (reader.in_statement()) (void)reader.take_pending();
      FUZZ_CHECK(reader.open() == StatementReader::Open::kNothing);
    }
    std::string data_line;
    if ((how >> (1 + turn % 7) & 1) != 0 && reader.data_line(&data_line)) {
      FUZZ_CHECK(!data_line.empty() && script.find(data_line) != std::string::npos);
      had_data = true;
    }
  }
  Statement none;
  FUZZ_CHECK(reader.next(&none) == StatementReader::Result::kEnd);
  FUZZ_CHECK(source.status().ok());
  return 0;
}
