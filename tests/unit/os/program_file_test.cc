#include "os/program_file.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace pglite::os {
namespace {

TEST(ProgramPath, IsThisTest) {
  const auto path = program_path();
  ASSERT_TRUE(path.has_value());
  EXPECT_TRUE(path->starts_with('/'));
  EXPECT_EQ(std::filesystem::path(*path).filename(), "os_test");
}

}  // namespace
}  // namespace pglite::os
