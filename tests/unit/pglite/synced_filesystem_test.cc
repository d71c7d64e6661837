// Which syncs are left out after all files were synced at once.
#include "postgres/cluster/synced_filesystem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "client.h"
#include "vfs/host_filesystem.h"

namespace pglite::postgres {
namespace {

namespace fs = std::filesystem;

// Counts syncs that reach it, over a directory of the host.
class CountedFile : public vfs::File {
 public:
  CountedFile(std::unique_ptr<vfs::File> inner, int* syncs)
      : inner_(std::move(inner)), syncs_(syncs) {}
  vfs::Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) override {
    return inner_->read(buffer, offset);
  }
  vfs::Result<size_t> write(std::span<const std::byte> data, uint64_t offset) override {
    return inner_->write(data, offset);
  }
  vfs::Result<void> truncate(uint64_t size) override { return inner_->truncate(size); }
  vfs::Result<void> allocate(uint64_t offset, uint64_t length) override {
    return inner_->allocate(offset, length);
  }
  vfs::Result<void> sync() override {
    ++*syncs_;
    return {};
  }
  vfs::Result<void> sync_data() override { return sync(); }
  vfs::Result<vfs::Metadata> metadata() override { return inner_->metadata(); }
  vfs::Result<void> change_mode(uint32_t permissions) override {
    return inner_->change_mode(permissions);
  }
  vfs::Result<std::vector<vfs::DirectoryEntry>> entries() override { return inner_->entries(); }

 private:
  std::unique_ptr<vfs::File> inner_;
  int* syncs_;
};

class CountedFileSystem : public SyncedFileSystem {
 public:
  CountedFileSystem(std::shared_ptr<vfs::FileSystem> inner, int* syncs)
      : SyncedFileSystem(inner), inner_(std::move(inner)), syncs_(syncs) {}
  vfs::Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                               uint32_t permissions) override {
    auto file = inner_->open(path, flags, permissions);
    if (!file) return file;
    return std::make_unique<CountedFile>(std::move(*file), syncs_);
  }

 private:
  std::shared_ptr<vfs::FileSystem> inner_;
  int* syncs_;
};

class SyncedFileSystemTest : public testing::Test {
 protected:
  SyncedFileSystemTest() {
    for (const char* name : {"a/1", "a/2", "b/1"}) {
      fs::create_directories(root.path() / fs::path(name).parent_path());
      std::ofstream(root.path() / name) << "text";
    }
    std::shared_ptr<vfs::FileSystem> host =
        std::move(*vfs::HostFileSystem::open(root.path().string()));
    files = std::make_unique<SyncedFileSystem>(
        std::make_shared<CountedFileSystem>(std::move(host), &syncs));
  }

  std::unique_ptr<vfs::File> open(std::string_view path, vfs::OpenFlags flags) const {
    auto file = files->open(path, flags, 0600);
    EXPECT_TRUE(file) << path;
    return std::move(*file);
  }
  // Those of all paths whose sync is not left out, each opened anew.
  std::vector<std::string> synced() {
    std::vector<std::string> result;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root.path())) {
      const std::string path = "/" + fs::relative(entry.path(), root.path()).string();
      syncs = 0;
      EXPECT_TRUE(open(path, {.read = true, .directory = entry.is_directory()})->sync());
      if (syncs > 0) result.push_back(path);
    }
    syncs = 0;
    EXPECT_TRUE(open("/", {.read = true, .directory = true})->sync());
    if (syncs > 0) result.emplace_back("/");
    return result;
  }

  TemporaryDirectory root;
  int syncs = 0;
  std::unique_ptr<SyncedFileSystem> files;
};

using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::UnorderedElementsAre;
using Names = std::vector<std::string>;

TEST_F(SyncedFileSystemTest, WhatWasNotChangedIsNotSynced) {
  EXPECT_THAT(synced(), IsEmpty());
  (void)open("/a/1", {.read = true, .write = true});
  EXPECT_THAT(synced(), IsEmpty());
}

TEST_F(SyncedFileSystemTest, WhatWasWrittenIsSyncedByWhateverDescriptor) {
  const std::byte byte{1};
  EXPECT_TRUE(open("/a/1", {.write = true})->write({&byte, 1}, 0));
  EXPECT_TRUE(open("/b/1", {.write = true})->truncate(1));
  EXPECT_THAT(synced(), UnorderedElementsAre("/a/1", "/b/1"));
  fs::create_hard_link(root.path() / "a/1", root.path() / "b/2");
  EXPECT_THAT(synced(), UnorderedElementsAre("/a/1", "/b/1", "/b/2"));
}

TEST_F(SyncedFileSystemTest, ChangesOfNamesAreChangesOfDirectories) {
  struct Case {
    std::function<void()> change;
    Names expected;
  };
  const std::vector<Case> cases = {
      {[&] { open("/b/new", {.write = true, .create = true}); }, {"/b", "/b/new"}},
      {[&] { EXPECT_TRUE(files->make_directory("/c", 0700)); }, {"/", "/c"}},
      {[&] { EXPECT_TRUE(files->remove_file("/a/2")); }, {"/a"}},
      {[&] { EXPECT_TRUE(files->rename("/a/1", "/b/moved")); }, {"/a", "/b", "/b/moved"}},
      {[&] { EXPECT_TRUE(files->make_hard_link("/b/1", "/c/1")); }, {"/b/1", "/c", "/c/1"}},
      {[&] { EXPECT_TRUE(files->truncate("/b/new", 9)); }, {"/b/new"}},
      {[&] { EXPECT_TRUE(files->change_mode("/b/new", 0600, true)); }, {"/b/new"}},
  };
  for (const Case& one : cases) {
    one.change();
    EXPECT_THAT(synced(), IsSupersetOf(one.expected));
  }
}

TEST_F(SyncedFileSystemTest, AfterForgettingAllIsSynced) {
  auto before = open("/a/1", {.read = true});
  files->forget();
  EXPECT_TRUE(before->sync());
  EXPECT_EQ(syncs, 1);
  EXPECT_TRUE(before->sync_data());
  EXPECT_EQ(syncs, 2);
  EXPECT_EQ(synced().size(), 6U);
}

}  // namespace
}  // namespace pglite::postgres
