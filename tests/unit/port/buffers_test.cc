#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "port/answer.h"
#include "port/input_buffer.h"
#include "wire/byte_order.h"

namespace pglite::port {
namespace {

void put(InputBuffer& buffer, std::string_view bytes, size_t wanted) {
  while (!bytes.empty()) {
    const std::span<char> room = buffer.room(wanted);
    ASSERT_FALSE(room.empty());
    const size_t step = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), step);
    buffer.filled(step);
    bytes.remove_prefix(step);
  }
}

TEST(InputBuffer, KeepsBytesInOrder) {
  InputBuffer buffer;
  std::string expected;
  for (int i = 0; i < 20000; ++i) {
    const std::string piece = std::to_string(i) + " ";
    put(buffer, piece, buffer.size() + 1);
    expected += piece;
    if (i % 3 == 0) {
      const size_t step = expected.size() / 2;
      buffer.consume(step);
      expected.erase(0, step);
    }
    ASSERT_EQ(buffer.bytes(), expected);
  }
  EXPECT_EQ(buffer.capacity(), InputBuffer::kInitialCapacity);
}

TEST(InputBuffer, DoesNotTrustAPromisedLength) {
  InputBuffer buffer;
  put(buffer, "Q", size_t{1} << 30);
  EXPECT_EQ(buffer.capacity(), InputBuffer::kInitialCapacity);
  put(buffer, std::string(InputBuffer::kInitialCapacity, 'x'), size_t{1} << 30);
  EXPECT_EQ(buffer.capacity(), 2 * InputBuffer::kInitialCapacity + InputBuffer::kSpare);
}

TEST(InputBuffer, GivesALargeAllocationBack) {
  constexpr size_t kLarge = 50'000'000;
  InputBuffer buffer;
  put(buffer, std::string(kLarge, 'x'), kLarge);
  EXPECT_EQ(buffer.capacity(), kLarge + InputBuffer::kSpare) << "no more than was asked for";
  buffer.consume(kLarge - 1);
  EXPECT_EQ(buffer.bytes(), "x");
  buffer.consume(1);
  EXPECT_EQ(buffer.capacity(), 0U);
  put(buffer, "y", 1);
  EXPECT_EQ(buffer.bytes(), "y");
}

std::string content(Answer& answer) {
  std::string all;
  for (const iovec& part : answer.frame())
    all.append(static_cast<char*>(part.iov_base), part.iov_len);
  EXPECT_EQ(wire::load_u32(all.data()), all.size() - 4);
  return all.substr(4);
}

TEST(Answer, IsOneFrame) {
  Answer answer(1000);
  EXPECT_TRUE(answer.empty());
  EXPECT_EQ(content(answer), "");
  answer.append("abc");
  answer.append("");
  answer.append("def");
  EXPECT_EQ(answer.frame().size(), 1U) << "one buffer, one write";
  EXPECT_EQ(content(answer), "abcdef");
  answer.clear();
  EXPECT_EQ(content(answer), "");
}

TEST(Answer, GrowsInBlocks) {
  Answer answer(uint64_t{1} << 31);
  std::string expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string piece(static_cast<size_t>(i * 11), static_cast<char>('a' + i % 26));
    answer.append(piece);
    expected += piece;
  }
  EXPECT_LT(answer.frame().size(), 20U);
  EXPECT_TRUE(content(answer) == expected);
  answer.clear();
  EXPECT_EQ(answer.frame().size(), 1U);
}

TEST(Answer, HasALimit) {
  Answer answer(6);
  answer.append("abcdef");
  EXPECT_FALSE(answer.too_large());
  answer.append("g");
  EXPECT_TRUE(answer.too_large());
  EXPECT_FALSE(answer.empty());
  answer.append("h");
  answer.replace("longer than that");
  EXPECT_FALSE(answer.too_large());
  EXPECT_EQ(content(answer), "longer than that");
}

}  // namespace
}  // namespace pglite::port
