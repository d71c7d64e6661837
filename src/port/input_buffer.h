// The bytes that were read and not yet used.
//
// It grows by doubling while bytes really arrive, whatever a length field promises, and gives a
// large allocation back as soon as the request that needed it is done. The memory comes from
// realloc, which moves large blocks by remapping pages instead of copying them.
#ifndef PGLITE_PORT_INPUT_BUFFER_H_
#define PGLITE_PORT_INPUT_BUFFER_H_

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>

namespace pglite::port {

class InputBuffer {
 public:
  // A pipe holds 64 KiB by default, so one read(2) empties it.
  static constexpr size_t kInitialCapacity = size_t{64} << 10;
  // When it grows for a large request, this much stays for what comes behind it.
  static constexpr size_t kSpare = size_t{4} << 10;
  // More than this is given back once it is empty.
  static constexpr size_t kKeptCapacity = size_t{1} << 20;

  [[nodiscard]] std::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] size_t size() const { return end_ - begin_; }
  [[nodiscard]] size_t capacity() const { return capacity_; }

  // Room behind the bytes, never empty; `wanted` is how many bytes() the caller hopes to have.
  // Moves what bytes() returned before. Empty: there is no memory.
  std::span<char> room(size_t wanted);
  // The room there is without moving anything; may be empty. Async-signal-safe.
  [[nodiscard]] std::span<char> room_at_hand() { return {data_.get() + end_, capacity_ - end_}; }
  // The first `count` bytes of the room have been filled.
  void filled(size_t count) { end_ += count; }
  // The first `count` bytes() are used up.
  void consume(size_t count);

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  std::unique_ptr<char, Free> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace pglite::port

#endif  // PGLITE_PORT_INPUT_BUFFER_H_
