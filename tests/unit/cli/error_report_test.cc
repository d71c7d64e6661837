#include "cli/error_report.h"

#include <gtest/gtest.h>

namespace pglite::cli {
namespace {

wire::ErrorFields fields(std::string_view message, std::string_view position = {}) {
  wire::ErrorFields out;
  out.severity = "ERROR";
  out.message = message;
  out.sqlstate = "42P01";
  out.position = position;
  return out;
}

TEST(ErrorReport, AllParts) {
  wire::ErrorFields error = fields("no such table", "15");
  error.detail = "the detail";
  error.hint = "the hint";
  error.where = "the context";
  EXPECT_EQ(report(error, "select * from x", "", 1, true),
            "ERROR:  no such table\n"
            "LINE 1: select * from x\n"
            "                      ^\n"
            "DETAIL:  the detail\n"
            "HINT:  the hint\n"
            "CONTEXT:  the context\n"
            "SQLSTATE:  42P01\n");
}

TEST(ErrorReport, NamesTheLineOfAScript) {
  EXPECT_EQ(report(fields("bad", "11"), "select\n 1,x;", "a.sql", 7, true),
            "a.sql:8: ERROR:  bad\n"
            "LINE 8:  1,x;\n"
            "           ^\n"
            "SQLSTATE:  42P01\n");
  EXPECT_EQ(report(fields("bad"), "select\n 1,x;", "a.sql", 7, true),
            "a.sql:7: ERROR:  bad\nSQLSTATE:  42P01\n");
}

TEST(ErrorReport, CountsCharactersAndColumns) {
  EXPECT_EQ(report(fields("bad", "14"), "select '漢字',\té", "", 1, true),
            "ERROR:  bad\n"
            "LINE 1: select '漢字', é\n"
            "                       ^\n"
            "SQLSTATE:  42P01\n");
}

TEST(ErrorReport, CutsLongLinesAroundThePlace) {
  const std::string right = "select x, " + std::string(100, 'a');
  EXPECT_EQ(report(fields("bad", "8"), right, "", 1, true),
            "ERROR:  bad\n"
            "LINE 1: select x, " +
                std::string(50, 'a') +
                "...\n"
                "               ^\n"
                "SQLSTATE:  42P01\n");
  const std::string both = "select " + std::string(100, 'a') + ", x, " + std::string(100, 'b');
  EXPECT_EQ(report(fields("bad", "110"), both, "", 1, true),
            "ERROR:  bad\n"
            "LINE 1: ..." +
                std::string(48, 'a') + ", x, " + std::string(7, 'b') + "...\n" +
                std::string(11 + 50, ' ') +
                "^\n"
                "SQLSTATE:  42P01\n");
}

TEST(ErrorReport, InternalQuery) {
  wire::ErrorFields error = fields("syntax error");
  error.internal_query = "select 1 +";
  error.internal_position = "11";
  EXPECT_EQ(report(error, "do ''", "", 1, true),
            "ERROR:  syntax error\n"
            "LINE 1: select 1 +\n"
            "                  ^\n"
            "QUERY:  select 1 +\n"
            "SQLSTATE:  42P01\n");
}

TEST(ErrorReport, NonsensePositionsAreIgnored) {
  for (std::string_view position : {"0", "99", "x", "-1", "99999999999999999999"}) {
    EXPECT_EQ(report(fields("bad", position), "select", "", 1, true),
              "ERROR:  bad\nSQLSTATE:  42P01\n");
  }
}

TEST(ErrorReport, Notices) {
  wire::ErrorFields notice = fields("hello");
  notice.severity = "NOTICE";
  notice.where = "PL/pgSQL function inline_code_block line 1 at RAISE";
  EXPECT_EQ(report(notice, "do ''", "", 1, false), "NOTICE:  hello\n");
}

}  // namespace
}  // namespace pglite::cli
