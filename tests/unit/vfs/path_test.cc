#include <gtest/gtest.h>

#include "vfs/filesystem.h"

namespace pglite::vfs {
namespace {

TEST(NormalizePath, JoinsRelativePathsToTheBase) {
  EXPECT_EQ(normalize_path("/a/b", "c"), "/a/b/c");
  EXPECT_EQ(normalize_path("/", "c"), "/c");
  EXPECT_EQ(normalize_path("/a", ""), "/a");
  EXPECT_EQ(normalize_path("/a", "."), "/a");
}

TEST(NormalizePath, TakesAbsolutePathsAlone) {
  EXPECT_EQ(normalize_path("/a/b", "/c"), "/c");
  EXPECT_EQ(normalize_path("/a/b", "/"), "/");
}

TEST(NormalizePath, RemovesDotsAndSlashes) {
  EXPECT_EQ(normalize_path("/", "//a///b//"), "/a/b");
  EXPECT_EQ(normalize_path("/x/", "./a/./b/."), "/x/a/b");
  EXPECT_EQ(normalize_path("/x/y", "../a"), "/x/a");
  EXPECT_EQ(normalize_path("/x/y", "a/../../b/.."), "/x");
}

TEST(NormalizePath, StaysAtTheRoot) {
  EXPECT_EQ(normalize_path("/a", "../../.."), "/");
  EXPECT_EQ(normalize_path("/", "/../../etc/passwd"), "/etc/passwd");
}

TEST(NormalizePath, KeepsNamesThatOnlyLookLikeDots) {
  EXPECT_EQ(normalize_path("/", ".../..a/.b/c."), "/.../..a/.b/c.");
}

}  // namespace
}  // namespace pglite::vfs
