#include "os/virtual_memory.h"

#include <gtest/gtest.h>

#include <cstring>

namespace pglite::os {
namespace {

TEST(PageSize, IsOneThatThisRunsOn) {
  EXPECT_TRUE(page_size() == 4096 || page_size() == 16384 || page_size() == 65536) << page_size();
}

class WholePages : public ::testing::TestWithParam<size_t> {
 protected:
  // Of a range that begins and ends at these addresses: where its whole pages do, as numbers.
  static std::pair<uintptr_t, size_t> of(uintptr_t begin, uintptr_t end) {
    const auto pages = whole_pages(reinterpret_cast<void*>(begin), end - begin, GetParam());
    return {pages.empty() ? 0 : reinterpret_cast<uintptr_t>(pages.data()), pages.size()};
  }
};

TEST_P(WholePages, LieWithinTheRange) {
  const size_t page = GetParam();
  using Range = std::pair<uintptr_t, size_t>;
  EXPECT_EQ(of(8 * page, 9 * page), Range(8 * page, page));
  EXPECT_EQ(of(8 * page, 10 * page), Range(8 * page, 2 * page));
  EXPECT_EQ(of(8 * page + 1, 10 * page), Range(9 * page, page));
  EXPECT_EQ(of(8 * page - 1, 10 * page + 1), Range(8 * page, 2 * page));
  EXPECT_EQ(of(8 * page, 8 * page + 1), Range(0, 0));
  EXPECT_EQ(of(8 * page + 1, 9 * page + 1), Range(0, 0));
  EXPECT_EQ(of(8 * page, 8 * page), Range(0, 0));
}

INSTANTIATE_TEST_SUITE_P(Systems, WholePages, ::testing::Values(4096, 16384, 65536),
                         ::testing::PrintToStringParamName());

TEST(GiveBackMemory, LeavesWhatSharesAPageWithTheRange) {
  const size_t page = page_size();
  const auto pages = allocate_pages(3 * page);
  ASSERT_TRUE(pages.has_value());
  std::byte* const bytes = *pages;
  std::memset(bytes, 1, 3 * page);
  give_back_memory(bytes + 1, 2 * page);
  EXPECT_EQ(bytes[0], std::byte{1});
  EXPECT_EQ(bytes[page - 1], std::byte{1});
#if defined(PGLITE_PORTABLE_OS) || !defined(__x86_64__)
  // The system takes it when it needs it; an emulator of another processor does not at all.
  EXPECT_LE(bytes[page], std::byte{1});
#else
  EXPECT_EQ(bytes[page], std::byte{0});
#endif
  EXPECT_EQ(bytes[2 * page], std::byte{1});
  EXPECT_EQ(bytes[2 * page + 1], std::byte{1});
  unmap(bytes, 3 * page);
}

}  // namespace
}  // namespace pglite::os
