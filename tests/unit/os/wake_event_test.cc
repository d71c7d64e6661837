#include "os/wake_event.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>
#include <thread>

namespace pglite::os {
namespace {

bool is_readable(const WakeEvent& event, int timeout_ms = 0) {
  pollfd entry = {.fd = event.descriptor(), .events = POLLIN, .revents = 0};
  return poll(&entry, 1, timeout_ms) == 1;
}

TEST(WakeEvent, IsReadableFromSetToClear) {
  const auto event = WakeEvent::make();
  ASSERT_TRUE(event);
  EXPECT_FALSE(is_readable(*event));
  event->set();
  EXPECT_TRUE(is_readable(*event));
  EXPECT_TRUE(is_readable(*event));
  event->clear();
  EXPECT_FALSE(is_readable(*event));
}

TEST(WakeEvent, MayBeSetMoreOftenThanAnyoneLooks) {
  const auto event = WakeEvent::make();
  ASSERT_TRUE(event);
  // More than a pipe holds.
  for (int i = 0; i < 200'000; ++i) event->set();
  EXPECT_TRUE(is_readable(*event));
  event->clear();
  EXPECT_FALSE(is_readable(*event));
}

TEST(WakeEvent, LeavesErrnoAsItWas) {
  const auto event = WakeEvent::make();
  ASSERT_TRUE(event);
  for (int i = 0; i < 100'000; ++i) event->set();
  errno = ENOENT;
  event->set();
  EXPECT_EQ(errno, ENOENT);
}

TEST(WakeEvent, WakesAnotherThread) {
  const auto event = WakeEvent::make();
  ASSERT_TRUE(event);
  std::thread setter([&] { event->set(); });
  EXPECT_TRUE(is_readable(*event, 10'000));
  setter.join();
}

}  // namespace
}  // namespace pglite::os
