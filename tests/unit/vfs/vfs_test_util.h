// Shared by the tests of the vfs floor.
#ifndef PGLITE_TESTS_UNIT_VFS_VFS_TEST_UTIL_H_
#define PGLITE_TESTS_UNIT_VFS_VFS_TEST_UTIL_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "vfs/filesystem.h"

namespace pglite::vfs {

template <class T>
std::string outcome(const Result<T>& result) {
  return result ? "success" : std::make_error_code(result.error()).message();
}

#define EXPECT_OK(expression)                                                                \
  do {                                                                                       \
    const auto& outcome_of_it = (expression);                                                \
    EXPECT_TRUE(outcome_of_it.has_value()) << #expression << ": " << outcome(outcome_of_it); \
  } while (false)

#define ASSERT_OK(expression)                                                                \
  do {                                                                                       \
    const auto& outcome_of_it = (expression);                                                \
    ASSERT_TRUE(outcome_of_it.has_value()) << #expression << ": " << outcome(outcome_of_it); \
  } while (false)

#define EXPECT_ERROR(expression, errc)                                                            \
  do {                                                                                            \
    const auto& outcome_of_it = (expression);                                                     \
    EXPECT_FALSE(outcome_of_it.has_value()) << #expression << " succeeded";                       \
    if (!outcome_of_it.has_value()) {                                                             \
      EXPECT_EQ(outcome_of_it.error(), errc) << #expression << ": " << outcome(outcome_of_it)     \
                                             << ", not " << std::make_error_code(errc).message(); \
    }                                                                                             \
  } while (false)

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline constexpr OpenFlags kRead{.read = true};
inline constexpr OpenFlags kReadWrite{.read = true, .write = true};
inline constexpr OpenFlags kCreate{.read = true, .write = true, .create = true};

// All of an opened file from `offset`.
inline std::string contents(File& file, uint64_t offset = 0, size_t limit = 1 << 20) {
  std::string text(limit, '?');
  const auto count = file.read(std::as_writable_bytes(std::span(text)), offset);
  if (!count) return "read failed: " + outcome(count);
  text.resize(*count);
  return text;
}

inline std::string contents(FileSystem& filesystem, std::string_view path) {
  const auto file = filesystem.open(path, kRead, 0);
  if (!file) return "open failed: " + outcome(file);
  return contents(**file);
}

inline void put(FileSystem& filesystem, std::string_view path, std::string_view text,
                uint32_t permissions = 0644) {
  const auto file =
      filesystem.open(path, {.write = true, .create = true, .truncate = true}, permissions);
  ASSERT_OK(file);
  const auto written = (*file)->write(bytes_of(text), 0);
  ASSERT_OK(written);
  ASSERT_EQ(*written, text.size());
}

inline std::vector<std::string> names(FileSystem& filesystem, std::string_view path) {
  std::vector<std::string> result;
  const auto directory = filesystem.open(path, {.read = true, .directory = true}, 0);
  EXPECT_OK(directory);
  if (!directory) return result;
  const auto entries = (*directory)->entries();
  EXPECT_OK(entries);
  if (!entries) return result;
  for (const DirectoryEntry& entry : *entries) result.push_back(entry.name);
  std::ranges::sort(result);
  return result;
}

using Names = std::vector<std::string>;

// A directory of the host, removed with all in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory()
      : path_(std::filesystem::temp_directory_path().string() + "/vfs_test.XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace pglite::vfs

#endif  // PGLITE_TESTS_UNIT_VFS_VFS_TEST_UTIL_H_
