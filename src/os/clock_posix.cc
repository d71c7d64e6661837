#include "os/clock.h"

namespace pglite::os {
namespace {

timespec now(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return time;
}

}  // namespace

timespec wall_clock() {
  return now(CLOCK_REALTIME);
}

timespec monotonic_clock() {
  return now(CLOCK_MONOTONIC);
}

}  // namespace pglite::os
