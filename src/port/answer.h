// One answer while it is being produced.
//
// A frame begins with its length, so an answer must be complete before its first byte can go out.
// It is collected in blocks that never move, and leaves through one write: each byte is copied
// once, from the engine's buffer into a block.
#ifndef PGLITE_PORT_ANSWER_H_
#define PGLITE_PORT_ANSWER_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace pglite::port {

class Answer {
 public:
  // An answer of more than `limit` bytes is dropped and only remembered as too_large().
  explicit Answer(uint64_t limit) : limit_(limit) {}

  void append(std::string_view bytes);
  [[nodiscard]] bool empty() const { return size_ == 0 && !too_large_; }
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] bool too_large() const { return too_large_; }

  // Puts these bytes in the place of the answer; the limit does not apply to them.
  void replace(std::string_view bytes);

  // The frame: length and content, for the caller to use up. Valid until the next call of append()
  // or clear().
  std::span<iovec> frame();
  // Begins the next answer; gives all blocks back but the first.
  void clear();

 private:
  static constexpr size_t kHeaderSize = 4;
  static constexpr size_t kFirstBlock = size_t{64} << 10;
  static constexpr size_t kLargestBlock = size_t{64} << 20;

  struct Block {
    std::unique_ptr<char[]> data;
    size_t capacity = 0;
    size_t used = 0;
  };
  Block& block_with_room();
  void copy(std::string_view bytes);

  uint64_t limit_;
  uint64_t size_ = 0;
  bool too_large_ = false;
  std::vector<Block> blocks_;  // the first begins with room for the length
  std::vector<iovec> parts_;   // of the last frame()
};

}  // namespace pglite::port

#endif  // PGLITE_PORT_ANSWER_H_
