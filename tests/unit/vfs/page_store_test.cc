#include "vfs/page_store.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <set>
#include <vector>

namespace pglite::vfs {
namespace {

constexpr size_t kInBlock = PageStore::kBlockSize / PageStore::kPageSize - 1;

TEST(PageStore, PagesAreApart) {
  PageStore store;
  std::mt19937 chance(1);  // NOLINT(bugprone-random-generator-seed): the same each time
  std::vector<std::pair<std::byte*, int>> pages;
  std::set<std::byte*> taken;
  for (int step = 0; step < 20000; ++step) {
    if (pages.empty() || chance() % 5 < 3) {
      std::byte* page = store.take();
      ASSERT_NE(page, nullptr);
      ASSERT_TRUE(taken.insert(page).second);
      std::memset(page, step, PageStore::kPageSize);
      pages.emplace_back(page, step);
      continue;
    }
    std::swap(pages[chance() % pages.size()], pages.back());
    const auto [page, content] = pages.back();
    for (size_t i = 0; i < PageStore::kPageSize; i += 511) {
      ASSERT_EQ(page[i], static_cast<std::byte>(content));
    }
    store.give_back(page);
    taken.erase(page);
    pages.pop_back();
  }
  for (const auto& [page, content] : pages) store.give_back(page);
}

TEST(PageStore, FreePagesAreUsedFirst) {
  PageStore store;
  std::vector<std::byte*> pages;
  for (size_t i = 0; i < 10 * kInBlock; ++i) pages.push_back(store.take());
  const uint64_t before = store.resident();
  EXPECT_EQ(before, pages.size() * PageStore::kPageSize);
  for (size_t i = 0; i < pages.size(); i += 2) store.give_back(pages[i]);
  for (size_t i = 0; i < pages.size(); i += 2) pages[i] = store.take();
  EXPECT_EQ(store.resident(), before);
  for (std::byte* page : pages) store.give_back(page);
}

TEST(PageStore, WhatIsFreeGoesBackToTheSystem) {
  PageStore store;
  // Two files that were written in turn, of which one is removed.
  std::vector<std::byte*> kept;
  std::vector<std::byte*> removed;
  constexpr size_t kBlocks = 400;
  for (size_t i = 0; i < kBlocks * kInBlock; ++i) {
    (i / 20 % 2 == 0 ? kept : removed).push_back(store.take());
    std::memset((i / 20 % 2 == 0 ? kept : removed).back(), 1, PageStore::kPageSize);
  }
  for (std::byte* page : removed) store.give_back(page);
  const uint64_t few = kBlocks * 16 * PageStore::kPageSize;  // in each block
  const uint64_t limit = PageStore::kKeptPages * PageStore::kPageSize + few;
  EXPECT_LE(store.resident(), kept.size() * PageStore::kPageSize + limit);
  // They can be used again.
  for (std::byte*& page : removed) {
    page = store.take();
    page[0] = page[PageStore::kPageSize - 1] = std::byte{2};
  }
  for (std::byte* page : kept) EXPECT_EQ(page[0], std::byte{1});
  EXPECT_EQ(store.resident(), (kept.size() + removed.size()) * PageStore::kPageSize);
  for (std::byte* page : removed) store.give_back(page);
  for (std::byte* page : kept) store.give_back(page);
  EXPECT_LE(store.resident(), limit);
}

}  // namespace
}  // namespace pglite::vfs
