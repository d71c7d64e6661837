#include "wasm/execution.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "wasm/linear_memory.h"

namespace pglite::wasm {
namespace {

// Runs `f` protected; how that ended.
template <class F>
Outcome run_protected(Execution& execution, F&& f) {
  Outcome outcome;
  EXPECT_TRUE(execution.run([&] { outcome = execution.protect(f); }));
  return outcome;
}

// Uses about `frames` KiB of stack.
[[gnu::noinline]] uint64_t recurse(uint64_t frames) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(frames);
  const uint64_t below = frames == 0 ? 0 : recurse(frames - 1);
  return below + static_cast<uint64_t>(frame[0] != 0);
}

// Calls `f` where about `left` bytes of the stack are left.
template <class F>
[[gnu::noinline]] void near_the_end(Execution& execution, size_t left, F&& f) {
  volatile char frame[4096];
  frame[0] = 1;
  if (execution.stack_left() > left) {
    near_the_end(execution, left, f);
  } else {
    f();
  }
  frame[1] = frame[0];
}

TEST(Execution, RunsOnItsOwnStack) {
  Execution execution;
  const char* here = static_cast<const char*>(__builtin_frame_address(0));
  const char* there = nullptr;
  size_t left = 0;
  Execution* current = nullptr;
  EXPECT_TRUE(execution.run([&] {
    there = static_cast<const char*>(__builtin_frame_address(0));
    left = execution.stack_left();
    current = Execution::current();
  }));
  EXPECT_GT(static_cast<size_t>(here > there ? here - there : there - here), size_t{1} << 20);
  EXPECT_GT(left, Execution::kStackSize - 65536);
  EXPECT_LE(left, Execution::kStackSize);
  EXPECT_EQ(current, &execution);
  EXPECT_EQ(Execution::current(), nullptr);
}

TEST(Execution, RunsAgainAndAgain) {
  Execution execution;
  int runs = 0;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(execution.run([&] { ++runs; }));
  EXPECT_EQ(runs, 1000);
}

TEST(Execution, HasRoomForDeepRecursion) {
  Execution execution;
  uint64_t frames = 0;
  execution.run([&] { frames = recurse(100'000); });
  EXPECT_GT(frames, 99'000U);
}

TEST(Execution, ProtectReturns) {
  Execution execution;
  int value = 0;
  const Outcome outcome = run_protected(execution, [&] { value = 7; });
  EXPECT_TRUE(outcome.returned());
  EXPECT_FALSE(outcome.exited(0));
  EXPECT_EQ(value, 7);
}

TEST(Execution, ExitEndsAtProtect) {
  Execution execution;
  bool went_on = false;
  const Outcome outcome = run_protected(execution, [&] {
    execution.exit(99);
    went_on = true;
  });
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(outcome.exited(99));
  EXPECT_FALSE(outcome.exited(100));
  EXPECT_FALSE(outcome.returned());
}

TEST(Execution, TrapEndsAtProtect) {
  Execution execution;
  const Outcome outcome = run_protected(execution, [&] { execution.trap("just so", 12); });
  EXPECT_EQ(outcome.kind, Outcome::Kind::kTrapped);
  EXPECT_STREQ(outcome.trap, "just so");
  EXPECT_EQ(outcome.trap_address, 12U);
}

TEST(Execution, Wasm2cTrapsFindTheExecution) {
  Execution execution;
  const Outcome outcome = run_protected(execution, [] { wasm_rt_trap(WASM_RT_TRAP_DIV_BY_ZERO); });
  EXPECT_EQ(outcome.kind, Outcome::Kind::kTrapped);
  EXPECT_STREQ(outcome.trap, "integer divide by zero");
}

TEST(Execution, NestedProtectsEndOneByOne) {
  Execution execution;
  std::vector<int> order;
  const Outcome outer = run_protected(execution, [&] {
    const Outcome inner = execution.protect([&] {
      order.push_back(1);
      execution.exit(1);
    });
    EXPECT_TRUE(inner.exited(1));
    EXPECT_TRUE(execution.protect([&] { order.push_back(2); }).returned());
    execution.exit(2);
  });
  EXPECT_TRUE(outer.exited(2));
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(Execution, ProtectHidesTheLongjmpTargetOfOutside) {
  Execution execution;
  JumpTarget target;
  execution.run([&] {
    execution.invoke_target = &target;
    execution.protect([&] { EXPECT_EQ(execution.invoke_target, nullptr); });
    EXPECT_EQ(execution.invoke_target, &target);
    // Left by a jump: a target that lies in the dropped frames must be gone.
    const Outcome outcome = execution.protect([&] {
      JumpTarget inner;
      execution.invoke_target = &inner;
      execution.exit(0);
    });
    EXPECT_TRUE(outcome.exited(0));
    EXPECT_EQ(execution.invoke_target, &target);
  });
}

TEST(Execution, AMemoryFaultIsATrapEachTime) {
  Execution execution;
  LinearMemory memory(1, 1);
  execution.memory = &memory;
  for (int i = 0; i < 100; ++i) {
    const uint64_t address = WASM_DEFAULT_PAGE_SIZE + uint64_t{4096} * i;
    const Outcome outcome = run_protected(
        execution, [&] { (void)*static_cast<volatile uint8_t*>(memory.get()->data + address); });
    ASSERT_EQ(outcome.kind, Outcome::Kind::kTrapped);
    EXPECT_EQ(outcome.trap_address, address);
  }
  // The handler was left by a jump: the signals must not have stayed blocked.
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_EQ(sigismember(&blocked, SIGSEGV), 0);
  EXPECT_EQ(sigismember(&blocked, SIGBUS), 0);
}

TEST(Execution, AStackOverflowIsATrapAndTheExecutionGoesOn) {
  Execution execution;
  for (int i = 0; i < 3; ++i) {
    const Outcome outcome = run_protected(execution, [] { recurse(UINT64_MAX); });
    ASSERT_EQ(outcome.kind, Outcome::Kind::kTrapped);
    EXPECT_STREQ(outcome.trap, "call stack exhausted");
    EXPECT_TRUE(run_protected(execution, [] { recurse(1000); }).returned());
  }
}

TEST(Execution, AStackOverflowOnAnotherThreadIsATrap) {
  std::thread([] {
    Execution execution;
    const Outcome outcome = run_protected(execution, [] { recurse(UINT64_MAX); });
    EXPECT_EQ(outcome.kind, Outcome::Kind::kTrapped);
  }).join();
}

TEST(Execution, HostFunctionsNeedSomeStack) {
  Execution execution;
  bool ran = false;
  Outcome outcome = run_protected(execution, [&] {
    near_the_end(execution, 2 * Execution::kHostFunctionStack, [&] {
      execution.need_host_stack();
      ran = true;
    });
  });
  EXPECT_TRUE(outcome.returned());
  EXPECT_TRUE(ran);
  outcome = run_protected(execution, [&] {
    near_the_end(execution, Execution::kHostFunctionStack / 2, [&] {
      execution.need_host_stack();
      ADD_FAILURE();
    });
  });
  EXPECT_STREQ(outcome.trap, "call stack exhausted");
}

TEST(Execution, SuspendsAndResumes) {
  Execution execution;
  std::vector<int> order;
  const std::function<void()> task = [&] {
    for (int i = 0; i < 3; ++i) {
      order.push_back(i);
      execution.suspend(Suspension::kYield);
    }
    order.push_back(3);
  };
  EXPECT_FALSE(execution.run(task));
  for (int i = 1; i < 3; ++i) {
    EXPECT_TRUE(execution.suspended());
    EXPECT_EQ(Execution::current(), nullptr);
    order.push_back(10 * i);
    EXPECT_FALSE(execution.resume());
  }
  EXPECT_TRUE(execution.resume());
  EXPECT_FALSE(execution.suspended());
  EXPECT_EQ(order, (std::vector<int>{0, 10, 1, 20, 2, 3}));
}

TEST(Execution, ProtectedFramesSurviveASuspension) {
  Execution execution;
  Outcome outcome;
  const std::function<void()> task = [&] {
    outcome = execution.protect([&] {
      execution.suspend(Suspension::kYield);
      execution.exit(5);
    });
  };
  EXPECT_FALSE(execution.run(task));
  EXPECT_TRUE(execution.resume());
  EXPECT_TRUE(outcome.exited(5));
}

TEST(Execution, IsResumedOnAnotherThread) {
  Execution execution;
  LinearMemory memory(1, 1);
  execution.memory = &memory;
  Outcome outcome;
  const std::function<void()> task = [&] {
    outcome = execution.protect([&] {
      execution.suspend(Suspension::kYield);
      EXPECT_EQ(Execution::current(), &execution);
      memory.get()->data[WASM_DEFAULT_PAGE_SIZE] = 1;
    });
  };
  EXPECT_FALSE(execution.run(task));
  std::thread([&] { EXPECT_TRUE(execution.resume()); }).join();
  EXPECT_EQ(outcome.kind, Outcome::Kind::kTrapped);
}

TEST(Execution, ASuspensionHasAReason) {
  Execution execution;
  const std::vector<Suspension> reasons = {Suspension::kInput, Suspension::kWait,
                                           Suspension::kYield};
  const std::function<void()> task = [&] {
    for (const Suspension reason : reasons) {
      EXPECT_EQ(execution.suspension(), std::nullopt);
      execution.suspend(reason);
    }
  };
  EXPECT_EQ(execution.suspension(), std::nullopt);
  bool ended = execution.run(task);
  for (const Suspension reason : reasons) {
    EXPECT_FALSE(ended);
    EXPECT_EQ(execution.suspension(), reason);
    ended = execution.resume();
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(execution.suspension(), std::nullopt);
}

TEST(Execution, AnAbandonedTaskIsReplaced) {
  Execution execution;
  execution.abandon();  // nothing
  const std::function<void()> first = [&] {
    execution.protect([&] {
      execution.suspend(Suspension::kWait);
      ADD_FAILURE();
    });
  };
  EXPECT_FALSE(execution.run(first));
  execution.abandon();
  EXPECT_FALSE(execution.suspended());
  bool ran = false;
  EXPECT_TRUE(execution.run([&] { ran = true; }));
  EXPECT_TRUE(ran);
  // Traps end where they should, not in the frames that are gone.
  EXPECT_TRUE(run_protected(execution, [&] { execution.exit(4); }).exited(4));
}

TEST(Execution, ASuspendedTaskGoesWithIt) {
  Execution execution;
  const std::function<void()> task = [&] {
    execution.suspend(Suspension::kInput);
    ADD_FAILURE();
  };
  EXPECT_FALSE(execution.run(task));
}

// A task must not get lost unnoticed.
TEST(ExecutionDeathTest, ASuspendedTaskIsNotReplaced) {
  Execution execution;
  int steps = 0;
  const std::function<void()> task = [&] {
    ++steps;
    execution.suspend(Suspension::kInput);
    ++steps;
  };
  EXPECT_FALSE(execution.run(task));
  EXPECT_DEATH(execution.run([] {}), "replace one that is suspended");
  EXPECT_TRUE(execution.resume());
  EXPECT_EQ(steps, 2);
}

TEST(ExecutionDeathTest, ATaskThatRunsIsNotReplaced) {
  Execution execution;
  EXPECT_DEATH(execution.run([&] { execution.run([] {}); }), "replace one that runs");
}

TEST(ExecutionDeathTest, OnlyWhatIsSuspendedGoesOn) {
  Execution execution;
  EXPECT_DEATH(execution.resume(), "not suspended");
  execution.run([] {});
  EXPECT_DEATH(execution.resume(), "not suspended");
}

TEST(Execution, OneRunsAnother) {
  Execution outer;
  Execution inner;
  LinearMemory memory(1, 1);
  inner.memory = &memory;
  const Outcome outcome = run_protected(outer, [&] {
    const Outcome first = run_protected(inner, [&] { inner.exit(3); });
    EXPECT_TRUE(first.exited(3));
    const Outcome second =
        run_protected(inner, [&] { memory.get()->data[WASM_DEFAULT_PAGE_SIZE] = 1; });
    EXPECT_EQ(second.kind, Outcome::Kind::kTrapped);
    EXPECT_EQ(Execution::current(), &outer);
    wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
  });
  EXPECT_STREQ(outcome.trap, "unreachable executed");
}

TEST(Execution, SuspensionsOfTwoInterleave) {
  Execution a;
  Execution b;
  std::string order;
  const auto loop = [&](Execution& execution, char name) {
    return [&, name] {
      for (int i = 0; i < 3; ++i) {
        order += name;
        execution.suspend(Suspension::kYield);
      }
    };
  };
  const std::function<void()> task_a = loop(a, 'a');
  const std::function<void()> task_b = loop(b, 'b');
  EXPECT_FALSE(a.run(task_a));
  EXPECT_FALSE(b.run(task_b));
  while (true) {
    const bool done_a = a.resume();
    const bool done_b = b.resume();
    EXPECT_EQ(done_a, done_b);
    if (done_a) break;
  }
  EXPECT_EQ(order, "ababab");
}

// As far as an address can tell.
bool on_the_stack_of(const void* frame) {
  const auto* here = static_cast<const char*>(__builtin_frame_address(0));
  const auto* there = static_cast<const char*>(frame);
  return static_cast<size_t>(here > there ? here - there : there - here) < size_t{1} << 20;
}

TEST(Execution, RunsATaskOnTheCallersStack) {
  Execution execution;
  const void* frame = __builtin_frame_address(0);
  int runs = 0;
  EXPECT_TRUE(execution.run([&] {
    EXPECT_FALSE(on_the_stack_of(frame));
    for (int i = 0; i < 1000; ++i) {
      execution.run_on_callers_stack([&] {
        runs += on_the_stack_of(frame) ? 1 : 0;
        EXPECT_EQ(Execution::current(), nullptr);
      });
      EXPECT_FALSE(on_the_stack_of(frame));
      EXPECT_EQ(Execution::current(), &execution);
    }
  }));
  EXPECT_EQ(runs, 1000);
}

TEST(Execution, RunsATaskOnTheStackOfWhoeverResumedIt) {
  Execution execution;
  const std::thread::id self = std::this_thread::get_id();
  std::vector<std::thread::id> ran_on;
  const std::function<void()> task = [&] {
    execution.run_on_callers_stack([&] { ran_on.push_back(std::this_thread::get_id()); });
    execution.suspend(Suspension::kInput);
    execution.run_on_callers_stack([&] { ran_on.push_back(std::this_thread::get_id()); });
  };
  EXPECT_FALSE(execution.run(task));
  std::thread other([&] { EXPECT_TRUE(execution.resume()); });
  const std::thread::id second = other.get_id();
  other.join();
  EXPECT_EQ(ran_on, (std::vector{self, second}));
}

TEST(Execution, RunsATrapAfterATaskOnTheCallersStack) {
  Execution execution;
  const Outcome outcome = run_protected(execution, [&] {
    execution.run_on_callers_stack([] {});
    execution.trap("here");
  });
  EXPECT_EQ(outcome.kind, Outcome::Kind::kTrapped);
  EXPECT_TRUE(run_protected(execution, [] {}).returned());
}

TEST(Execution, RunsATaskOnTheStackOfAnotherGuestBelow) {
  Execution outer;
  Execution inner;
  bool on_outer = false;
  EXPECT_TRUE(outer.run([&] {
    const void* frame = __builtin_frame_address(0);
    EXPECT_TRUE(inner.run([&] {
      inner.run_on_callers_stack(
          [&] { on_outer = on_the_stack_of(frame) && Execution::current() == &outer; });
    }));
  }));
  EXPECT_TRUE(on_outer);
}

TEST(Execution, ThreadsDoNotMeet) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      Execution execution;
      LinearMemory memory(1, 1);
      execution.memory = &memory;
      for (int i = 0; i < 200; ++i) {
        const Outcome outcome = run_protected(execution, [&] {
          if (i % 2 == 0) execution.exit(t);
          memory.get()->data[WASM_DEFAULT_PAGE_SIZE + t] = 1;
        });
        EXPECT_TRUE(i % 2 == 0 ? outcome.exited(t)
                               : outcome.trap_address == WASM_DEFAULT_PAGE_SIZE + uint64_t(t));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Execution, WorksInAForkedChild) {
  Execution execution;
  LinearMemory memory(1, 1);
  execution.memory = &memory;
  const std::function<void()> task = [&] {
    execution.protect([&] {
      execution.suspend(Suspension::kYield);
      memory.get()->data[WASM_DEFAULT_PAGE_SIZE] = 1;
    });
  };
  EXPECT_FALSE(execution.run(task));
  const pid_t child = fork();
  if (child == 0) {
    const bool finished = execution.resume();
    const Outcome outcome = run_protected(execution, [] { recurse(UINT64_MAX); });
    _exit(finished && outcome.kind == Outcome::Kind::kTrapped ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(execution.resume());
}

// Faults that are not the guest's are not swallowed.

[[gnu::noinline]] void fault_at(uintptr_t address) {
  *reinterpret_cast<volatile char*>(address) = 1;
}

TEST(ExecutionDeathTest, AFaultOutsideOfGuestCodeKills) {
  Execution execution;
  execution.run([] {});
  EXPECT_DEATH(fault_at(8), "");
}

TEST(ExecutionDeathTest, AFaultOfHostCodeBelowTheGuestKills) {
  Execution execution;
  LinearMemory memory(1, 1);
  execution.memory = &memory;
  EXPECT_DEATH(run_protected(execution, [] { fault_at(8); }), "");
}

TEST(ExecutionDeathTest, AFaultInTheMemoryOfAGuestThatDoesNotRunKills) {
  Execution execution;
  LinearMemory memory(1, 1);
  LinearMemory other(1, 1);
  execution.memory = &memory;
  const auto address = reinterpret_cast<uintptr_t>(other.get()->data) + WASM_DEFAULT_PAGE_SIZE;
  EXPECT_DEATH(run_protected(execution, [&] { fault_at(address); }), "");
  EXPECT_DEATH(fault_at(address), "");
}

TEST(ExecutionDeathTest, ASignalThatSomebodySentKills) {
  Execution execution;
  EXPECT_EXIT(
      run_protected(execution,
                    [] {
                      signal(SIGALRM, SIG_DFL);
                      raise(SIGSEGV);
                      _exit(0);
                    }),
      [](int status) { return !(WIFEXITED(status) && WEXITSTATUS(status) == 0); }, "");
}

TEST(ExecutionDeathTest, ATrapOutsideOfGuestCodeAborts) {
  Execution execution;
  EXPECT_DEATH(wasm_rt_trap(WASM_RT_TRAP_OOB), "trap outside of guest code");
  EXPECT_DEATH(execution.run([] { wasm_rt_trap(WASM_RT_TRAP_OOB); }), "trap outside of guest code");
}

}  // namespace
}  // namespace pglite::wasm
