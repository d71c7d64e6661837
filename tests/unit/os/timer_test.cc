#include "os/timer.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace pglite::os {
namespace {

using namespace std::literals;
using Clock = std::chrono::steady_clock;

// What the timers of these tests do: they count.
using Count = std::atomic<int>;

void count(void* counter) {
  static_cast<Count*>(counter)->fetch_add(1);
}

// Whether it happens within ten seconds, which this thread computes in.
template <class Condition>
bool soon(Condition condition) {
  const auto end = Clock::now() + 10s;
  while (!condition()) {
    if (Clock::now() > end) return false;
  }
  return true;
}

// Sleeps in spite of signals.
void pause_for(std::chrono::nanoseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) std::this_thread::sleep_for(end - Clock::now());
}

struct sigaction disposition() {
  struct sigaction action{};
  sigaction(SIGURG, nullptr, &action);
  return action;
}

bool is_blocked() {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, SIGURG) == 1;
}

void change_mask(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGURG);
  pthread_sigmask(how, &set, nullptr);
}

// Lets `timer` expire while its signal is blocked, and leaves it blocked: a signal is pending.
void expire_blocked(Timer& timer, Count& calls) {
  do {
    change_mask(SIG_UNBLOCK);
    ASSERT_TRUE(timer.arm(5ms));
    change_mask(SIG_BLOCK);
  } while (!timer.armed());  // it was quicker
  calls = 0;
  ASSERT_TRUE(soon([] {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGURG) == 1;
  }));
}

std::atomic<int> plain_calls = 0;
std::atomic<int> detailed_calls = 0;
std::atomic<const void*> detailed_value = nullptr;

void plain_handler(int) {
  ++plain_calls;
}
void detailed_handler(int, siginfo_t* info, void* context) {
  if (context == nullptr) return;
  ++detailed_calls;
  detailed_value = info->si_value.sival_ptr;
}

struct sigaction plain_action(void (*handler)(int), int flags = 0) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  return action;
}
struct sigaction detailed_action(void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action{};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return action;
}

// Each test starts and ends with the default disposition and the signal unblocked.
class TimerTest : public ::testing::Test {
 protected:
  TimerTest() {
    EXPECT_EQ(disposition().sa_handler, SIG_DFL);
    EXPECT_FALSE(is_blocked());
    plain_calls = 0;
    detailed_calls = 0;
    detailed_value = nullptr;
  }
  ~TimerTest() override {
    change_mask(SIG_UNBLOCK);
    const struct sigaction action = plain_action(SIG_DFL);
    sigaction(SIGURG, &action, nullptr);
  }

  Count calls = 0;
};

TEST_F(TimerTest, InterruptsAThreadThatComputes) {
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  EXPECT_FALSE(timer.armed());
  const auto start = Clock::now();
  ASSERT_TRUE(timer.arm(20ms));
  EXPECT_TRUE(timer.armed());
  EXPECT_TRUE(soon([&] { return calls == 1; }));
  EXPECT_GE(Clock::now() - start, 20ms);
  EXPECT_FALSE(timer.armed());
  pause_for(50ms);
  EXPECT_EQ(calls, 1);
  ASSERT_TRUE(timer.arm(-1s));
  EXPECT_TRUE(soon([&] { return calls == 2; }));
}

TEST_F(TimerTest, IsPeriodicUntilItIsDisarmed) {
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  ASSERT_TRUE(timer.arm(1ms, 2ms));
  EXPECT_TRUE(soon([&] { return calls >= 5; }));
  EXPECT_TRUE(timer.armed());
  timer.disarm();
  const int then = calls;
  EXPECT_FALSE(timer.armed());
  pause_for(20ms);
  EXPECT_EQ(calls, then);
  ASSERT_TRUE(timer.arm(1ms));
  EXPECT_TRUE(soon([&] { return calls > then; }));
}

TEST_F(TimerTest, IsDisarmedInTime) {
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(timer.arm(1h));
    timer.disarm();
    ASSERT_TRUE(timer.arm(5ms));
    ASSERT_TRUE(timer.arm(1h));
  }
  pause_for(20ms);
  EXPECT_EQ(calls, 0);
}

// What a read of an empty pipe returns, and its errno, while a timer of that kind ticks; a byte
// comes after 200 ms.
std::pair<ssize_t, int> read_with(Timer::Calls kind) {
  int pipe[2];
  EXPECT_EQ(::pipe(pipe), 0);
  Count ticks = 0;
  Timer timer(kind, count, &ticks);
  std::thread writer([&] {
    change_mask(SIG_BLOCK);
    pause_for(200ms);
    EXPECT_EQ(::write(pipe[1], "x", 1), 1);
  });
  EXPECT_TRUE(timer.arm(20ms, 20ms));
  char byte = 0;
  const ssize_t got = ::read(pipe[0], &byte, 1);
  const int error = got < 0 ? errno : 0;
  EXPECT_GE(ticks, 1);
  writer.join();
  ::close(pipe[0]);
  ::close(pipe[1]);
  return {got, error};
}

TEST_F(TimerTest, CallsReturnOrGoOn) {
  Timer other(Timer::Calls::kGoOn, count, &calls);
  EXPECT_EQ(read_with(Timer::Calls::kGoOn), std::pair(ssize_t{1}, 0));
  EXPECT_EQ(read_with(Timer::Calls::kReturn), std::pair(ssize_t{-1}, EINTR));
  ASSERT_TRUE(other.arm(1h));
  EXPECT_EQ(read_with(Timer::Calls::kReturn), std::pair(ssize_t{-1}, EINTR));
  EXPECT_EQ(read_with(Timer::Calls::kGoOn), std::pair(ssize_t{1}, 0));
}

TEST_F(TimerTest, ABlockedSignalDoesNotMatterAndStaysBlocked) {
  change_mask(SIG_BLOCK);
  {
    Timer timer(Timer::Calls::kGoOn, count, &calls);
    ASSERT_TRUE(timer.arm(5ms));
    EXPECT_TRUE(soon([&] { return calls == 1; }));
    timer.disarm();
    EXPECT_TRUE(is_blocked());
    // Blocked again behind its back.
    ASSERT_TRUE(timer.arm(1h));
    change_mask(SIG_BLOCK);
    ASSERT_TRUE(timer.arm(5ms));
    EXPECT_TRUE(soon([&] { return calls == 2; }));
    ASSERT_TRUE(timer.arm(1h));
    EXPECT_FALSE(is_blocked());
  }
  EXPECT_TRUE(is_blocked());
  change_mask(SIG_UNBLOCK);
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  ASSERT_TRUE(timer.arm(1h));
  timer.remove();
  EXPECT_FALSE(is_blocked());
}

TEST_F(TimerTest, TheLastTimerOfAThreadGivesItsMaskBack) {
  change_mask(SIG_BLOCK);
  Timer first(Timer::Calls::kGoOn, count, &calls);
  Timer second(Timer::Calls::kReturn, count, &calls);
  ASSERT_TRUE(first.arm(1h));
  ASSERT_TRUE(second.arm(1h));
  first.rest();
  EXPECT_FALSE(is_blocked());
  first.attend();
  second.disarm();
  EXPECT_FALSE(is_blocked());
  first.rest();
  EXPECT_TRUE(is_blocked());
  first.rest();
  first.remove();
  second.remove();
  EXPECT_TRUE(is_blocked());
}

TEST_F(TimerTest, RestsAndAttends) {
  change_mask(SIG_BLOCK);
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  timer.attend();
  EXPECT_TRUE(is_blocked());
  ASSERT_TRUE(timer.arm(1h));
  EXPECT_FALSE(is_blocked());
  timer.rest();
  EXPECT_TRUE(is_blocked());
  timer.attend();
  EXPECT_FALSE(is_blocked());
  timer.remove();

  expire_blocked(timer, calls);
  EXPECT_EQ(calls, 0);
  timer.attend();  // and acts at once
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(timer.armed());
  // A signal of the time before does not end what is armed now.
  expire_blocked(timer, calls);
  ASSERT_TRUE(timer.arm(500ms));
  EXPECT_TRUE(timer.armed());
  calls = 0;
  EXPECT_TRUE(soon([&] { return calls == 1; }));
}

TEST_F(TimerTest, FollowsItsOwnerToAnotherThread) {
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  std::atomic<pthread_t> caller{};
  struct Context {
    Count* calls;
    std::atomic<pthread_t>* caller;
  } context{&calls, &caller};
  Timer named(
      Timer::Calls::kGoOn,
      [](void* c) {
        *static_cast<Context*>(c)->caller = pthread_self();
        ++*static_cast<Context*>(c)->calls;
      },
      &context);
  const auto due = Clock::now() + 50ms;
  std::thread([&] {
    EXPECT_TRUE(timer.arm(1h));
    EXPECT_TRUE(named.arm(50ms));
    named.rest();
  }).join();
  // The thread has taken the timer's target with it.
  named.attend();
  EXPECT_TRUE(named.armed());
  EXPECT_TRUE(soon([&] { return calls == 1; }));
  EXPECT_GE(Clock::now(), due);
  EXPECT_EQ(caller, pthread_self());
  ASSERT_TRUE(timer.arm(5ms));
  EXPECT_TRUE(soon([&] { return calls == 2; }));
}

TEST_F(TimerTest, ThreadsHaveTimersOfTheirOwn) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] {
      for (int round = 0; round < 50; ++round) {
        std::atomic<pthread_t> caller{};
        Timer timer(
            Timer::Calls::kGoOn,
            [](void* c) { *static_cast<std::atomic<pthread_t>*>(c) = pthread_self(); }, &caller);
        ASSERT_TRUE(timer.arm(100us));
        ASSERT_TRUE(soon([&] { return caller.load() != pthread_t{}; }));
        ASSERT_EQ(caller, pthread_self());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(disposition().sa_handler, SIG_DFL);
}

// A timer that another thread destroys while the handler runs: what it counts into is gone at once.
TEST_F(TimerTest, NothingRunsAfterDestruction) {
  std::atomic<bool> done = false;
  std::atomic<std::unique_ptr<Timer>*> handed = nullptr;
  std::thread ticking([&] {
    while (!done) {
      auto calls_here = std::make_unique<Count>(0);
      auto timer = std::make_unique<Timer>(Timer::Calls::kGoOn, count, calls_here.get());
      ASSERT_TRUE(timer->arm(10us, 10us));
      handed = &timer;
      while (handed != nullptr && !done) {
      }
      timer.reset();
    }
  });
  for (int i = 0; i < 100; ++i) {
    std::unique_ptr<Timer>* timer = nullptr;
    while ((timer = handed) == nullptr) std::this_thread::yield();
    timer->reset();
    handed = nullptr;
  }
  done = true;
  ticking.join();
}

#ifndef PGLITE_PORTABLE_OS  // whose signals carry nothing
// The details of the signal of `timer`, armed in this thread, which has it blocked now.
siginfo_t pending_signal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGURG);
  siginfo_t info{};
  const timespec timeout{.tv_sec = 10, .tv_nsec = 0};
  EXPECT_EQ(sigtimedwait(&set, &info, &timeout), SIGURG);
  EXPECT_EQ(info.si_code, SI_TIMER);
  return info;
}

void send_to_this_thread(siginfo_t* info) {
  ASSERT_EQ(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGURG, info), 0);
}

TEST_F(TimerTest, ALateSignalFindsNothing) {
  Count other_calls = 0;
  Timer other(Timer::Calls::kGoOn, count, &other_calls);  // the handler stays
  ASSERT_TRUE(other.arm(1h));

  auto timer = std::make_unique<Timer>(Timer::Calls::kGoOn, count, &calls);
  expire_blocked(*timer, calls);
  timer.reset();
  change_mask(SIG_UNBLOCK);
  EXPECT_EQ(calls, 0);

  // A system that does not drop the signals of a timer that is gone, as Linux did not before 6.13.
  timer = std::make_unique<Timer>(Timer::Calls::kGoOn, count, &calls);
  expire_blocked(*timer, calls);
  siginfo_t late = pending_signal();
  change_mask(SIG_UNBLOCK);
  EXPECT_TRUE(timer->armed());
  send_to_this_thread(&late);
  EXPECT_EQ(calls, 1);  // it is what the timer sends
  timer.reset();
  send_to_this_thread(&late);
  EXPECT_EQ(calls, 1);
  // Neither does the next timer, in the same place, take it for its own.
  Count next_calls = 0;
  Timer next(Timer::Calls::kGoOn, count, &next_calls);
  ASSERT_TRUE(next.arm(1h));
  send_to_this_thread(&late);
  EXPECT_EQ(calls + next_calls + other_calls, 1);
  next.disarm();

  // Somebody else's timers.
  siginfo_t foreign = late;
  for (const uint64_t value : {uint64_t{0}, uint64_t{1}, UINT64_MAX, uint64_t{0x7fff12345678}}) {
    foreign.si_value.sival_ptr = reinterpret_cast<void*>(value);
    send_to_this_thread(&foreign);
  }
  EXPECT_EQ(calls + next_calls + other_calls, 1);

  // Of all numbers near one that is known, exactly one is the next timer's.
  ASSERT_TRUE(next.arm(1h));
  const auto known = reinterpret_cast<uint64_t>(late.si_value.sival_ptr);
  constexpr uint64_t kNear = 1 << 16;
  for (uint64_t value = known - kNear; value <= known + kNear; ++value) {
    foreign.si_value.sival_ptr = reinterpret_cast<void*>(value);
    send_to_this_thread(&foreign);
  }
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(next_calls, 1);
  EXPECT_LE(other_calls, 1);
}

// As an emulator of a processor does it, which tells a program its host's numbers.
TEST_F(TimerTest, TheNumberOfTheSystemsTimerMayBeAnother) {
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  expire_blocked(timer, calls);
  siginfo_t signal = pending_signal();
  change_mask(SIG_UNBLOCK);
  signal.si_timerid += 0x1000;
  send_to_this_thread(&signal);
  EXPECT_EQ(calls, 1);
}
#endif

TEST_F(TimerTest, TheSignalIsGivenBackWithTheLastTimer) {
  for (const struct sigaction& wanted :
       {plain_action(SIG_DFL), plain_action(SIG_IGN), plain_action(plain_handler),
        detailed_action(detailed_handler)}) {
    sigaction(SIGURG, &wanted, nullptr);
    const struct sigaction before = disposition();
    {
      Timer first(Timer::Calls::kGoOn, count, &calls);
      Timer second(Timer::Calls::kReturn, count, &calls);
      EXPECT_EQ(disposition().sa_handler, before.sa_handler);
      ASSERT_TRUE(first.arm(1h));
      ASSERT_TRUE(second.arm(1h));
      const struct sigaction during = disposition();
      EXPECT_NE(during.sa_handler, before.sa_handler);
      EXPECT_TRUE(during.sa_flags & SA_ONSTACK);
      second.remove();
      EXPECT_EQ(disposition().sa_handler, during.sa_handler);
      first.disarm();
      EXPECT_EQ(disposition().sa_handler, during.sa_handler);
    }
    EXPECT_EQ(disposition().sa_handler, before.sa_handler);
    EXPECT_EQ(disposition().sa_flags, before.sa_flags);
  }
}

TEST_F(TimerTest, TheHandlerThatWasThereGetsItsSignals) {
  for (const auto kind : {Timer::Calls::kGoOn, Timer::Calls::kReturn}) {
    for (const auto ignoring : {SIG_DFL, SIG_IGN}) {
      const struct sigaction before = plain_action(ignoring);
      sigaction(SIGURG, &before, nullptr);
      Timer timer(kind, count, &calls);
      ASSERT_TRUE(timer.arm(1h));
      raise(SIGURG);
      EXPECT_EQ(calls, 0);
    }
    const struct sigaction plain = plain_action(plain_handler);
    sigaction(SIGURG, &plain, nullptr);
    plain_calls = 0;
    {
      Timer timer(kind, count, &calls);
      ASSERT_TRUE(timer.arm(1h));
      raise(SIGURG);
      EXPECT_EQ(plain_calls, 1);
    }
    const struct sigaction detailed = detailed_action(detailed_handler);
    sigaction(SIGURG, &detailed, nullptr);
    detailed_calls = 0;
    Timer timer(kind, count, &calls);
    ASSERT_TRUE(timer.arm(1h));
    raise(SIGURG);
    EXPECT_EQ(detailed_calls, 1);
    const sigval value{.sival_ptr = &calls};
    pthread_sigqueue(pthread_self(), SIGURG, value);
    EXPECT_EQ(detailed_calls, 2);
    EXPECT_EQ(detailed_value, &calls);
    EXPECT_EQ(plain_calls, 1);
    EXPECT_EQ(calls, 0);
  }
}

// The system drops a signal that comes to a thread in which ours is pending.
TEST_F(TimerTest, ASignalThatWasMergedWithOursIsNotLost) {
  const struct sigaction before = detailed_action(detailed_handler);
  sigaction(SIGURG, &before, nullptr);
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  expire_blocked(timer, calls);
  detailed_calls = 0;
  pthread_kill(pthread_self(), SIGURG);
  change_mask(SIG_UNBLOCK);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(detailed_calls, 1);
}

TEST_F(TimerTest, CallsOfAHandlerThatWantsThemToReturnStillReturn) {
  const struct sigaction before = plain_action(plain_handler);
  sigaction(SIGURG, &before, nullptr);
  EXPECT_EQ(read_with(Timer::Calls::kGoOn), std::pair(ssize_t{-1}, EINTR));
  const struct sigaction restarting = plain_action(plain_handler, SA_RESTART);
  sigaction(SIGURG, &restarting, nullptr);
  EXPECT_EQ(read_with(Timer::Calls::kGoOn), std::pair(ssize_t{1}, 0));
}

// Installed over ours, and calls what it found.
struct sigaction found_below{};
void handler_over_ours(int signal, siginfo_t* info, void* context) {
  ++detailed_calls;
  if (found_below.sa_flags & SA_SIGINFO) found_below.sa_sigaction(signal, info, context);
}

TEST_F(TimerTest, AHandlerThatCameAfterUsStays) {
  const struct sigaction over = detailed_action(handler_over_ours);
  const struct sigaction before = plain_action(plain_handler);
  sigaction(SIGURG, &before, nullptr);
  {
    Timer timer(Timer::Calls::kGoOn, count, &calls);
    ASSERT_TRUE(timer.arm(5ms));
    sigaction(SIGURG, &over, &found_below);
    EXPECT_TRUE(soon([&] { return calls == 1; }));
  }
  EXPECT_EQ(disposition().sa_sigaction, handler_over_ours);
  // It calls ours, which passes on.
  detailed_calls = plain_calls = 0;
  raise(SIGURG);
  EXPECT_EQ(detailed_calls, 1);
  EXPECT_EQ(plain_calls, 1);
  // Further timers: over it, and not in a circle.
  for (int i = 0; i < 20; ++i) {
    Timer timer(Timer::Calls::kGoOn, count, &calls);
    calls = 0;
    ASSERT_TRUE(timer.arm(100us));
    EXPECT_TRUE(soon([&] { return calls >= 1; }));
    detailed_calls = plain_calls = 0;
    raise(SIGURG);
    EXPECT_EQ(detailed_calls, 1);
    EXPECT_EQ(plain_calls, 1);
    timer.remove();
    EXPECT_EQ(disposition().sa_sigaction, handler_over_ours);
  }
  // It goes, and so do we with our next last timer.
  sigaction(SIGURG, &found_below, nullptr);
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  ASSERT_TRUE(timer.arm(1h));
  timer.remove();
  EXPECT_EQ(disposition().sa_handler, plain_handler);
}

TEST_F(TimerTest, AForkedChildMakesItsOwn) {
  Timer timer(Timer::Calls::kGoOn, count, &calls);
  Timer attended(Timer::Calls::kGoOn, count, &calls);
  ASSERT_TRUE(timer.arm(1h));
  ASSERT_TRUE(attended.arm(100ms));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    attended.attend();
    bool good = soon([&] { return calls == 1; });
    good = good && timer.arm(5ms) && soon([&] { return calls == 2; });
    timer.disarm();
    timer.remove();
    attended.remove();
    _exit(good && disposition().sa_handler == SIG_DFL ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(soon([&] { return calls == 1; }));
}

TEST_F(TimerTest, ManyAtOnce) {
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 600; ++i) {
    timers.push_back(std::make_unique<Timer>(Timer::Calls::kGoOn, count, &calls));
    ASSERT_TRUE(timers.back()->arm(1ms));
  }
  EXPECT_TRUE(soon([&] { return calls == 600; }));
  timers.clear();
  EXPECT_EQ(disposition().sa_handler, SIG_DFL);
}

}  // namespace
}  // namespace pglite::os
