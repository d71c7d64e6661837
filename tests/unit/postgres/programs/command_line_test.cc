#include "postgres/programs/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pglite::postgres {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(CommandLine, SplitsAtBlanks) {
  EXPECT_THAT(split_command_line("a b\tc\nd"), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(split_command_line("  a   b  "), ElementsAre("a", "b"));
  EXPECT_THAT(split_command_line(""), IsEmpty());
  EXPECT_THAT(split_command_line("   "), IsEmpty());
}

TEST(CommandLine, QuotesKeepWordsTogether) {
  EXPECT_THAT(split_command_line(R"("/path with/blanks" -c 'a=b c')"),
              ElementsAre("/path with/blanks", "-c", "a=b c"));
  EXPECT_THAT(split_command_line(R"(a"b c"d'e f')"), ElementsAre("ab cde f"));
  EXPECT_THAT(split_command_line(R"("" '')"), ElementsAre("", ""));
  EXPECT_THAT(split_command_line(R"('it''s' "say 'x'" 'say "x"')"),
              ElementsAre("its", "say 'x'", "say \"x\""));
}

TEST(CommandLine, Backslashes) {
  EXPECT_THAT(split_command_line(R"(a\ b \"c\")"), ElementsAre("a b", "\"c\""));
  EXPECT_THAT(split_command_line(R"("\"\\\$\`\n")"), ElementsAre("\"\\$`\\n"));
  EXPECT_THAT(split_command_line(R"('\')"), ElementsAre("\\"));
  EXPECT_THAT(split_command_line("a\\"), ElementsAre("a\\"));
}

TEST(CommandLine, EndsAtARedirectionOrOperator) {
  EXPECT_THAT(split_command_line("a b < \"/dev/null\" > /dev/null 2>&1"), ElementsAre("a", "b"));
  EXPECT_THAT(split_command_line("a b 2>&1"), ElementsAre("a", "b"));
  EXPECT_THAT(split_command_line("a b2>&1"), ElementsAre("a", "b2"));
  EXPECT_THAT(split_command_line("a|b"), ElementsAre("a"));
  EXPECT_THAT(split_command_line("a && b"), ElementsAre("a"));
  EXPECT_THAT(split_command_line("a;b"), ElementsAre("a"));
  EXPECT_THAT(split_command_line("\"a>b\" 'c|d' e\\&f"), ElementsAre("a>b", "c|d", "e&f"));
}

TEST(CommandLine, InitdbsOwn) {
  EXPECT_THAT(
      split_command_line(R"("/pglite/bin/postgres" --boot -F -c log_checkpoints=false -X 1048576 )"
                         R"(-k -d 5 < "/dev/null" > "/dev/null" 2>&1)"),
      ElementsAre("/pglite/bin/postgres", "--boot", "-F", "-c", "log_checkpoints=false", "-X",
                  "1048576", "-k", "-d", "5"));
}

TEST(CommandLine, AnUnfinishedQuoteIsAWord) {
  EXPECT_THAT(split_command_line("a 'b c"), ElementsAre("a", "b c"));
  EXPECT_THAT(split_command_line("a \"b"), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace pglite::postgres
