#include "os/random.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>
#include <vector>

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

// From here on, this process cannot get random bytes any more.
void forbid_getrandom(int error) {
  std::array<sock_filter, 4> program = {
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getrandom},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog filter = {.len = program.size(), .filter = program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    std::exit(100);
  }
}

// Exits with the error that filling gives where the system answers with `answer`.
[[noreturn]] void fill_without_getrandom(int answer) {
  ::alarm(10);
  forbid_getrandom(answer);
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
