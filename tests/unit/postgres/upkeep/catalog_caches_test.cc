#include "postgres/upkeep/catalog_caches.h"

#include <gtest/gtest.h>

namespace pglite::postgres {
namespace {

constexpr uint64_t kMb = uint64_t{1} << 20;

TEST(CacheLimit, FewEntriesAreKept) {
  CacheLimit limit;
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(limit.exceeded(CacheLimit::kLeast));
}

TEST(CacheLimit, WhatIsNotUsedAgainIsForgottenEachTime) {
  CacheLimit limit;
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(limit.exceeded(5 * kMb));
    EXPECT_FALSE(limit.exceeded(1 * kMb));
    EXPECT_FALSE(limit.exceeded(3 * kMb));
  }
}

TEST(CacheLimit, WhatIsUsedAgainIsKept) {
  CacheLimit limit;
  EXPECT_TRUE(limit.exceeded(10 * kMb));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(limit.exceeded(10 * kMb));
  EXPECT_FALSE(limit.exceeded(19 * kMb));
  EXPECT_TRUE(limit.exceeded(21 * kMb));
  // The session has become smaller.
  EXPECT_FALSE(limit.exceeded(1 * kMb));
  EXPECT_TRUE(limit.exceeded(5 * kMb));
}

TEST(CacheLimit, NotEvenWhatIsUsedGrowsWithoutBound) {
  CacheLimit limit;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(limit.exceeded(CacheLimit::kMost + 1));
}

}  // namespace
}  // namespace pglite::postgres
