#include "wire/hex_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pglite::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using namespace std::string_literals;

std::vector<std::string> dump(std::string_view bytes, size_t limit) {
  std::vector<std::string> lines;
  hex_dump(bytes, limit, [&](std::string_view line) { lines.emplace_back(line); });
  return lines;
}

TEST(HexDump, ShowsOffsetHexAndText) {
  EXPECT_THAT(dump("Q\0\0\0\x0dSELECT 1\0"s, 100),
              ElementsAre("00000000  51 00 00 00 0d 53 45 4c  45 43 54 20 31 00        "
                          "|Q....SELECT 1.|"));
  EXPECT_THAT(dump("0123456789abcdef\xff"s, 100),
              ElementsAre("00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  "
                          "|0123456789abcdef|",
                          "00000010  ff                                                |.|"));
  EXPECT_THAT(dump("", 100), IsEmpty());
}

TEST(HexDump, IsBounded) {
  EXPECT_THAT(dump(std::string(1000, 'x'), 2),
              ElementsAre("00000000  78 78                                             |xx|",
                          "... 998 more bytes"));
}

}  // namespace
}  // namespace pglite::wire
