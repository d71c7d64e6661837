// The guest is asked for all large blocks that its heap has, which may not grow meanwhile: what
// malloc() gives holds nothing, so its pages can be replaced by fresh ones, and then it is freed.
// That needs to know nothing of how the heap is kept.
#include "postgres/guest/free_memory.h"

#include <array>
#include <span>

#include "postgres/guest/layout.h"

namespace pglite::postgres {

namespace {

constexpr uint64_t kAddressable = uint64_t{1} << 32;
constexpr uint32_t kLargest = uint32_t{1} << 30;
constexpr uint32_t kSmallest = uint32_t{1} << 20;

struct Block {
  uint32_t address;
  uint32_t size;
};

}  // namespace

FreeMemory::FreeMemory(emscripten::Process& process)
    : process_(process), usual_(process.linear_memory()->size) {}

bool FreeMemory::may_be_large() const {
  return process_.linear_memory()->size >= usual_ + kWorthIt;
}

void FreeMemory::give_back() {
  const auto allocate = find_symbol(process_, symbols::kMalloc);
  const auto release = find_symbol(process_, symbols::kFree);
  if (!allocate || !release) return;
  // All that there can be in 4 GiB, as nothing that has to be destroyed may be here across a call.
  std::array<Block, kAddressable / kSmallest> blocks;
  size_t count = 0;
  process_.memory_may_grow = false;
  for (uint32_t size = kLargest; size >= kSmallest && count < blocks.size();) {
    const uint32_t address = allocate(size);
    if (address == 0) {
      size /= 2;
      continue;
    }
    blocks[count++] = {.address = address, .size = size};
  }
  process_.memory_may_grow = true;
  for (const Block& block : std::span(blocks).first(count)) {
    if (process_.memory().bytes(block.address, block.size)) {
      process_.memory_owner().clear(block.address, block.size);
    }
    release(block.address);
  }
}

}  // namespace pglite::postgres
