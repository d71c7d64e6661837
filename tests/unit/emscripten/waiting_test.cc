// Signals and waiting: what a guest runs when it looks up, and whom it waits through.
#include <array>
#include <set>
#include <thread>
#include <vector>

#include "emscripten/kernel.h"
#include "emscripten/signal_set.h"
#include "process_test_util.h"

extern "C" {
extern const char wasm_func_type_i_v[];
}

namespace pglite::emscripten {
namespace {

// --- The set of signals ---

TEST(SignalSet, KeepsEachUntilItIsTaken) {
  SignalSet signals;
  EXPECT_TRUE(signals.empty());
  EXPECT_EQ(signals.take(), 0);
  for (const int signal : {15, 2, 64, 1, 2}) signals.add(signal);
  EXPECT_TRUE(signals.contains(2));
  EXPECT_FALSE(signals.contains(3));
  for (const int signal : {1, 2, 15, 64, 0}) EXPECT_EQ(signals.take(), signal);
  EXPECT_TRUE(signals.empty());
}

TEST(SignalSet, RemovesOneOnly) {
  SignalSet signals;
  signals.add(2);
  signals.add(10);
  signals.remove(2);
  signals.remove(3);
  EXPECT_EQ(signals.take(), 10);
  EXPECT_EQ(signals.take(), 0);
}

TEST(SignalSet, IgnoresWhatIsNoSignal) {
  SignalSet signals;
  for (const int signal : {0, -1, 65, 1 << 30}) signals.add(signal);
  EXPECT_TRUE(signals.empty());
  EXPECT_FALSE(signals.contains(0));
}

TEST(SignalSet, LosesNoneBetweenThreads) {
  SignalSet signals;
  constexpr int kRounds = 2000;
  std::atomic<int> taken = 0;
  std::atomic<bool> stop = false;
  std::thread taker([&] {
    while (!stop || !signals.empty()) {
      if (signals.take() != 0) ++taken;
    }
  });
  std::vector<std::thread> senders;
  for (int signal = 1; signal <= 3; ++signal) {
    senders.emplace_back([&, signal] {
      for (int i = 0; i < kRounds; ++i) {
        signals.add(signal);
        while (signals.contains(signal)) std::this_thread::yield();
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  stop = true;
  taker.join();
  EXPECT_EQ(taken, 3 * kRounds);
}

// --- Delivery ---

class SignalsTest : public ProcessTest {
 protected:
  // A handler of the guest that notes its signal here.
  static void note(void* self, uint32_t signal) {
    auto& test = *static_cast<SignalsTest*>(self);
    test.handled.push_back(static_cast<int>(signal));
    if (static_cast<int>(signal) == test.leaves) test.process->execution().exit(7);
  }
  void handle(int signal) {
    on_guest_stack([&] {
      put(std::array<uint32_t, 35>{handler()}, 0);
      const auto sigaction = process->function<uint32_t(uint32_t, uint32_t, uint32_t)>("sigaction");
      EXPECT_EQ(sigaction(static_cast<uint32_t>(signal), scratch, 0), 0U);
    });
  }
  uint32_t handler() {
    if (handler_ == 0) {
      handler_ = process->add_callback(
          "note", {wasm_func_type_i_v, reinterpret_cast<wasm_rt_function_ptr_t>(note), this});
    }
    return handler_;
  }

  std::vector<int> handled;
  int leaves = 0;

 private:
  uint32_t handler_ = 0;
};

TEST_F(SignalsTest, TwoThatComeTogetherAreBothHandled) {
  handle(10);
  handle(12);
  process->send_signal(12);
  process->send_signal(10);
  bool delivered = false;
  on_guest_stack([&] { delivered = process->deliver_signals(); });
  EXPECT_TRUE(delivered);
  EXPECT_EQ(handled, (std::vector<int>{10, 12}));
  on_guest_stack([&] { delivered = process->deliver_signals(); });
  EXPECT_FALSE(delivered);
}

TEST_F(SignalsTest, OneWithoutAHandlerIsDropped) {
  handle(12);
  process->send_signal(10);
  process->send_signal(12);
  on_guest_stack([&] { process->deliver_signals(); });
  EXPECT_EQ(handled, (std::vector<int>{12}));
  EXPECT_TRUE(process->signals.empty());
}

TEST_F(SignalsTest, AHandlerThatJumpsAwayLeavesTheOthersForLater) {
  handle(10);
  handle(12);
  leaves = 10;
  process->send_signal(10);
  process->send_signal(12);
  wasm::Outcome outcome;
  process->run([&] { outcome = process->call([&] { process->deliver_signals(); }); });
  EXPECT_TRUE(outcome.exited(7));
  on_guest_stack([&] { process->deliver_signals(); });
  EXPECT_EQ(handled, (std::vector<int>{10, 12}));
}

TEST_F(SignalsTest, ASignalMakesTheGuestLookUp) {
  uint32_t* flag = process->interrupt_flag();
  ASSERT_NE(flag, nullptr);
  *flag = 0;
  process->send_signal(10);
  EXPECT_EQ(*flag, 1U);
}

// --- Waiting ---

// Suspends the guest; the test is the host that resumes it.
class ScriptedKernel final : public Kernel {
 public:
  void wait(Process& process, const WaitFor& what) override {
    asked.push_back(what);
    may_suspend = process.may_suspend();
    if (may_suspend) process.execution().suspend(wasm::Suspension::kWait);
  }
  std::vector<WaitFor> asked;
  bool may_suspend = false;
};

class WaitingTest : public ProcessTest {
 protected:
  void SetUp() override {
    kernel_of_process = &kernel;
    ProcessTest::SetUp();
  }
  // Begins `f`, a call of the guest that waits.
  bool begin(std::function<void()> f) {
    task_ = [this, f = std::move(f)] { outcome_ = process->call(f); };
    return process->execution().run(task_);
  }
  uint32_t duration(double seconds) {
    const auto whole = static_cast<int64_t>(seconds);
    put(whole, 600);
    put(static_cast<int32_t>((seconds - static_cast<double>(whole)) * 1e9), 608);
    return scratch + 600;
  }

  ScriptedKernel kernel;

 private:
  std::function<void()> task_;
  wasm::Outcome outcome_;
};

TEST_F(WaitingTest, ASleepIsSuspendedUntilItIsDue) {
  const double start = monotonic_milliseconds();
  uint32_t result = 1;
  ASSERT_FALSE(begin([&] { result = guest_nanosleep(env(), duration(0.05), 0); }));
  EXPECT_EQ(process->execution().suspension(), wasm::Suspension::kWait);
  ASSERT_EQ(kernel.asked.size(), 1U);
  EXPECT_EQ(kernel.asked[0].what, WaitFor::What::kTime);
  EXPECT_GE(kernel.asked[0].due, start + 50);
  EXPECT_LE(kernel.asked[0].due, monotonic_milliseconds() + 50);
  if (monotonic_milliseconds() < kernel.asked[0].due) {
    // Too early: it waits on.
    const bool ended = process->execution().resume();
    EXPECT_EQ(ended, monotonic_milliseconds() >= kernel.asked[0].due && result == 0);
    if (ended) return;
    EXPECT_EQ(kernel.asked.back().due, kernel.asked[0].due);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(51));
  EXPECT_TRUE(process->execution().resume());
  EXPECT_EQ(result, 0U);
}

TEST_F(WaitingTest, ASignalEndsASleep) {
  uint32_t result = 0;
  ASSERT_FALSE(begin([&] { result = guest_nanosleep(env(), duration(1000), scratch + 620); }));
  process->send_signal(10);
  EXPECT_TRUE(process->execution().resume());
  EXPECT_EQ(result, UINT32_MAX);
  EXPECT_GT(get<int64_t>(620), 900);
}

TEST_F(WaitingTest, ALatchIsNamed) {
  constexpr uint32_t kLatchAndTimeout = 1 | 8;
  put(uint32_t{0}, 700);
  uint32_t left = 0;
  ASSERT_FALSE(
      begin([&] { left = guest_wait_latch(env(), scratch + 700, kLatchAndTimeout, 5000); }));
  ASSERT_EQ(kernel.asked.size(), 1U);
  EXPECT_EQ(kernel.asked[0].what, WaitFor::What::kLatch);
  EXPECT_EQ(kernel.asked[0].latch.address, scratch + 700);
  EXPECT_NEAR(kernel.asked[0].due, monotonic_milliseconds() + 5000, 2000);
  EXPECT_FALSE(process->execution().resume());
  put(uint32_t{1}, 700);
  EXPECT_TRUE(process->execution().resume());
  EXPECT_EQ(left, 5000U);
}

TEST_F(WaitingTest, AnEndlessWaitHasNoEnd) {
  constexpr uint32_t kLatch = 1;
  put(uint32_t{0}, 700);
  ASSERT_FALSE(begin([&] { guest_wait_latch(env(), scratch + 700, kLatch, UINT32_MAX); }));
  EXPECT_EQ(kernel.asked[0].due, WaitFor::kNoEnd);
  put(uint32_t{1}, 700);
  EXPECT_TRUE(process->execution().resume());
}

TEST_F(WaitingTest, ATimerIsWaitedForToo) {
  process->timers[0] = monotonic_milliseconds() + 1000;
  const double timer = *process->timers[0];
  ASSERT_FALSE(begin([&] { guest_nanosleep(env(), duration(1e6), 0); }));
  EXPECT_EQ(kernel.asked[0].due, timer);
  process->timers[0].reset();
  process->execution().abandon();
}

TEST_F(WaitingTest, PollWaitsForFiles) {
  EXPECT_EQ(w2c_env_0x5F_syscall_pipe2(env(), scratch + 300, 0), 0U);
  put(get<uint32_t>(300), 400);
  put(uint32_t{1}, 404);  // events = POLLIN
  uint32_t ready = 0;
  ASSERT_FALSE(begin([&] { ready = w2c_env_0x5F_syscall_poll(env(), scratch + 400, 1, 60'000); }));
  EXPECT_EQ(kernel.asked[0].what, WaitFor::What::kFiles);
  write(get<uint32_t>(304), "x");
  EXPECT_TRUE(process->execution().resume());
  EXPECT_EQ(ready, 1U);
}

TEST_F(WaitingTest, WhatRunsToItsEndIsNotSuspended) {
  uint32_t result = 1;
  on_guest_stack([&] { result = guest_nanosleep(env(), duration(0.002), 0); });
  EXPECT_EQ(result, 0U);
  EXPECT_FALSE(kernel.asked.empty());
  EXPECT_FALSE(kernel.may_suspend);
}

TEST(SleepingKernel, SleepsUntilItIsDueButNotLong) {
  SleepingKernel kernel;
  // It does not look at the process.
  alignas(Process) std::array<std::byte, sizeof(Process)> none{};
  auto& process = *reinterpret_cast<Process*>(none.data());
  double start = monotonic_milliseconds();
  kernel.wait(process, {.what = WaitFor::What::kTime, .due = start + 5});
  EXPECT_GE(monotonic_milliseconds(), start + 4.9);
  start = monotonic_milliseconds();
  kernel.wait(process, {.due = WaitFor::kNoEnd});
  EXPECT_GE(monotonic_milliseconds(), start + 19.9);
  EXPECT_LT(monotonic_milliseconds(), start + 1000);
}

}  // namespace
}  // namespace pglite::emscripten
