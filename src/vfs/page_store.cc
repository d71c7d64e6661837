#include "vfs/page_store.h"

#include <bitset>
#include <new>

#include "os/virtual_memory.h"

namespace pglite::vfs {

// At the start of each block, in the place of its first page. A block begins at a multiple of its
// size, so that a page's address leads to it.
struct PageStore::Block {
  static constexpr size_t kPages = kBlockSize / kPageSize;
  // So many free pages in a block are worth a call of the system.
  static constexpr size_t kManyPages = 16;

  Block* next = nullptr;
  Block* previous = nullptr;
  size_t used = 0;
  std::bitset<kPages> free;
  std::bitset<kPages> kept;  // of the free ones

  Block() { free.set().reset(0); }  // the first is this
  [[nodiscard]] size_t first_free() const {
    size_t index = 1;
    while (!free.test(index)) ++index;
    return index;
  }
  [[nodiscard]] bool full() const { return used == kPages - 1; }
  [[nodiscard]] std::byte* page(size_t index) {
    return reinterpret_cast<std::byte*>(this) + index * kPageSize;
  }
};

void PageStore::List::add(Block* block) {
  block->previous = nullptr;
  block->next = first;
  if (first != nullptr) first->previous = block;
  first = block;
}

void PageStore::List::remove(Block* block) {
  (block->previous != nullptr ? block->previous->next : first) = block->next;
  if (block->next != nullptr) block->next->previous = block->previous;
}

PageStore::Block* PageStore::map_block() {
  static_assert(sizeof(Block) <= kPageSize);
  // Twice as much, of which the part that is aligned stays.
  const auto allocated = os::allocate_pages(2 * kBlockSize);
  if (!allocated) return nullptr;
  std::byte* const bytes = *allocated;
  const size_t beyond = reinterpret_cast<uintptr_t>(bytes) % kBlockSize;
  const size_t before = beyond == 0 ? 0 : kBlockSize - beyond;
  if (before != 0) os::unmap(bytes, before);
  os::unmap(bytes + before + kBlockSize, kBlockSize - before);
  return new (bytes + before) Block;
}

PageStore::~PageStore() {
  while (empty_.first != nullptr) {
    Block* block = empty_.first;
    empty_.remove(block);
    os::unmap(block, kBlockSize);
  }
}

std::byte* PageStore::take() {
  if (partial_.first == nullptr) {
    Block* block = empty_.first;
    if (block != nullptr) {
      empty_.remove(block);
    } else {
      block = map_block();
      if (block == nullptr) return nullptr;
    }
    partial_.add(block);
  }
  Block* block = partial_.first;
  const size_t index = block->first_free();
  block->free.reset(index);
  if (block->kept.test(index)) {
    block->kept.reset(index);
    --kept_;
  }
  ++used_;
  ++block->used;
  if (block->full()) partial_.remove(block);
  return block->page(index);
}

void PageStore::release_free_pages(Block& block) {
  for (size_t begin = 0; begin < Block::kPages;) {
    size_t end = begin;
    while (end < Block::kPages && block.kept.test(end)) ++end;
    if (end > begin) os::give_back_memory(block.page(begin), (end - begin) * kPageSize);
    begin = end + 1;
  }
  kept_ -= block.kept.count();
  block.kept.reset();
}

void PageStore::give_back(const std::byte* page) {
  const uintptr_t offset = reinterpret_cast<uintptr_t>(page) % kBlockSize;
  auto* block = reinterpret_cast<Block*>(const_cast<std::byte*>(page) - offset);
  if (block->full()) partial_.add(block);
  block->free.set(offset / kPageSize);
  block->kept.set(offset / kPageSize);
  --used_;
  ++kept_;
  const bool too_many = kept_ > kKeptPages;
  if (--block->used > 0) {
    if (too_many && block->kept.count() >= Block::kManyPages) release_free_pages(*block);
    return;
  }
  partial_.remove(block);
  // One that has little memory is not worth being kept.
  if (too_many || block->kept.count() < Block::kPages / 2) {
    kept_ -= block->kept.count();
    os::unmap(block, kBlockSize);
  } else {
    empty_.add(block);
  }
}

}  // namespace pglite::vfs
