#include "client/message_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "wire/byte_order.h"
#include "wire/frontend.h"
#include "wire/message.h"

namespace pglite::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string header(char type, uint32_t length) {
  std::string bytes(1, type);
  wire::append_u32(bytes, length);
  return bytes;
}

// What a new scanner says of a header.
std::string judged(bool in_session, char type, uint32_t length) {
  MessageScanner scanner;
  if (in_session) scanner.session_begins();
  return scanner.scan(header(type, length), [](const MessageScanner::Message&) {});
}

TEST(MessageScanner, FindsMessagesInPieces) {
  const std::string bytes = wire::message('S', std::string("a\0b\0", 4)) +
                            wire::message('D', "data") + wire::message('1', "") +
                            wire::message('Z', "I");
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    MessageScanner scanner;
    scanner.session_begins();
    std::vector<std::string> found;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_EQ(scanner.scan(std::string_view(bytes).substr(at, piece),
                             [&](const MessageScanner::Message& message) {
                               found.push_back(message.type + std::string(message.body));
                             }),
                "");
    }
    EXPECT_TRUE(scanner.at_boundary());
    EXPECT_THAT(found, ElementsAre(std::string("Sa\0b\0", 5), "D", "1", "ZI"));
  }
}

TEST(MessageScanner, LengthsBeforeASession) {
  EXPECT_EQ(judged(false, 'R', 2000), "");
  EXPECT_THAT(judged(false, 'R', 2001), HasSubstr("'R' with the length 2001"));
  EXPECT_EQ(judged(false, 'E', 30000), "");
  EXPECT_NE(judged(false, 'E', 30001), "");
  EXPECT_NE(judged(false, 'E', 0xffffffff), "");
  for (uint32_t length : {0, 1, 3}) EXPECT_NE(judged(false, 'Z', length), "");
}

TEST(MessageScanner, LengthsInASession) {
  EXPECT_EQ(judged(true, 'D', wire::kLargeMessageLimit), "");
  for (uint32_t length : {wire::kLargeMessageLimit + 1, 0x7fffffffU, 0xffffffffU, 3U}) {
    EXPECT_NE(judged(true, 'D', length), "") << length;
  }
  EXPECT_EQ(judged(true, 'Z', 30000), "");
  EXPECT_NE(judged(true, 'Z', 30001), "");
}

TEST(MessageScanner, TypesThatDoNotBelongThere) {
  for (const char type : {'D', 'T', 'H', '\0', '\n', 'v'})
    EXPECT_NE(judged(false, type, 8), "") << type;
  for (const char type : {'R', 'K', 'W', 'Q', '\0', 'h'})
    EXPECT_NE(judged(true, type, 8), "") << type;
  MessageScanner scanner;
  EXPECT_THAT(scanner.scan("HTTP/1.1 400", [](const auto&) { FAIL(); }),
              HasSubstr("type 'H', which nothing asked for"));
}

TEST(MessageScanner, AnEndlessReportIsNotKept) {
  MessageScanner scanner;
  scanner.session_begins();
  size_t kept = 0;
  EXPECT_EQ(
      scanner.scan(header('N', 4 + 1'000'000) + std::string(1'000'000, 'x'),
                   [&](const MessageScanner::Message& message) { kept = message.body.size(); }),
      "");
  EXPECT_EQ(kept, kPlainMessageLimit);
}

}  // namespace
}  // namespace pglite::client
