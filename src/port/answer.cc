#include "port/answer.h"

#include <algorithm>
#include <cstring>

#include "wire/byte_order.h"

namespace pglite::port {

Answer::Block& Answer::block_with_room() {
  if (blocks_.empty() || blocks_.back().used == blocks_.back().capacity) {
    // As large as all before it, so that a huge answer has few blocks.
    const size_t capacity = std::clamp(
        static_cast<size_t>(std::min<uint64_t>(size_, kLargestBlock)), kFirstBlock, kLargestBlock);
    Block block{std::make_unique_for_overwrite<char[]>(capacity), capacity, 0};
    if (blocks_.empty()) block.used = kHeaderSize;
    blocks_.push_back(std::move(block));
  }
  return blocks_.back();
}

void Answer::append(std::string_view bytes) {
  if (too_large_) return;
  if (bytes.size() > limit_ - size_) {
    clear();
    too_large_ = true;
    return;
  }
  copy(bytes);
}

void Answer::replace(std::string_view bytes) {
  clear();
  copy(bytes);
}

void Answer::copy(std::string_view bytes) {
  while (!bytes.empty()) {
    Block& block = block_with_room();
    const size_t step = std::min(bytes.size(), block.capacity - block.used);
    std::memcpy(block.data.get() + block.used, bytes.data(), step);
    block.used += step;
    size_ += step;
    bytes.remove_prefix(step);
  }
}

std::span<iovec> Answer::frame() {
  if (blocks_.empty()) block_with_room();
  wire::store_u32(blocks_[0].data.get(), static_cast<uint32_t>(size_));
  parts_.clear();
  for (Block& block : blocks_) parts_.push_back({block.data.get(), block.used});
  return parts_;
}

void Answer::clear() {
  if (blocks_.size() > 1) blocks_.resize(1);
  if (!blocks_.empty()) blocks_[0].used = kHeaderSize;
  size_ = 0;
  too_large_ = false;
}

}  // namespace pglite::port
