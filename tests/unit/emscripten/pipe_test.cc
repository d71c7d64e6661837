#include "emscripten/pipe.h"

#include <gtest/gtest.h>

#include <string>

namespace pglite::emscripten {
namespace {

class PipeTest : public testing::Test {
 protected:
  vfs::Result<size_t> write(std::string_view data) {
    return writer->write(std::as_bytes(std::span(data)), 0);
  }
  vfs::Result<std::string> read(size_t size) {
    std::string data(size, '\0');
    const auto count = reader->read(std::as_writable_bytes(std::span(data)), 0);
    if (!count) return vfs::error(count.error());
    data.resize(*count);
    return data;
  }

  std::unique_ptr<PipeFile> reader;
  std::unique_ptr<PipeFile> writer;

  PipeTest() { std::tie(reader, writer) = make_pipe(); }
};

TEST_F(PipeTest, GivesBackWhatWasWritten) {
  EXPECT_EQ(read(10).error(), std::errc::resource_unavailable_try_again);
  EXPECT_FALSE(reader->ready());
  EXPECT_EQ(write("hello"), 5U);
  EXPECT_TRUE(reader->ready());
  EXPECT_EQ(write(" world"), 6U);
  EXPECT_EQ(read(4), "hell");
  EXPECT_EQ(read(100), "o world");
  EXPECT_FALSE(reader->ready());
}

TEST_F(PipeTest, EndsWhenTheWriterIsClosed) {
  EXPECT_EQ(write("last"), 4U);
  writer.reset();
  EXPECT_TRUE(reader->ready());
  EXPECT_EQ(read(10), "last");
  EXPECT_EQ(read(10), "");
  EXPECT_TRUE(reader->ready());
}

TEST_F(PipeTest, WritingWithoutAReaderFails) {
  reader.reset();
  EXPECT_EQ(write("x").error(), std::errc::broken_pipe);
}

TEST_F(PipeTest, HoldsALimitedNumberOfBytes) {
  const std::string chunk(40000, 'x');
  EXPECT_EQ(write(chunk), 40000U);
  EXPECT_EQ(write(chunk), 65536U - 40000U);
  EXPECT_EQ(write("x").error(), std::errc::resource_unavailable_try_again);
  EXPECT_EQ(read(1), "x");
  EXPECT_EQ(write(chunk), 1U);
}

TEST_F(PipeTest, TheEndsAreNotInterchangeable) {
  std::byte byte{};
  EXPECT_EQ(writer->read({&byte, 1}, 0).error(), std::errc::bad_file_descriptor);
  EXPECT_EQ(reader->write({&byte, 1}, 0).error(), std::errc::bad_file_descriptor);
  EXPECT_FALSE(reader->seekable());
  EXPECT_FALSE(writer->ready());
  EXPECT_EQ(reader->truncate(0).error(), std::errc::invalid_argument);
  EXPECT_EQ(reader->entries().error(), std::errc::not_a_directory);
  EXPECT_EQ(reader->metadata()->mode & 0170000U, 0010000U);
}

}  // namespace
}  // namespace pglite::emscripten
