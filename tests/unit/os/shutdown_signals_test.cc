#include "os/shutdown_signals.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "os/timer.h"

namespace pglite::os {
namespace {

using namespace std::literals;

sigset_t mask() {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return mask;
}

bool equal(const sigset_t& a, const sigset_t& b) {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (sigismember(&a, signal) != sigismember(&b, signal)) return false;
  }
  return true;
}

void (*pipe_handler())(int) {
  struct sigaction action{};
  sigaction(SIGPIPE, nullptr, &action);
  return action.sa_handler;
}

bool readable(const ShutdownSignals& signals) {
  pollfd fd = {signals.descriptor(), POLLIN, 0};
  return ::poll(&fd, 1, 0) == 1;
}

TEST(ShutdownSignals, AreTakenOneByOne) {
  ShutdownSignals signals;
  ASSERT_GE(signals.descriptor(), 0);
  EXPECT_FALSE(readable(signals));
  EXPECT_EQ(signals.take(), std::nullopt);
  for (const int signal : {SIGTERM, SIGINT}) {
    ::kill(::getpid(), signal);
    EXPECT_TRUE(readable(signals));
    EXPECT_EQ(signals.take(), signal);
    EXPECT_EQ(signals.take(), std::nullopt);
    EXPECT_FALSE(readable(signals));
  }
}

TEST(ShutdownSignals, PutEverythingBack) {
  const sigset_t before = mask();
  const auto pipe_before = pipe_handler();
  {
    const ShutdownSignals signals;
    const sigset_t inside = mask();
    EXPECT_TRUE(sigismember(&inside, SIGTERM) == 1 && sigismember(&inside, SIGINT) == 1);
    EXPECT_EQ(pipe_handler(), SIG_IGN);
    ::kill(::getpid(), SIGINT);
  }
  EXPECT_TRUE(equal(mask(), before));
  EXPECT_EQ(pipe_handler(), pipe_before);
}

// Also what a timer has changed meanwhile.
TEST(ShutdownSignals, AChildGetsTheMaskAsItWasFound) {
  const sigset_t original = mask();
  sigset_t found = original;
  sigaddset(&found, SIGURG);
  sigaddset(&found, SIGALRM);
  pthread_sigmask(SIG_SETMASK, &found, nullptr);
  {
    const ShutdownSignals signals;
    Timer timer(Timer::Calls::kReturn, [](void*) {}, nullptr);
    ASSERT_TRUE(timer.arm(1h));
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      signals.restore();
      _exit(equal(mask(), found) && pipe_handler() != SIG_IGN ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_TRUE(equal(mask(), found));
  pthread_sigmask(SIG_SETMASK, &original, nullptr);
}

}  // namespace
}  // namespace pglite::os
