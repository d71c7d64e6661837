#include "os/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "temporary_directory.h"

namespace pglite::os {
namespace {

class FileTest : public testing::Test {
 protected:
  // Whoever waits where it must not is killed.
  void SetUp() override { ::alarm(60); }
  void TearDown() override { ::alarm(0); }

  TemporaryDirectory directory;
};

std::string reason(const std::string& path) {
  const auto file = open_regular_file(path);
  return file ? "" : file.error().reason;
}

TEST_F(FileTest, ARegularFileIsOpened) {
  std::ofstream(directory / "file") << "content";
  std::filesystem::create_symlink("file", directory / "link");
  for (const char* name : {"file", "link"}) {
    const auto file = open_regular_file(directory / name);
    ASSERT_TRUE(file.has_value()) << file.error().reason;
    EXPECT_EQ(read_all(file->get()), "content");
    EXPECT_EQ(::fcntl(file->get(), F_GETFD), FD_CLOEXEC);
  }
}

TEST_F(FileTest, WhatIsNoRegularFileIsNamedAndNotWaitedFor) {
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
  const int listening = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::strncpy(address.sun_path, (directory / "socket").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(reason(directory / "fifo"), "it is a FIFO, not a regular file");
  EXPECT_EQ(reason(directory / "socket"), "it is a socket, not a regular file");
  EXPECT_EQ(reason("/dev/zero"), "it is a device, not a regular file");
  EXPECT_EQ(reason(directory.path()), "it is a directory, not a regular file");
  EXPECT_EQ(reason(directory / "none"), "No such file or directory");
  EXPECT_EQ(reason(""), "No such file or directory");
  ::close(listening);
}

TEST_F(FileTest, ReadsAndWritesMoreThanAPipeHolds) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const std::string sent(1'000'000, 'x');
  std::string received;
  std::thread reader([&] { received = read_all(pipe[0]).value_or("failed"); });
  EXPECT_TRUE(write_all(pipe[1], bytes_of(sent)).has_value());
  ::close(pipe[1]);
  reader.join();
  EXPECT_EQ(received, sent);
  // Nobody reads any more.
  ::close(pipe[0]);
}

TEST_F(FileTest, ErrorsAreReturned) {
  const auto expect = [](const Result<void>& result, std::errc error) {
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error(), error);
  };
  const UniqueFd full(::open("/dev/full", O_RDWR));
  expect(write_all(full.get(), bytes_of("x")), std::errc::no_space_on_device);
  expect(write_all(-1, bytes_of("x")), std::errc::bad_file_descriptor);
  expect(write_all_at(full.get(), bytes_of("x"), 0), std::errc::no_space_on_device);
  expect(write_all_at(-1, bytes_of("x"), 0), std::errc::bad_file_descriptor);
  expect(sync(full.get()), std::errc::invalid_argument);
  expect(sync_data(-1), std::errc::bad_file_descriptor);
  expect(allocate(-1, 0, 1), std::errc::bad_file_descriptor);
  EXPECT_EQ(read_all(-1).error(), std::errc::bad_file_descriptor);
  EXPECT_EQ(read_symbolic_link(AT_FDCWD, "/dev").error(), std::errc::invalid_argument);
}

TEST_F(FileTest, WritesAtAPlaceAndStaysWhereItWas) {
  const UniqueFd file(::open((directory / "file").c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_TRUE(write_all(file.get(), bytes_of("abcdef")).has_value());
  ASSERT_TRUE(write_all_at(file.get(), bytes_of("XY"), 2).has_value());
  ASSERT_TRUE(write_all(file.get(), bytes_of("gh")).has_value());
  ASSERT_EQ(lseek(file.get(), 0, SEEK_SET), 0);
  EXPECT_EQ(read_all(file.get()).value_or(""), "abXYefgh");
}

TEST_F(FileTest, AllocateMakesRoom) {
  const UniqueFd file(::open((directory / "file").c_str(), O_RDWR | O_CREAT, 0600));
  const auto allocated = allocate(file.get(), 4096, 4096);
  if (!allocated && allocated.error() == std::errc::operation_not_supported) GTEST_SKIP();
  ASSERT_TRUE(allocated.has_value());
  struct stat status{};
  ASSERT_EQ(::fstat(file.get(), &status), 0);
  EXPECT_EQ(status.st_size, 8192);
  EXPECT_GE(status.st_blocks, 8);
}

TEST_F(FileTest, ReadsLongLinks) {
  const std::string target(1000, 't');
  std::filesystem::create_symlink(target, directory / "link");
  EXPECT_EQ(read_symbolic_link(AT_FDCWD, (directory / "link").c_str()), target);
}

}  // namespace
}  // namespace pglite::os
