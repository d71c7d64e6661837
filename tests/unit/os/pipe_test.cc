#include "os/pipe.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace pglite::os {
namespace {

TEST(Pipe, LeadsFromItsWriterToItsReaderAndIsNotInherited) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  ASSERT_EQ(::write(pipe->writer.get(), "x", 1), 1);
  char got = 0;
  ASSERT_EQ(::read(pipe->reader.get(), &got, 1), 1);
  EXPECT_EQ(got, 'x');
  EXPECT_EQ(::fcntl(pipe->reader.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(pipe->writer.get(), F_GETFD), FD_CLOEXEC);
  pipe->writer = UniqueFd();
  EXPECT_EQ(::read(pipe->reader.get(), &got, 1), 0);
}

}  // namespace
}  // namespace pglite::os
