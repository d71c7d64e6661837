#include <cstring>

#include "os/wipe.h"

namespace pglite::os {

void wipe(void* start, size_t size) {
  std::memset(start, 0, size);
  // It might read the bytes.
  asm volatile("" : : "r"(start) : "memory");
}

}  // namespace pglite::os
