#include "allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> live = 0;

}  // namespace

namespace pglite::emscripten {

int64_t live_allocations() {
  return live;
}

}  // namespace pglite::emscripten

// The other forms of new and delete call these. Those with an alignment are not counted.
void* operator new(size_t size) {
  void* block = std::malloc(size == 0 ? 1 : size);
  if (block == nullptr) throw std::bad_alloc();
  ++live;
  return block;
}
void operator delete(void* block) noexcept {
  if (block != nullptr) --live;
  std::free(block);
}
void operator delete(void* block, size_t) noexcept {
  operator delete(block);
}
