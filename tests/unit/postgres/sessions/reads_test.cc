// A session that waits for the disk lets the others run.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "durability/forwarding_filesystem.h"
#include "durability/server.h"
#include "durability/sessions.h"

namespace pglite::durability {
namespace {

// What a disk does with reads of tables.
class Disk {
 public:
  // From now on nothing is in the system's memory, and reads wait until release().
  void hold() { holds_ = true; }
  // Those that wait, and all to come, end: as `outcome` says, where it is an error.
  void release(std::optional<std::errc> outcome = {}) {
    const std::scoped_lock lock(mutex_);
    outcome_ = outcome;
    released_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool holds() const { return holds_; }
  [[nodiscard]] size_t waiting() const { return waiting_; }

  // Waits, but not for ever: a test that holds up itself fails.
  std::optional<std::errc> wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return released_; });
    --waiting_;
    return outcome_;
  }

 private:
  std::atomic<bool> holds_ = false;
  std::atomic<size_t> waiting_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
  std::optional<std::errc> outcome_;
};

class FileOnDisk : public ForwardingFile {
 public:
  FileOnDisk(std::unique_ptr<vfs::File> inner, Disk& disk)
      : ForwardingFile(std::move(inner)), disk_(disk) {}

  Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) override {
    if (!disk_.holds()) return ForwardingFile::read(buffer, offset);
    if (const auto failure = disk_.wait()) return error(*failure);
    return ForwardingFile::read(buffer, offset);
  }
  Result<size_t> read_at_once(std::span<std::byte> buffer, uint64_t offset) override {
    if (disk_.holds()) return error(std::errc::resource_unavailable_try_again);
    return ForwardingFile::read(buffer, offset);
  }

 private:
  Disk& disk_;
};

// Has the files of databases on a disk.
class DiskFileSystem : public ForwardingFileSystem {
 public:
  DiskFileSystem(std::shared_ptr<vfs::FileSystem> inner, Disk& disk)
      : ForwardingFileSystem(std::move(inner)), disk_(disk) {}

  Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                          uint32_t permissions) override {
    auto file = ForwardingFileSystem::open(path, flags, permissions);
    if (!file || !path.starts_with("/base/")) return file;
    return std::make_unique<FileOnDisk>(std::move(*file), disk_);
  }

 private:
  Disk& disk_;
};

class Reads : public ::testing::Test {
 protected:
  // A cluster with a table that is not in its buffers, and two sessions that have done something.
  void SetUp() override {
    const auto files = make_data_directory();
    {
      Sessions before;
      Sessions::Session* session = nullptr;
      ASSERT_TRUE(before.start(files, false).ok()) << before.log();
      ASSERT_TRUE(before.connect(&session).ok());
      ASSERT_TRUE(
          before.query(*session, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n").ok());
      ASSERT_TRUE(before.shut_down().ok());
    }
    remove_lock_file(*files);
    ASSERT_TRUE(
        sessions.start(std::make_shared<DiskFileSystem>(files, disk), false, {"autovacuum=off"})
            .ok());
    for (Sessions::Session** session : {&reader, &other}) {
      ASSERT_TRUE(sessions.connect(session).ok());
      ASSERT_TRUE(sessions.query(**session, "SELECT 't'::regclass, 1 FROM pg_class LIMIT 1").ok());
    }
    disk.hold();
    Sessions::send(*reader, "SELECT sum(n) FROM t");
    ASSERT_TRUE(sessions.run([&] { return disk.waiting() > 0; }).ok());
    ASSERT_FALSE(reader->answered);
  }

  Disk disk;
  Sessions::Session* reader = nullptr;
  Sessions::Session* other = nullptr;
  std::unique_ptr<Sessions> cluster = std::make_unique<Sessions>();
  Sessions& sessions = *cluster;
};

TEST_F(Reads, LetOthersRun) {
  postgres::SqlResult one;
  EXPECT_TRUE(sessions.query(*other, "SELECT 1", &one).ok());
  EXPECT_EQ(one.rows[0][0], "1");
  EXPECT_FALSE(reader->answered);
  EXPECT_EQ(disk.waiting(), 1u);
  disk.release();
  ASSERT_TRUE(sessions.run([&] { return reader->answered; }).ok());
  EXPECT_EQ(reader->result.rows[0][0], "500500");
}

TEST_F(Reads, WhoWantsTheSamePageWaits) {
  Sessions::send(*other, "SELECT sum(n) FROM t");
  const postgres::Client& client = *other->client;
  ASSERT_TRUE(sessions.run([&] { return client.unread() == 0 && client.task().waiting(); }).ok());
  disk.release();
  ASSERT_TRUE(sessions.run([&] { return reader->answered && other->answered; }).ok());
  EXPECT_EQ(reader->result.rows[0][0], "500500");
  EXPECT_EQ(other->result.rows[0][0], "500500");
}

TEST_F(Reads, FailAsTheDiskDoes) {
  disk.release(std::errc::io_error);
  ASSERT_TRUE(sessions.run([&] { return reader->answered; }).ok());
  EXPECT_EQ(reader->result.sqlstate, "58030") << reader->error.message();
  EXPECT_TRUE(sessions.query(*other, "SELECT 1").ok());
  EXPECT_TRUE(sessions.query(*reader, "SELECT 1").ok());
}

TEST_F(Reads, CanBeCancelledAfterwards) {
  reader->client->signal(postgres::kCancelSignal);
  disk.release();
  ASSERT_TRUE(sessions.run([&] { return reader->answered; }).ok());
  EXPECT_EQ(reader->result.sqlstate, "57014") << reader->error.message();
}

TEST_F(Reads, MayBeUnderWayWhenAllIsDropped) {
  std::thread releaser([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    disk.release();
  });
  cluster.reset();
  EXPECT_EQ(disk.waiting(), 0u);
  releaser.join();
}

}  // namespace
}  // namespace pglite::durability
