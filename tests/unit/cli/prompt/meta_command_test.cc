#include "cli/prompt/meta_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/prompt/copy_command.h"
#include "cli/prompt/describe.h"
#include "cli/prompt/name_pattern.h"

namespace pglite::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(MetaCommand, NameAndArguments) {
  const MetaCommand command = parse_meta_command("\\dt+  a.* b");
  EXPECT_EQ(command.name, "dt+");
  EXPECT_THAT(command.arguments, ElementsAre("a.*", "b"));
  EXPECT_EQ(command.rest, "  a.* b");
  EXPECT_EQ(command.size, 11U);
  EXPECT_EQ(command.error, "");
  EXPECT_EQ(parse_meta_command("\\q").name, "q");
  EXPECT_EQ(parse_meta_command("\\").name, "");
}

TEST(MetaCommand, Quotes) {
  EXPECT_THAT(parse_meta_command(R"(\echo 'a  b' 'it''s' x'y z'w '\t\n\101\'')").arguments,
              ElementsAre("a  b", "it's", "xy zw", "\t\nA'"));
  EXPECT_THAT(parse_meta_command(R"(\d "A b"."c""d" e)").arguments,
              ElementsAre("\"A b\".\"c\"\"d\"", "e"));
  EXPECT_EQ(parse_meta_command("\\echo 'a").error, "unterminated quoted string");
  EXPECT_EQ(parse_meta_command("\\echo 'a\\").error, "unterminated quoted string");
  EXPECT_EQ(parse_meta_command("\\echo \"a").error, "unterminated quoted string");
}

TEST(MetaCommand, AnotherOneOrSqlBehindIt) {
  const MetaCommand one = parse_meta_command("\\x on \\dt t");
  EXPECT_THAT(one.arguments, ElementsAre("on"));
  EXPECT_EQ(one.size, 6U);
  const MetaCommand sql = parse_meta_command("\\x \\\\ select 1;");
  EXPECT_THAT(sql.arguments, IsEmpty());
  EXPECT_EQ(sql.size, 5U);
  // These take the whole line.
  EXPECT_EQ(parse_meta_command("\\copy t to 'a\\b' \\x").size, 19U);
  EXPECT_EQ(parse_meta_command("\\copy t to 'a\\b'").rest, " t to 'a\\b'");
}

TEST(MetaCommand, Identifiers) {
  EXPECT_EQ(identifier_named("Shop"), "shop");
  EXPECT_EQ(identifier_named("\"Shop\"\"s\""), "Shop\"s");
}

TEST(CopyCommand, BothDirections) {
  CopyCommand copy = parse_copy_command(" t from 'a file.csv' with (format csv, header);");
  EXPECT_EQ(copy.error, "");
  EXPECT_TRUE(copy.from);
  EXPECT_EQ(copy.file, "a file.csv");
  EXPECT_EQ(copy.sql, "COPY t FROM STDIN with (format csv, header)");
  copy = parse_copy_command("app.\"T t\" (a, \"from\") TO out.csv csv");
  EXPECT_FALSE(copy.from);
  EXPECT_EQ(copy.file, "out.csv");
  EXPECT_EQ(copy.sql, "COPY app.\"T t\" (a, \"from\") TO STDOUT csv");
  copy = parse_copy_command("(select ')' from t, (values (1)) v) to '/tmp/it''s'");
  EXPECT_EQ(copy.file, "/tmp/it's");
  EXPECT_EQ(copy.sql, "COPY (select ')' from t, (values (1)) v) TO STDOUT");
}

TEST(CopyCommand, StandardStreams) {
  EXPECT_EQ(parse_copy_command("t from stdin").file, "");
  EXPECT_FALSE(parse_copy_command("t from stdin").is_program_stdin);
  EXPECT_TRUE(parse_copy_command("t from pstdin").is_program_stdin);
  EXPECT_EQ(parse_copy_command("t to stdout csv").sql, "COPY t TO STDOUT csv");
  EXPECT_EQ(parse_copy_command("t to pstdout").file, "");
  // Only of the other direction: a file.
  EXPECT_EQ(parse_copy_command("t to stdin").file, "stdin");
}

TEST(CopyCommand, WhatIsWrongIsSaid) {
  for (const char* text :
       {"", "t", "from x", "t from", "t to 'x", "t from program 'ls'", "(a to x"}) {
    EXPECT_THAT(parse_copy_command(text).error, HasSubstr("\\copy: ")) << text;
  }
}

TEST(NamePattern, WildcardsAndQuotes) {
  const auto name = [](const char* text) { return parse_name_pattern(text)->name; };
  EXPECT_EQ(name("Foo*"), "^(foo.*)$");
  EXPECT_EQ(name("a?b$"), "^(a.b\\$)$");
  EXPECT_EQ(name("\"A.b*\"\"\""), "^(A\\.b\\*\")$");
  EXPECT_FALSE(parse_name_pattern("a")->schema);
  EXPECT_EQ(parse_name_pattern("s.t")->schema, "^(s)$");
  EXPECT_EQ(parse_name_pattern("s.t")->name, "^(t)$");
  EXPECT_FALSE(parse_name_pattern("a.b.c"));
}

TEST(NamePattern, Literals) {
  EXPECT_EQ(sql_literal("it's"), "'it''s'");
  EXPECT_EQ(sql_literal("a\\b'"), " E'a\\\\b'''");
}

TEST(DescribeRequest, Names) {
  DescribeRequest request;
  EXPECT_TRUE(parse_describe("dtvS+", &request));
  EXPECT_EQ(request.what, "tv");
  EXPECT_TRUE(request.verbose && request.system);
  EXPECT_TRUE(parse_describe("d", &request));
  EXPECT_EQ(request.what, "");
  EXPECT_FALSE(request.verbose || request.system);
  for (const char* name : {"dn", "dx+", "du", "dfS", "dT", "di", "dE"}) {
    EXPECT_TRUE(parse_describe(name, &request)) << name;
  }
  for (const char* name : {"", "e", "dz", "dnt", "dt-", "ddl"}) {
    EXPECT_FALSE(parse_describe(name, &request)) << name;
  }
}

}  // namespace
}  // namespace pglite::cli
