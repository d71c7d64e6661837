#include "wire/startup_packet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <span>

#include "wire/byte_order.h"
#include "wire/frontend_message.h"

namespace pglite::wire {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::string_literals;

// A packet with the right length around this version and content.
std::string packet(uint32_t version, std::string_view content) {
  std::string out;
  append_u32(out, static_cast<uint32_t>(8 + content.size()));
  append_u32(out, version);
  return out.append(content);
}

std::string packet(std::string_view content) {
  return packet(protocol_version(3, 0), content);
}

// In memory of exactly its size, so that AddressSanitizer sees a read behind the end.
std::string error_of(std::string_view bytes) {
  const auto copy = std::make_unique<char[]>(bytes.size());
  bytes.copy(copy.get(), bytes.size());
  StartupPacket startup;
  return parse_startup_packet({copy.get(), bytes.size()}, &startup);
}

TEST(StartupPacket, GivesVersionAndParameters) {
  const std::pair<std::string_view, std::string_view> sent[] = {
      {"user", "postgres"}, {"database", "other"}, {"options", ""}};
  const std::string bytes = startup_packet(sent);
  StartupPacket startup;
  ASSERT_EQ(parse_startup_packet(bytes, &startup), "");
  EXPECT_EQ(startup.minor, 0);
  ASSERT_EQ(startup.parameters.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(startup.parameters[i].name, sent[i].first);
    EXPECT_EQ(startup.parameters[i].value, sent[i].second);
    EXPECT_GT(startup.parameters[i].name.data(), bytes.data());
    EXPECT_LT(startup.parameters[i].name.data(), bytes.data() + bytes.size()) << "a view";
  }
  EXPECT_EQ(startup.value("user"), "postgres");
  EXPECT_EQ(startup.value("options"), "");
  EXPECT_EQ(startup.value("replication"), std::nullopt);
}

TEST(StartupPacket, MayHoldNothing) {
  StartupPacket startup;
  startup.parameters.resize(3);
  ASSERT_EQ(parse_startup_packet(packet("\0"s), &startup), "");
  EXPECT_THAT(startup.parameters, IsEmpty()) << "what an earlier packet left is gone";
  EXPECT_EQ(startup.value("user"), std::nullopt) << "a default is the caller's";
}

TEST(StartupPacket, OfARepeatedNameTheLastCounts) {
  StartupPacket startup;
  const std::string bytes = packet("user\0one\0database\0d\0user\0two\0\0"s);
  ASSERT_EQ(parse_startup_packet(bytes, &startup), "");
  EXPECT_EQ(startup.parameters.size(), 3U);
  EXPECT_EQ(startup.value("user"), "two");
}

TEST(StartupPacket, AMinorVersionIsTheServersToNegotiate) {
  for (const uint16_t minor : std::initializer_list<uint16_t>{0, 1, 2, 3, 9999, 65535}) {
    StartupPacket startup;
    const std::string bytes = packet(protocol_version(3, minor), "_pq_.new\0on\0\0"s);
    ASSERT_EQ(parse_startup_packet(bytes, &startup), "");
    EXPECT_EQ(startup.minor, minor);
    EXPECT_TRUE(startup.parameters[0].name.starts_with(kProtocolOptionPrefix));
  }
}

TEST(StartupPacket, RefusesOtherVersions) {
  EXPECT_EQ(error_of(packet(protocol_version(2, 0), "\0"s)),
            "the startup packet asks for protocol 2.0, which is not 3");
  EXPECT_EQ(error_of(packet(protocol_version(4, 1), "\0"s)),
            "the startup packet asks for protocol 4.1, which is not 3");
  EXPECT_THAT(error_of(ssl_request()), HasSubstr("1234.5679"));
  EXPECT_THAT(error_of(gssenc_request()), HasSubstr("1234.5680"));
  EXPECT_THAT(error_of(cancel_request(1, 2)), HasSubstr("1234.5678"));
}

TEST(StartupPacket, RefusesAWrongLayout) {
  EXPECT_EQ(error_of(packet("")), "the startup packet lacks the NUL that ends it");
  EXPECT_EQ(error_of(packet("user\0x\0"s)), "the startup packet lacks the NUL that ends it");
  EXPECT_EQ(error_of(packet("user")), "the startup packet ends inside a parameter's name");
  EXPECT_EQ(error_of(packet("user\0x\0data"s)),
            "the startup packet ends inside a parameter's name");
  EXPECT_EQ(error_of(packet("user\0"s)), "the startup packet's parameter \"user\" has no value");
  EXPECT_EQ(error_of(packet("user\0x\0database\0"s)),
            "the startup packet's parameter \"database\" has no value")
      << "an odd count";
  EXPECT_EQ(error_of(packet("user\0post"s)),
            "the startup packet ends inside the value of \"user\"");
  EXPECT_EQ(error_of(packet("user\0x\0\0more"s)),
            "the startup packet has 4 bytes behind the NUL that ends it");
  EXPECT_EQ(error_of(packet("\0\0"s)), "the startup packet has 1 bytes behind the NUL that ends it")
      << "a name is never empty";
}

TEST(StartupPacket, CutAnywhereIsRefused) {
  const std::string content = "user\0postgres\0database\0\0application_name\0psql\0\0"s;
  const std::string whole = packet(content);
  ASSERT_EQ(error_of(whole), "");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(error_of(whole.substr(0, size)), "") << "cut, with the length of the whole: " << size;
  }
  for (size_t size = 0; size < content.size(); ++size) {
    const std::string error = error_of(packet(content.substr(0, size)));
    // Only the empty value can be taken for the end of the packet, if it is cut off there.
    const bool is_whole = content.substr(0, size) == "user\0postgres\0\0"s;
    EXPECT_EQ(error.empty(), is_whole) << "cut, with a length that fits: " << size;
  }
}

TEST(StartupPacket, AWrongLengthIsRefused) {
  std::string bytes = packet("user\0postgres\0\0"s);
  const auto right = static_cast<uint32_t>(bytes.size());
  for (const uint32_t length : {0U, 4U, 7U, 8U, right - 1, right + 1, kStartupPacketLimit,
                                kStartupPacketLimit + 1, 0x7fffffffU, 0xffffffffU}) {
    store_u32(bytes.data(), length);
    EXPECT_THAT(error_of(bytes), HasSubstr("has length " + std::to_string(length) + ", but 23"));
  }
  const auto of_size = [](size_t size) {
    return packet("u\0"s + std::string(size - 12, 'x') + "\0\0"s);
  };
  EXPECT_EQ(error_of(of_size(kStartupPacketLimit)), "");
  EXPECT_EQ(error_of(of_size(kStartupPacketLimit + 1)),
            "the startup packet has length 10001, which is more than 10000");
}

TEST(StartupPacket, EachByteMayBeAnything) {
  const std::string whole = packet("user\0postgres\0database\0d\0\0"s);
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(value);
      StartupPacket startup;
      if (!parse_startup_packet(bytes, &startup).empty()) continue;
      // What is accepted is what was sent: built anew it gives the same bytes.
      std::string content;
      for (const auto& [name, text] : startup.parameters) {
        EXPECT_FALSE(name.empty());
        append_string(content, name);
        append_string(content, text);
      }
      EXPECT_EQ(packet(protocol_version(3, startup.minor), content + '\0'), bytes);
    }
  }
}

TEST(CancelRequest, HasAKeyOfOneTo256Bytes) {
  EXPECT_TRUE(is_cancel_request(cancel_request(1, 2)));
  const auto with_key = [](size_t size) {
    return packet(kCancelRequestCode, "\0\0\0\1"s + std::string(size, 'k'));
  };
  EXPECT_FALSE(is_cancel_request(with_key(0)));
  EXPECT_TRUE(is_cancel_request(with_key(1)));
  EXPECT_TRUE(is_cancel_request(with_key(32))) << "protocol 3.2";
  EXPECT_TRUE(is_cancel_request(with_key(256)));
  EXPECT_FALSE(is_cancel_request(with_key(257)));
  const std::string whole = cancel_request(1, 2);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(is_cancel_request(whole.substr(0, size)));
  }
  EXPECT_FALSE(is_cancel_request(whole + "x"));
  EXPECT_FALSE(is_cancel_request(packet(kSslRequestCode, "12345678")));
}

}  // namespace
}  // namespace pglite::wire
