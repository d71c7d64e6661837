#include "wire/frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "wire/byte_order.h"
#include "wire/frontend_message.h"

namespace pglite::wire {
namespace {

using ::testing::HasSubstr;
using Result = Split::Result;
using namespace std::string_literals;

std::string header(char type, uint32_t length) {
  std::string out(1, type);
  append_u32(out, length);
  return out;
}

TEST(SplitPacket, FindsEachMessageOfAStream) {
  const std::string stream = query("select 1") + sync() + terminate();
  Split split = split_packet(stream, 0);
  ASSERT_EQ(split.result, Result::kPacket);
  EXPECT_EQ(split.packet.kind, PacketKind::kMessage);
  EXPECT_EQ(split.packet.type, 'Q');
  EXPECT_EQ(split.packet.bytes, query("select 1"));
  split = split_packet(std::string_view(stream).substr(split.packet.bytes.size()), 14);
  ASSERT_EQ(split.result, Result::kPacket);
  EXPECT_EQ(split.packet.bytes, sync());
}

TEST(SplitPacket, SaysHowManyBytesItNeeds) {
  const std::string whole = query("select 1");
  EXPECT_EQ(split_packet({}, 0).result, Result::kNeedMore);
  for (size_t size = 0; size < whole.size(); ++size) {
    const Split split = split_packet(std::string_view(whole).substr(0, size), 0);
    ASSERT_EQ(split.result, Result::kNeedMore) << size;
    EXPECT_GT(split.needed, size);
    EXPECT_LE(split.needed, whole.size());
    if (size >= 5) {
      EXPECT_EQ(split.needed, whole.size());
    }
  }
}

TEST(SplitPacket, KnowsUntypedPackets) {
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  EXPECT_EQ(split_packet(startup_packet(user), 0).packet.kind, PacketKind::kStartup);
  EXPECT_EQ(split_packet(ssl_request(), 0).packet.kind, PacketKind::kSslRequest);
  EXPECT_EQ(split_packet(gssenc_request(), 0).packet.kind, PacketKind::kGssEncRequest);
  EXPECT_EQ(split_packet(cancel_request(1, 2), 0).packet.kind, PacketKind::kCancelRequest);
  const std::string startup = startup_packet(user);
  for (size_t size = 0; size < startup.size(); ++size) {
    EXPECT_EQ(split_packet(std::string_view(startup).substr(0, size), 0).result, Result::kNeedMore);
  }
}

TEST(SplitPacket, RefusesUnknownTypes) {
  Split split = split_packet("\x01garbage", 17);
  ASSERT_EQ(split.result, Result::kError);
  EXPECT_EQ(split.error, "unknown message type 0x01 at offset 17");
  split = split_packet("T", 0);
  ASSERT_EQ(split.result, Result::kError);
  EXPECT_EQ(split.error, "unknown message type 'T' at offset 0");
  EXPECT_EQ(split_packet("\xff", 0).error, "unknown message type 0xff at offset 0");
}

TEST(SplitPacket, RefusesLengthsThatPostgresWouldNotSurvive) {
  Split split = split_packet(header('Q', 3), 40);
  ASSERT_EQ(split.result, Result::kError);
  EXPECT_EQ(split.error, "message 'Q' at offset 40 has length 3, which is not in 4 to 1073741822");
  EXPECT_EQ(split_packet(header('Q', 0), 0).result, Result::kError);
  EXPECT_EQ(split_packet(header('Q', 0xffffffff), 0).result, Result::kError);
  EXPECT_EQ(split_packet(header('Q', kLargeMessageLimit), 0).result, Result::kNeedMore);
  EXPECT_EQ(split_packet(header('Q', kLargeMessageLimit + 1), 0).result, Result::kError);
  EXPECT_EQ(split_packet(header('S', kSmallMessageLimit), 0).result, Result::kNeedMore);
  EXPECT_EQ(split_packet(header('S', kSmallMessageLimit + 1), 0).result, Result::kError);
}

TEST(SplitPacket, RefusesBadStartupPackets) {
  EXPECT_THAT(split_packet("\0\0\0\7"s, 0).error, HasSubstr("length 7"));
  EXPECT_THAT(split_packet("\0\0\x27\x11"s, 0).error, HasSubstr("length 10001"));
  EXPECT_THAT(split_packet("\0\0\0\x08\0\2\0\0"s, 3).error,
              HasSubstr("at offset 3 asks for protocol 2.0, which is not 3"));
}

TEST(SplitFrame, WantsWholeMessagesAndNothingElse) {
  std::vector<FrontendPacket> packets;
  EXPECT_EQ(split_frame("", &packets), "");
  EXPECT_TRUE(packets.empty());

  const std::string frame = parse("", "select 1") + sync();
  EXPECT_EQ(split_frame(frame, &packets), "");
  ASSERT_EQ(packets.size(), 2U);
  EXPECT_EQ(packets[0].type, 'P');
  EXPECT_EQ(packets[1].type, 'S');

  const std::string cut = sync() + query("select 1").substr(0, 9);
  EXPECT_EQ(split_frame(cut, &packets),
            "message 'Q' at offset 5 needs 14 bytes, but its frame has only 9 more");
  EXPECT_THAT(split_frame(sync() + "\n", &packets), HasSubstr("unknown message type 0x0a"));
  EXPECT_EQ(split_frame("\0\0"s, &packets),
            "startup packet at offset 0 needs 4 bytes, but its frame has only 2 more");
}

TEST(FrontendMessage, Encodes) {
  EXPECT_EQ(query("SELECT 1"), "Q\0\0\0\x0dSELECT 1\0"s);
  EXPECT_EQ(sync(), "S\0\0\0\4"s);
  EXPECT_EQ(execute("p", 7), "E\0\0\0\x0ap\0\0\0\0\7"s);
  EXPECT_EQ(describe('S', "s"), "D\0\0\0\7Ss\0"s);
  const uint32_t oids[] = {23};
  EXPECT_EQ(parse("s", "x", oids), "P\0\0\0\x0es\0x\0\0\1\0\0\0\x17"s);
  const Parameter parameters[] = {{"ab", false}, {std::nullopt, false}, {"\1", true}};
  EXPECT_EQ(bind("", "s", parameters, true),
            "B\0\0\0\x24\0s\0\0\3\0\0\0\0\0\1\0\3\0\0\0\2ab\xff\xff\xff\xff\0\0\0\1\1\0\1\0\1"s);
  EXPECT_EQ(copy_fail("no"), "f\0\0\0\7no\0"s);
  EXPECT_EQ(ssl_request(), "\0\0\0\x08\x04\xd2\x16\x2f"s);
}

}  // namespace
}  // namespace pglite::wire
