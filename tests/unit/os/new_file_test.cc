#include "os/new_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "failing_call.h"
#include "os/file.h"
#include "temporary_directory.h"

namespace pglite::os {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class NewFileTest : public testing::Test {
 protected:
  TemporaryDirectory directory;
};

Result<void> write_file(const std::string& path, std::string_view text) {
  auto file = NewFile::create(path);
  if (!file) return error(file.error());
  if (auto written = write_all(file->fd(), bytes_of(text)); !written) return written;
  return file->commit();
}

TEST_F(NewFileTest, AppearsComplete) {
  {
    auto file = NewFile::create(directory / "file");
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE(write_all(file->fd(), bytes_of("content")).has_value());
    EXPECT_FALSE(std::filesystem::exists(directory / "file"));
    ASSERT_TRUE(file->commit().has_value());
    EXPECT_EQ(content_of(directory / "file"), "content");
  }
  EXPECT_THAT(directory.names(), ElementsAre("file"));
  struct stat status{};
  ASSERT_EQ(::stat((directory / "file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST_F(NewFileTest, ReplacesTheOldOneAtTheEnd) {
  std::ofstream(directory / "file") << "old";
  {
    auto file = NewFile::create(directory / "file");
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE(write_all(file->fd(), bytes_of("half")).has_value());
  }
  EXPECT_EQ(content_of(directory / "file"), "old");
  ASSERT_TRUE(write_file(directory / "file", "new").has_value());
  EXPECT_EQ(content_of(directory / "file"), "new");
  EXPECT_THAT(directory.names(), ElementsAre("file"));
}

TEST_F(NewFileTest, TwoOfTheSameName) {
  auto first = NewFile::create(directory / "file");
  auto second = NewFile::create(directory / "file");
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(write_all(first->fd(), bytes_of("first")).has_value());
  ASSERT_TRUE(write_all(second->fd(), bytes_of("second")).has_value());
  ASSERT_TRUE(first->commit().has_value());
  ASSERT_TRUE(second->commit().has_value());
  EXPECT_EQ(content_of(directory / "file"), "second");
  EXPECT_THAT(directory.names(), ElementsAre("file"));
}

TEST_F(NewFileTest, AnotherWhoHasTheTemporaryName) {
  const std::string temporary = directory / ("file.new-" + std::to_string(::getpid()));
  const UniqueFd other(::open(temporary.c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
  ASSERT_TRUE(write_file(directory / "file", "content").has_value());
  EXPECT_EQ(content_of(directory / "file"), "content");
  EXPECT_EQ(content_of(temporary), "");
}

TEST_F(NewFileTest, RemovesWhatKilledWritersLeft) {
  for (const char* name : {"file.new-1234", "file.new-12a", "file.new-99", "other.new-1"}) {
    std::ofstream(directory / name) << "half";
  }
  const UniqueFd busy(::open((directory / "file.new-99").c_str(), O_RDWR));
  ASSERT_EQ(::flock(busy.get(), LOCK_EX), 0);
  ASSERT_TRUE(write_file(directory / "file", "content").has_value());
  EXPECT_THAT(directory.names(), ElementsAre("file", "file.new-12a", "file.new-99", "other.new-1"));
}

TEST_F(NewFileTest, WhereItCannotBe) {
  const auto expect = [](const std::string& path, std::errc error) {
    const auto file = NewFile::create(path);
    ASSERT_FALSE(file.has_value()) << path;
    EXPECT_EQ(file.error(), error) << path;
  };
  expect(directory / "none/file", std::errc::no_such_file_or_directory);
  expect("", std::errc::no_such_file_or_directory);
  expect(directory.path(), std::errc::is_a_directory);
  expect(directory.path() + "/", std::errc::is_a_directory);
  std::ofstream(directory / "file") << "old";
  expect(directory / "file/in", std::errc::not_a_directory);
}

// The program from here on: it makes the file while the system call `number` fails with `error`,
// but for the descriptor `except_file ? the file's : none`. It exits with the error it was told.
[[noreturn]] void write_while_failing(const std::string& path, uint32_t number, int error,
                                      bool except_file) {
  auto file = NewFile::create(path);
  if (!file || !write_all(file->fd(), bytes_of("content"))) std::exit(101);
  make_call_fail(number, error, except_file ? file->fd() : -1);
  const auto committed = file->commit();
  std::exit(committed ? 0 : static_cast<int>(committed.error()));
}

TEST_F(NewFileTest, AFileThatDoesNotReachTheDiskDoesNotAppear) {
  EXPECT_EXIT(write_while_failing(directory / "file", SYS_fsync, EIO, false),
              testing::ExitedWithCode(EIO), "");
#ifdef PGLITE_PORTABLE_OS
  // The child that ended has left its temporary file, which the next writer removes.
  {
    const auto next = NewFile::create(directory / "file");
  }
#endif
  EXPECT_THAT(directory.names(), IsEmpty());
}

TEST_F(NewFileTest, ADirectoryThatDoesNotReachTheDiskIsAnError) {
  EXPECT_EXIT(write_while_failing(directory / "file", SYS_fsync, EIO, true),
              testing::ExitedWithCode(EIO), "");
  EXPECT_EQ(content_of(directory / "file"), "content");
}

TEST_F(NewFileTest, ADirectoryThatIsNeverSyncedIsNone) {
  EXPECT_EXIT(write_while_failing(directory / "file", SYS_fsync, EINVAL, true),
              testing::ExitedWithCode(0), "");
  EXPECT_EQ(content_of(directory / "file"), "content");
}

// Where the file system has no files without names, or /proc is missing.
[[noreturn]] void write_with_a_name(const std::string& path) {
#ifdef SYS_access  // newer architectures have not
  make_call_fail(SYS_access, ENOENT);
#endif
  make_call_fail(SYS_faccessat, ENOENT);
  make_call_fail(SYS_faccessat2, ENOENT);
  auto file = NewFile::create(path);
  const std::string temporary = path + ".new-" + std::to_string(::getpid());
  if (!file || !write_all(file->fd(), bytes_of("content"))) std::exit(101);
  if (content_of(temporary) != "content") std::exit(102);
  // Another writer does not take it for a left-over.
  if (!write_file(path, "of another")) std::exit(103);
  if (content_of(temporary) != "content") std::exit(104);
  // One that is given up goes.
  if (auto given_up = NewFile::create(path); !given_up) std::exit(105);
  std::exit(file->commit() ? 0 : 106);
}

TEST_F(NewFileTest, WithATemporaryName) {
  EXPECT_EXIT(write_with_a_name(directory / "file"), testing::ExitedWithCode(0), "");
  EXPECT_EQ(content_of(directory / "file"), "content");
  EXPECT_THAT(directory.names(), ElementsAre("file"));
}

}  // namespace
}  // namespace pglite::os
