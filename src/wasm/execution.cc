#include "wasm/execution.h"

#include <signal.h>

#include <array>
#include <boost/context/detail/fcontext.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "os/fault_context.h"
#include "os/virtual_memory.h"
#include "wasm/linear_memory.h"

#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
#define PGLITE_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if __has_feature(thread_sanitizer)
#define PGLITE_TSAN 1
#include <sanitizer/tsan_interface.h>
#endif

namespace pglite::wasm {

namespace {

// wasm2c's traps carry no instance, and a signal handler has no argument of ours: the running
// execution has to be found from the thread. In a shared library the usual model would allocate the
// thread's variables when they are first looked at, which for the threads of others is in the
// handler: a thread may fault within malloc.
[[gnu::tls_model("initial-exec")]] thread_local Execution* current_execution = nullptr;

#ifdef PGLITE_TSAN
void destroy_fiber(size_t fiber) {
  if (fiber != 0) __tsan_destroy_fiber(reinterpret_cast<void*>(fiber));
}
#endif

}  // namespace

// Faults in a linear memory's reservation and in a guest stack's guard region become traps.
struct TrapSignals {
  static void install() {
    static std::once_flag once;
    std::call_once(once, [] {
      struct sigaction action{};
      action.sa_sigaction = handle;
      action.sa_flags = SA_SIGINFO | SA_ONSTACK;
      sigemptyset(&action.sa_mask);
      for (const int signal : {SIGSEGV, SIGBUS}) {
        // Known before ours can be called.
        sigaction(signal, nullptr, &previous(signal));
        sigaction(signal, &action, nullptr);
      }
    });
    // A stack overflow cannot be handled on the stack that overflowed. The alternate stack is the
    // thread's, so each thread that runs guest code needs one.
    constexpr size_t kSize = size_t{64} << 10;
    struct AlternateStack {
      AlternateStack() {
        stack_t existing{};
        if (sigaltstack(nullptr, &existing) == 0 && !(existing.ss_flags & SS_DISABLE)) return;
        memory = std::make_unique<std::byte[]>(kSize);
        stack_t alternate{};
        alternate.ss_sp = memory.get();
        alternate.ss_size = kSize;
        sigaltstack(&alternate, nullptr);
      }
      ~AlternateStack() {
        stack_t existing{};
        if (!memory || sigaltstack(nullptr, &existing) != 0 || existing.ss_sp != memory.get())
          return;
        stack_t disable{};
        disable.ss_flags = SS_DISABLE;
        sigaltstack(&disable, nullptr);
      }
      std::unique_ptr<std::byte[]> memory;
    };
    thread_local AlternateStack alternate;
  }

 private:
  // The handlers that were there before ours; written once, under install()'s once_flag.
  static struct sigaction& previous(int signal) {
    static std::array<struct sigaction, 2> actions;
    return actions[signal == SIGSEGV ? 0 : 1];
  }

  static void handle(int signal, siginfo_t* info, void* context) {
    Execution* execution = current_execution;
    const auto* address = static_cast<const std::byte*>(info->si_addr);
    // A signal that somebody sent has no address.
    if (!os::was_sent(*info) && execution != nullptr && execution->innermost_ != nullptr) {
      const auto guard = execution->stack_.first(Execution::kGuardSize);
      if (address >= guard.data() && address < guard.data() + guard.size()) {
        return execution->trap_after_fault(context, "call stack exhausted", 0);
      }
      const LinearMemory* linear = execution->memory;
      if (const wasm_rt_memory_t* memory = linear == nullptr ? nullptr : linear->get()) {
        const auto* base = reinterpret_cast<const std::byte*>(memory->data);
        if (address >= base && address < base + LinearMemory::kReservation) {
          return execution->trap_after_fault(context, "out of bounds memory access",
                                             static_cast<uint64_t>(address - base));
        }
      }
    }
    pass_on(signal, info, context);
  }

  // As if we had not been there: runtimes (Go, the JVM) live on these signals.
  static void pass_on(int signal, siginfo_t* info, void* context) {
    const struct sigaction& before = previous(signal);
    const bool takes_info = (before.sa_flags & SA_SIGINFO) != 0;
    if (takes_info || (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)) {
      // What the system would have blocked; it puts the mask back when our handler returns.
      pthread_sigmask(SIG_BLOCK, &before.sa_mask, nullptr);
      if ((before.sa_flags & SA_NODEFER) != 0 && sigismember(&before.sa_mask, signal) == 0) {
        sigset_t open;
        sigemptyset(&open);
        sigaddset(&open, signal);
        pthread_sigmask(SIG_UNBLOCK, &open, nullptr);
      }
      if (takes_info) {
        before.sa_sigaction(signal, info, context);
      } else {
        before.sa_handler(signal);
      }
      return;
    }
    if (before.sa_handler == SIG_IGN && os::was_sent(*info)) return;
    sigaction(signal, &before, nullptr);  // the access is tried again and has its default effect
    if (os::was_sent(*info)) raise(signal);
  }
};

Execution::Execution() {
  TrapSignals::install();
  const auto stack = os::allocate_pages(kStackSize + kGuardSize);
  if (!stack) throw std::bad_alloc();
  stack_ = {*stack, kStackSize + kGuardSize};
  if (!os::make_inaccessible(*stack, kGuardSize)) {
    os::unmap(*stack, stack_.size());
    throw std::bad_alloc();
  }
}

Execution::~Execution() {
#ifdef PGLITE_TSAN
  destroy_fiber(caller_stack_size_or_fiber_);
#endif
  os::unmap(stack_.data(), stack_.size());
}

Execution* Execution::current() {
  return current_execution;
}

void Execution::misused(const char* how) {
  std::fprintf(stderr, "pglite-port: a defect of this program: %s\n", how);
  std::abort();
}

bool Execution::run(const std::function<void()>& task) {
  if (suspended()) misused("a task was to replace one that is suspended");
  if (running_) misused("a task was to replace one that runs");
  task_ = &task;
  // The last task may have left a target behind in its frames.
  innermost_ = nullptr;
  invoke_target = nullptr;
  const auto entry = [](boost::context::detail::transfer_t from) {
    auto* self = static_cast<Execution*>(from.data);
    self->caller_ = from.fctx;
#ifdef PGLITE_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &self->caller_stack_,
                                    &self->caller_stack_size_or_fiber_);
#endif
    (*self->task_)();
    self->task_ = nullptr;
#ifdef PGLITE_ASAN
    __sanitizer_start_switch_fiber(nullptr, self->caller_stack_, self->caller_stack_size_or_fiber_);
#endif
#ifdef PGLITE_TSAN
    __tsan_switch_to_fiber(const_cast<void*>(self->caller_stack_), 0);
#endif
    boost::context::detail::jump_fcontext(self->caller_, self);
    std::abort();  // a finished task is not continued
  };
  context_ =
      boost::context::detail::make_fcontext(stack_.data() + stack_.size(), kStackSize, entry);
#ifdef PGLITE_TSAN
  // A new one each time: the calls that the last task did not return from are not this one's.
  destroy_fiber(caller_stack_size_or_fiber_);
  caller_stack_size_or_fiber_ = reinterpret_cast<size_t>(__tsan_create_fiber(0));
#endif
  return switch_in();
}

bool Execution::resume() {
  if (!suspended()) misused("a task was to go on that is not suspended");
  suspension_.reset();
  return switch_in();
}

void Execution::abandon() {
  if (!suspended()) return;
  // The frames stay where they are; the next task starts over them, at the top of the stack.
  suspension_.reset();
  task_ = nullptr;
  innermost_ = nullptr;
  invoke_target = nullptr;
}

bool Execution::switch_in() {
  TrapSignals::install();
  Execution* outer = current_execution;
  running_ = true;
  while (true) {
    current_execution = this;
#ifdef PGLITE_ASAN
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, stack_.data() + kGuardSize, kStackSize);
#endif
#ifdef PGLITE_TSAN
    caller_stack_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(reinterpret_cast<void*>(caller_stack_size_or_fiber_), 0);
#endif
    context_ = boost::context::detail::jump_fcontext(context_, this).fctx;
#ifdef PGLITE_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
    current_execution = outer;
    if (errand_ == nullptr) break;
    (*std::exchange(errand_, nullptr))();
  }
  running_ = false;
  return !suspended();
}

void Execution::switch_out() {
#ifdef PGLITE_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, caller_stack_, caller_stack_size_or_fiber_);
#endif
#ifdef PGLITE_TSAN
  __tsan_switch_to_fiber(const_cast<void*>(caller_stack_), 0);
#endif
  caller_ = boost::context::detail::jump_fcontext(caller_, this).fctx;
#ifdef PGLITE_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &caller_stack_, &caller_stack_size_or_fiber_);
#endif
}

void Execution::suspend(Suspension reason) {
  suspension_ = reason;
  switch_out();
}

void Execution::run_on_callers_stack(const std::function<void()>& task) {
  errand_ = &task;
  switch_out();
}

void Execution::exit(int status) {
  if (innermost_ == nullptr) std::abort();
  pending_ = {.kind = Outcome::Kind::kExited, .exit_status = status};
  _longjmp(innermost_->buffer, 1);
}

void Execution::trap(const char* message, uint64_t address) {
  if (innermost_ == nullptr) {
    std::fprintf(stderr, "pglite-port: trap outside of guest code: %s\n", message);
    std::abort();
  }
  pending_ = {.kind = Outcome::Kind::kTrapped, .trap = message, .trap_address = address};
  _longjmp(innermost_->buffer, 1);
}

// The jump is made where the fault was, after the handler: one out of it would leave the signal
// blocked, and macOS would take the alternate stack for one that is still in use. What is below the
// frame of protect() is not needed any more.
void Execution::trap_after_fault(void* context, const char* message, uint64_t address) {
  pending_ = {.kind = Outcome::Kind::kTrapped, .trap = message, .trap_address = address};
  // More than that frame has below the recovery point, and less than host functions leave.
  constexpr size_t kDistance = size_t{64} << 10;
  auto* const stack = reinterpret_cast<std::byte*>(innermost_) - kDistance;
  os::go_on_in(context, [] { _longjmp(current_execution->innermost_->buffer, 1); }, stack);
}

size_t Execution::stack_left() const {
  const auto* here = static_cast<const std::byte*>(__builtin_frame_address(0));
  return here - (stack_.data() + kGuardSize);
}

}  // namespace pglite::wasm
