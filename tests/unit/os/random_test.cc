#include "os/random.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "failing_call.h"

namespace pglite::os {
namespace {

TEST(FillRandom, FillsAll) {
  // More than the system gives at once to a caller that is interrupted by signals.
  std::vector<std::byte> bytes(100'000);
  ASSERT_TRUE(fill_random(bytes).has_value());
  // With all bytes random, 64 zeros in a row are not to be seen.
  const std::vector<std::byte> zeros(64);
  EXPECT_EQ(std::ranges::search(bytes, zeros).begin(), bytes.end());

  std::vector<std::byte> others(bytes.size());
  ASSERT_TRUE(fill_random(others).has_value());
  EXPECT_NE(bytes, others);
}

TEST(FillRandom, NothingIsFilledAtOnce) {
  EXPECT_TRUE(fill_random({}).has_value());
}

// Exits with the error that filling gives where the system answers with `answer`.
[[noreturn]] void fill_without_getrandom(int answer) {
  ::alarm(10);
  make_call_fail(SYS_getrandom, answer);
  std::array<std::byte, 16> bytes{};
  const auto filled = fill_random(bytes);
  std::exit(filled ? 101 : static_cast<int>(filled.error()));
}

TEST(FillRandom, SaysWhatTheSystemSaid) {
  for (const int answer : {ENOSYS, EPERM}) {
    EXPECT_EXIT(fill_without_getrandom(answer), testing::ExitedWithCode(answer), "");
  }
}

TEST(FillRandom, AnAnswerOfNothingIsAnError) {
  EXPECT_EXIT(fill_without_getrandom(0), testing::ExitedWithCode(EIO), "");
}

}  // namespace
}  // namespace pglite::os
