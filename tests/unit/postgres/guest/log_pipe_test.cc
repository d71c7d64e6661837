// What PostgreSQL's processes write to a log collector, and what somebody else might.
#include "postgres/guest/log_pipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace pglite::postgres {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint8_t kLast = LogPipe::kIsLast;
constexpr uint8_t kJson = LogPipe::kIsJson;
constexpr uint8_t kText = LogPipe::kIsText;
constexpr size_t kMostPayload = LogPipe::kLongestChunk - LogPipe::kHeaderSize;

std::string chunk(int32_t pid, uint8_t flags, std::string_view bytes) {
  const auto length = static_cast<uint16_t>(bytes.size());
  std::string result(LogPipe::kHeaderSize, '\0');
  std::memcpy(result.data() + 2, &length, sizeof length);
  std::memcpy(result.data() + 4, &pid, sizeof pid);
  result[8] = static_cast<char>(flags);
  return result.append(bytes);
}

class LogPipeTest : public testing::Test {
 protected:
  void write(std::string_view bytes) {
    const auto written = pipe->write(std::as_bytes(std::span(bytes)));
    ASSERT_TRUE(written);
    EXPECT_EQ(*written, bytes.size());
  }
  // "json 7: bytes"
  std::vector<std::string> taken() { return std::exchange(records, {}); }

  std::vector<std::string> records;
  std::unique_ptr<LogPipe> pipe = std::make_unique<LogPipe>([this](const LogRecord& record) {
    const char* kind = record.kind == LogRecord::Kind::kJson   ? "json"
                       : record.kind == LogRecord::Kind::kText ? "text"
                                                               : "lost";
    records.push_back(std::string(kind) + " " + std::to_string(record.pid) + ": " +
                      std::string(record.bytes));
  });
};

TEST_F(LogPipeTest, PutsChunksTogether) {
  write(chunk(7, kJson | kLast, "{}\n"));
  EXPECT_THAT(taken(), ElementsAre("json 7: {}\n"));
  write(chunk(7, kJson, "{\"a\":"));
  write(chunk(7, kJson, "1"));
  EXPECT_THAT(taken(), IsEmpty());
  write(chunk(7, kJson | kLast, "}\n"));
  EXPECT_THAT(taken(), ElementsAre("json 7: {\"a\":1}\n"));
  write(chunk(7, kText | kLast, "a\nb\n"));
  EXPECT_THAT(taken(), ElementsAre("text 7: a\nb\n"));
}

TEST_F(LogPipeTest, OfSeveralWriters) {
  write(chunk(7, kJson, "a") + chunk(8, kJson, "x") + chunk(7, kJson | kLast, "b"));
  write(chunk(8, kJson | kLast, "y"));
  EXPECT_THAT(taken(), ElementsAre("json 7: ab", "json 8: xy"));
}

TEST_F(LogPipeTest, ThatComeByteByByte) {
  const std::string all = "early\n" + chunk(7, kJson, std::string("\0\0", 2)) + "late\n" +
                          chunk(7, kJson | kLast, std::string(kMostPayload, 'x'));
  for (const char byte : all) write({&byte, 1});
  EXPECT_THAT(taken(),
              ElementsAre("text 0: early\n", "text 0: late\n",
                          "json 7: " + std::string("\0\0", 2) + std::string(kMostPayload, 'x')));
}

TEST_F(LogPipeTest, WhatIsNoChunkIsText) {
  write("postgres: no such directory\n");
  write("half a ");
  EXPECT_THAT(taken(), ElementsAre("text 0: postgres: no such directory\n"));
  write("line\nrest");
  EXPECT_THAT(taken(), ElementsAre("text 0: half a line\n"));
  write(chunk(7, kJson | kLast, "{}"));
  EXPECT_THAT(taken(), ElementsAre("text 0: rest", "json 7: {}"));
}

TEST_F(LogPipeTest, HeadersThatAreWrong) {
  std::string long_one = chunk(7, kJson | kLast, "{}");
  const uint16_t length = kMostPayload + 1;
  std::memcpy(long_one.data() + 2, &length, sizeof length);
  for (const std::string& bad :
       {chunk(0, kJson | kLast, "{}"), chunk(7, kJson | kLast, ""), chunk(7, kLast, "{}"),
        chunk(7, kJson | kText | kLast, "{}"), chunk(7, 0x20 | kLast, "a,b"),
        chunk(7, kJson | 0x80, "{}"), long_one, std::string(100, '\0')}) {
    write(bad + "\n");
    // The next one is found. Until it comes, the end of the text may be the begin of a header.
    write(chunk(7, kJson | kLast, "{}"));
    std::vector<std::string> got = taken();
    ASSERT_FALSE(got.empty());
    EXPECT_EQ(got.back(), "json 7: {}");
    got.pop_back();
    std::string text;
    for (const std::string& record : got) {
      EXPECT_TRUE(record.starts_with("text 0: ")) << record;
      text += record.substr(8);
    }
    EXPECT_EQ(text, bad + "\n");
  }
}

TEST_F(LogPipeTest, ARecordWithoutAnEnd) {
  const std::string piece = chunk(7, kJson, std::string(kMostPayload, 'x'));
  for (size_t size = 0; size <= LogPipe::kMostBytes; size += kMostPayload) write(piece);
  EXPECT_THAT(taken(), ElementsAre("lost 7: "));
  for (int i = 0; i < 1000; ++i) write(piece);
  EXPECT_THAT(taken(), IsEmpty());
  // Others have room meanwhile.
  write(chunk(8, kJson, std::string(kMostPayload, 'y')));
  write(chunk(8, kJson | kLast, "z"));
  EXPECT_THAT(taken(), ElementsAre("json 8: " + std::string(kMostPayload, 'y') + "z"));
  write(chunk(7, kJson | kLast, "end"));
  EXPECT_THAT(taken(), IsEmpty());
  write(chunk(7, kJson | kLast, "{}"));
  EXPECT_THAT(taken(), ElementsAre("json 7: {}"));
}

TEST_F(LogPipeTest, WritersWithoutAnEnd) {
  constexpr int kMany = 10 * LogPipe::kMostWriters;
  for (int pid = 1; pid <= kMany; ++pid) write(chunk(pid, kJson, "x"));
  // Those that began first.
  EXPECT_THAT(records, SizeIs(kMany - LogPipe::kMostWriters));
  EXPECT_EQ(taken().front(), "lost 1: ");
  write(chunk(kMany, kJson | kLast, "y"));
  EXPECT_THAT(taken(), ElementsAre("json " + std::to_string(kMany) + ": xy"));
  pipe.reset();
  EXPECT_THAT(records, SizeIs(LogPipe::kMostWriters - 1));
}

TEST_F(LogPipeTest, AWriterThatBeginsAnew) {
  write(chunk(7, kJson, "{\"a\":"));
  write(chunk(7, kText | kLast, "FATAL\n"));
  EXPECT_THAT(taken(), ElementsAre("lost 7: ", "text 7: FATAL\n"));
}

TEST_F(LogPipeTest, ALineWithoutAnEnd) {
  write(std::string(LogPipe::kLongestText + 5, 'x'));
  EXPECT_THAT(taken(), ElementsAre("text 0: " + std::string(LogPipe::kLongestText, 'x')));
  write("\n");
  EXPECT_THAT(taken(), ElementsAre("text 0: xxxxx\n"));
}

TEST_F(LogPipeTest, GivesWhatIsLeft) {
  write(chunk(7, kJson, "{"));
  write(std::string("text") + std::string("\0\0\x05", 3));
  EXPECT_THAT(taken(), IsEmpty());
  pipe.reset();
  EXPECT_THAT(taken(), ElementsAre("text 0: text" + std::string("\0\0\x05", 3), "lost 7: "));
}

}  // namespace
}  // namespace pglite::postgres
