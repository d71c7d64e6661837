#include "cli/progress.h"

#include <gtest/gtest.h>

#include "scripted_instance.h"

namespace pglite::cli {
namespace {

using namespace std::chrono_literals;

TEST(Progress, ShowsALineFromTimeToTime) {
  const MemoryFile terminal;
  Progress::Clock::time_point now;
  {
    Progress progress(terminal.fd(), "dump", 0, [&] { return now; });
    now += 900ms;
    progress.update(1);
    EXPECT_EQ(terminal.content(), "");
    now += 100ms;
    progress.update(1500);
    EXPECT_EQ(terminal.content(), "\r\x1b[Kdump: 1.5 kB");
    now += 100ms;
    progress.update(2000);
    EXPECT_EQ(terminal.content(), "\r\x1b[Kdump: 1.5 kB");
    progress.clear();
    progress.clear();
    EXPECT_EQ(terminal.content(), "\r\x1b[Kdump: 1.5 kB\r\x1b[K");
    now += 100ms;
    progress.update(2'000'000);
    EXPECT_EQ(terminal.content(), "\r\x1b[Kdump: 1.5 kB\r\x1b[K\r\x1b[Kdump: 2.0 MB");
  }
  EXPECT_EQ(terminal.content(), "\r\x1b[Kdump: 1.5 kB\r\x1b[K\r\x1b[Kdump: 2.0 MB\r\x1b[K");
}

TEST(Progress, ShowsHowMuchOfWhatThereIs) {
  const MemoryFile terminal;
  Progress::Clock::time_point now;
  Progress progress(terminal.fd(), "x", 4000, [&] { return now; });
  now += 1s;
  progress.update(1000);
  EXPECT_EQ(terminal.content(), "\r\x1b[Kx: 1.0 kB of 4.0 kB, 25%");
}

TEST(Progress, NothingWhereNobodyLooks) {
  Progress::Clock::time_point now;
  Progress progress(if_terminal(MemoryFile().fd()), "x", 0, [&] { return now; });
  now += 1h;
  progress.update(1);
}

TEST(Progress, Sizes) {
  EXPECT_EQ(readable_size(0), "0 bytes");
  EXPECT_EQ(readable_size(999), "999 bytes");
  EXPECT_EQ(readable_size(1000), "1.0 kB");
  EXPECT_EQ(readable_size(999'949), "999.9 kB");
  EXPECT_EQ(readable_size(999'950), "1.0 MB");
  EXPECT_EQ(readable_size(12'345'678'901), "12.3 GB");
}

}  // namespace
}  // namespace pglite::cli
