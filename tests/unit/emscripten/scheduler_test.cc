// The scheduler, with guests that are plain functions on stacks of their own. To be run under
// ThreadSanitizer, too.
#include "emscripten/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace pglite::emscripten {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using Task = Scheduler::Task;

// A guest: a function, and what a task of it needs.
struct Guest {
  Guest(Scheduler& the_scheduler, std::function<void(Guest&)> function)
      : scheduler(the_scheduler), body(std::move(function)) {
    task.emplace(scheduler, execution, signals, &flag, [this] { body(*this); });
  }

  // On the stack of the guest.
  void wait(double due = WaitFor::kNoEnd, const uint8_t* byte = nullptr) { task->wait(due, byte); }
  void yield() { task->yield(); }
  // Computes until the flag says that it shall look up, but not for ever.
  bool spin(std::chrono::milliseconds limit = 10'000ms) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::atomic_ref(flag).load() == 0) {
      if (std::chrono::steady_clock::now() > end) return false;
    }
    std::atomic_ref(flag).store(0);
    return true;
  }

  Scheduler& scheduler;
  std::function<void(Guest&)> body;
  wasm::Execution execution;
  SignalSet signals;
  uint32_t flag = 0;
  std::optional<Task> task;  // goes first
};

class SchedulerTest : public testing::Test {
 protected:
  Guest& add(std::function<void(Guest&)> body) {
    guests.push_back(std::make_unique<Guest>(scheduler, std::move(body)));
    return *guests.back();
  }
  // A guest that says its number at each turn, and then does `then`.
  Guest& add_numbered(int number, std::function<void(Guest&)> then) {
    return add([this, number, then = std::move(then)](Guest& guest) {
      for (;;) {
        turns.push_back(number);
        then(guest);
      }
    });
  }
  void run_all() {
    while (scheduler.run_next()) {
    }
  }
  // Runs what can run and sleeps in between, until `done`.
  template <class Done>
  void run_until(Done done, std::chrono::milliseconds limit = 30'000ms) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end);
      if (!scheduler.run_next()) std::this_thread::sleep_for(100us);
    }
  }

  Scheduler scheduler;
  std::vector<int> turns;
  std::vector<std::unique_ptr<Guest>> guests;  // go before the scheduler
};

double in_milliseconds(double later) {
  return monotonic_milliseconds() + later;
}

// --- Turns ---

TEST_F(SchedulerTest, WithoutTasksNothingRuns) {
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_FALSE(scheduler.has_ready());
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
  scheduler.news();
  EXPECT_TRUE(scheduler.has_news());
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_FALSE(scheduler.has_news());
}

TEST_F(SchedulerTest, ATaskBeginsAtItsFirstTurn) {
  bool begun = false;
  const Guest& guest = add([&](Guest&) { begun = true; });
  EXPECT_FALSE(begun);
  EXPECT_FALSE(guest.task->ended());
  EXPECT_FALSE(guest.task->waiting());
  EXPECT_TRUE(scheduler.has_ready());
  EXPECT_FALSE(begun);
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(begun);
  EXPECT_TRUE(guest.task->ended());
  EXPECT_FALSE(scheduler.has_ready());
  EXPECT_FALSE(scheduler.run_next());
}

TEST_F(SchedulerTest, EachRunsOnItsOwnStack) {
  int turns_seen = 0;
  for (int i = 0; i < 2; ++i) {
    add([&](Guest& guest) {
      for (int n = 0; n < 3; ++n) {
        EXPECT_EQ(wasm::Execution::current(), &guest.execution);
        ++turns_seen;
        guest.yield();
      }
    });
  }
  run_all();
  EXPECT_EQ(turns_seen, 6);
  EXPECT_EQ(wasm::Execution::current(), nullptr);
}

TEST_F(SchedulerTest, ThoseWhoYieldTakeTurnsInOrder) {
  for (int i = 0; i < 3; ++i) add_numbered(i, [](Guest& guest) { guest.yield(); });
  run_until([&] { return std::set(turns.begin(), turns.end()).size() == 3; });
  turns.clear();
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(scheduler.run_next());
  EXPECT_THAT(std::vector(turns.begin(), turns.begin() + 3),
              testing::UnorderedElementsAre(0, 1, 2));
  for (size_t i = 3; i < turns.size(); ++i) EXPECT_EQ(turns[i], turns[i - 3]);
}

TEST_F(SchedulerTest, OneTurnIsOneCall) {
  add_numbered(0, [](Guest& guest) { guest.yield(); });
  for (size_t i = 1; i <= 3; ++i) {
    EXPECT_TRUE(scheduler.run_next());
    EXPECT_EQ(turns.size(), i);
  }
}

TEST_F(SchedulerTest, WhoEndsHasNoMoreTurns) {
  add_numbered(0, [](Guest& guest) { guest.yield(); });
  const Guest& brief = add([&](Guest& guest) {
    turns.push_back(1);
    guest.yield();
    turns.push_back(1);
  });
  run_until([&] { return brief.task->ended(); });
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(scheduler.run_next());
  EXPECT_EQ(std::ranges::count(turns, 1), 2);
  EXPECT_TRUE(brief.task->ended());
  EXPECT_FALSE(brief.task->waiting());
}

TEST_F(SchedulerTest, AStackServesTasksOneAfterTheOther) {
  wasm::Execution execution;
  SignalSet signals;
  for (int i = 0; i < 10; ++i) {
    Task task(scheduler, execution, signals, nullptr, [&, i] { turns.push_back(i); });
    run_all();
    EXPECT_TRUE(task.ended());
  }
  EXPECT_THAT(turns, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST_F(SchedulerTest, AGuestMayMakeAnother) {
  add([this](Guest& guest) {
    turns.push_back(0);
    add([this](Guest&) { turns.push_back(1); });
    guest.yield();
    turns.push_back(2);
  });
  run_all();
  EXPECT_THAT(turns, testing::UnorderedElementsAre(0, 1, 2));
}

// --- Whoever computes, and whoever waits ---

// Within a slice's time of the last turn of somebody who computes.
TEST_F(SchedulerTest, WhoHasWaitedComesBeforeWhoComputes) {
  Guest& waits = add_numbered(0, [](Guest& self) { self.wait(); });
  for (int i = 1; i <= 3; ++i) add_numbered(i, [](Guest& self) { self.yield(); });
  int at_once = 0;
  constexpr int kRounds = 50;
  for (int i = 0; i < kRounds; ++i) {
    run_until([&] { return waits.task->waiting() && !turns.empty() && turns.back() != 0; });
    waits.task->wake();
    EXPECT_TRUE(scheduler.run_next());
    at_once += turns.back() == 0 ? 1 : 0;
  }
  // This thread may have been held up in between.
  EXPECT_GE(at_once, kRounds / 2);
}

// Its first slice counts as well.
TEST_F(SchedulerTest, WhoHasComputedForASliceLetsTheOthersRun) {
  int others_first = 0;
  constexpr int kRounds = 10;
  for (int i = 0; i < kRounds; ++i) {
    guests.clear();
    turns.clear();
    std::this_thread::sleep_for(Scheduler::kSlice);
    add_numbered(0, [](Guest& self) { self.yield(); });
    add_numbered(1, [](Guest& self) { self.wait(); });
    EXPECT_TRUE(scheduler.run_next());
    EXPECT_TRUE(scheduler.run_next());
    others_first += turns == std::vector{0, 1} ? 1 : 0;
  }
  EXPECT_GE(others_first, kRounds / 2);
}

TEST_F(SchedulerTest, WhoComputesGoesOnBesideManyShortOnes) {
  const auto wake_other = [this](size_t other) {
    return [this, other](Guest& self) {
      for (;;) {
        guests[other]->task->wake();
        self.wait();
      }
    };
  };
  add(wake_other(1));
  add(wake_other(0));
  for (int i = 0; i < 2; ++i) add_numbered(i, [](Guest& self) { self.yield(); });
  run_until([&] { return std::ranges::count(turns, 0) >= 5 && std::ranges::count(turns, 1) >= 5; });
}

// --- Waiting ---

TEST_F(SchedulerTest, WhoWaitsHasNoTurnUntilItIsWoken) {
  Guest& guest = add_numbered(0, [](Guest& self) { self.wait(); });
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(guest.task->waiting());
  EXPECT_TRUE(guest.task->waits_for_others());
  EXPECT_FALSE(scheduler.has_ready());
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
  guest.task->wake();
  EXPECT_FALSE(guest.task->waiting());
  EXPECT_FALSE(guest.task->waits_for_others());
  EXPECT_TRUE(scheduler.has_ready());
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_THAT(turns, ElementsAre(0, 0));
}

TEST_F(SchedulerTest, TheWokenRunInTheOrderOfTheirWaking) {
  for (int i = 0; i < 4; ++i) add_numbered(i, [](Guest& guest) { guest.wait(); });
  run_all();
  for (const size_t i : {2U, 0U, 3U}) guests[i]->task->wake();
  run_all();
  EXPECT_THAT(turns, ElementsAre(0, 1, 2, 3, 2, 0, 3));
}

TEST_F(SchedulerTest, WakingTwiceIsOneTurn) {
  Guest& guest = add_numbered(0, [](Guest& self) { self.wait(); });
  guest.task->wake();  // it is ready already
  run_all();
  EXPECT_THAT(turns, ElementsAre(0));
  guest.task->wake();
  guest.task->wake();
  run_all();
  EXPECT_THAT(turns, ElementsAre(0, 0));
}

// As documented: a wake is not kept. What it is about is a flag in memory, or a signal.
TEST_F(SchedulerTest, WakingWhoRunsIsNothing) {
  Guest& guest = add_numbered(0, [](Guest& self) {
    self.task->wake();
    self.wait();
  });
  run_all();
  EXPECT_TRUE(guest.task->waiting());
  EXPECT_THAT(turns, ElementsAre(0));
}

TEST_F(SchedulerTest, WakingWhoHasEndedIsNothing) {
  const Guest& guest = add([](Guest& self) { self.wait(); });
  run_all();
  guests[0]->task->wake();
  run_all();
  ASSERT_TRUE(guest.task->ended());
  guests[0]->task->wake();
  guests[0]->signals.add(2);
  scheduler.news();
  EXPECT_FALSE(scheduler.has_ready());
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_TRUE(guest.task->ended());
}

TEST_F(SchedulerTest, ASignalThatCameBeforeIsNotWaitedFor) {
  Guest& guest = add([](Guest& self) {
    self.wait();
    self.signals.take();
    self.wait();
  });
  guest.signals.add(10);
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(guest.task->waiting());  // the second time
  EXPECT_TRUE(guest.signals.empty());
}

TEST_F(SchedulerTest, AGuestWakesAnother) {
  Guest& sleeper = add_numbered(0, [](Guest& self) { self.wait(); });
  add_numbered(1, [&](Guest& self) {
    sleeper.task->wake();
    self.yield();
  });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(scheduler.run_next());
  EXPECT_GE(std::ranges::count(turns, 0), 5);
  EXPECT_GE(std::ranges::count(turns, 1), 5);
}

// --- Time ---

TEST_F(SchedulerTest, WhoIsDueIsReady) {
  const double due = in_milliseconds(20);
  double woken = 0;
  Guest& guest = add([&](Guest& self) {
    self.wait(due);
    woken = monotonic_milliseconds();
  });
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(guest.task->waiting());
  EXPECT_FALSE(guest.task->waits_for_others());
  EXPECT_EQ(scheduler.next_due(), due);
  if (monotonic_milliseconds() < due - 10) {
    EXPECT_FALSE(scheduler.run_next());
  }
  run_until([&] { return guest.task->ended(); });
  EXPECT_GE(woken, due);
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
}

TEST_F(SchedulerTest, WhatIsDueAlreadyIsNotWaitedFor) {
  const Guest& guest = add([](Guest& self) {
    self.wait(0);
    self.wait(-1e300);
    self.wait(monotonic_milliseconds());
  });
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(guest.task->ended());
}

TEST_F(SchedulerTest, TheFirstThatIsDueIsNext) {
  const double now = monotonic_milliseconds();
  for (const int number : {3, 1, 2}) {
    add([this, now, number](Guest& self) {
      self.wait(now + 300 + 10 * number);
      turns.push_back(number);
    });
  }
  add([](Guest& self) { self.wait(); });
  run_all();
  EXPECT_EQ(scheduler.next_due(), now + 310);
  guests[1]->task->wake();
  EXPECT_EQ(scheduler.next_due(), now + 320);
  run_until([&] { return turns.size() == 3; });
  EXPECT_THAT(turns, ElementsAre(1, 2, 3));
}

TEST_F(SchedulerTest, TwoMayBeDueAtOnce) {
  const double due = in_milliseconds(5);
  for (int i = 0; i < 3; ++i) add([due](Guest& self) { self.wait(due); });
  run_all();
  guests[1]->task->wake();
  EXPECT_EQ(scheduler.next_due(), due);
  run_until([&] { return guests[0]->task->ended() && guests[2]->task->ended(); });
  EXPECT_TRUE(guests[1]->task->ended());
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
}

TEST_F(SchedulerTest, WhoWasWokenIsNotDueAnyMore) {
  Guest& guest = add_numbered(0, [n = 0](Guest& self) mutable {
    if (n++ == 0) {
      self.wait(in_milliseconds(10));
    } else {
      self.wait();
    }
  });
  run_all();
  guest.task->wake();
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
  run_all();
  std::this_thread::sleep_for(12ms);
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_TRUE(guest.task->waits_for_others());
  EXPECT_THAT(turns, ElementsAre(0, 0));
}

// Two who wake each other for ever do not keep a third from its turn.
TEST_F(SchedulerTest, WhoIsDueHasItsTurnBesideABusyPair) {
  const double due = in_milliseconds(5);
  const auto wake_other = [this](size_t other) {
    return [this, other](Guest& self) {
      for (;;) {
        guests[other]->task->wake();
        self.wait();
      }
    };
  };
  add(wake_other(1));
  add(wake_other(0));
  const Guest& third = add([&](Guest& self) { self.wait(due); });
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!third.task->ended() && std::chrono::steady_clock::now() < end) {
    EXPECT_TRUE(scheduler.run_next());
  }
  EXPECT_TRUE(third.task->ended());
}

// --- A byte that another clears ---

TEST_F(SchedulerTest, AByteThatIsZeroIsNotWaitedFor) {
  const uint8_t zero = 0;
  const Guest& guest = add([&](Guest& self) { self.wait(WaitFor::kNoEnd, &zero); });
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(guest.task->ended());
}

TEST_F(SchedulerTest, WhoWaitsForAByteIsReadyWhenItIsZero) {
  uint8_t byte = 1;
  const Guest& guest = add([&](Guest& self) { self.wait(WaitFor::kNoEnd, &byte); });
  add_numbered(1, [](Guest& self) { self.yield(); });
  for (int i = 0; i < 5; ++i) scheduler.run_next();
  EXPECT_TRUE(guest.task->waiting());
  EXPECT_EQ(turns.size(), 4U);
  byte = 0;
  EXPECT_TRUE(scheduler.has_ready());
  EXPECT_FALSE(guest.task->waiting());
  scheduler.run_next();
  scheduler.run_next();
  EXPECT_TRUE(guest.task->ended());
}

TEST_F(SchedulerTest, SeveralMayWaitForOneByte) {
  uint8_t byte = 1;
  for (int i = 0; i < 3; ++i) {
    add([&, i](Guest& self) {
      self.wait(WaitFor::kNoEnd, &byte);
      turns.push_back(i);
    });
  }
  run_all();
  EXPECT_THAT(turns, IsEmpty());
  byte = 0;
  run_all();
  EXPECT_THAT(turns, testing::UnorderedElementsAre(0, 1, 2));
}

TEST_F(SchedulerTest, AByteIsNotLookedAtOnceItsWaitIsOver) {
  // By a wake, by time, by a signal.
  for (int i = 0; i < 3; ++i) {
    auto byte = std::make_unique<uint8_t>(1);
    Guest& guest = add([&](Guest& self) {
      self.wait(i == 1 ? in_milliseconds(2) : WaitFor::kNoEnd, byte.get());
      byte.reset();
      self.signals.take();
      self.wait();
    });
    run_all();
    if (i == 0) guest.task->wake();
    if (i == 2) guest.signals.add(3);
    scheduler.news();
    run_until([&] { return byte == nullptr; });
    run_all();
    EXPECT_TRUE(guest.task->waits_for_others());
  }
}

// --- What a thread does for a guest ---

TEST_F(SchedulerTest, SignalsAndWakesDoNotEndAWaitForAThread) {
  uint8_t pending = 1;
  Guest& guest = add([&](Guest& self) {
    self.task->wait_for(&pending);
    turns.push_back(1);
    self.wait();  // a signal is there
    turns.push_back(2);
    self.signals.take();
    self.wait();
  });
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(guest.task->waiting());
  EXPECT_FALSE(guest.task->waits_for_others());
  guest.signals.add(15);
  scheduler.news();
  guest.task->wake();
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
  pending = 0;
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_THAT(turns, ElementsAre(1, 2));
  EXPECT_TRUE(guest.task->waits_for_others());
  // Signals count again.
  guest.signals.add(15);
  scheduler.news();
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(guest.task->ended());
}

TEST_F(SchedulerTest, WhatAThreadHasDoneAlreadyIsNotWaitedFor) {
  const uint8_t done = 0;
  const Guest& guest = add([&](Guest& self) { self.task->wait_for(&done); });
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_TRUE(guest.task->ended());
}

TEST_F(SchedulerTest, AThreadClearsTheByte) {
  uint8_t pending = 1;
  int result = 0;  // written by the thread before
  const Guest& guest = add([&](Guest& self) {
    self.task->wait_for(&pending);
    turns.push_back(result);
  });
  add_numbered(1, [](Guest& self) { self.yield(); });
  EXPECT_TRUE(scheduler.run_next());
  std::thread thread([&] {
    std::this_thread::sleep_for(5ms);
    result = 7;
    __atomic_store_n(&pending, uint8_t{0}, __ATOMIC_RELEASE);
    scheduler.news();
  });
  run_until([&] { return guest.task->ended(); });
  thread.join();
  EXPECT_EQ(std::ranges::count(turns, 7), 1);
}

TEST_F(SchedulerTest, WhoWaitsForAThreadMayBeDestroyed) {
  auto pending = std::make_unique<uint8_t>(1);
  add([&](Guest& self) { self.task->wait_for(pending.get()); });
  run_all();
  guests.clear();
  pending.reset();
  EXPECT_FALSE(scheduler.run_next());
}

TEST_F(SchedulerTest, WaitingForOthersIsNotWaitingForTime) {
  const double due = in_milliseconds(60'000);
  Guest& guest = add([due](Guest& self) { self.wait(due); });
  EXPECT_FALSE(guest.task->waits_for_others());
  EXPECT_FALSE(guest.task->waits_for_others(0));
  run_all();
  EXPECT_FALSE(guest.task->waits_for_others());
  EXPECT_FALSE(guest.task->waits_for_others(due + 1));
  EXPECT_TRUE(guest.task->waits_for_others(due));
  EXPECT_TRUE(guest.task->waits_for_others(0));
}

// --- Signals from outside ---

TEST_F(SchedulerTest, NewsWakeWhoHasASignal) {
  Guest& guest = add([](Guest& self) { self.wait(); });
  const Guest& other = add([](Guest& self) { self.wait(); });
  run_all();
  guest.signals.add(2);
  EXPECT_FALSE(scheduler.run_next());  // nobody has said so
  scheduler.news();
  EXPECT_TRUE(scheduler.has_ready());
  EXPECT_FALSE(scheduler.has_news());
  run_all();
  EXPECT_TRUE(guest.task->ended());
  EXPECT_TRUE(other.task->waiting());
}

TEST_F(SchedulerTest, NewsOfNothingWakeNobody) {
  const Guest& guest = add([](Guest& self) { self.wait(); });
  run_all();
  scheduler.news();
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_TRUE(guest.task->waiting());
}

TEST_F(SchedulerTest, ASignalThatComesDuringATurnIsSeenByTheNextWait) {
  Guest& guest = add([&](Guest& self) {
    std::thread([&] {
      self.signals.add(2);
      scheduler.news();
    }).join();
    self.wait();
    turns.push_back(self.signals.take());
    self.wait();
  });
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_THAT(turns, ElementsAre(2));
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_TRUE(guest.task->waiting());
}

TEST_F(SchedulerTest, ASignalFromAHandlerOfTheSystem) {
  static Guest* target;
  Guest& guest = add([](Guest& self) { self.wait(); });
  target = &guest;
  run_all();
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) {
    target->signals.add(2);
    target->scheduler.news();
  };
  sigaction(SIGUSR1, &action, &before);
  kill(getpid(), SIGUSR1);
  run_until([&] { return guest.task->ended(); });
  EXPECT_TRUE(guest.signals.contains(2));
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(SchedulerTest, NoSignalOfAnotherThreadIsLost) {
  constexpr int kGuests = 8;
  constexpr int kSignals = 300;
  std::atomic<int> received = 0;
  for (int i = 0; i < kGuests; ++i) {
    add([&](Guest& self) {
      for (int got = 0; got < kSignals;) {
        self.wait(got % 3 == 0 ? in_milliseconds(1) : WaitFor::kNoEnd);
        while (self.signals.take() != 0) {
          ++got;
          ++received;
        }
        if (got % 5 == 0) self.yield();
      }
    });
  }
  std::vector<std::thread> senders;
  std::atomic<bool> stop = false;
  for (int sender = 0; sender < 2; ++sender) {
    senders.emplace_back([&, sender] {
      for (int i = 0; i < kSignals; ++i) {
        for (int g = sender; g < kGuests; g += 2) {
          SignalSet& signals = guests[static_cast<size_t>(g)]->signals;
          // The one before has been taken, so that each counts.
          while (signals.contains(2) && !stop) std::this_thread::yield();
          signals.add(2);
          scheduler.news();
        }
      }
    });
  }
  run_until([&] { return received == kGuests * kSignals; });
  stop = true;
  for (std::thread& sender : senders) sender.join();
  run_all();
  EXPECT_EQ(received, kGuests * kSignals);
  for (const auto& guest : guests) EXPECT_TRUE(guest->task->ended());
}

// --- Slices ---

TEST_F(SchedulerTest, WhoComputesIsToldThatItsSliceIsOver) {
  std::vector<int> told;
  for (int i = 0; i < 2; ++i) {
    add([&, i](Guest& self) {
      for (int n = 0; n < 3; ++n) {
        EXPECT_TRUE(self.spin());
        scheduler.end_slices();
        EXPECT_TRUE(scheduler.take_slice_over());
        EXPECT_FALSE(scheduler.take_slice_over());
        scheduler.begin_slices();
        told.push_back(i);
        self.yield();
      }
    });
  }
  const auto start = std::chrono::steady_clock::now();
  scheduler.begin_slices();
  run_all();
  scheduler.end_slices();
  EXPECT_THAT(told, testing::UnorderedElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 5 * Scheduler::kSlice);
}

TEST_F(SchedulerTest, WhoGoesOnIsToldAgain) {
  add([](Guest& self) {
    for (int n = 0; n < 3; ++n) EXPECT_TRUE(self.spin());
  });
  scheduler.begin_slices();
  run_all();
  scheduler.end_slices();
  EXPECT_TRUE(guests[0]->task->ended());
}

TEST_F(SchedulerTest, OnlyWhoRunsIsTold) {
  for (int i = 0; i < 3; ++i) {
    add([i](Guest& self) {
      if (i == 2) self.wait();
      EXPECT_TRUE(self.spin());
    });
  }
  add([](Guest&) {});
  scheduler.begin_slices();
  EXPECT_TRUE(scheduler.run_next());
  guests[0]->flag = 0;  // it may have been told once more
  for (const auto& guest : guests) EXPECT_EQ(guest->flag, 0U);
  std::this_thread::sleep_for(3 * Scheduler::kSlice);  // nobody runs
  for (const auto& guest : guests) EXPECT_EQ(guest->flag, 0U);
  scheduler.end_slices();
}

TEST_F(SchedulerTest, WithoutSlicesNobodyIsTold) {
  add([](Guest& self) { EXPECT_FALSE(self.spin(30ms)); });
  add([](Guest& self) { EXPECT_FALSE(self.spin(30ms)); });
  EXPECT_TRUE(scheduler.run_next());
  scheduler.begin_slices();
  scheduler.end_slices();
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_FALSE(scheduler.take_slice_over());
}

TEST_F(SchedulerTest, AGuestWithoutAFlagIsNotTold) {
  wasm::Execution execution;
  SignalSet signals;
  bool over = true;
  Task task(scheduler, execution, signals, nullptr, [&] {
    const auto end = std::chrono::steady_clock::now() + 4 * Scheduler::kSlice;
    while (std::chrono::steady_clock::now() < end) {
    }
    over = scheduler.take_slice_over();
  });
  scheduler.begin_slices();
  run_all();
  scheduler.end_slices();
  EXPECT_TRUE(task.ended());
  EXPECT_FALSE(over);
}

TEST_F(SchedulerTest, ASliceIsNotTheNextGuests) {
  add([](Guest& self) { EXPECT_TRUE(self.spin()); });  // does not take the answer
  add([&](Guest&) { EXPECT_FALSE(scheduler.take_slice_over()); });
  scheduler.begin_slices();
  EXPECT_TRUE(scheduler.run_next());
  scheduler.end_slices();
  EXPECT_TRUE(scheduler.run_next());
}

TEST_F(SchedulerTest, SlicesCanBeginAndEndAgainAndAgain) {
  for (int i = 0; i < 20; ++i) add([](Guest& self) { EXPECT_TRUE(self.spin()); });
  for (int i = 0; i < 20; ++i) {
    scheduler.begin_slices();
    scheduler.begin_slices();  // they are on
    EXPECT_TRUE(scheduler.run_next());
    scheduler.end_slices();
    scheduler.end_slices();
  }
  EXPECT_FALSE(scheduler.has_ready());
}

TEST_F(SchedulerTest, SlicesOfAnotherThread) {
  for (int i = 0; i < 3; ++i) {
    add([](Guest& self) {
      EXPECT_TRUE(self.spin());
      self.yield();
      EXPECT_TRUE(self.spin());
    });
  }
  scheduler.begin_slices();
  EXPECT_TRUE(scheduler.run_next());
  // Without an end: the thread before does not run guests any more.
  std::thread([&] {
    scheduler.begin_slices();
    EXPECT_TRUE(scheduler.run_next());
    EXPECT_TRUE(scheduler.run_next());
    scheduler.end_slices();
  }).join();
  std::thread([&] {
    scheduler.begin_slices();
    run_all();
    scheduler.end_slices();
  }).join();
  for (const auto& guest : guests) EXPECT_TRUE(guest->task->ended());
}

// --- Tasks that go ---

// Notes that it was destroyed.
struct Noting {
  bool* destroyed;
  ~Noting() { *destroyed = true; }
};

TEST_F(SchedulerTest, WhoWaitsMayBeDestroyed) {
  uint8_t byte = 1;
  add([](Guest& self) { self.wait(); });
  add([](Guest& self) { self.wait(in_milliseconds(5)); });
  add([&](Guest& self) { self.wait(WaitFor::kNoEnd, &byte); });
  add([&](Guest& self) { self.wait(in_milliseconds(5), &byte); });
  add_numbered(4, [](Guest& self) { self.wait(); });
  run_all();
  guests.erase(guests.begin(), guests.begin() + 4);
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
  byte = 0;
  std::this_thread::sleep_for(6ms);
  scheduler.news();
  EXPECT_FALSE(scheduler.run_next());
  guests[0]->task->wake();
  EXPECT_TRUE(scheduler.run_next());
  EXPECT_THAT(turns, ElementsAre(4, 4));
}

TEST_F(SchedulerTest, WhoIsReadyMayBeDestroyed) {
  for (int i = 0; i < 4; ++i) add_numbered(i, [](Guest& self) { self.yield(); });
  run_until([&] { return std::set(turns.begin(), turns.end()).size() == 4; });
  guests.erase(guests.begin() + 1);
  guests.erase(guests.begin());
  turns.clear();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(scheduler.run_next());
  EXPECT_EQ(std::ranges::count(turns, 2), 2);
  EXPECT_EQ(std::ranges::count(turns, 3), 2);
}

TEST_F(SchedulerTest, WhoWasWokenMayBeDestroyed) {
  add_numbered(0, [](Guest& self) { self.wait(in_milliseconds(1)); });
  run_all();
  guests[0]->task->wake();
  guests.clear();
  EXPECT_FALSE(scheduler.has_ready());
  EXPECT_FALSE(scheduler.run_next());
}

TEST_F(SchedulerTest, WhoHasNotBegunMayBeDestroyed) {
  bool begun = false;
  add([&](Guest&) { begun = true; });
  guests.clear();
  EXPECT_FALSE(scheduler.run_next());
  EXPECT_FALSE(begun);
}

// As Execution::abandon() has it.
TEST_F(SchedulerTest, NothingRunsInAGuestThatIsDestroyed) {
  bool went_on = false;
  bool destroyed = false;
  add([&](Guest& self) {
    const Noting noting{&destroyed};
    self.wait();
    went_on = true;
  });
  run_all();
  wasm::Execution* execution = &guests[0]->execution;
  EXPECT_TRUE(execution->suspended());
  guests[0]->task.reset();
  EXPECT_FALSE(execution->suspended());
  EXPECT_FALSE(went_on);
  EXPECT_FALSE(destroyed);
  // The stack is free for another one.
  guests[0]->task.emplace(scheduler, *execution, guests[0]->signals, nullptr,
                          [&] { turns.push_back(7); });
  run_all();
  EXPECT_THAT(turns, ElementsAre(7));
}

TEST_F(SchedulerTest, AGuestMayDestroyOthers) {
  const double due = in_milliseconds(60'000);
  for (int i = 0; i < 3; ++i) {
    add_numbered(i, [i, due](Guest& self) {
      if (i == 0) self.wait(due);
      if (i == 1) self.yield();
      if (i == 2) self.wait();
    });
  }
  run_until([&] { return turns.size() == 4; });
  Guest& last = add([this](Guest& self) {
    guests[1].reset();
    guests[0].reset();
    guests[2]->task->wake();
    self.yield();
    turns.push_back(9);
  });
  run_until([&] { return last.task->ended(); });
  run_all();
  EXPECT_EQ(turns.back(), 9);
  EXPECT_EQ(std::ranges::count(turns, 2), 2);
  EXPECT_EQ(std::ranges::count(turns, 0), 1);
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
}

// --- Many ---

TEST_F(SchedulerTest, ThousandsOfTasks) {
  constexpr size_t kTasks = 2000;
  std::vector<int> counts(kTasks);
  const double start = monotonic_milliseconds();
  std::vector<uint8_t> bytes(kTasks, 1);
  for (size_t i = 0; i < kTasks; ++i) {
    add([&, i](Guest& self) {
      ++counts[i];
      self.yield();
      ++counts[i];
      self.wait(start + static_cast<double>(i % 50));
      ++counts[i];
      self.wait(WaitFor::kNoEnd, &bytes[i]);
      ++counts[i];
      self.wait();
      ++counts[i];
      self.wait();
      ++counts[i];
    });
  }
  const auto reached = [&](int count) {
    return [&counts, count] {
      return std::ranges::all_of(counts, [&](int each) { return each >= count; });
    };
  };
  run_until([&] { return !scheduler.has_ready() && reached(3)(); });
  EXPECT_EQ(scheduler.next_due(), std::nullopt);
  for (uint8_t& byte : bytes) byte = 0;
  run_all();
  EXPECT_TRUE(reached(4)());
  for (size_t i = 0; i < kTasks; ++i) guests[kTasks - 1 - i]->task->wake();
  run_all();
  EXPECT_TRUE(reached(5)());
  for (size_t i = 0; i < kTasks; i += 2) guests[i]->signals.add(15);
  scheduler.news();
  run_all();
  size_t ended = 0;
  for (const auto& guest : guests) ended += guest->task->ended() ? 1 : 0;
  EXPECT_EQ(ended, kTasks / 2);
  // The others are destroyed where they wait.
}

}  // namespace
}  // namespace pglite::emscripten
