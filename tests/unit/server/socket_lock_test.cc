#include "server/socket_lock.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace pglite::server {
namespace {

namespace fs = std::filesystem;

class SocketLockTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "socket-lock-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }

  [[nodiscard]] fs::path lock_file() const { return directory_ + "/.s.PGSQL.5432.lock"; }
  void write_lock_file(const std::string& content) const { std::ofstream(lock_file()) << content; }
  Status take() { return SocketLock::take(directory_, 5432, &lock_); }

  std::string directory_;
  std::unique_ptr<SocketLock> lock_;
};

TEST_F(SocketLockTest, IsTakenAndGivenBack) {
  ASSERT_TRUE(take().ok());
  EXPECT_EQ(lock_->path(), directory_ + "/.s.PGSQL.5432");
  std::ifstream file(lock_file());
  pid_t pid = 0;
  file >> pid;
  EXPECT_EQ(pid, getpid());
  std::ofstream(lock_->path()) << "the socket";
  const std::string path = lock_->path();
  lock_.reset();
  EXPECT_FALSE(fs::exists(lock_file()));
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(SocketLockTest, OfAProcessThatLivesIsLeftAlone) {
  write_lock_file(std::to_string(getppid()) + "\n/somewhere\n");
  const Status status = take();
  EXPECT_EQ(status.code(), StatusCode::kInUse);
  EXPECT_THAT(status.message(), testing::HasSubstr(std::to_string(getppid())));
  EXPECT_TRUE(fs::exists(lock_file()));
}

TEST_F(SocketLockTest, OfAProcessThatHasEndedIsTakenOverWithItsSocket) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  write_lock_file(std::to_string(child) + "\n");
  std::ofstream(directory_ + "/.s.PGSQL.5432") << "an old socket";
  ASSERT_TRUE(take().ok());
  EXPECT_FALSE(fs::exists(lock_->path()));
}

TEST_F(SocketLockTest, WithoutANumberIsNobodys) {
  for (const char* content : {"", "what?", "-1\n", "0\n", "99999999999999999999\n"}) {
    write_lock_file(content);
    EXPECT_TRUE(take().ok()) << content;
    lock_.reset();
  }
}

TEST_F(SocketLockTest, NeedsADirectoryAndAShortName) {
  EXPECT_EQ(SocketLock::take(directory_ + "/missing", 5432, &lock_).code(), StatusCode::kIoError);
  EXPECT_EQ(SocketLock::take(directory_ + "/" + std::string(120, 'x'), 5432, &lock_).code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pglite::server
