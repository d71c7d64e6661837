#include "cli/prompt/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace pglite::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HistoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "history-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  static mode_t mode_of(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 0777 : 0;
  }

  std::string directory;
};

TEST_F(HistoryTest, KeepsEntriesForTheirOwnerOnly) {
  const std::string path = directory + "/state/app/history";
  HistoryFile history(path);
  EXPECT_THAT(history.load(), IsEmpty());
  EXPECT_EQ(history.append("select 1;"), "");
  EXPECT_EQ(history.append("select 'a\\n\n'\n;"), "");
  EXPECT_EQ(history.append(" secret"), "");
  EXPECT_THAT(HistoryFile(path).load(), ElementsAre("select 1;", "select 'a\\n\n'\n;"));
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_EQ(mode_of(directory + "/state"), 0700U);
  // Two prompts at the same time.
  HistoryFile other(path);
  EXPECT_EQ(other.append("other"), "");
  EXPECT_EQ(history.append("one"), "");
  EXPECT_THAT(HistoryFile(path).load(),
              ElementsAre("select 1;", "select 'a\\n\n'\n;", "other", "one"));
}

TEST_F(HistoryTest, AFileThatOthersCouldReadIsMadePrivate) {
  const std::string path = directory + "/history";
  std::ofstream(path) << "old\n";
  ::chmod(path.c_str(), 0644);
  EXPECT_EQ(HistoryFile(path).append("new"), "");
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_THAT(HistoryFile(path).load(), ElementsAre("old", "new"));
}

TEST_F(HistoryTest, ForgetsTheOldest) {
  const std::string path = directory + "/history";
  const size_t count = 2 * HistoryFile::kLimit + 1;
  {
    std::ofstream file(path);
    for (size_t i = 0; i < count; ++i) file << i << "\n";
  }
  const auto entries = HistoryFile(path).load();
  EXPECT_EQ(entries.size(), HistoryFile::kLimit);
  EXPECT_EQ(entries.back(), std::to_string(count - 1));
  // The file has become shorter.
  EXPECT_LT(std::filesystem::file_size(path), 6 * HistoryFile::kLimit);
  EXPECT_EQ(mode_of(path), 0600U);
}

TEST_F(HistoryTest, WhatCannotBeKeptIsSaidOnce) {
  std::ofstream(directory + "/file") << "";
  HistoryFile history(directory + "/file/history");
  EXPECT_THAT(history.append("x"), HasSubstr("no history is kept: " + directory));
  EXPECT_EQ(history.append("x"), "");
  EXPECT_EQ(HistoryFile("none").append("x"), "");
  EXPECT_THAT(HistoryFile("none").load(), IsEmpty());
}

}  // namespace
}  // namespace pglite::cli
