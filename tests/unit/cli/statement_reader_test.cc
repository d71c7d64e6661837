#include "cli/statement_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

namespace pglite::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Result = StatementReader::Result;

std::vector<std::string> split(const std::string& script, bool standard_strings = true) {
  LineSource source(script);
  StatementReader reader(source);
  reader.set_standard_strings(standard_strings);
  std::vector<std::string> statements;
  Statement statement;
  while (true) {
    const Result result = reader.next(&statement);
    if (result == Result::kEnd) return statements;
    statements.push_back((result == Result::kBackslash ? "backslash: " : "") + statement.text);
  }
}

TEST(StatementReader, SplitsAtSemicolons) {
  EXPECT_THAT(split("select 1; select 2;\n\nselect\n 3 ;select 4"),
              ElementsAre("select 1;", "select 2;", "select\n 3 ;", "select 4"));
  EXPECT_THAT(split(""), IsEmpty());
  EXPECT_THAT(split("  \n;;\n ; "), IsEmpty());
  EXPECT_THAT(split("select 1;\n"), ElementsAre("select 1;"));
}

TEST(StatementReader, Quotes) {
  EXPECT_THAT(split("select 'a;''b;' ; x"), ElementsAre("select 'a;''b;' ;", "x"));
  EXPECT_THAT(split("select 'a;\nb;';x"), ElementsAre("select 'a;\nb;';", "x"));
  EXPECT_THAT(split(R"(select "a;""b;"; x)"), ElementsAre(R"(select "a;""b;";)", "x"));
  EXPECT_THAT(split(R"(select '\'; x)"), ElementsAre(R"(select '\';)", "x"));
  EXPECT_THAT(split("select 'unfinished; x"), ElementsAre("select 'unfinished; x"));
}

TEST(StatementReader, EscapeStrings) {
  EXPECT_THAT(split(R"(select E'\';', e'\\'; x)"), ElementsAre(R"(select E'\';', e'\\';)", "x"));
  EXPECT_THAT(split("select E'a\\\n;'; x"), ElementsAre("select E'a\\\n;';", "x"));
  EXPECT_THAT(split("select e'a' -- c\n '\\';'; x"), ElementsAre("select e'a' -- c\n '\\';';", "x"))
      << "a string that is continued on the next line";
  EXPECT_THAT(split(R"(select name'\'; x)"), ElementsAre(R"(select name'\';)", "x"))
      << "a word that ends in e";
  EXPECT_THAT(split(R"(select U&'\'; x)"), ElementsAre(R"(select U&'\';)", "x"));
  EXPECT_THAT(split(R"(select 1e'\'; x)"), ElementsAre(R"(select 1e'\';)", "x"));
}

TEST(StatementReader, NonStandardStrings) {
  EXPECT_THAT(split(R"(select '\';'; x)", false), ElementsAre(R"(select '\';';)", "x"));
  EXPECT_THAT(split(R"(select b'\'; x)", false), ElementsAre(R"(select b'\';)", "x"));
}

TEST(StatementReader, DollarQuotes) {
  EXPECT_THAT(split("select $$a;'b$$; x"), ElementsAre("select $$a;'b$$;", "x"));
  EXPECT_THAT(split("do $fn$ $$;$$ $f$; \n$fn$; x"),
              ElementsAre("do $fn$ $$;$$ $f$; \n$fn$;", "x"));
  EXPECT_THAT(split("select $1; x; select a$b$; y"),
              ElementsAre("select $1;", "x;", "select a$b$;", "y"));
  EXPECT_THAT(split("select $\xc3\xa4$;$\xc3\xa4$; x"),
              ElementsAre("select $\xc3\xa4$;$\xc3\xa4$;", "x"));
}

TEST(StatementReader, Comments) {
  EXPECT_THAT(split("-- a;\nselect 1 -- b; 'c\n; x"),
              ElementsAre("-- a;\nselect 1 -- b; 'c\n;", "x"));
  EXPECT_THAT(split("/* a; /* b; */ ;\n */ select 1; /*x*/; -- only a comment"),
              ElementsAre("/* a; /* b; */ ;\n */ select 1;"));
  EXPECT_THAT(split("select 1 /* open; x"), ElementsAre("select 1 /* open; x"));
}

TEST(StatementReader, Parentheses) {
  EXPECT_THAT(split("create rule r as on insert to t do (select 1; select 2); x"),
              ElementsAre("create rule r as on insert to t do (select 1; select 2);", "x"));
  EXPECT_THAT(split("select 1); x"), ElementsAre("select 1);", "x"));
}

TEST(StatementReader, AtomicBodies) {
  const std::string function =
      "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC\n select 1;\n"
      " select CASE WHEN true THEN 1 END;\nEND;";
  EXPECT_THAT(split(function + " x"), ElementsAre(function, "x"));
  const std::string procedure = "create procedure p() begin atomic select 1; end;";
  EXPECT_THAT(split(procedure + " x"), ElementsAre(procedure, "x"));
  EXPECT_THAT(split("begin; select 1; end; x"), ElementsAre("begin;", "select 1;", "end;", "x"));
  EXPECT_THAT(split("create table t (begin int); x"),
              ElementsAre("create table t (begin int);", "x"));
}

TEST(StatementReader, BackslashCommands) {
  EXPECT_THAT(split("select 1;\n\\d t\nselect 2;"),
              ElementsAre("select 1;", "backslash: \\d t", "select 2;"));
  EXPECT_THAT(split("select 1 \\gx"), ElementsAre("backslash: \\gx", "select 1 "));
  EXPECT_THAT(split("select 1,\n\\x\n2;"), ElementsAre("backslash: \\x", "select 1,\n2;"));
}

TEST(StatementReader, KnowsLineNumbers) {
  LineSource source("\n-- c\nselect 1;\n\n  select\n 2; select 3;\n");
  StatementReader reader(source);
  Statement statement;
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.first_line, 2U) << "with the comment above it";
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.first_line, 5U);
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.first_line, 6U);
}

TEST(StatementReader, LeavesDataToTheCaller) {
  LineSource source("copy t from stdin; select 1;\n1;'\n2\n\\.\nselect 2;");
  StatementReader reader(source);
  Statement statement;
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.text, "copy t from stdin;");
  std::string line;
  ASSERT_TRUE(reader.data_line(&line));
  EXPECT_EQ(line, "1;'\n");
  ASSERT_TRUE(reader.data_line(&line));
  EXPECT_EQ(line, "2\n");
  ASSERT_TRUE(reader.data_line(&line));
  EXPECT_EQ(line, "\\.\n");
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.text, "select 1;") << "the rest of the line comes after the data, as in psql";
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.text, "select 2;");
  EXPECT_EQ(statement.first_line, 5U);
}

TEST(StatementReader, SkipsAByteOrderMark) {
  EXPECT_THAT(split("\xef\xbb\xbfselect 1;"), ElementsAre("select 1;"));
}

TEST(LineSource, ReadsDescriptorsOfAnyPieceSize) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const std::string text = "a\n\n" + std::string(30000, 'b') + "\nc";
  ASSERT_EQ(::write(fds[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ::close(fds[1]);
  LineSource source(fds[0], "<stdin>");
  std::vector<std::string> lines;
  for (std::string line; source.next(&line);) lines.push_back(line);
  EXPECT_THAT(lines, ElementsAre("a\n", "\n", std::string(30000, 'b') + "\n", "c"));
  EXPECT_TRUE(source.status().ok());
  ::close(fds[0]);
}

TEST(LineSource, TellsWhyReadingFailed) {
  LineSource source(9999, "x.sql");
  std::string line;
  EXPECT_FALSE(source.next(&line));
  EXPECT_EQ(source.status().message(), "cannot read x.sql: Bad file descriptor");
}

TEST(StatementReader, SaysWhatIsOpen) {
  using Open = StatementReader::Open;
  const auto open_after = [](const std::string& line) {
    StatementReader* reader = nullptr;
    std::optional<Open> open;
    LineSource source([&](std::string* next) {
      if (reader->line_number() == 0) {
        *next = line + "\n";
        return true;
      }
      if (!open) open = reader->open();
      return false;
    });
    StatementReader reading(source);
    reader = &reading;
    Statement statement;
    while (reading.next(&statement) != Result::kEnd) {
    }
    return open;
  };
  EXPECT_EQ(open_after(""), Open::kNothing);
  EXPECT_EQ(open_after("select 1; -- done"), Open::kNothing);
  EXPECT_EQ(open_after("select"), Open::kStatement);
  EXPECT_EQ(open_after("select 'it''s"), Open::kString);
  EXPECT_EQ(open_after("select e'\\'"), Open::kString);
  EXPECT_EQ(open_after("select \"a"), Open::kIdentifier);
  EXPECT_EQ(open_after("select $a$ $$"), Open::kDollar);
  EXPECT_EQ(open_after("/* /* */"), Open::kComment);
  EXPECT_EQ(open_after("select (1, '('"), Open::kParenthesis);
}

TEST(StatementReader, GoesOnBehindACommand) {
  LineSource source("\\a one \\b; select\n1;");
  StatementReader reader(source);
  Statement statement;
  ASSERT_EQ(reader.next(&statement), Result::kBackslash);
  EXPECT_EQ(statement.text, "\\a one \\b; select");
  reader.resume_behind(7);
  ASSERT_EQ(reader.next(&statement), Result::kBackslash);
  EXPECT_EQ(statement.text, "\\b; select");
  reader.resume_behind(2);
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.text, "select\n1;");
}

TEST(StatementReader, ForgetsAndInserts) {
  LineSource source("select ('a\n\\e\n', \\e x\nselect 3;");
  StatementReader reader(source);
  Statement statement;
  ASSERT_EQ(reader.next(&statement), Result::kBackslash);
  EXPECT_EQ(reader.pending().text, "select ('a\n\\e\n', ");
  EXPECT_EQ(reader.take_pending().text, "select ('a\n\\e\n', ");
  EXPECT_FALSE(reader.in_statement());
  reader.insert("-- edited\nselect 1;\nselect 2; select 9");
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.text, "-- edited\nselect 1;");
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.text, "select 2;");
  reader.reset();
  ASSERT_EQ(reader.next(&statement), Result::kStatement);
  EXPECT_EQ(statement.text, "select 3;");
}

}  // namespace
}  // namespace pglite::cli
