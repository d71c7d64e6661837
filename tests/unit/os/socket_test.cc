#include "os/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace pglite::os {
namespace {

// SIGPIPE has its default effect here: it would end the test.
TEST(Socket, APeerThatHasGoneIsAnErrorAndNoSignal) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), generic, size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), generic, &size), 0);

  const auto socket = open_stream_socket(AF_INET);
  ASSERT_TRUE(socket);
  EXPECT_EQ(::fcntl(socket->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_NE(::fcntl(socket->get(), F_GETFL) & O_NONBLOCK, 0);
  if (::connect(socket->get(), generic, size) != 0) ASSERT_EQ(errno, EINPROGRESS);
  {
    const UniqueFd accepted(::accept(listener.get(), nullptr, nullptr));
  }
  ASSERT_EQ(::signal(SIGPIPE, SIG_DFL), SIG_DFL);
  ssize_t sent = 0;
  // The first may still go out: it is the answer to it that says that nobody is there.
  for (int i = 0; i < 1000 && sent >= 0; ++i) {
    sent = send_bytes(socket->get(), "x", 1);
    ::poll(nullptr, 0, 1);
  }
  EXPECT_EQ(sent, -1);
  EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET);
}

TEST(Socket, AFamilyThatIsNotKnownIsAnError) {
  EXPECT_FALSE(open_stream_socket(-1));
}

}  // namespace
}  // namespace pglite::os
