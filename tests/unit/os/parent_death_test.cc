#include "os/parent_death.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "os/pipe.h"
#include "os/poll.h"

namespace pglite::os {
namespace {

// A child of a child, whose parent ends: the signal ends it, too, and with it the last writer of
// the pipe.
TEST(ParentDeath, TheSignalComesWhenTheParentHasGone) {
  auto alive = make_pipe();
  auto ready = make_pipe();
  ASSERT_TRUE(alive && ready);
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    if (fork() == 0) {
      const char answer = end_with_parent(SIGKILL) ? 'y' : 'n';
      (void)!::write(ready->writer.get(), &answer, 1);
      alarm(60);  // not for ever, if that fails
      while (true) pause();
    }
    char answer = 0;
    (void)!::read(ready->reader.get(), &answer, 1);
    _exit(answer == 'y' ? 0 : 1);
  }
  alive->writer = UniqueFd();
  int status = 0;
  ASSERT_EQ(waitpid(parent, &status, 0), parent);
  EXPECT_EQ(status, 0);
  std::array<pollfd, 1> polled{{{alive->reader.get(), POLLIN, 0}}};
  EXPECT_EQ(poll_for(polled, std::chrono::seconds(20)), 1) << "it lives";
}

}  // namespace
}  // namespace pglite::os
