#include "port/input_buffer.h"

#include <algorithm>
#include <cstring>

namespace pglite::port {

std::span<char> InputBuffer::room(size_t wanted) {
  if (begin_ > 0 && capacity_ - begin_ < std::max(wanted, kInitialCapacity)) {
    std::memmove(data_.get(), data_.get() + begin_, size());
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == capacity_) {
    size_t grown = kInitialCapacity;
    if (capacity_ > 0) grown = std::max(capacity_, std::min(2 * capacity_, wanted)) + kSpare;
    char* old = data_.release();
    data_.reset(static_cast<char*>(std::realloc(old, grown)));
    if (data_ == nullptr) {
      data_.reset(old);
      return {};
    }
    capacity_ = grown;
  }
  return {data_.get() + end_, capacity_ - end_};
}

void InputBuffer::consume(size_t count) {
  begin_ += count;
  if (begin_ < end_) return;
  begin_ = end_ = 0;
  if (capacity_ > kKeptCapacity) {
    data_.reset();
    capacity_ = 0;
  }
}

}  // namespace pglite::port
