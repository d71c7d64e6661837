#include "vfs/descriptor_table.h"

#include <limits>

#include "vfs/memory_filesystem.h"
#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

class DescriptorTableTest : public testing::Test {
 protected:
  void SetUp() override {
    put(fs, "/file", "0123456789");
    ASSERT_OK(fs.add_device("/tty", make_terminal_device(make_null_device())));
  }

  std::shared_ptr<OpenFile> opened(std::string_view path = "/file", OpenFlags flags = kReadWrite) {
    auto file = fs.open(path, flags, 0644);
    EXPECT_OK(file);
    auto result = std::make_shared<OpenFile>();
    result->file = std::move(*file);
    result->path = path;
    result->readable = flags.read;
    result->writable = flags.write;
    return result;
  }
  std::string read(int descriptor, size_t size) {
    std::string text(size, '?');
    const auto count = table.read(descriptor, std::as_writable_bytes(std::span(text)));
    EXPECT_OK(count);
    text.resize(count.value_or(0));
    return text;
  }

  MemoryFileSystem fs;
  DescriptorTable table{16};
  std::array<std::byte, 4> buffer{};
};

TEST_F(DescriptorTableTest, GivesTheLowestFreeNumber) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(table.open(opened()), i);
  EXPECT_OK(table.close(3));
  EXPECT_OK(table.close(1));
  EXPECT_EQ(table.open_count(), 3U);
  EXPECT_EQ(table.open(opened(), 2), 3);
  EXPECT_EQ(table.open(opened()), 1);
  EXPECT_EQ(table.open(opened()), 5);
  EXPECT_EQ(table.open(opened(), 10), 10);
  EXPECT_EQ(table.open(opened(), 10), 11);
  EXPECT_EQ(table.open(opened()), 6);
}

TEST_F(DescriptorTableTest, HasALimit) {
  for (int i = 0; i < 16; ++i) EXPECT_EQ(table.open(opened()), i);
  EXPECT_ERROR(table.open(opened()), std::errc::too_many_files_open);
  EXPECT_ERROR(table.dup(3), std::errc::too_many_files_open);
  EXPECT_ERROR(table.open(opened(), 16), std::errc::invalid_argument);
  EXPECT_ERROR(table.open(opened(), -1), std::errc::invalid_argument);
  EXPECT_OK(table.close(7));
  EXPECT_EQ(table.dup(3), 7);
  EXPECT_EQ(DescriptorTable().limit(), 4096);
}

TEST_F(DescriptorTableTest, ManyDuplicatesAsPostgresMakesAtBoot) {
  DescriptorTable big;
  ASSERT_OK(big.open(opened()));
  for (int i = 1; i < big.limit(); ++i) ASSERT_EQ(big.dup(0), i);
  EXPECT_ERROR(big.dup(0), std::errc::too_many_files_open);
  for (int i = 1; i < big.limit(); ++i) ASSERT_OK(big.close(i));
  EXPECT_EQ(big.dup(0), 1);
}

TEST_F(DescriptorTableTest, RefusesWhatIsNotOpen) {
  constexpr std::errc kBad = std::errc::bad_file_descriptor;
  ASSERT_EQ(table.open(opened()), 0);
  for (const int bad : {-1, 1, 5, 16, 1'000'000, std::numeric_limits<int>::min()}) {
    EXPECT_ERROR(table.get(bad), kBad);
    EXPECT_ERROR(table.share(bad), kBad);
    EXPECT_ERROR(table.close(bad), kBad);
    EXPECT_ERROR(table.dup(bad), kBad);
    EXPECT_ERROR(table.dup_to(bad, 2), kBad);
    EXPECT_ERROR(table.read(bad, buffer), kBad);
    EXPECT_ERROR(table.write(bad, buffer), kBad);
    EXPECT_ERROR(table.pread(bad, buffer, 0), kBad);
    EXPECT_ERROR(table.pread_at_once(bad, buffer, 0), kBad);
    EXPECT_ERROR(table.pwrite(bad, buffer, 0), kBad);
    EXPECT_ERROR(table.seek(bad, 0, Whence::kSet), kBad);
    EXPECT_ERROR(table.close_on_exec(bad), kBad);
    EXPECT_ERROR(table.set_close_on_exec(bad, true), kBad);
  }
  EXPECT_ERROR(table.dup_to(0, -1), kBad);
  EXPECT_ERROR(table.dup_to(0, 16), kBad);
  EXPECT_OK(table.close(0));
  EXPECT_ERROR(table.close(0), kBad);
}

TEST_F(DescriptorTableTest, RefusesTheWrongAccessMode) {
  ASSERT_EQ(table.open(opened("/file", kRead)), 0);
  ASSERT_EQ(table.open(opened("/file", {.write = true})), 1);
  EXPECT_ERROR(table.write(0, buffer), std::errc::bad_file_descriptor);
  EXPECT_ERROR(table.pwrite(0, buffer, 0), std::errc::bad_file_descriptor);
  EXPECT_ERROR(table.read(1, buffer), std::errc::bad_file_descriptor);
  EXPECT_ERROR(table.pread(1, buffer, 0), std::errc::bad_file_descriptor);
}

TEST_F(DescriptorTableTest, ReadingAndWritingMoveThePosition) {
  ASSERT_EQ(table.open(opened()), 0);
  EXPECT_EQ(read(0, 3), "012");
  EXPECT_EQ(*table.write(0, bytes_of("ab")), 2U);
  EXPECT_EQ(read(0, 100), "56789");
  EXPECT_EQ(read(0, 100), "");
  EXPECT_EQ(contents(fs, "/file"), "012ab56789");
  EXPECT_EQ(*table.pwrite(0, bytes_of("Z"), 1), 1U);
  EXPECT_EQ(*table.pread(0, buffer, 0), 4U);
  EXPECT_EQ(static_cast<char>(buffer[1]), 'Z');
  EXPECT_EQ(table.get(0).value()->position, 10U);
  EXPECT_ERROR(table.pread(0, buffer, -1), std::errc::invalid_argument);
  EXPECT_ERROR(table.pwrite(0, buffer, -1), std::errc::invalid_argument);
}

TEST_F(DescriptorTableTest, DuplicatesShareThePosition) {
  ASSERT_EQ(table.open(opened()), 0);
  ASSERT_EQ(table.dup(0), 1);
  ASSERT_EQ(table.dup_to(0, 7), 7);
  ASSERT_EQ(table.open(opened()), 2);
  EXPECT_EQ(read(0, 2), "01");
  EXPECT_EQ(read(1, 2), "23");
  EXPECT_EQ(read(7, 2), "45");
  EXPECT_EQ(read(2, 2), "01");
  EXPECT_OK(table.close(0));
  EXPECT_EQ(read(1, 2), "67");
  table.get(1).value()->append = true;
  EXPECT_TRUE(table.get(7).value()->append);
}

TEST_F(DescriptorTableTest, DupToReplaces) {
  put(fs, "/other", "other");
  ASSERT_EQ(table.open(opened()), 0);
  ASSERT_EQ(table.open(opened("/other")), 1);
  std::weak_ptr<OpenFile> replaced = *table.share(1);
  ASSERT_EQ(table.dup_to(0, 1), 1);
  EXPECT_TRUE(replaced.expired());
  EXPECT_EQ(read(1, 2), "01");
  EXPECT_EQ(table.open_count(), 2U);
  ASSERT_EQ(table.dup_to(1, 1), 1);
  EXPECT_EQ(read(1, 2), "23");
  ASSERT_EQ(table.dup_to(0, 2), 2);
  EXPECT_EQ(table.open(opened()), 3);
}

TEST_F(DescriptorTableTest, CloseOnExecIsPerDescriptor) {
  ASSERT_EQ(table.open(opened(), 0, true), 0);
  ASSERT_EQ(table.dup(0), 1);
  ASSERT_EQ(table.dup(0, 5, true), 5);
  EXPECT_TRUE(table.close_on_exec(0).value());
  EXPECT_FALSE(table.close_on_exec(1).value());
  EXPECT_TRUE(table.close_on_exec(5).value());
  EXPECT_OK(table.set_close_on_exec(0, false));
  EXPECT_FALSE(table.close_on_exec(0).value());
  ASSERT_EQ(table.dup_to(1, 5), 5);
  EXPECT_FALSE(table.close_on_exec(5).value());
  EXPECT_OK(table.close(0));
  ASSERT_EQ(table.open(opened()), 0);
  EXPECT_FALSE(table.close_on_exec(0).value());
}

TEST_F(DescriptorTableTest, AppendsAtTheEnd) {
  ASSERT_EQ(table.open(opened()), 0);
  table.get(0).value()->append = true;
  EXPECT_OK(table.seek(0, 2, Whence::kSet));
  EXPECT_EQ(*table.write(0, bytes_of("ab")), 2U);
  EXPECT_EQ(table.get(0).value()->position, 12U);
  put(fs, "/file", "x");
  EXPECT_EQ(*table.write(0, bytes_of("y")), 1U);
  EXPECT_EQ(contents(fs, "/file"), "xy");
}

TEST_F(DescriptorTableTest, Seeks) {
  constexpr int64_t kMaximum = std::numeric_limits<int64_t>::max();
  ASSERT_EQ(table.open(opened()), 0);
  EXPECT_EQ(table.seek(0, 4, Whence::kSet), 4U);
  EXPECT_EQ(table.seek(0, 3, Whence::kCurrent), 7U);
  EXPECT_EQ(table.seek(0, -6, Whence::kCurrent), 1U);
  EXPECT_EQ(read(0, 1), "1");
  EXPECT_EQ(table.seek(0, -1, Whence::kEnd), 9U);
  EXPECT_EQ(table.seek(0, 5, Whence::kEnd), 15U);
  EXPECT_EQ(read(0, 1), "");
  EXPECT_EQ(*table.write(0, bytes_of("x")), 1U);
  EXPECT_EQ(contents(fs, "/file"), std::string("0123456789\0\0\0\0\0x", 16));
  EXPECT_ERROR(table.seek(0, -1, Whence::kSet), std::errc::invalid_argument);
  EXPECT_ERROR(table.seek(0, -17, Whence::kEnd), std::errc::invalid_argument);
  EXPECT_ERROR(table.seek(0, std::numeric_limits<int64_t>::min(), Whence::kCurrent),
               std::errc::invalid_argument);
  EXPECT_ERROR(table.seek(0, kMaximum, Whence::kCurrent), std::errc::value_too_large);
  EXPECT_ERROR(table.seek(0, kMaximum, Whence::kEnd), std::errc::value_too_large);
  EXPECT_EQ(table.get(0).value()->position, 16U);  // failing moved nothing
  EXPECT_EQ(table.seek(0, kMaximum, Whence::kSet), static_cast<uint64_t>(kMaximum));
  EXPECT_EQ(read(0, 1), "");
  EXPECT_ERROR(table.write(0, buffer), std::errc::file_too_large);
}

TEST_F(DescriptorTableTest, StreamsDoNotSeek) {
  ASSERT_EQ(table.open(opened("/tty")), 0);
  EXPECT_ERROR(table.seek(0, 0, Whence::kSet), std::errc::invalid_seek);
  EXPECT_ERROR(table.seek(0, 0, Whence::kCurrent), std::errc::invalid_seek);
  EXPECT_ERROR(table.pread(0, buffer, 0), std::errc::invalid_seek);
  EXPECT_ERROR(table.pwrite(0, buffer, 0), std::errc::invalid_seek);
  EXPECT_EQ(*table.write(0, buffer), 4U);
  table.get(0).value()->append = true;
  EXPECT_EQ(*table.write(0, buffer), 4U);
  EXPECT_EQ(*table.read(0, buffer), 0U);
}

TEST_F(DescriptorTableTest, ListingsStayAsTheyBegan) {
  ASSERT_OK(fs.make_directory("/dir", 0755));
  for (const char* name : {"/dir/a", "/dir/b", "/dir/c"}) put(fs, name, "");
  ASSERT_EQ(table.open(opened("/dir", kRead)), 0);
  OpenFile& directory = *table.get(0).value();
  EXPECT_EQ(directory.listing()->size(), 3U);
  directory.position = 1;
  EXPECT_OK(fs.remove_file("/dir/a"));
  put(fs, "/dir/d", "");
  put(fs, "/dir/e", "");
  ASSERT_EQ(directory.listing()->size(), 3U);
  EXPECT_EQ((*directory.listing())[1].name, "b");
  EXPECT_EQ(table.seek(0, 2, Whence::kSet), 2U);
  EXPECT_EQ((*directory.listing())[2].name, "c");
  EXPECT_EQ(table.seek(0, 0, Whence::kSet), 0U);
  EXPECT_EQ(directory.listing()->size(), 4U);
  ASSERT_EQ(table.open(opened()), 1);
  EXPECT_ERROR(table.get(1).value()->listing(), std::errc::not_a_directory);
}

TEST_F(DescriptorTableTest, ClosesFilesWithTheirLastDescriptor) {
  auto file = opened();
  std::weak_ptr<OpenFile> watched = file;
  ASSERT_EQ(table.open(std::move(file)), 0);
  ASSERT_EQ(table.dup(0), 1);
  EXPECT_OK(table.close(0));
  EXPECT_FALSE(watched.expired());
  table.close_all();
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(table.open_count(), 0U);
  EXPECT_EQ(table.open(opened()), 0);
}

}  // namespace
}  // namespace pglite::vfs
