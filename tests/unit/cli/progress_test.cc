#include "cli/progress.h"

#include <gtest/gtest.h>

#include <csignal>
#include <thread>

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

TEST(Waiting, ShowsHowLongItTakes) {
  const MemoryFile terminal;
  Waiting waiting(terminal.fd(), 1ms);
  const auto is_there = [&](std::string_view text) {
    while (terminal.content().find(text) == std::string::npos) std::this_thread::sleep_for(1ms);
  };
  const Status status = waiting.during("opening x", [&] {
    is_there("\r\x1b[Kopening x: 2 s");
    waiting.clear();
    is_there("s\r\x1b[K\r\x1b[Kopening x: ");
    return Status::in_use("x");
  });
  EXPECT_EQ(status.message(), "x");
  EXPECT_TRUE(terminal.content().starts_with("\r\x1b[Kopening x: 1 s"));
  EXPECT_TRUE(terminal.content().ends_with(" s\r\x1b[K"));
  EXPECT_TRUE(waiting.during("again", [&] { return Status(); }).ok());
}

TEST(Waiting, WhoWorksKeepsItsSignals) {
  Waiting waiting(MemoryFile().fd(), 1h);
  sigset_t mask;
  EXPECT_TRUE(waiting
                  .during("x",
                          [&] {
                            pthread_sigmask(SIG_SETMASK, nullptr, &mask);
                            return Status();
                          })
                  .ok());
  EXPECT_EQ(sigismember(&mask, SIGTERM), 0);
}

TEST(Waiting, NothingWhereNobodyLooks) {
  Waiting waiting(-1, 0ms);
  EXPECT_EQ(waiting.during("x", [] { return Status::in_use("y"); }).message(), "y");
  waiting.clear();
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
