// A host with handlers of its own, which it had before the first guest: as Go, the JVM and others
// have. A program of its own, as such handlers are a process's.
#include <gtest/gtest.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <thread>

#include "wasm/execution.h"
#include "wasm/linear_memory.h"

namespace pglite::wasm {
namespace {

// What the host's handler has seen.
struct Seen {
  int count = 0;
  int signal = 0;
  void* address = nullptr;
  bool mask_is_the_hosts = false;
};
// Handlers have no argument of their own.
Seen seen;                     // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
sigjmp_buf way_out;            // NOLINT
void* page_to_open = nullptr;  // NOLINT

size_t page_size() {
  return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

void host_handler(int signal, siginfo_t* info, void*) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  ++seen.count;
  seen.signal = signal;
  seen.address = info->si_addr;
  seen.mask_is_the_hosts =
      sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, signal) == (signal == SIGSEGV ? 1 : 0);
  if (page_to_open != nullptr) {
    mprotect(page_to_open, page_size(), PROT_READ | PROT_WRITE);
    return;  // the access is tried again
  }
  if (info->si_code > 0) siglongjmp(way_out, 1);
}

[[gnu::noinline]] void fault_at(const void* address) {
  *static_cast<volatile char*>(const_cast<void*>(address)) = 1;
}

// Whether the host's handler has ended a fault there.
bool host_catches(const std::function<void()>& fault) {
  const int before = seen.count;
  if (sigsetjmp(way_out, 1) == 0) {
    fault();
    return false;
  }
  return seen.count == before + 1;
}

bool is_blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

class TrapSignalsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    struct sigaction action{};
    action.sa_sigaction = host_handler;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(SIGSEGV, &action, nullptr);
    action.sa_flags |= SA_NODEFER;
    sigaction(SIGBUS, &action, nullptr);
  }
  void SetUp() override {
    seen = {};
    page_to_open = nullptr;
    execution_.memory = &memory_;
  }

  [[nodiscard]] const void* outside() const { return memory_.get()->data + WASM_DEFAULT_PAGE_SIZE; }
  Outcome run_guest(const std::function<void()>& guest) {
    Outcome outcome;
    EXPECT_TRUE(execution_.run([&] { outcome = execution_.protect(guest); }));
    return outcome;
  }
  void expect_guest_traps() {
    const int before = seen.count;
    EXPECT_EQ(run_guest([&] { fault_at(outside()); }).kind, Outcome::Kind::kTrapped);
    EXPECT_EQ(seen.count, before);
  }

  LinearMemory memory_{1, 1};
  Execution execution_;
};

TEST_F(TrapSignalsTest, AFaultOfTheHostIsTheHosts) {
  expect_guest_traps();
  void* const nowhere = reinterpret_cast<void*>(uintptr_t{8});
  EXPECT_TRUE(host_catches([&] { fault_at(nowhere); }));
  EXPECT_EQ(seen.signal, SIGSEGV);
  EXPECT_EQ(seen.address, nowhere);
  EXPECT_TRUE(seen.mask_is_the_hosts);
  EXPECT_FALSE(is_blocked(SIGUSR1));
  EXPECT_FALSE(is_blocked(SIGSEGV));
  expect_guest_traps();
}

TEST_F(TrapSignalsTest, AFaultInAThreadThatRunsNoGuestIsTheHosts) {
  expect_guest_traps();
  std::thread([&] {
    EXPECT_TRUE(host_catches([] { fault_at(reinterpret_cast<void*>(uintptr_t{8})); }));
    EXPECT_TRUE(host_catches([&] { fault_at(outside()); }));
  }).join();
  expect_guest_traps();
}

// The JVM stops its threads with faults that it mends.
TEST_F(TrapSignalsTest, AHandlerThatReturnsHasTheAccessTriedAgain) {
  void* const page = mmap(nullptr, page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  page_to_open = page;
  fault_at(page);
  EXPECT_EQ(seen.count, 1);
  EXPECT_EQ(seen.address, page);
  EXPECT_EQ(*static_cast<char*>(page), 1);
  EXPECT_FALSE(is_blocked(SIGUSR1));
  munmap(page, page_size());
}

TEST_F(TrapSignalsTest, ASignalThatSomebodySendsIsTheHosts) {
  raise(SIGSEGV);
  EXPECT_EQ(seen.count, 1);
  EXPECT_TRUE(seen.mask_is_the_hosts);
  raise(SIGBUS);
  EXPECT_EQ(seen.count, 2);
  EXPECT_TRUE(seen.mask_is_the_hosts);  // it wants no signal put off
  EXPECT_FALSE(is_blocked(SIGBUS));
  expect_guest_traps();
}

// What a guest calls back is the host's code, wherever it faults.
TEST_F(TrapSignalsTest, AFaultOnTheCallersStackIsTheHosts) {
  bool caught = false;
  const Outcome outcome = run_guest([&] {
    execution_.run_on_callers_stack([&] { caught = host_catches([&] { fault_at(outside()); }); });
  });
  EXPECT_TRUE(outcome.returned());
  EXPECT_TRUE(caught);
  expect_guest_traps();
}

TEST_F(TrapSignalsTest, AnAlternateStackOfTheHostsStays) {
  std::thread([&] {
    static char stack[size_t{128} << 10];
    stack_t mine{};
    mine.ss_sp = stack;
    mine.ss_size = sizeof stack;
    ASSERT_EQ(sigaltstack(&mine, nullptr), 0);
    expect_guest_traps();
    stack_t after{};
    ASSERT_EQ(sigaltstack(nullptr, &after), 0);
    EXPECT_EQ(after.ss_sp, stack);
    mine.ss_flags = SS_DISABLE;
    sigaltstack(&mine, nullptr);
  }).join();
}

// In a process that has had no guest yet.
class TrapSignalsDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
};

bool guest_traps() {
  LinearMemory memory(1, 1);
  Execution execution;
  execution.memory = &memory;
  Outcome outcome;
  execution.run([&] {
    outcome = execution.protect([&] { fault_at(memory.get()->data + WASM_DEFAULT_PAGE_SIZE); });
  });
  return outcome.kind == Outcome::Kind::kTrapped;
}

TEST_F(TrapSignalsDeathTest, AnIgnoredSignalThatSomebodySendsIsIgnored) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_IGN);
        if (!guest_traps()) _exit(1);
        raise(SIGSEGV);
        _exit(guest_traps() ? 0 : 2);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(TrapSignalsDeathTest, AFaultOfAHostWithoutHandlersKills) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        if (!guest_traps()) _exit(1);
        fault_at(reinterpret_cast<void*>(uintptr_t{8}));
        _exit(0);
      },
      testing::KilledBySignal(SIGSEGV), "");
}

}  // namespace
}  // namespace pglite::wasm
