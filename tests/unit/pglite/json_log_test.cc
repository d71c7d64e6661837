// Lines of the log as JSON, whatever they are made of.
#include "pglite/json_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "pglite/json_log_record.h"
#include "session_client.h"

namespace pglite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

TEST(JsonLog, ALineOfOurOwn) {
  EXPECT_THAT(
      json_log_line("LOG", "a \"b\"\n\\"),
      MatchesRegex(
          "\\{\"timestamp\":\"....-..-.. ..:..:..\\.... UTC\",\"pid\":" + std::to_string(getpid()) +
          ",\"error_severity\":\"LOG\",\"message\":\"a \\\\\"b\\\\\"\\\\n\\\\\\\\\","
          "\"backend_type\":\"postmaster\"\\}"));
  EXPECT_THAT(json_log_line("LOG", "x", 7), HasSubstr("\"pid\":7,"));
  EXPECT_THAT(json_log_line("LOG", "x", 7), Not(HasSubstr("backend_type")));
  EXPECT_THAT(json_log_line("LOG",
                            "b\xff"
                            "d"),
              HasSubstr("\"message\":\"b\xef\xbf\xbd"
                        "d\""));
}

TEST(JsonLog, ARecordStaysAsItIs) {
  const std::string record =
      R"({"pid":7,"error_severity":"FATAL","message":"no \"x\"","detail":"d","hint":"h","a":1.50,)"
      R"("b":null,"c":true})";
  const JsonLogRecord read = read_json_log(record + "\n", 7);
  EXPECT_EQ(read.line, record);
  EXPECT_THAT(read.text, ElementsAre("[7] FATAL:  no \"x\"", "[7] DETAIL:  d", "[7] HINT:  h"));
}

// A database in LATIN1.
TEST(JsonLog, BytesThatAreNoUtf8) {
  const JsonLogRecord read =
      read_json_log("{\"error_severity\":\"ERROR\",\"message\":\"caf\xe9 \\\"\"}", 7);
  EXPECT_EQ(read.line, "{\"error_severity\":\"ERROR\",\"message\":\"caf\xef\xbf\xbd \\\"\"}");
  EXPECT_THAT(read.text, ElementsAre("[7] ERROR:  caf\xef\xbf\xbd \""));
}

TEST(JsonLog, WhatIsNoRecordIsAMessage) {
  for (const std::string& bad :
       {std::string(), std::string("{"), std::string("{}{}"), std::string("[]"), std::string("1"),
        std::string("\"x\""), std::string("null"), std::string("{\"a\":1,}"),
        std::string("{\"a\":[]}"), std::string("{\"a\":{}}"), std::string("{\"a\":\n1}"),
        std::string("{\"a\":1}\n{\"b\":2}"), std::string("{\0}", 3), std::string("text")}) {
    const JsonLogRecord read = read_json_log(bad, 7);
    EXPECT_THAT(read.line, MatchesRegex("\\{\"timestamp\":.*,\"pid\":7,\"error_severity\":\"LOG\","
                                        "\"message\":\".*\"\\}"))
        << bad;
    EXPECT_EQ(read.line.find('\n'), std::string::npos) << bad;
    EXPECT_THAT(read.text, IsEmpty()) << bad;
    EXPECT_TRUE(read_json_log(read.line, 7).line == read.line) << bad;
  }
}

// As text it is small; as a tree it would be many times as large.
TEST(JsonLog, DepthIsRefused) {
  const std::string deep(10 << 20, '[');
  EXPECT_THAT(read_json_log("{\"a\":" + deep, 7).text, IsEmpty());
}

TEST(JsonLog, OfACluster) {
  std::vector<std::pair<int, std::string>> lines;
  Options options;
  options.debug = 1;
  options.log_format = LogFormat::kJson;
  options.settings = {"log_statement=all"};
  options.log = [&](int level, std::string_view line) { lines.emplace_back(level, line); };
  const auto cluster = postgres::open_cluster(options);
  ASSERT_NE(cluster, nullptr);
  postgres::connect(*cluster).query("SELECT 1");
  EXPECT_TRUE(cluster->close().ok());
  for (const auto& [level, line] : lines) {
    EXPECT_FALSE(read_json_log(line, 1).text.empty()) << line;
  }
  // Of level 0 is what PostgreSQL says while it runs.
  std::erase_if(lines, [](const auto& line) { return line.first != 0; });
  ASSERT_THAT(lines, testing::SizeIs(1));
  EXPECT_THAT(read_json_log(lines[0].second, 1).text[0],
              testing::EndsWith("LOG:  statement: SELECT 1"));
}

}  // namespace
}  // namespace pglite
