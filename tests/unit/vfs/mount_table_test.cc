// What only a mount table does; that it passes everything on is tested in filesystem_test.cc.
#include "vfs/mount_table.h"

#include <sys/stat.h>

#include "vfs/host_filesystem.h"
#include "vfs/memory_filesystem.h"
#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

class MountTableTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(table.mount("/pglite/data", data));
    ASSERT_OK(table.mount("/pglite/data/pg_wal", wal));
  }

  std::shared_ptr<MemoryFileSystem> root = std::make_shared<MemoryFileSystem>();
  std::shared_ptr<MemoryFileSystem> data = std::make_shared<MemoryFileSystem>();
  std::shared_ptr<MemoryFileSystem> wal = std::make_shared<MemoryFileSystem>();
  MountTable table{root};
};

TEST_F(MountTableTest, LongestPrefixWins) {
  put(table, "/file", "root");
  put(table, "/pglite/file", "root");
  put(table, "/pglite/database", "root");
  put(table, "/pglite/data/file", "data");
  put(table, "/pglite/data/pg_walrus", "data");
  put(table, "/pglite/data/pg_wal/0001", "wal");
  EXPECT_EQ(names(*root, "/"), (Names{"file", "pglite"}));
  EXPECT_EQ(names(*root, "/pglite"), (Names{"data", "database", "file"}));
  EXPECT_EQ(names(*root, "/pglite/data"), Names{});
  EXPECT_EQ(names(*data, "/"), (Names{"file", "pg_wal", "pg_walrus"}));
  EXPECT_EQ(names(*wal, "/"), Names{"0001"});
  EXPECT_EQ(contents(table, "/pglite/data/pg_wal/0001"), "wal");
  EXPECT_EQ(names(table, "/pglite/data"), (Names{"file", "pg_wal", "pg_walrus"}));
  EXPECT_EQ(names(table, "/pglite/data/pg_wal"), Names{"0001"});
}

TEST_F(MountTableTest, MountPointsAreListedInTheirParents) {
  EXPECT_EQ(names(table, "/"), Names{"pglite"});
  EXPECT_EQ(names(table, "/pglite"), Names{"data"});
  EXPECT_TRUE(S_ISDIR(table.metadata("/pglite/data", true)->mode));
}

TEST_F(MountTableTest, MountsOnceAndOnDirectories) {
  EXPECT_ERROR(table.mount("/pglite/data", wal), std::errc::device_or_resource_busy);
  EXPECT_ERROR(table.mount("/", wal), std::errc::device_or_resource_busy);
  put(table, "/file", "");
  EXPECT_ERROR(table.mount("/file", wal), std::errc::not_a_directory);
  EXPECT_ERROR(table.mount("/file/below", wal), std::errc::not_a_directory);
  ASSERT_OK(table.make_directory("/there", 0755));
  EXPECT_OK(table.mount("/there", std::make_shared<MemoryFileSystem>()));
}

TEST_F(MountTableTest, NothingMovesBetweenFileSystems) {
  put(table, "/file", "x");
  put(table, "/pglite/data/file", "y");
  EXPECT_ERROR(table.rename("/file", "/pglite/data/new"), std::errc::cross_device_link);
  EXPECT_ERROR(table.rename("/pglite/data/file", "/pglite/data/pg_wal/file"),
               std::errc::cross_device_link);
  EXPECT_ERROR(table.make_hard_link("/file", "/pglite/data/new"), std::errc::cross_device_link);
  EXPECT_OK(table.rename("/file", "/pglite/file"));
  EXPECT_OK(table.rename("/pglite/data/file", "/pglite/data/new"));
  EXPECT_EQ(contents(*data, "/new"), "y");
}

TEST_F(MountTableTest, MountPointsStayWhereTheyAre) {
  constexpr std::errc kBusy = std::errc::device_or_resource_busy;
  ASSERT_OK(table.make_directory("/other", 0755));
  EXPECT_ERROR(table.remove_directory("/pglite/data"), kBusy);
  EXPECT_ERROR(table.remove_directory("/pglite"), std::errc::directory_not_empty);
  EXPECT_ERROR(table.remove_file("/pglite/data"), std::errc::is_a_directory);
  EXPECT_ERROR(table.make_directory("/pglite/data", 0755), std::errc::file_exists);
  EXPECT_ERROR(table.rename("/pglite/data", "/other/data"), kBusy);
  EXPECT_ERROR(table.rename("/pglite", "/other/pglite"), kBusy);
  EXPECT_ERROR(table.rename("/other", "/pglite/data"), kBusy);
}

TEST_F(MountTableTest, OtherOperationsReachTheMountedFileSystem) {
  const std::string path = "/pglite/data/file";
  put(table, path, "text");
  EXPECT_OK(table.change_mode(path, 0600, true));
  EXPECT_OK(table.set_times(path, timespec{.tv_sec = 1, .tv_nsec = 0}, std::nullopt, true));
  EXPECT_OK(table.truncate(path, 2));
  EXPECT_OK(table.make_symbolic_link("file", "/pglite/data/link"));
  EXPECT_OK(table.make_hard_link(path, "/pglite/data/hard"));
  EXPECT_EQ(data->metadata("/file", true)->mode, uint32_t{S_IFREG | 0600});
  EXPECT_EQ(data->metadata("/file", true)->access_time.tv_sec, 1);
  EXPECT_EQ(contents(*data, "/link"), "te");
  EXPECT_EQ(*table.read_symbolic_link("/pglite/data/link"), "file");
  EXPECT_OK(table.statistics("/pglite/data/file"));
  EXPECT_OK(table.remove_file(path));
  EXPECT_EQ(names(*data, "/"), (Names{"hard", "link", "pg_wal"}));
}

TEST_F(MountTableTest, HostDirectoriesGetTheMountPointToo) {
  TemporaryDirectory directory;
  auto host = HostFileSystem::open(directory.path());
  ASSERT_OK(host);
  MountTable mounts(std::shared_ptr<FileSystem>(std::move(*host)));
  ASSERT_OK(mounts.mount("/a/b", std::make_shared<MemoryFileSystem>()));
  EXPECT_TRUE(std::filesystem::is_directory(directory.path() + "/a/b"));
  put(mounts, "/a/b/file", "in memory");
  EXPECT_FALSE(std::filesystem::exists(directory.path() + "/a/b/file"));
}

}  // namespace
}  // namespace pglite::vfs
