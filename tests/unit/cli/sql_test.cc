#include "cli/sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/type_oid.h"
#include "scripted_instance.h"

namespace pglite::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string one() {
  return description({{"a", kInt4Oid}}) + data_row({"1"}) + complete("SELECT 1") + ready();
}
std::string one_table() {
  return " a \n---\n 1\n(1 row)\n\n";
}
std::string no_such_column() {
  return report_message('E', {"SERROR", "C42703", "Mno such column", "P12"}) + ready();
}

class SqlTest : public ::testing::Test {
 protected:
  void run(const std::string& script = {}) {
    const MemoryFile in(script);
    const MemoryFile out_file;
    const MemoryFile err_file;
    {
      Output out(out_file.fd(), "stdout");
      Output err(err_file.fd(), "stderr");
      exit_code = run_sql(session, request, in.fd(), out, err);
    }
    out_text = out_file.content();
    err_text = err_file.content();
  }

  ScriptedInstance instance;
  SqlSession session{
      .exec = [this](std::string_view messages,
                     const ResponseSink& sink) { return instance.exec_protocol(messages, sink); },
      .give_up = {}};
  SqlRequest request;
  int exit_code = -1;
  std::string out_text;
  std::string err_text;
};

TEST_F(SqlTest, CommandsAreSentAsTheyAre) {
  instance.answers["select 1; select 1"] = one().substr(0, one().size() - 6) + one();
  request.commands = {"select 1; select 1", "create table t()"};
  run();
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(out_text, one_table() + one_table() + "OK\n");
  EXPECT_EQ(err_text, "");
}

TEST_F(SqlTest, ScriptFromStdin) {
  instance.answers["select 1;"] = one();
  run("select 1;\ncreate table t();\n");
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(instance.queries, ElementsAre("select 1;", "create table t();"));
  EXPECT_EQ(out_text, one_table() + "OK\n");
}

TEST_F(SqlTest, ScriptFromAFile) {
  const MemoryFile script("a; b;");
  request.file = script.path();
  run("never");
  EXPECT_THAT(instance.queries, ElementsAre("a;", "b;"));
}

TEST_F(SqlTest, MissingFile) {
  request.file = "/nonexistent.sql";
  run();
  EXPECT_EQ(exit_code, 74);
  EXPECT_EQ(err_text, "pglite-port: cannot open /nonexistent.sql: No such file or directory\n");
}

TEST_F(SqlTest, StopsAtTheFirstError) {
  instance.answers["select\n 1, x;"] = no_such_column();
  run("one;\nselect\n 1, x;\nnever;");
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(out_text, "OK\n");
  EXPECT_EQ(err_text,
            "<stdin>:3: ERROR:  no such column\n"
            "LINE 3:  1, x;\n"
            "            ^\n"
            "SQLSTATE:  42703\n");
  EXPECT_THAT(instance.queries, ElementsAre("one;", "select\n 1, x;"));
}

TEST_F(SqlTest, ErrorInACommand) {
  instance.answers["select 1, x"] = no_such_column();
  request.commands = {"select 1, x", "never"};
  run();
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(err_text, HasSubstr("LINE 1: select 1, x\n"));
  EXPECT_THAT(instance.queries, ElementsAre("select 1, x"));
}

TEST_F(SqlTest, ErrorInTheMiddleOfAResult) {
  const std::string failing = description({{"a", kInt4Oid}}) + data_row({"1"}) + no_such_column();
  for (const auto& [format, expected] : {std::pair{Format::kTable, ""},
                                         {Format::kCsv, "a\n1\n"},
                                         {Format::kJson, "[\n{\"a\":1}\n]\n"}}) {
    instance.answers["x"] = failing;
    request.commands = {"x"};
    request.display.format = format;
    run();
    EXPECT_EQ(exit_code, 1);
    EXPECT_EQ(out_text, expected);
  }
}

TEST_F(SqlTest, NoticesAndNotificationsGoToStderr) {
  std::string notification;
  wire::append_u32(notification, 42);
  notification += std::string("ch\0pay\0", 7);
  instance.answers["x"] = report_message('N', {"SNOTICE", "C00000", "Mhello"}) +
                          wire::message('A', notification) + complete("DO") + ready();
  request.commands = {"x"};
  run();
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(out_text, "DO\n");
  EXPECT_EQ(err_text,
            "NOTICE:  hello\n"
            "Asynchronous notification \"ch\" with payload \"pay\" received from server process "
            "with PID 42.\n");
}

TEST_F(SqlTest, CopyOut) {
  instance.answers["x"] = copy_out() + wire::message('d', "1\ta\n") + wire::message('d', "2\tb\n") +
                          wire::message('c', "") + complete("COPY 2") + ready();
  request.commands = {"x"};
  run();
  EXPECT_EQ(out_text, "1\ta\n2\tb\n");
}

TEST_F(SqlTest, CopyInTakesTheFollowingLines) {
  instance.answers["copy t from stdin;"] = copy_in();
  run("copy t from stdin;\n1\ta;\n2\t'b\n\\.\nselect 2;");
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(instance.copied, "1\ta;\n2\t'b\n");
  EXPECT_EQ(out_text, "COPY 1\nOK\n");
  EXPECT_THAT(instance.queries, ElementsAre("copy t from stdin;", "select 2;"));
}

TEST_F(SqlTest, CopyInUntilTheEndOfTheScript) {
  instance.answers["copy t from stdin;"] = copy_in();
  std::string data;
  for (int i = 0; i < 50000; ++i) data += std::to_string(i) + "\n";
  run("copy t from stdin;\n" + data);
  EXPECT_EQ(exit_code, 0);
  EXPECT_TRUE(instance.copied == data);
}

TEST_F(SqlTest, CopyInInACommandFails) {
  instance.answers["copy t from stdin"] = copy_in();
  request.commands = {"copy t from stdin"};
  run();
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(err_text, HasSubstr("COPY FROM STDIN finds its data only in a script"));
}

TEST_F(SqlTest, FollowsStandardConformingStrings) {
  instance.answers["set;"] =
      wire::message('S', std::string("standard_conforming_strings\0off\0", 32)) + complete("SET") +
      ready();
  run("select '\\';set;\nselect '\\';';x");
  EXPECT_THAT(instance.queries, ElementsAre("select '\\';", "set;", "select '\\';';", "x"));
}

TEST_F(SqlTest, CommandsOfPsqlThatAreNotThereAreRefused) {
  run("one;\n\\watch 1\n");
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(err_text,
            "<stdin>:2: ERROR:  psql's command \\watch is not supported; \\? lists those that "
            "are\n");
  request.commands = {"\\gset"};
  run();
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(err_text, "ERROR:  psql's command \\gset is not supported; \\? lists those that are\n");
}

TEST_F(SqlTest, RestrictionsOfADumpMustMatch) {
  run("--\n-- a dump\n--\n\n\\restrict aB3\n\none;\ntwo;\n\\unrestrict aB3\nthree;\\restrict x\n");
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(err_text, "");
  EXPECT_THAT(instance.queries, ElementsAre("one;", "two;", "three;"));
  for (const auto& [script, message] : std::vector<std::pair<const char*, const char*>>{
           {"\\restrict", "\\restrict: missing required argument"},
           {"\\restrict a b", "\\restrict: the key is not one word"},
           {"\\restrict a\n\\restrict a", "\\restrict: already in restricted mode"},
           {"\\unrestrict a", "\\unrestrict: not currently in restricted mode"},
           {"\\restrict a\n\\unrestrict", "\\unrestrict: missing required argument"},
           {"\\restrict a\n\\unrestrict b", "\\unrestrict: wrong key"},
           {"\\restricted a",
            "psql's command \\restricted is not supported; \\? lists those that are"},
           {"\\restrict a\n\\! ls", "\\!: not allowed between \\restrict and \\unrestrict"},
           {"\\restrict a\n\\i x", "\\i: not allowed between \\restrict and \\unrestrict"},
           {"\\restrict a\nselect 1 \\o x", "\\o: not allowed between \\restrict and \\unrestrict"},
           {"select 1 \\restrict a", "\\restrict: not allowed within a statement"}}) {
    run(script);
    EXPECT_EQ(exit_code, 1) << script;
    EXPECT_THAT(err_text, EndsWith(std::string(": ERROR:  ") + message + "\n")) << script;
  }
}

TEST_F(SqlTest, CommandsOfPsqlInAScript) {
  instance.answers["select 1;"] = instance.answers["select 1 "] = one();
  run("\\echo a 'b  c'\n\\x \\t on\nselect 1;\n\\x off \\t off\nselect 1 \\gx\nselect "
      "1;\\q\nnever;");
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(err_text, "");
  EXPECT_EQ(out_text,
            "a b  c\nExpanded display is on.\nTuples only is on.\na | 1\n\n"
            "Expanded display is off.\nTuples only is off.\n-[ RECORD 1 ]\na | 1\n\n" +
                one_table());
  EXPECT_THAT(instance.queries, ElementsAre("select 1;", "select 1 ", "select 1;"));
}

TEST_F(SqlTest, QuietSaysNothingOfCommands) {
  instance.answers["select 1;"] = one();
  request.display.quiet = true;
  run("create table t();\n\\x\n\\x\nselect 1;");
  EXPECT_EQ(out_text, one_table());
}

TEST_F(SqlTest, ASingleTransaction) {
  request.single_transaction = true;
  run("one;\ntwo;");
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(instance.queries, ElementsAre("BEGIN", "one;", "two;", "COMMIT"));
  instance.queries.clear();
  run("one;\n\\nope\n");
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(instance.queries, ElementsAre("BEGIN", "one;", "ROLLBACK"));
  run("\\connect other\n");
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(err_text, testing::HasSubstr("another session cannot be part of"));
}

TEST_F(SqlTest, ScriptsInScripts) {
  const MemoryFile inner("two;\n\\nope\n");
  run("one;\n\\i " + inner.path() + "\nthree;");
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(instance.queries, ElementsAre("one;", "two;"));
  EXPECT_THAT(err_text, testing::StartsWith(inner.path() + ":2: ERROR:  psql's command \\nope"));
  run("\n\\i /nonexistent\n");
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(err_text,
            "<stdin>:2: ERROR:  \\i: cannot open /nonexistent: No such file or directory\n");
}

TEST_F(SqlTest, AScriptThatRunsItselfComesToAnEnd) {
  MemoryFile script;
  const std::string text = "\\i " + script.path() + "\n";
  ASSERT_EQ(::write(script.fd(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  request.file = script.path();
  run();
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(err_text, HasSubstr("scripts run each other too deeply"));
}

TEST_F(SqlTest, CopyFromAndToFiles) {
  instance.answers["COPY t FROM STDIN csv"] = copy_in();
  const MemoryFile data("1\n2\n");
  run("\\copy t from '" + data.path() + "' csv\n");
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(instance.copied, "1\n2\n");
  EXPECT_EQ(out_text, "COPY 1\n");
  instance.copied.clear();
  run("\\copy t from stdin csv\n3\n\\.\nafter;");
  EXPECT_EQ(instance.copied, "3\n");
  EXPECT_EQ(instance.queries.back(), "after;");

  instance.answers["COPY t TO STDOUT"] = copy_out() + wire::message('d', "9\n") +
                                         wire::message('c', "") + complete("COPY 1") + ready();
  const MemoryFile target;
  run("\\copy t to '" + target.path() + "'");
  EXPECT_EQ(target.content(), "9\n");
  EXPECT_EQ(out_text, "COPY 1\n");
  run("\n\\copy t to /nonexistent/x");
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(err_text,
            "<stdin>:2: ERROR:  \\copy: cannot write to /nonexistent/x: No such file or "
            "directory\n");
}

TEST_F(SqlTest, ResultsGoToAFile) {
  instance.answers["select 1;"] = one();
  const MemoryFile target;
  run("\\o " + target.path() + "\nselect 1;\n\\echo screen\n\\qecho file\n\\o\nselect 1;");
  EXPECT_EQ(target.content(), one_table() + "file\n");
  EXPECT_EQ(out_text, "screen\n" + one_table());
}

TEST_F(SqlTest, AnotherSession) {
  std::string asked;
  session.connect = [&](const std::string& database, const std::string& user) {
    asked += database + "/" + user + ";";
    return database == "bad" ? Status::invalid_argument("there is no such database") : Status();
  };
  run("\\c Shop\n\\connect - \"Bob\"\n\\connect -reuse-previous=on \"dbname='it\\'s'\"\n\\c "
      "bad\nnever;");
  EXPECT_EQ(asked, "shop/;/Bob;it's/;bad/;");
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(err_text, "<stdin>:4: ERROR:  \\connect: there is no such database\n");
}

TEST_F(SqlTest, WhatNeedsAPersonIsRefused) {
  run("\\e");
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(err_text, HasSubstr("an editor needs a person"));
}

TEST_F(SqlTest, NulIsRefused) {
  run(std::string("one;\nsel\0ct;", 12));
  EXPECT_EQ(exit_code, 1);
  EXPECT_EQ(err_text, "<stdin>:2: ERROR:  a NUL byte cannot be part of SQL\n");
}

TEST_F(SqlTest, EngineGone) {
  instance.next_status = Status::engine_gone("the engine trapped");
  request.commands = {"x"};
  run();
  EXPECT_EQ(exit_code, 70);
  EXPECT_EQ(err_text, "pglite-port: the engine trapped\n");
}

TEST_F(SqlTest, MalformedAnswersAreNotShownAsResults) {
  instance.answers["x"] = data_row({"1"}) + complete("SELECT 1") + ready();
  request.commands = {"x"};
  run();
  EXPECT_EQ(exit_code, 70);
}

TEST_F(SqlTest, BinaryValuesLookLikeBytea) {
  std::string columns = description({{"b", kInt4Oid}});
  columns.back() = '\1';
  instance.answers["fetch c"] =
      columns + data_row({std::string("\0\x1f", 2)}) + complete("FETCH 1") + ready();
  request.commands = {"fetch c"};
  request.display.format = Format::kCsv;
  run();
  EXPECT_EQ(out_text, "b\n\\x001f\n");
}

TEST_F(SqlTest, FullDisk) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  const MemoryFile err_file;
  {
    Output out(full, "stdout");
    Output err(err_file.fd(), "stderr");
    request.commands = {"one", "two"};
    EXPECT_EQ(run_sql(session, request, 0, out, err), 74);
  }
  EXPECT_EQ(err_file.content(), "pglite-port: cannot write to stdout: No space left on device\n");
  EXPECT_THAT(instance.queries, ElementsAre("one"));
  ::close(full);
}

TEST_F(SqlTest, GivesUpWhereNobodyReads) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  const MemoryFile err_file;
  std::string rows;
  for (int i = 0; i < 3; ++i) rows += data_row({std::string(100'000, 'x')});
  instance.answers["one"] = description({{"a", kInt4Oid}}) + rows +
                            report_message('E', {"SERROR", "C57014", "Mcanceled"}) + ready();
  int times = 0;
  session.give_up = [&] { ++times; };
  {
    Output out(full, "stdout");
    Output err(err_file.fd(), "stderr");
    request.commands = {"one", "two"};
    request.display.format = Format::kCsv;
    EXPECT_EQ(run_sql(session, request, 0, out, err), 74);
  }
  EXPECT_EQ(times, 1);
  EXPECT_EQ(err_file.content(), "pglite-port: cannot write to stdout: No space left on device\n");
  EXPECT_THAT(instance.queries, ElementsAre("one"));
  ::close(full);
}

}  // namespace
}  // namespace pglite::cli
