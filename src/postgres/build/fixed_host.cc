// Linked into the programs that make images in place of what the os floor says of time and chance:
// an image is the same bytes whoever makes it, when, and where. What an instance needs of its own
// it gets when it starts (docs/startup.md), from the system: the program has none of this.
#include <atomic>
#include <mutex>
#include <random>

#include "os/clock.h"
#include "os/random.h"

namespace pglite::os {
namespace {

timespec after(time_t seconds, long microseconds) {
  return {.tv_sec = seconds + microseconds / 1'000'000, .tv_nsec = microseconds % 1'000'000 * 1000};
}

}  // namespace

// From 2026-01-01 00:00 UTC on, a time that has been. Each look at the clock is a microsecond after
// the one before, so that a moment which snapshots change, such as PostgreSQL's start, can be told
// from all others.
timespec wall_clock() {
  static std::atomic<long> looks;
  return after(1'767'225'600, looks++);
}

timespec monotonic_clock() {
  static std::atomic<long> looks;
  return after(1, looks++);
}

Result<void> fill_random(std::span<std::byte> bytes) {
  static std::mutex mutex;
  // The same numbers each time: NOLINTNEXTLINE(bugprone-random-generator-seed,cert-msc*)
  static std::mt19937 generator;
  const std::lock_guard lock(mutex);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator() & 0xff);
  return {};
}

}  // namespace pglite::os
