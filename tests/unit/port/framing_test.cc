#include "port/framing.h"

#include <gtest/gtest.h>

#include <string>

#include "wire/byte_order.h"
#include "wire/frontend_message.h"

namespace pglite::port {

void PrintTo(Detection detection, std::ostream* out) {
  constexpr const char* kNames[] = {"kNeedMore", "kPacket4", "kRaw", "kLine", "kUnknown"};
  *out << kNames[static_cast<int>(detection)];
}

namespace {

using namespace std::literals;

std::string framed(std::string_view content) {
  std::string out;
  wire::append_u32(out, static_cast<uint32_t>(content.size()));
  return out.append(content);
}

// What is decided as the bytes come one by one, each prefix once.
Detection decide(std::string_view input) {
  for (size_t size = 0; size <= input.size(); ++size) {
    const Detection detection = detect_framing(input.substr(0, size), false);
    if (detection != Detection::kNeedMore) return detection;
  }
  return detect_framing(input, true);
}

TEST(DetectFraming, Packet4) {
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  EXPECT_EQ(decide(framed(wire::query("select 1"))), Detection::kPacket4);
  EXPECT_EQ(decide(framed(wire::parse("", "x") + wire::sync())), Detection::kPacket4);
  EXPECT_EQ(decide(framed(wire::startup_packet(user))), Detection::kPacket4);
  EXPECT_EQ(decide(framed(wire::ssl_request())), Detection::kPacket4);
  EXPECT_EQ(decide(framed(wire::cancel_request(1, 2))), Detection::kPacket4);
  EXPECT_EQ(decide(framed("")), Detection::kPacket4);
  EXPECT_EQ(decide(framed("?what")), Detection::kPacket4)
      << "the frame is good, its content is not";
  EXPECT_EQ(decide("\x02\xfa\xf0\x80Q"sv), Detection::kPacket4) << "50 MB";
  EXPECT_EQ(decide("\x80\0\0\0Q"sv), Detection::kPacket4) << "2 GiB: refused there, by its length";
}

TEST(DetectFraming, Raw) {
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  EXPECT_EQ(decide("Q\0\0\0\x0dSELECT 1\0"sv), Detection::kRaw);
  EXPECT_EQ(decide("Q\0\0\0\x0dSELECT 1\0\n"sv), Detection::kRaw);
  EXPECT_EQ(decide(wire::sync()), Detection::kRaw);
  EXPECT_EQ(decide(wire::startup_packet(user)), Detection::kRaw);
  EXPECT_EQ(decide(wire::ssl_request()), Detection::kRaw);
  EXPECT_EQ(decide(wire::gssenc_request()), Detection::kRaw);
  EXPECT_EQ(decide(wire::cancel_request(1, 2)), Detection::kRaw);
  EXPECT_EQ(decide("\0\0\0\x08\0\2\0\0"sv), Detection::kRaw) << "protocol 2: refused there";
  EXPECT_EQ(decide("Q\xff\xff\xff\xff"sv), Detection::kRaw) << "a length that lies: refused there";
  EXPECT_EQ(decide("Q\2\xfa\xf0\x80"sv), Detection::kRaw) << "50 MB";
  EXPECT_EQ(decide("Q\0"sv), Detection::kRaw);
}

TEST(DetectFraming, Line) {
  for (std::string_view text : {"select 1\n"sv,
                                "SELECT 1"sv,
                                "Begin\n"sv,
                                "BEGIN;\n"sv,
                                "Prepare x\n"sv,
                                "Do\n"sv,
                                "d\n"sv,
                                "(select 1)\n"sv,
                                "-- x\n"sv,
                                "--\nselect 1"sv,
                                " select 1\n"sv,
                                "\n\nselect 1\n"sv,
                                "\r\nQ"sv,
                                "\tX"sv,
                                "1\n"sv,
                                ";\n"sv,
                                "Q"sv,
                                "\n"sv,
                                "B \nx"sv,
                                "  Delete"sv,
                                "@ 1"sv,
                                "\xef\xbb\xbfselect 1\n"sv,
                                "\xc3\xa4\n"sv,
                                "B\xc3\xa4\n"sv,
                                "'\xf0\x9f\x90\x98'"sv,
                                R"(Q\x00\x00\x00\x0dSELECT 1\x00)"sv}) {
    EXPECT_EQ(decide(text), Detection::kLine) << text;
  }
}

TEST(DetectFraming, Unknown) {
  EXPECT_EQ(decide("\1\2\3\4\5\6"sv), Detection::kUnknown);
  EXPECT_EQ(decide("\xff\xfe\xfd\xfc\xfb"sv), Detection::kUnknown);
  EXPECT_EQ(decide("\x7f"
                   "ELF\2"sv),
            Detection::kUnknown);
  EXPECT_EQ(decide("\0"sv), Detection::kUnknown) << "too short to tell";
  EXPECT_EQ(decide("\0\0\0\5"sv), Detection::kUnknown);
  EXPECT_EQ(decide("\xc3"sv), Detection::kUnknown);
  EXPECT_EQ(decide(""), Detection::kNeedMore);
}

TEST(DetectFraming, DoesNotWaitLongerThanNeeded) {
  // An interactive client waits for the answer to what it sent; none of these may hang.
  EXPECT_NE(detect_framing(wire::sync(), false), Detection::kNeedMore);
  EXPECT_NE(detect_framing(framed(wire::sync()), false), Detection::kNeedMore);
  EXPECT_NE(detect_framing(framed(""), false), Detection::kNeedMore);
  EXPECT_NE(detect_framing(";\n", false), Detection::kNeedMore);
  EXPECT_NE(detect_framing("1\n", false), Detection::kNeedMore);
  EXPECT_NE(detect_framing("B\n", false), Detection::kNeedMore);
}

TEST(FramingNames, GoBothWays) {
  for (Framing framing : {Framing::kAuto, Framing::kPacket4, Framing::kRaw, Framing::kLine}) {
    EXPECT_EQ(framing_named(framing_name(framing)), framing);
  }
  EXPECT_EQ(framing_named("tcp"), std::nullopt);
  EXPECT_EQ(framing_named(""), std::nullopt);
}

}  // namespace
}  // namespace pglite::port
