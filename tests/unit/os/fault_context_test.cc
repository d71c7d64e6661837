#include "os/fault_context.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace pglite::os {
namespace {

constexpr size_t kStack = size_t{256} << 10;
std::byte* stack_end = nullptr;

// Exits with what is wrong; 0: nothing.
[[noreturn]] void after_the_fault() {
  const auto* here = static_cast<const std::byte*>(__builtin_frame_address(0));
  if (here > stack_end || here < stack_end - kStack) _exit(1);
  stack_t alternate{};
  if (sigaltstack(nullptr, &alternate) != 0 || (alternate.ss_flags & SS_ONSTACK) != 0) _exit(2);
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  if (sigismember(&mask, SIGSEGV) != 0 || sigismember(&mask, SIGBUS) != 0) _exit(3);
  // A stack that is not aligned for the processor's wide registers would fault here.
  alignas(16) std::array<volatile double, 4> numbers{1, 2, 3, 4};
  _exit(numbers[0] + numbers[3] == 5 ? 0 : 4);
}

void on_fault(int /*signal*/, siginfo_t* info, void* context) {
  if (was_sent(*info)) _exit(5);
  go_on_in(context, after_the_fault, stack_end);
}

void handle_with(void (*handler)(int, siginfo_t*, void*)) {
  static std::array<std::byte, size_t{64} << 10> alternate;
  stack_t stack{};
  stack.ss_sp = alternate.data();
  stack.ss_size = alternate.size();
  sigaltstack(&stack, nullptr);
  struct sigaction action{};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

[[noreturn]] void fault() {
  static std::array<std::byte, kStack> stack;
  stack_end = stack.data() + stack.size() - 1;  // which is aligned to nothing
  handle_with(on_fault);
  auto* nothing = static_cast<volatile char*>(
      mmap(nullptr, size_t{1} << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  *nothing = 1;
  _exit(6);
}

TEST(FaultContext, TheThreadGoesOnElsewhereAndTheSignalIsOver) {
  EXPECT_EXIT(fault(), testing::ExitedWithCode(0), "");
}

[[noreturn]] void be_sent_one() {
  handle_with([](int, siginfo_t* info, void*) { _exit(was_sent(*info) ? 0 : 1); });
  kill(getpid(), SIGSEGV);
  _exit(2);
}

TEST(FaultContext, ASignalThatWasSentIsNoFault) {
  EXPECT_EXIT(be_sent_one(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace pglite::os
