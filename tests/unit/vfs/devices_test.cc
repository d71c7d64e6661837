#include "vfs/devices.h"

#include <sys/stat.h>

#include "vfs/memory_filesystem.h"
#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

struct Lines {
  std::vector<std::string> lines;
  LineSink::Callback callback() {
    return [this](std::string_view line) { lines.emplace_back(line); };
  }
};

TEST(LineSink, GivesLinesHoweverTheyWereWritten) {
  Lines got;
  LineSink sink(got.callback());
  for (const char* text : {"one\ntwo\n", "th", "re", "e\n\nfo", "ur"}) {
    EXPECT_EQ(*sink.write(bytes_of(text)), std::strlen(text));
  }
  EXPECT_EQ(got.lines, (Names{"one", "two", "three", ""}));
  sink.flush();
  sink.flush();
  EXPECT_EQ(got.lines.size(), 5U);
  EXPECT_EQ(got.lines.back(), "four");
}

TEST(LineSink, FlushesWhenDestroyed) {
  Lines got;
  {
    EXPECT_OK(LineSink(got.callback()).write(bytes_of("last words")));
  }
  EXPECT_EQ(got.lines, Names{"last words"});
}

TEST(LineSink, CutsLinesThatNeverEnd) {
  Lines got;
  LineSink sink(got.callback());
  EXPECT_OK(sink.write(bytes_of("ab")));
  EXPECT_OK(sink.write(bytes_of(std::string(2 * LineSink::kMaximumLine, 'x') + "\n")));
  ASSERT_EQ(got.lines.size(), 3U);
  EXPECT_EQ(got.lines[0].size(), LineSink::kMaximumLine);
  EXPECT_EQ(got.lines[1].size(), LineSink::kMaximumLine);
  EXPECT_EQ(got.lines[2], "xx");
}

class DeviceNodes : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(fs.make_directory("/dev", 0755));
    ASSERT_OK(fs.add_device("/dev/null", make_null_device()));
    ASSERT_OK(fs.add_device("/dev/zero", make_zero_device()));
    ASSERT_OK(fs.add_device("/dev/urandom", make_random_device()));
    ASSERT_OK(fs.add_device("/dev/stdin", make_end_of_file_device()));
    sink = std::make_shared<LineSink>(got.callback());
    ASSERT_OK(fs.add_device("/dev/stdout", sink));
    ASSERT_OK(fs.add_device("/dev/tty", make_terminal_device(sink)));
  }
  std::unique_ptr<File> open(std::string_view path, OpenFlags flags = kReadWrite) {
    auto file = fs.open(path, flags, 0);
    EXPECT_OK(file);
    return std::move(*file);
  }

  Lines got;
  MemoryFileSystem fs;
  std::shared_ptr<LineSink> sink;
};

TEST_F(DeviceNodes, AreCharacterDevices) {
  const auto metadata = fs.metadata("/dev/null", true);
  ASSERT_OK(metadata);
  EXPECT_EQ(metadata->mode, uint32_t{S_IFCHR | 0666});
  EXPECT_EQ(metadata->device_type, 0x103U);
  EXPECT_ERROR(fs.add_device("/dev/null", make_null_device()), std::errc::file_exists);
  EXPECT_ERROR(fs.open("/dev/null", {.read = true, .directory = true}, 0),
               std::errc::not_a_directory);
  EXPECT_ERROR(fs.metadata("/dev/null/x", true), std::errc::not_a_directory);
  EXPECT_ERROR(fs.truncate("/dev/null", 0), std::errc::invalid_argument);
  EXPECT_OK(fs.open("/dev/null", {.write = true, .create = true, .truncate = true}, 0));
}

TEST_F(DeviceNodes, Null) {
  const auto file = open("/dev/null");
  EXPECT_EQ(*file->write(bytes_of("gone"), 0), 4U);
  EXPECT_EQ(contents(*file), "");
  EXPECT_TRUE(file->seekable());
}

TEST_F(DeviceNodes, Zero) {
  EXPECT_EQ(contents(*open("/dev/zero"), 7, 5), std::string(5, '\0'));
}

TEST_F(DeviceNodes, Random) {
  const auto file = open("/dev/urandom");
  const std::string first = contents(*file, 0, 600);
  EXPECT_EQ(first.size(), 600U);
  EXPECT_NE(first, contents(*file, 0, 600));
}

TEST_F(DeviceNodes, StandardInputIsAtItsEnd) {
  const auto file = open("/dev/stdin", kRead);
  EXPECT_EQ(contents(*file), "");
  EXPECT_FALSE(file->seekable());
  EXPECT_ERROR(file->write(bytes_of("x"), 0), std::errc::bad_file_descriptor);
}

TEST_F(DeviceNodes, OutputsShareTheSink) {
  EXPECT_OK(open("/dev/stdout")->write(bytes_of("a\nb"), 0));
  const auto tty = open("/dev/tty");
  EXPECT_OK(tty->write(bytes_of("c\n"), 100));
  EXPECT_EQ(contents(*tty), "");
  EXPECT_FALSE(tty->seekable());
  EXPECT_EQ(got.lines, (Names{"a", "bc"}));
}

TEST_F(DeviceNodes, HonourTheAccessMode) {
  EXPECT_ERROR(open("/dev/null", kRead)->write(bytes_of("x"), 0), std::errc::bad_file_descriptor);
  std::byte byte{};
  EXPECT_ERROR(open("/dev/null", {.write = true})->read({&byte, 1}, 0),
               std::errc::bad_file_descriptor);
}

}  // namespace
}  // namespace pglite::vfs
