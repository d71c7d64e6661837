#include "os/touched_pages.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include "os/virtual_memory.h"

namespace pglite::os {
namespace {

constexpr size_t kPage = TouchedPages::kPage;

TEST(TouchedPages, AreThoseThatWereTouched) {
  const size_t page = page_size();
  const auto memory = allocate_pages(8 * page);
  ASSERT_TRUE(memory.has_value());
  forbid_huge_pages(*memory, 8 * page);
  (*memory)[3 * page] = std::byte{1};
  std::vector<uint8_t> touched;
  for (size_t i = 0; i < 8; ++i) {
    std::array<bool, 1> flag{};
    TouchedPages(*memory).read(i * page / kPage, flag);
    touched.push_back(flag[0]);
  }
  EXPECT_EQ(touched[3], 1);
  // What the system does not tell counts as touched.
  if (access("/proc/self/pagemap", R_OK) == 0) EXPECT_EQ(touched[2], 0);
  unmap(*memory, 8 * page);
}

// What a system with such pages tells.
class TouchedPagesOf : public ::testing::TestWithParam<size_t> {
 protected:
  // A map in which every third page was touched.
  static UniqueFd map(size_t pages) {
    std::vector<uint64_t> words(pages);
    for (size_t i = 0; i < pages; i += 3) words[i] = uint64_t{1} << 63 | i;
    std::FILE* file = std::tmpfile();
    EXPECT_EQ(std::fwrite(words.data(), sizeof words[0], pages, file), pages);
    std::fflush(file);
    UniqueFd fd(dup(fileno(file)));
    std::fclose(file);
    return fd;
  }
};

TEST_P(TouchedPagesOf, CoverAllThatThePageCovers) {
  const size_t page = GetParam();
  constexpr size_t kPages = 2000;  // more than are read at once
  // The memory begins in the middle of a page.
  const size_t begin = 2 * page + (page == kPage ? 0 : kPage);
  const TouchedPages pages(reinterpret_cast<void*>(begin), map(kPages), page);
  for (const size_t first : {size_t{0}, size_t{1}, size_t{5}}) {
    const size_t count = (kPages * page - begin) / kPage - first;
    const std::unique_ptr<bool[]> touched(new bool[count]);
    pages.read(first, {touched.get(), count});
    for (size_t i = 0; i < count; ++i) {
      const size_t index = (begin + (first + i) * kPage) / page;
      ASSERT_EQ(touched[i], index % 3 == 0) << first << ' ' << i;
    }
  }
}

TEST_P(TouchedPagesOf, AreAllWhereTheSystemDoesNotTell) {
  const TouchedPages pages(nullptr, map(4), GetParam());
  std::array<bool, 100> touched{};
  pages.read(4 * GetParam() / kPage, touched);
  EXPECT_TRUE(std::ranges::all_of(touched, std::identity()));
}

INSTANTIATE_TEST_SUITE_P(Systems, TouchedPagesOf, ::testing::Values(4096, 16384, 65536),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace pglite::os
