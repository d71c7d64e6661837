#include "recording_filesystem.h"

#include <gtest/gtest.h>

#include <set>

namespace pglite::durability {
namespace {

class RecordingTest : public testing::Test {
 protected:
  std::unique_ptr<vfs::File> make(const std::string& path) {
    auto file = files.open(path, {.read = true, .write = true, .create = true}, 0600);
    EXPECT_TRUE(file);
    return std::move(*file);
  }
  static void write(vfs::File& file, const std::string& text, uint64_t offset = 0) {
    EXPECT_TRUE(file.write(std::as_bytes(std::span(text)), offset));
  }
  void sync(const std::string& path) {
    auto file = files.open(path, {.read = true}, 0);
    ASSERT_TRUE(file);
    EXPECT_TRUE((*file)->sync());
  }

  // What a power cut now leaves of `path`; "-" when it is not there.
  std::string left(const std::string& path, Choice choice) {
    vfs::MemoryFileSystem after;
    replay(files.log(), files.log().size(), choice, after);
    const auto file = after.open(path, {.read = true}, 0);
    if (!file) return "-";
    std::string text((*file)->metadata()->size, '?');
    EXPECT_TRUE((*file)->read(std::as_writable_bytes(std::span(text)), 0));
    return text;
  }
  std::string at_worst(const std::string& path, EntryModel entries = EntryModel::kWithFile) {
    return left(path, {.mode = Choice::Mode::kNothing, .entries = entries});
  }
  // All that sectors and names by themselves may leave.
  std::set<std::string> possible(const std::string& path) {
    std::set<std::string> found;
    for (uint64_t seed = 0; seed < 200; ++seed) {
      found.insert(left(path, {.mode = Choice::Mode::kBySector, .seed = seed}));
    }
    return found;
  }

  RecordingFileSystem files{std::make_shared<vfs::MemoryFileSystem>()};
};

using Names = std::set<std::string>;

TEST_F(RecordingTest, SyncedContentsStay) {
  const auto file = make("/a");
  write(*file, "old");
  EXPECT_EQ(at_worst("/a"), "-");
  EXPECT_TRUE(file->sync_data());
  EXPECT_EQ(at_worst("/a"), "old");
  write(*file, "new");
  EXPECT_EQ(at_worst("/a"), "old");
  EXPECT_EQ(left("/a", {.mode = Choice::Mode::kAll}), "new");
  EXPECT_EQ(possible("/a"), (Names{"old", "new"}));
}

TEST_F(RecordingTest, SectorsAreWrittenByThemselves) {
  const auto file = make("/a");
  write(*file, std::string(1024, 'a'));
  EXPECT_TRUE(file->sync());
  write(*file, std::string(1024, 'b'));
  const auto half = [](char first, char second) {
    return std::string(512, first) + std::string(512, second);
  };
  EXPECT_EQ(possible("/a"),
            (Names{half('a', 'a'), half('a', 'b'), half('b', 'a'), half('b', 'b')}));
}

TEST_F(RecordingTest, NamesNeedTheirDirectoryOrFile) {
  const auto file = make("/a");
  EXPECT_EQ(at_worst("/a"), "-");
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(at_worst("/a"), "");
  EXPECT_EQ(at_worst("/a", EntryModel::kStrict), "-");
  sync("/");
  EXPECT_EQ(at_worst("/a", EntryModel::kStrict), "");
}

TEST_F(RecordingTest, DirectoriesAboveASyncedFileAreThere) {
  EXPECT_TRUE(files.make_directory("/d", 0700));
  EXPECT_TRUE(files.make_directory("/d/e", 0700));
  const auto file = make("/d/e/a");
  write(*file, "text");
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(at_worst("/d/e/a"), "text");
  EXPECT_EQ(at_worst("/d/e/a", EntryModel::kStrict), "-");
}

TEST_F(RecordingTest, ARenameIsAtomicAndNeedsItsDirectory) {
  write(*make("/a"), "old");
  sync("/a");
  write(*make("/b"), "new");
  sync("/b");
  sync("/");
  EXPECT_TRUE(files.rename("/b", "/a"));
  EXPECT_EQ(at_worst("/a"), "old");
  EXPECT_EQ(at_worst("/b"), "new");
  EXPECT_EQ(possible("/a"), (Names{"old", "new"}));
  sync("/");
  EXPECT_EQ(at_worst("/a"), "new");
  EXPECT_EQ(at_worst("/b"), "-");
}

TEST_F(RecordingTest, ARenamedNameNeedsNoSyncOfTheFileButItsContentsDo) {
  write(*make("/a"), "text");
  EXPECT_TRUE(files.rename("/a", "/b"));
  sync("/");
  EXPECT_EQ(at_worst("/b"), "");
  EXPECT_EQ(at_worst("/a"), "-");
}

TEST_F(RecordingTest, RemovalsMayNotHaveHappened) {
  write(*make("/a"), "text");
  sync("/a");
  sync("/");
  EXPECT_TRUE(files.remove_file("/a"));
  EXPECT_EQ(at_worst("/a"), "text");
  EXPECT_EQ(possible("/a"), (Names{"text", "-"}));
  sync("/");
  EXPECT_EQ(at_worst("/a"), "-");
}

TEST_F(RecordingTest, TruncationsNeedASync) {
  const auto file = make("/a");
  write(*file, "text");
  EXPECT_TRUE(file->sync());
  EXPECT_TRUE(file->truncate(2));
  EXPECT_EQ(at_worst("/a"), "text");
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(at_worst("/a"), "te");
}

TEST_F(RecordingTest, SyncingEverythingMakesAllSafe) {
  EXPECT_TRUE(files.make_directory("/d", 0700));
  const auto file = make("/d/a");
  write(*file, "text");
  EXPECT_TRUE(files.rename("/d/a", "/b"));
  EXPECT_TRUE(files.sync_all());
  write(*file, "more", 4);
  write(*make("/c"), "late");
  EXPECT_EQ(at_worst("/b", EntryModel::kStrict), "text");
  EXPECT_EQ(at_worst("/d/a", EntryModel::kStrict), "-");
  EXPECT_EQ(at_worst("/c", EntryModel::kStrict), "-");
}

TEST_F(RecordingTest, WhatIsInARenamedDirectoryGoesWithIt) {
  EXPECT_TRUE(files.make_directory("/d", 0700));
  EXPECT_TRUE(files.make_directory("/d/e", 0700));
  write(*make("/d/e/a"), "text");
  EXPECT_TRUE(files.sync_all());
  EXPECT_TRUE(files.rename("/d", "/f"));
  write(*make("/f/e/b"), "late");
  EXPECT_EQ(at_worst("/d/e/a"), "text");
  EXPECT_EQ(at_worst("/f/e/a"), "-");
  sync("/");
  EXPECT_EQ(at_worst("/f/e/a"), "text");
  sync("/f/e/b");
  EXPECT_EQ(at_worst("/f/e/b"), "late");
  EXPECT_TRUE(files.rename("/f/e/b", "/PG"));
  EXPECT_EQ(left("/PG", {.mode = Choice::Mode::kAll}), "late");
  EXPECT_EQ(left("/f/e/b", {.mode = Choice::Mode::kAll}), "-");
}

}  // namespace
}  // namespace pglite::durability
