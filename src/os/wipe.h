// Secrets that are not to stay in memory.
#ifndef PGLITE_OS_WIPE_H_
#define PGLITE_OS_WIPE_H_

#include <cstddef>

namespace pglite::os {

// Writes zeros over `size` bytes, also where the compiler sees that nobody reads them afterwards.
void wipe(void* start, size_t size);

}  // namespace pglite::os

#endif  // PGLITE_OS_WIPE_H_
