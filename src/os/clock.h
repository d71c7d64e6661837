// What time it is.
#ifndef PGLITE_OS_CLOCK_H_
#define PGLITE_OS_CLOCK_H_

#include <ctime>

namespace pglite::os {

// Since 1970-01-01 00:00 UTC. Somebody may set it while the program runs.
timespec wall_clock();

// Since some moment before the program began; nobody sets it.
timespec monotonic_clock();

}  // namespace pglite::os

#endif  // PGLITE_OS_CLOCK_H_
