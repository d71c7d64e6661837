#include "wasm/guest_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "wasm/linear_memory.h"

namespace pglite::wasm {
namespace {

constexpr uint32_t kSize = 2 * WASM_DEFAULT_PAGE_SIZE;
constexpr uint32_t kLast = std::numeric_limits<uint32_t>::max();

class GuestMemoryTest : public testing::Test {
 protected:
  void put(uint32_t address, std::string_view text) {
    std::memcpy(linear.get()->data + address, text.data(), text.size());
  }

  LinearMemory linear{2, 4};
  GuestMemory memory{linear.get()};
};

TEST_F(GuestMemoryTest, GivesExactlyTheBytesThatExist) {
  EXPECT_EQ(memory.size(), kSize);
  EXPECT_EQ(memory.bytes(0, kSize)->size(), kSize);
  EXPECT_EQ(memory.bytes(kSize - 1, 1)->size(), 1U);
  EXPECT_EQ(reinterpret_cast<uint8_t*>(memory.bytes(100, 4)->data()), linear.get()->data + 100);
  EXPECT_EQ(memory.bytes(0, kSize + 1).error(), std::errc::bad_address);
  EXPECT_EQ(memory.bytes(kSize - 1, 2).error(), std::errc::bad_address);
  EXPECT_EQ(memory.bytes(kSize, 1).error(), std::errc::bad_address);
}

TEST_F(GuestMemoryTest, AnEmptyRangeMayEndAtTheEnd) {
  EXPECT_TRUE(memory.bytes(0, 0)->empty());
  EXPECT_TRUE(memory.bytes(kSize, 0)->empty());
  EXPECT_EQ(memory.bytes(kSize + 1, 0).error(), std::errc::bad_address);
  EXPECT_EQ(memory.bytes(kLast, 0).error(), std::errc::bad_address);
}

TEST_F(GuestMemoryTest, AddressPlusLengthDoesNotWrap) {
  EXPECT_EQ(memory.bytes(kLast, 1).error(), std::errc::bad_address);
  EXPECT_EQ(memory.bytes(kLast, kLast).error(), std::errc::bad_address);
  EXPECT_EQ(memory.bytes(16, kLast - 15).error(), std::errc::bad_address);
  EXPECT_EQ(memory.bytes(16, kLast).error(), std::errc::bad_address);
}

TEST_F(GuestMemoryTest, StringsEndAtTheFirstNul) {
  put(10, std::string_view("hello\0world\0", 12));
  EXPECT_EQ(*memory.c_string(10), "hello");
  EXPECT_EQ(*memory.c_string(16), "world");
  EXPECT_EQ(*memory.c_string(15), "");
}

TEST_F(GuestMemoryTest, AStringMayEndWithTheMemoryButNotBeyondIt) {
  put(kSize - 4, std::string_view("abc\0", 4));
  EXPECT_EQ(*memory.c_string(kSize - 4), "abc");
  EXPECT_EQ(*memory.c_string(kSize - 1), "");
  put(kSize - 4, "abcd");
  EXPECT_EQ(memory.c_string(kSize - 4).error(), std::errc::bad_address);
  EXPECT_EQ(memory.c_string(kSize - 1).error(), std::errc::bad_address);
  EXPECT_EQ(memory.c_string(kSize).error(), std::errc::bad_address);
  EXPECT_EQ(memory.c_string(kLast).error(), std::errc::bad_address);
}

TEST_F(GuestMemoryTest, LoadsAndStoresUnaligned) {
  ASSERT_TRUE(memory.store(GuestPtr<uint64_t>{kSize - 8}, 0x1122334455667788));
  EXPECT_EQ(*memory.load(GuestPtr<uint64_t>{kSize - 8}), 0x1122334455667788U);
  ASSERT_TRUE(memory.store(GuestPtr<uint32_t>{3}, 0xdeadbeef));
  EXPECT_EQ(*memory.load(GuestPtr<uint32_t>{3}), 0xdeadbeefU);
  EXPECT_EQ(memory.load(GuestPtr<uint64_t>{kSize - 7}).error(), std::errc::bad_address);
  EXPECT_EQ(memory.store(GuestPtr<uint64_t>{kSize - 7}, 0).error(), std::errc::bad_address);
  EXPECT_EQ(memory.load(GuestPtr<uint32_t>{kLast - 1}).error(), std::errc::bad_address);
}

TEST_F(GuestMemoryTest, AStoreThatDoesNotFitChangesNothing) {
  put(kSize - 4, "abcd");
  EXPECT_FALSE(memory.store(GuestPtr<uint64_t>{kSize - 4}, 0));
  EXPECT_EQ(std::memcmp(linear.get()->data + kSize - 4, "abcd", 4), 0);
}

TEST_F(GuestMemoryTest, SeesTheMemoryGrow) {
  EXPECT_FALSE(memory.bytes(kSize, 1));
  ASSERT_EQ(wasm_rt_grow_memory(linear.get(), 1), 2U);
  EXPECT_TRUE(memory.bytes(kSize, WASM_DEFAULT_PAGE_SIZE));
  EXPECT_FALSE(memory.bytes(kSize, WASM_DEFAULT_PAGE_SIZE + 1));
}

TEST(GuestPtr, FieldsWrapLikeTheGuestsOwnArithmetic) {
  EXPECT_EQ((GuestPtr<uint32_t>{8}.field<uint16_t>(4).address), 12U);
  EXPECT_EQ((GuestPtr<uint32_t>{0xfffffff8}.field<uint16_t>(16).address), 8U);
  EXPECT_FALSE(GuestPtr<uint32_t>{});
  EXPECT_TRUE((GuestPtr<uint32_t>{1}));
}

}  // namespace
}  // namespace pglite::wasm
