#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "wasm/guest_module.h"

namespace {

// One bit after the other, as the polynomial is defined; reflected, without the final inversion.
uint32_t reference(uint32_t crc, const uint8_t* bytes, uint32_t size) {
  for (uint32_t i = 0; i < size; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
  }
  return crc;
}

TEST(Crc32c, HasTheCheckValueOfItsCatalogue) {
  constexpr std::string_view kDigits = "123456789";
  uint32_t crc = 0xFFFFFFFF;
  if (guest_crc32c(&crc, reinterpret_cast<const uint8_t*>(kDigits.data()), 9) == 0) {
    EXPECT_EQ(crc, 0xFFFFFFFF);
    GTEST_SKIP() << "this processor has no instruction for CRC-32C";
  }
  EXPECT_EQ(crc ^ 0xFFFFFFFF, 0xE3069283U);
}

TEST(Crc32c, TakesAnySizeAtAnyAddress) {
  std::vector<uint8_t> bytes(200);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37 + 11);
  for (uint32_t start = 0; start < 9; ++start) {
    for (uint32_t size = 0; size < 100; ++size) {
      uint32_t crc = 0x12345678;
      if (guest_crc32c(&crc, bytes.data() + start, size) == 0) GTEST_SKIP();
      ASSERT_EQ(crc, reference(0x12345678, bytes.data() + start, size)) << start << ' ' << size;
    }
  }
}

}  // namespace
