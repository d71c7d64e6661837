// How much of the host's memory is in use, counted at new and delete.
#ifndef PGLITE_TESTS_UNIT_EMSCRIPTEN_ALLOCATION_COUNT_H_
#define PGLITE_TESTS_UNIT_EMSCRIPTEN_ALLOCATION_COUNT_H_

#include <cstdint>

namespace pglite::emscripten {

// Blocks that were allocated with new in this program and not freed.
int64_t live_allocations();

}  // namespace pglite::emscripten

#endif  // PGLITE_TESTS_UNIT_EMSCRIPTEN_ALLOCATION_COUNT_H_
