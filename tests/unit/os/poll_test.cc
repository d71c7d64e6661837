#include "os/poll.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "os/pipe.h"

namespace pglite::os {
namespace {

using namespace std::literals;

TEST(Poll, WaitsNoShorterThanIsSaid) {
  const auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  std::array<pollfd, 1> polled{{{pipe->reader.get(), POLLIN, 0}}};
  for (const auto time : {std::chrono::nanoseconds(1), std::chrono::nanoseconds(1'500'000)}) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(poll_for(polled, time), 0);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, time);
  }
  EXPECT_EQ(poll_for(polled, 0ns), 0);
  EXPECT_EQ(poll_for(polled, -1h), 0);
}

TEST(Poll, TellsWhatIsReadyHoweverLongItMayTake) {
  const auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  ASSERT_EQ(::write(pipe->writer.get(), "x", 1), 1);
  std::array<pollfd, 1> polled{{{pipe->reader.get(), POLLIN, 0}}};
  for (const auto& time : {std::optional<std::chrono::nanoseconds>(), {0ns}, {24h * 365 * 100}}) {
    polled[0].revents = 0;
    EXPECT_EQ(poll_for(polled, time), 1);
    EXPECT_EQ(polled[0].revents, POLLIN);
  }
}

}  // namespace
}  // namespace pglite::os
