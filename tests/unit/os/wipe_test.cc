#include "os/wipe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace pglite::os {
namespace {

TEST(Wipe, LeavesZerosAndWhatIsBeside) {
  std::array<char, 8> bytes{};
  bytes.fill('x');
  wipe(bytes.data() + 1, 6);
  EXPECT_EQ(bytes.front(), 'x');
  EXPECT_EQ(bytes.back(), 'x');
  EXPECT_EQ(std::ranges::count(bytes, '\0'), 6);
  wipe(bytes.data(), 0);
  EXPECT_EQ(bytes.front(), 'x');
}

}  // namespace
}  // namespace pglite::os
