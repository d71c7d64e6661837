// What only the file system in memory does; the rest is in filesystem_test.cc.
#include "vfs/memory_filesystem.h"

#include <sys/stat.h>

#include <array>

#include "vfs/memory_node.h"
#include "vfs/paged_content.h"
#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

constexpr size_t kPage = PagedContent::kPageSize;

std::unique_ptr<File> create(FileSystem& fs, std::string_view path) {
  auto file = fs.open(path, kCreate, 0644);
  EXPECT_OK(file);
  return std::move(*file);
}

// A file over borrowed pages, as load_image makes them.
std::unique_ptr<File> borrowed(MemoryFileSystem& fs, std::string_view path,
                               std::span<const std::byte> memory) {
  auto file = create(fs, path);
  const std::shared_ptr<MemoryNode> node = *fs.node(path);
  EXPECT_OK(node->content()->truncate(memory.size()));
  for (size_t i = 0; i * kPage < memory.size(); ++i) {
    node->content()->borrow(i,
                            memory.subspan(i * kPage, std::min(kPage, memory.size() - i * kPage)));
  }
  return file;
}

TEST(MemoryFileSystem, BorrowedPagesAreCopiedOneByOneWhenWritten) {
  const std::string original(3 * kPage + 100, 'o');
  const std::string memory = original;
  MemoryFileSystem fs;
  const auto file = borrowed(fs, "/file", bytes_of(memory));
  EXPECT_EQ(fs.owned_bytes(), 0U);
  EXPECT_EQ(contents(*file), original);

  EXPECT_OK(file->write(bytes_of("new"), kPage + 5));
  EXPECT_EQ(fs.owned_bytes(), kPage);
  std::string expected = original;
  expected.replace(kPage + 5, 3, "new");
  EXPECT_EQ(contents(*file), expected);

  // Zeros over a borrowed page are not a hole.
  EXPECT_OK(file->write(bytes_of(std::string(kPage, '\0')), 0));
  expected.replace(0, kPage, kPage, '\0');
  EXPECT_EQ(contents(*file), expected);
  EXPECT_EQ(fs.owned_bytes(), 2 * kPage);

  // The short last page grows beyond what was borrowed.
  EXPECT_OK(file->write(bytes_of("end"), 3 * kPage + 200));
  expected += std::string(100, '\0') + "end";
  EXPECT_EQ(contents(*file), expected);
  EXPECT_EQ(memory, original);
}

TEST(MemoryFileSystem, TruncatingBorrowedPagesCopiesNothing) {
  const std::string original(2 * kPage, 'o');
  const std::string memory = original;
  MemoryFileSystem fs;
  const auto file = borrowed(fs, "/file", bytes_of(memory));
  EXPECT_OK(file->truncate(kPage + 10));
  EXPECT_OK(file->truncate(2 * kPage));
  EXPECT_EQ(contents(*file), std::string(kPage + 10, 'o') + std::string(kPage - 10, '\0'));
  EXPECT_EQ(fs.owned_bytes(), 0U);
  EXPECT_OK(file->write(bytes_of("x"), 2 * kPage - 1));
  EXPECT_EQ(contents(*file), std::string(kPage + 10, 'o') + std::string(kPage - 11, '\0') + "x");
  EXPECT_EQ(memory, original);
}

TEST(MemoryFileSystem, ZerosOverHolesCostNothing) {
  MemoryFileSystem fs;
  const auto file = create(fs, "/wal");
  const std::string zeros(8 * kPage, '\0');
  for (int i = 0; i < 256; ++i) EXPECT_OK(file->write(bytes_of(zeros), i * zeros.size()));
  EXPECT_EQ(file->metadata()->size, 256 * zeros.size());
  EXPECT_EQ(file->metadata()->blocks, 0U);
  EXPECT_EQ(fs.owned_bytes(), 0U);
  EXPECT_OK(file->write(bytes_of("x"), 5 * kPage));
  EXPECT_EQ(fs.owned_bytes(), kPage);
  EXPECT_EQ(file->metadata()->blocks, kPage / 512);
}

TEST(MemoryFileSystem, GivesMemoryBack) {
  MemoryFileSystem fs;
  auto file = create(fs, "/file");
  EXPECT_OK(file->write(bytes_of(std::string(10 * kPage, 'x')), 0));
  EXPECT_OK(file->write(bytes_of("x"), uint64_t{1} << 40));
  EXPECT_EQ(fs.owned_bytes(), 11 * kPage);
  EXPECT_OK(file->truncate(3 * kPage + 1));
  EXPECT_EQ(fs.owned_bytes(), 4 * kPage);
  EXPECT_OK(fs.remove_file("/file"));
  EXPECT_EQ(fs.owned_bytes(), 4 * kPage);
  file.reset();
  EXPECT_EQ(fs.owned_bytes(), 0U);

  create(fs, "/a")->write(bytes_of("a"), 0).value();
  create(fs, "/b")->write(bytes_of("b"), 0).value();
  EXPECT_OK(fs.rename("/a", "/b"));
  EXPECT_EQ(fs.owned_bytes(), kPage);
}

TEST(MemoryFileSystem, RunsOutOfSpaceGracefully) {
  MemoryFileSystem fs({.capacity = 3 * kPage});
  const auto file = create(fs, "/file");
  const auto written = file->write(bytes_of(std::string(5 * kPage, 'x')), 100);
  ASSERT_OK(written);
  EXPECT_EQ(*written, 3 * kPage - 100);
  EXPECT_EQ(file->metadata()->size, 3 * kPage);
  EXPECT_ERROR(file->write(bytes_of("x"), 3 * kPage), std::errc::no_space_on_device);
  EXPECT_EQ(file->metadata()->size, 3 * kPage);
  EXPECT_EQ(fs.statistics("/")->blocks_free, 0U);
  // What is there can still be written.
  EXPECT_OK(file->write(bytes_of("y"), kPage));
  EXPECT_OK(file->truncate(kPage));
  EXPECT_OK(file->write(bytes_of("x"), 3 * kPage));
  EXPECT_EQ(contents(*file, 3 * kPage), "x");
}

TEST(MemoryFileSystem, FilesHaveALargestSize) {
  MemoryFileSystem fs;
  const auto file = create(fs, "/file");
  const uint64_t maximum = PagedContent::kMaximumSize;
  EXPECT_OK(file->write(bytes_of("x"), maximum - 1));
  EXPECT_ERROR(file->write(bytes_of("x"), maximum), std::errc::file_too_large);
  EXPECT_ERROR(file->write(bytes_of("xx"), maximum - 1), std::errc::file_too_large);
  EXPECT_ERROR(file->truncate(maximum + 1), std::errc::file_too_large);
  EXPECT_OK(file->truncate(maximum));
}

TEST(MemoryFileSystem, PagesAroundTheEndOfTheArray) {
  MemoryFileSystem fs;
  const auto file = create(fs, "/file");
  const uint64_t edge = uint64_t{1} << 30;
  const std::string text(3 * kPage, 'e');
  EXPECT_OK(file->write(bytes_of(text), edge - kPage - 7));
  EXPECT_EQ(contents(*file, edge - kPage - 7), text);
  EXPECT_OK(file->truncate(edge + 1));
  EXPECT_OK(file->truncate(edge + kPage));
  EXPECT_EQ(contents(*file, edge - 1, 3), std::string("ee\0", 3));
  EXPECT_OK(file->truncate(edge));
  EXPECT_EQ(contents(*file, edge - 1), "e");
}

TEST(MemoryFileSystem, AbsoluteLinksStartAtTheRoot) {
  MemoryFileSystem fs;
  EXPECT_OK(fs.make_directories("/a/b/c", 0755));
  put(fs, "/file", "text");
  EXPECT_OK(fs.make_symbolic_link("/file", "/a/b/absolute"));
  EXPECT_OK(fs.make_symbolic_link("/", "/a/b/root"));
  EXPECT_OK(fs.make_symbolic_link("../../../../../file", "/a/b/climbing"));
  EXPECT_EQ(contents(fs, "/a/b/absolute"), "text");
  EXPECT_EQ(contents(fs, "/a/b/root/file"), "text");
  EXPECT_EQ(contents(fs, "/a/b/climbing"), "text");
}

TEST(MemoryFileSystem, MakesDirectories) {
  MemoryFileSystem fs;
  EXPECT_OK(fs.make_directories("/a/b/c", 0700));
  EXPECT_OK(fs.make_directories("/a/b/c", 0755));
  EXPECT_OK(fs.make_directories("/", 0755));
  EXPECT_EQ(fs.metadata("/a/b/c", true)->mode, uint32_t{S_IFDIR | 0700});
  put(fs, "/a/file", "");
  EXPECT_ERROR(fs.make_directories("/a/file", 0755), std::errc::not_a_directory);
  EXPECT_ERROR(fs.make_directories("/a/file/b", 0755), std::errc::not_a_directory);
}

TEST(MemoryFileSystem, CountsDirectoryLinks) {
  MemoryFileSystem fs;
  const auto links = [&](std::string_view path) { return fs.metadata(path, true)->link_count; };
  EXPECT_OK(fs.make_directories("/a/b", 0755));
  EXPECT_OK(fs.make_directories("/c/d", 0755));
  EXPECT_EQ(links("/"), 4U);
  EXPECT_EQ(links("/a"), 3U);
  EXPECT_OK(fs.rename("/a/b", "/c/b"));
  EXPECT_EQ(links("/a"), 2U);
  EXPECT_EQ(links("/c"), 4U);
  EXPECT_OK(fs.rename("/a", "/c/b"));  // over an empty directory
  EXPECT_EQ(links("/"), 3U);
  EXPECT_EQ(links("/c"), 4U);
  EXPECT_OK(fs.remove_directory("/c/b"));
  EXPECT_EQ(links("/c"), 3U);
}

TEST(MemoryFileSystem, OpenedFilesOutliveIt) {
  auto fs = std::make_unique<MemoryFileSystem>();
  const auto file = create(*fs, "/file");
  const auto root = std::move(*fs->open("/", kRead, 0));
  EXPECT_OK(file->write(bytes_of("text"), 0));
  fs.reset();
  EXPECT_EQ(contents(*file), "text");
  EXPECT_OK(file->write(bytes_of(std::string(kPage, 'x')), kPage));
  EXPECT_TRUE(root->entries()->empty());
}

TEST(MemoryFileSystem, DeepTreesAreDestroyedWithoutRecursion) {
  MemoryFileSystem fs;
  // Deeper than any path can say: the tree so far is moved into a new directory, again and again.
  EXPECT_OK(fs.make_directory("/tree", 0755));
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_OK(fs.make_directory("/new", 0755));
    ASSERT_OK(fs.rename("/tree", "/new/tree"));
    ASSERT_OK(fs.rename("/new", "/tree"));
  }
}

TEST(MemoryFileSystem, RefusesEmptyPaths) {
  MemoryFileSystem fs;
  EXPECT_ERROR(fs.open("", kRead, 0), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs.metadata("", true), std::errc::no_such_file_or_directory);
}

}  // namespace
}  // namespace pglite::vfs
