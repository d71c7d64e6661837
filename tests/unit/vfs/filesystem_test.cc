// What every file system must do alike: the guest cannot tell memory from the host's disk.
#include "vfs/filesystem.h"

#include <sys/stat.h>

#include <functional>

#include "vfs/host_filesystem.h"
#include "vfs/memory_filesystem.h"
#include "vfs/mount_table.h"
#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

enum class Kind { kMemory, kHost, kHostWalk, kMountedMemory };

std::string kind_name(const testing::TestParamInfo<Kind>& info) {
  switch (info.param) {
    case Kind::kMemory:
      return "Memory";
    case Kind::kHost:
      return "Host";
    case Kind::kHostWalk:
      return "HostWalk";
    case Kind::kMountedMemory:
      return "MountedMemory";
  }
  return "";
}

class FileSystemTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    switch (GetParam()) {
      case Kind::kMemory:
        owner_ = std::make_unique<MemoryFileSystem>();
        break;
      case Kind::kHost:
      case Kind::kHostWalk: {
        auto opened =
            HostFileSystem::open(directory_.path(), SyncPolicy::kSync,
                                 GetParam() == Kind::kHost ? HostFileSystem::Resolver::kAutomatic
                                                           : HostFileSystem::Resolver::kWalk);
        ASSERT_OK(opened);
        owner_ = std::move(*opened);
        break;
      }
      case Kind::kMountedMemory: {
        auto table = std::make_unique<MountTable>(std::make_shared<MemoryFileSystem>());
        ASSERT_OK(table->mount("/mnt/here", std::make_shared<MemoryFileSystem>()));
        prefix_ = "/mnt/here";
        owner_ = std::move(table);
        break;
      }
    }
  }

  FileSystem& fs() { return *owner_; }
  // The path in the file system under test.
  [[nodiscard]] std::string at(std::string_view path) const {
    return prefix_ + (path == "/" && !prefix_.empty() ? "" : std::string(path));
  }
  std::unique_ptr<File> open(std::string_view path, OpenFlags flags = kCreate,
                             uint32_t permissions = 0644) {
    auto file = fs().open(at(path), flags, permissions);
    EXPECT_TRUE(file.has_value()) << path << ": " << outcome(file);
    return file ? std::move(*file) : nullptr;
  }
  void write(std::string_view path, std::string_view text) { put(fs(), at(path), text); }
  std::string text_of(std::string_view path) { return contents(fs(), at(path)); }
  void mkdir(std::string_view path) { ASSERT_OK(fs().make_directory(at(path), 0755)); }
  void symlink(std::string_view target, std::string_view path) {
    ASSERT_OK(fs().make_symbolic_link(target, at(path)));
  }
  Names list(std::string_view path) { return names(fs(), at(path)); }
  Metadata stat(std::string_view path, bool follow = true) {
    const auto metadata = fs().metadata(at(path), follow);
    EXPECT_TRUE(metadata.has_value()) << path << ": " << outcome(metadata);
    return metadata.value_or(Metadata{});
  }
  std::errc stat_error(std::string_view path, bool follow = true) {
    const auto metadata = fs().metadata(at(path), follow);
    return metadata ? std::errc{} : metadata.error();
  }

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<FileSystem> owner_;
  std::string prefix_;
};

INSTANTIATE_TEST_SUITE_P(All, FileSystemTest,
                         testing::Values(Kind::kMemory, Kind::kHost, Kind::kHostWalk,
                                         Kind::kMountedMemory),
                         kind_name);

TEST_P(FileSystemTest, RootIsAnEmptyDirectory) {
  EXPECT_TRUE(S_ISDIR(stat("/").mode));
  EXPECT_EQ(list("/"), Names{});
}

TEST_P(FileSystemTest, WritesAndReadsBack) {
  write("/file", "hello");
  EXPECT_EQ(text_of("/file"), "hello");
  EXPECT_EQ(stat("/file").size, 5U);
  EXPECT_EQ(stat("/file").mode, uint32_t{S_IFREG | 0644});
  const auto file = open("/file", kReadWrite);
  EXPECT_EQ(*file->write(bytes_of("LL"), 2), 2U);
  EXPECT_EQ(contents(*file), "heLLo");
  EXPECT_EQ(contents(*file, 3), "Lo");
  EXPECT_EQ(contents(*file, 5), "");
  EXPECT_EQ(contents(*file, 500), "");
  EXPECT_EQ(*file->write({}, 100), 0U);
  EXPECT_EQ(stat("/file").size, 5U);
  EXPECT_TRUE(file->seekable());
}

TEST_P(FileSystemTest, ReadsAndWritesAcrossPages) {
  const auto file = open("/file");
  std::string expected;
  for (size_t i = 0; i < 50'000; ++i) expected += static_cast<char>('a' + i * 7 % 23);
  EXPECT_EQ(*file->write(bytes_of(expected), 0), expected.size());
  EXPECT_EQ(contents(*file), expected);
  for (const size_t offset : {0U, 1U, 8191U, 8192U, 8193U, 20'000U, 49'999U}) {
    EXPECT_EQ(contents(*file, offset, 9000), expected.substr(offset, 9000));
  }
  const std::string patch(10'000, '#');
  EXPECT_OK(file->write(bytes_of(patch), 12'345));
  expected.replace(12'345, patch.size(), patch);
  EXPECT_EQ(contents(*file), expected);
}

TEST_P(FileSystemTest, GapsReadAsZeros) {
  const auto file = open("/file");
  EXPECT_OK(file->write(bytes_of("a"), 0));
  EXPECT_OK(file->write(bytes_of("b"), 30'000));
  std::string expected(30'001, '\0');
  expected.front() = 'a';
  expected.back() = 'b';
  EXPECT_EQ(contents(*file), expected);
}

TEST_P(FileSystemTest, SparseWritesAtOneTebibyte) {
  const auto file = open("/file");
  const uint64_t far = uint64_t{1} << 40;
  ASSERT_OK(file->write(bytes_of("far"), far));
  EXPECT_EQ(file->metadata()->size, far + 3);
  EXPECT_LT(file->metadata()->blocks, 1000U);
  EXPECT_EQ(contents(*file, far - 2), std::string("\0\0far", 5));
  EXPECT_OK(file->truncate(far + 1));
  EXPECT_EQ(contents(*file, far), "f");
  EXPECT_OK(file->truncate(10));
  EXPECT_OK(file->truncate(far + 3));
  EXPECT_EQ(contents(*file, far), std::string(3, '\0'));
}

TEST_P(FileSystemTest, RefusesSizesNoFileCanHave) {
  const auto file = open("/file");
  const uint64_t maximum = uint64_t{INT64_MAX};
  EXPECT_ERROR(file->write(bytes_of("x"), maximum), std::errc::file_too_large);
  // tmpfs has files of this size; it is a hole there.
  if (const auto truncated = file->truncate(maximum); truncated) {
    EXPECT_OK(file->truncate(0));
  } else {
    EXPECT_EQ(truncated.error(), std::errc::file_too_large);
  }
  EXPECT_ERROR(file->truncate(maximum + 1), std::errc::invalid_argument);
  EXPECT_ERROR(file->write(bytes_of("x"), maximum + 1), std::errc::invalid_argument);
  std::byte byte{};
  EXPECT_ERROR(file->read({&byte, 1}, maximum + 1), std::errc::invalid_argument);
  EXPECT_EQ(file->metadata()->size, 0U);
}

TEST_P(FileSystemTest, AllocatesAndGrows) {
  const auto file = open("/file");
  EXPECT_OK(file->write(bytes_of("abc"), 0));
  if (const auto allocated = file->allocate(1, 9999); !allocated) {
    EXPECT_EQ(allocated.error(), std::errc::operation_not_supported);
    return;
  }
  EXPECT_EQ(file->metadata()->size, 10'000U);
  EXPECT_OK(file->allocate(0, 100));  // what is there stays
  EXPECT_EQ(file->metadata()->size, 10'000U);
  std::array<std::byte, 4> start{};
  EXPECT_OK(file->read(start, 0));
  EXPECT_EQ(start, (std::array{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}, std::byte{0}}));
}

TEST_P(FileSystemTest, TruncatesAndExtends) {
  const auto file = open("/file");
  EXPECT_OK(file->write(bytes_of(std::string(20'000, 'x')), 0));
  EXPECT_OK(file->truncate(10'000));
  EXPECT_EQ(file->metadata()->size, 10'000U);
  EXPECT_OK(file->truncate(20'000));
  EXPECT_EQ(contents(*file), std::string(10'000, 'x') + std::string(10'000, '\0'));
  EXPECT_OK(fs().truncate(at("/file"), 3));
  EXPECT_EQ(contents(*file), "xxx");
  EXPECT_OK(file->write(bytes_of("y"), 5));
  EXPECT_EQ(contents(*file), std::string("xxx\0\0y", 6));
  EXPECT_OK(file->truncate(0));
  EXPECT_EQ(contents(*file), "");
  EXPECT_ERROR(fs().truncate(at("/none"), 0), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs().truncate(at("/"), 0), std::errc::is_a_directory);
}

TEST_P(FileSystemTest, OpenFlags) {
  EXPECT_ERROR(fs().open(at("/file"), kRead, 0), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs().open(at("/none/file"), kCreate, 0644), std::errc::no_such_file_or_directory);
  write("/file", "text");
  EXPECT_ERROR(fs().open(at("/file"), {.write = true, .create = true, .exclusive = true}, 0644),
               std::errc::file_exists);
  EXPECT_ERROR(fs().open(at("/file"), {.read = true, .directory = true}, 0),
               std::errc::not_a_directory);
  EXPECT_ERROR(fs().open(at("/file/x"), kCreate, 0644), std::errc::not_a_directory);
  EXPECT_ERROR(fs().open(at("/new"), {.read = true, .create = true, .directory = true}, 0644),
               std::errc::invalid_argument);
  open("/file", kCreate);
  EXPECT_EQ(text_of("/file"), "text");
  open("/file", {.write = true, .truncate = true});
  EXPECT_EQ(text_of("/file"), "");
  EXPECT_OK(fs().open(at("/other"), {.write = true, .create = true, .exclusive = true}, 0600));
  EXPECT_EQ(stat("/other").mode, uint32_t{S_IFREG | 0600});
}

TEST_P(FileSystemTest, AccessModes) {
  write("/file", "text");
  EXPECT_ERROR(open("/file", kRead)->write(bytes_of("x"), 0), std::errc::bad_file_descriptor);
  EXPECT_ERROR(open("/file", kRead)->truncate(0), std::errc::invalid_argument);
  std::byte byte{};
  EXPECT_ERROR(open("/file", {.write = true})->read({&byte, 1}, 0), std::errc::bad_file_descriptor);
}

TEST_P(FileSystemTest, DirectoriesOpenForReadingOnly) {
  mkdir("/dir");
  EXPECT_ERROR(fs().open(at("/dir"), kReadWrite, 0), std::errc::is_a_directory);
  EXPECT_ERROR(fs().open(at("/dir"), {.read = true, .create = true}, 0), std::errc::is_a_directory);
  const auto directory = open("/dir", kRead);
  std::byte byte{};
  EXPECT_ERROR(directory->read({&byte, 1}, 0), std::errc::is_a_directory);
  EXPECT_ERROR(directory->write({&byte, 1}, 0), std::errc::bad_file_descriptor);
  EXPECT_TRUE(S_ISDIR(directory->metadata()->mode));
  EXPECT_OK(directory->sync());
  EXPECT_OK(directory->sync_data());
  EXPECT_OK(open("/file")->sync());
  EXPECT_OK(open("/file")->sync_data());
  EXPECT_ERROR(open("/file")->entries(), std::errc::not_a_directory);
}

TEST_P(FileSystemTest, ListsEntriesWithTypes) {
  mkdir("/dir");
  write("/dir/file", "");
  mkdir("/dir/sub");
  symlink("file", "/dir/link");
  const auto directory = open("/dir", {.read = true, .directory = true});
  for (int round = 0; round < 2; ++round) {
    auto entries = directory->entries();
    ASSERT_OK(entries);
    std::ranges::sort(*entries, {}, &DirectoryEntry::name);
    ASSERT_EQ(entries->size(), 3U);
    EXPECT_EQ((*entries)[0].name, "file");
    EXPECT_EQ((*entries)[0].mode, uint32_t{S_IFREG});
    EXPECT_EQ((*entries)[0].inode, stat("/dir/file").inode);
    EXPECT_EQ((*entries)[1].name, "link");
    EXPECT_EQ((*entries)[1].mode, uint32_t{S_IFLNK});
    EXPECT_EQ((*entries)[2].name, "sub");
    EXPECT_EQ((*entries)[2].mode, uint32_t{S_IFDIR});
  }
}

TEST_P(FileSystemTest, ListsManyEntries) {
  Names expected;
  for (int i = 0; i < 1000; ++i) {
    expected.push_back("file" + std::to_string(i));
    write("/" + expected.back(), "");
  }
  std::ranges::sort(expected);
  EXPECT_EQ(list("/"), expected);
}

TEST_P(FileSystemTest, MakesAndRemovesDirectories) {
  EXPECT_OK(fs().make_directory(at("/dir"), 0700));
  EXPECT_EQ(stat("/dir").mode, uint32_t{S_IFDIR | 0700});
  EXPECT_ERROR(fs().make_directory(at("/dir"), 0700), std::errc::file_exists);
  EXPECT_ERROR(fs().make_directory(at("/no/dir"), 0700), std::errc::no_such_file_or_directory);
  write("/dir/file", "");
  EXPECT_ERROR(fs().make_directory(at("/dir/file"), 0700), std::errc::file_exists);
  EXPECT_ERROR(fs().make_directory(at("/dir/file/x"), 0700), std::errc::not_a_directory);
  EXPECT_ERROR(fs().remove_directory(at("/dir")), std::errc::directory_not_empty);
  EXPECT_ERROR(fs().remove_directory(at("/dir/file")), std::errc::not_a_directory);
  EXPECT_ERROR(fs().remove_directory(at("/none")), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs().remove_file(at("/dir")), std::errc::is_a_directory);
  EXPECT_ERROR(fs().remove_file(at("/none")), std::errc::no_such_file_or_directory);
  EXPECT_OK(fs().remove_file(at("/dir/file")));
  EXPECT_OK(fs().remove_directory(at("/dir")));
  EXPECT_EQ(list("/"), Names{});
}

TEST_P(FileSystemTest, RemovedDirectoriesStayOpenAndEmpty) {
  mkdir("/dir");
  const auto directory = open("/dir", kRead);
  EXPECT_OK(fs().remove_directory(at("/dir")));
  EXPECT_TRUE(S_ISDIR(directory->metadata()->mode));
  const auto entries = directory->entries();
  if (entries) {
    EXPECT_TRUE(entries->empty());
  } else {
    EXPECT_EQ(entries.error(), std::errc::no_such_file_or_directory);
  }
}

TEST_P(FileSystemTest, UnlinkedFilesLiveWhileOpen) {
  const auto file = open("/file");
  EXPECT_OK(file->write(bytes_of("alive"), 0));
  EXPECT_OK(fs().remove_file(at("/file")));
  EXPECT_EQ(stat_error("/file"), std::errc::no_such_file_or_directory);
  EXPECT_EQ(contents(*file), "alive");
  EXPECT_OK(file->write(bytes_of(" and well"), 5));
  EXPECT_EQ(contents(*file), "alive and well");
  EXPECT_EQ(file->metadata()->link_count, 0U);
  write("/file", "another");
  EXPECT_EQ(contents(*file), "alive and well");
}

TEST_P(FileSystemTest, RenamesFiles) {
  write("/a", "A");
  write("/b", "B");
  const auto replaced = open("/b", kReadWrite);
  const uint64_t inode = stat("/a").inode;
  EXPECT_OK(fs().rename(at("/a"), at("/b")));
  EXPECT_EQ(text_of("/b"), "A");
  EXPECT_EQ(stat("/b").inode, inode);
  EXPECT_EQ(stat_error("/a"), std::errc::no_such_file_or_directory);
  EXPECT_EQ(contents(*replaced), "B");
  EXPECT_EQ(replaced->metadata()->link_count, 0U);
  mkdir("/dir");
  EXPECT_OK(fs().rename(at("/b"), at("/dir/c")));
  EXPECT_EQ(text_of("/dir/c"), "A");
  EXPECT_OK(fs().rename(at("/dir/c"), at("/dir/c")));
  EXPECT_EQ(list("/"), Names{"dir"});
  EXPECT_EQ(list("/dir"), Names{"c"});
  EXPECT_ERROR(fs().rename(at("/none"), at("/x")), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs().rename(at("/dir/c"), at("/no/x")), std::errc::no_such_file_or_directory);
}

TEST_P(FileSystemTest, RenamesDirectories) {
  mkdir("/a");
  mkdir("/a/sub");
  write("/a/sub/file", "x");
  mkdir("/empty");
  mkdir("/full");
  write("/full/file", "");
  write("/file", "");
  EXPECT_ERROR(fs().rename(at("/a"), at("/full")), std::errc::directory_not_empty);
  EXPECT_ERROR(fs().rename(at("/a"), at("/file")), std::errc::not_a_directory);
  EXPECT_ERROR(fs().rename(at("/file"), at("/empty")), std::errc::is_a_directory);
  EXPECT_ERROR(fs().rename(at("/a"), at("/a/sub/deeper")), std::errc::invalid_argument);
  EXPECT_ERROR(fs().rename(at("/a"), at("/a/sub")), std::errc::invalid_argument);
  EXPECT_ERROR(fs().rename(at("/a/sub"), at("/a")), std::errc::directory_not_empty);
  EXPECT_ERROR(fs().rename(at("/a/sub/file"), at("/a")), std::errc::directory_not_empty);
  EXPECT_OK(fs().rename(at("/a"), at("/empty")));
  EXPECT_EQ(text_of("/empty/sub/file"), "x");
  EXPECT_EQ(list("/"), (Names{"empty", "file", "full"}));
  // ".." of what moved is its new place.
  EXPECT_OK(fs().rename(at("/empty/sub"), at("/full/sub")));
  symlink("../file", "/full/sub/up");
  write("/full/file", "found");
  EXPECT_EQ(text_of("/full/sub/up"), "found");
}

TEST_P(FileSystemTest, HardLinks) {
  write("/a", "text");
  mkdir("/dir");
  EXPECT_OK(fs().make_hard_link(at("/a"), at("/dir/b")));
  EXPECT_EQ(stat("/a").inode, stat("/dir/b").inode);
  EXPECT_EQ(stat("/a").link_count, 2U);
  EXPECT_ERROR(fs().make_hard_link(at("/a"), at("/dir/b")), std::errc::file_exists);
  EXPECT_ERROR(fs().make_hard_link(at("/dir"), at("/c")), std::errc::operation_not_permitted);
  EXPECT_ERROR(fs().make_hard_link(at("/none"), at("/c")), std::errc::no_such_file_or_directory);
  // Renaming one name of a file to another does nothing.
  EXPECT_OK(fs().rename(at("/a"), at("/dir/b")));
  EXPECT_EQ(text_of("/a"), "text");
  EXPECT_OK(fs().remove_file(at("/a")));
  EXPECT_EQ(text_of("/dir/b"), "text");
  EXPECT_EQ(stat("/dir/b").link_count, 1U);
  // A link to a link is to the link itself.
  symlink("nowhere", "/link");
  EXPECT_OK(fs().make_hard_link(at("/link"), at("/link2")));
  EXPECT_EQ(*fs().read_symbolic_link(at("/link2")), "nowhere");
}

TEST_P(FileSystemTest, SymbolicLinks) {
  mkdir("/dir");
  write("/dir/file", "text");
  symlink("dir/file", "/link");
  symlink("dir", "/dirlink");
  symlink("../link", "/dir/back");
  EXPECT_EQ(text_of("/link"), "text");
  EXPECT_EQ(text_of("/dirlink/file"), "text");
  EXPECT_EQ(text_of("/dirlink/back"), "text");
  EXPECT_EQ(list("/dirlink"), (Names{"back", "file"}));
  EXPECT_EQ(*fs().read_symbolic_link(at("/link")), "dir/file");
  EXPECT_EQ(stat("/link", false).mode & S_IFMT, uint32_t{S_IFLNK});
  EXPECT_EQ(stat("/link", false).size, 8U);
  EXPECT_EQ(stat("/link").inode, stat("/dir/file").inode);
  EXPECT_ERROR(fs().read_symbolic_link(at("/dir")), std::errc::invalid_argument);
  EXPECT_ERROR(fs().read_symbolic_link(at("/none")), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs().make_symbolic_link("x", at("/link")), std::errc::file_exists);
  EXPECT_ERROR(fs().make_symbolic_link("", at("/new")), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs().open(at("/link"), {.read = true, .no_follow = true}, 0),
               std::errc::too_many_symbolic_link_levels);
  EXPECT_ERROR(fs().open(at("/dirlink"), {.read = true, .directory = true, .no_follow = true}, 0),
               std::errc::not_a_directory);
  EXPECT_ERROR(fs().open(at("/link"), {.write = true, .create = true, .exclusive = true}, 0644),
               std::errc::file_exists);
  EXPECT_ERROR(fs().make_directory(at("/link"), 0755), std::errc::file_exists);
  EXPECT_ERROR(fs().remove_directory(at("/dirlink")), std::errc::not_a_directory);
  EXPECT_OK(fs().remove_file(at("/dirlink")));
  EXPECT_EQ(text_of("/dir/file"), "text");
  // Renaming moves the link, and replaces a link, never what it names.
  EXPECT_OK(fs().rename(at("/link"), at("/moved")));
  EXPECT_EQ(*fs().read_symbolic_link(at("/moved")), "dir/file");
  write("/plain", "plain");
  EXPECT_OK(fs().rename(at("/plain"), at("/moved")));
  EXPECT_EQ(text_of("/dir/file"), "text");
}

TEST_P(FileSystemTest, OddLinkTargets) {
  mkdir("/a");
  mkdir("/a/b");
  write("/a/file", "text");
  symlink("..", "/a/b/up");
  symlink(".", "/a/self");
  symlink("./b//../file", "/a/winding");
  symlink("b/", "/a/slash");
  symlink("file/", "/a/notdir");
  symlink("new/", "/a/missingdir");
  symlink("b/up/b/up", "/a/chain");
  EXPECT_EQ(text_of("/a/b/up/file"), "text");
  EXPECT_EQ(stat("/a/b/up").inode, stat("/a").inode);
  EXPECT_EQ(text_of("/a/self/self/self/file"), "text");
  EXPECT_EQ(text_of("/a/winding"), "text");
  EXPECT_EQ(stat("/a/slash").inode, stat("/a/b").inode);
  EXPECT_EQ(text_of("/a/slash/up/file"), "text");
  EXPECT_EQ(stat_error("/a/notdir"), std::errc::not_a_directory);
  EXPECT_EQ(stat_error("/a/missingdir"), std::errc::no_such_file_or_directory);
  EXPECT_EQ(stat("/a/chain").inode, stat("/a").inode);
  EXPECT_EQ(list("/a/chain/b"), Names{"up"});
}

TEST_P(FileSystemTest, CreatesThroughDanglingLinks) {
  mkdir("/dir");
  symlink("dir/new", "/link");
  EXPECT_EQ(stat_error("/link"), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs().open(at("/link"), kRead, 0), std::errc::no_such_file_or_directory);
  write("/link", "made");
  EXPECT_EQ(text_of("/dir/new"), "made");
}

TEST_P(FileSystemTest, LinkLoopsEnd) {
  symlink("b", "/a");
  symlink("a", "/b");
  EXPECT_EQ(stat_error("/a"), std::errc::too_many_symbolic_link_levels);
  EXPECT_EQ(stat_error("/a/x"), std::errc::too_many_symbolic_link_levels);
  EXPECT_ERROR(fs().open(at("/a"), kCreate, 0644), std::errc::too_many_symbolic_link_levels);
  write("/l0", "end");
  for (int i = 1; i <= 41; ++i) {
    symlink("l" + std::to_string(i - 1), "/l" + std::to_string(i));
  }
  EXPECT_EQ(text_of("/l40"), "end");
  EXPECT_EQ(stat_error("/l41"), std::errc::too_many_symbolic_link_levels);
}

TEST_P(FileSystemTest, ChangesModes) {
  write("/file", "");
  mkdir("/dir");
  symlink("file", "/link");
  EXPECT_OK(fs().change_mode(at("/file"), 0600, true));
  EXPECT_EQ(stat("/file").mode, uint32_t{S_IFREG | 0600});
  EXPECT_OK(fs().change_mode(at("/link"), 0640, true));
  EXPECT_EQ(stat("/file").mode, uint32_t{S_IFREG | 0640});
  EXPECT_OK(fs().change_mode(at("/dir"), 0700, false));
  EXPECT_EQ(stat("/dir").mode, uint32_t{S_IFDIR | 0700});
  EXPECT_OK(open("/file")->change_mode(S_IFDIR | 0444));
  EXPECT_EQ(stat("/file").mode, uint32_t{S_IFREG | 0444});
  EXPECT_ERROR(fs().change_mode(at("/link"), 0600, false), std::errc::operation_not_supported);
  EXPECT_ERROR(fs().change_mode(at("/none"), 0600, true), std::errc::no_such_file_or_directory);
}

TEST_P(FileSystemTest, SetsTimes) {
  write("/file", "");
  symlink("file", "/link");
  const timespec access{.tv_sec = 1'000'000'000, .tv_nsec = 123'456'789};
  const timespec modification{.tv_sec = 1'100'000'000, .tv_nsec = 987'654'321};
  EXPECT_OK(fs().set_times(at("/link"), access, modification, true));
  EXPECT_EQ(stat("/file").access_time.tv_sec, access.tv_sec);
  EXPECT_EQ(stat("/file").access_time.tv_nsec, access.tv_nsec);
  EXPECT_EQ(stat("/file").modification_time.tv_sec, modification.tv_sec);
  EXPECT_EQ(stat("/file").modification_time.tv_nsec, modification.tv_nsec);
  EXPECT_OK(fs().set_times(at("/file"), std::nullopt, access, true));
  EXPECT_EQ(stat("/file").access_time.tv_sec, access.tv_sec);
  EXPECT_EQ(stat("/file").modification_time.tv_sec, access.tv_sec);
  EXPECT_OK(fs().set_times(at("/link"), modification, modification, false));
  EXPECT_EQ(stat("/link", false).modification_time.tv_sec, modification.tv_sec);
  EXPECT_EQ(stat("/file").modification_time.tv_sec, access.tv_sec);
  EXPECT_OK(fs().set_times(at("/file"), std::nullopt, std::nullopt, true));
  EXPECT_ERROR(fs().set_times(at("/none"), std::nullopt, std::nullopt, true),
               std::errc::no_such_file_or_directory);
  EXPECT_ERROR(
      fs().set_times(at("/file"), timespec{.tv_sec = 0, .tv_nsec = 1'000'000'000}, access, true),
      std::errc::invalid_argument);
}

TEST_P(FileSystemTest, WritingMovesTheModificationTime) {
  write("/file", "");
  mkdir("/dir");
  const timespec old{.tv_sec = 1'000'000'000, .tv_nsec = 0};
  for (const char* path : {"/file", "/dir"}) {
    EXPECT_OK(fs().set_times(at(path), old, old, true));
  }
  EXPECT_OK(open("/file")->write(bytes_of("x"), 0));
  EXPECT_GT(stat("/file").modification_time.tv_sec, old.tv_sec);
  write("/dir/file", "");
  EXPECT_GT(stat("/dir").modification_time.tv_sec, old.tv_sec);
}

TEST_P(FileSystemTest, NamesHaveALimit) {
  write("/" + std::string(255, 'n'), "");
  EXPECT_ERROR(fs().open(at("/" + std::string(256, 'n')), kCreate, 0644),
               std::errc::filename_too_long);
  std::string deep;
  while (deep.size() < 5000) deep += "/dir";
  EXPECT_EQ(stat_error(deep), std::errc::filename_too_long);
}

TEST_P(FileSystemTest, TheRootCannotBeRemovedOrReplaced) {
  mkdir("/dir");
  EXPECT_ERROR(fs().remove_file(at("/")), std::errc::is_a_directory);
  EXPECT_ERROR(fs().remove_directory(at("/")), std::errc::device_or_resource_busy);
  EXPECT_ERROR(fs().make_directory(at("/"), 0755), std::errc::file_exists);
  EXPECT_ERROR(fs().make_symbolic_link("x", at("/")), std::errc::file_exists);
  EXPECT_ERROR(fs().rename(at("/"), at("/dir/x")), std::errc::device_or_resource_busy);
  EXPECT_ERROR(fs().rename(at("/dir"), at("/")), std::errc::device_or_resource_busy);
  EXPECT_ERROR(fs().read_symbolic_link(at("/")), std::errc::invalid_argument);
  EXPECT_EQ(list("/"), Names{"dir"});
}

TEST_P(FileSystemTest, InodesAreUnique) {
  std::vector<uint64_t> inodes;
  for (int i = 0; i < 100; ++i) {
    const std::string path = "/f" + std::to_string(i);
    write(path, "");
    inodes.push_back(stat(path).inode);
  }
  std::ranges::sort(inodes);
  EXPECT_EQ(std::ranges::adjacent_find(inodes), inodes.end());
}

TEST_P(FileSystemTest, Statistics) {
  const auto statistics = fs().statistics(at("/"));
  ASSERT_OK(statistics);
  EXPECT_GT(statistics->block_size, 0U);
  EXPECT_GE(statistics->blocks, statistics->blocks_free);
  EXPECT_GT(statistics->blocks, 0U);
  EXPECT_ERROR(fs().statistics(at("/none")), std::errc::no_such_file_or_directory);
}

TEST_P(FileSystemTest, OpenFilesOutliveTheirNames) {
  mkdir("/dir");
  const auto file = open("/dir/file");
  EXPECT_OK(fs().rename(at("/dir"), at("/moved")));
  EXPECT_OK(file->write(bytes_of("still here"), 0));
  EXPECT_EQ(text_of("/moved/file"), "still here");
}

}  // namespace
}  // namespace pglite::vfs
