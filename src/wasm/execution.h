// One flow of guest code: its native stack, its traps, its exits.
//
// Guest code runs on a stack of its own, large (max_stack_depth may allow for more native stack
// than a thread has) and with a guard region below, so that overflowing it is a trap like any
// other. Because it has its own stack it can also be suspended inside a host function and resumed
// later: that is how a guest that waits for input gives control back without a thread.
//
// Leaving guest code other than by returning (a trap, exit) is a jump to the innermost protect().
// The jump skips the frames between, C++ ones included: a host function that calls back into guest
// code keeps no object with a destructor alive across that call, except below a protect() of its
// own.
#ifndef PGLITE_WASM_EXECUTION_H_
#define PGLITE_WASM_EXECUTION_H_

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "wasm-rt.h"
#include "wasm/jump_target.h"

namespace pglite::wasm {

// How a protected call into guest code ended.
struct Outcome {
  enum class Kind { kReturned, kExited, kTrapped };
  Kind kind = Kind::kReturned;
  int exit_status = 0;         // kExited
  const char* trap = nullptr;  // kTrapped: what happened, a constant
  uint64_t trap_address = 0;   // kTrapped by a memory access: the guest address

  [[nodiscard]] bool returned() const { return kind == Kind::kReturned; }
  [[nodiscard]] bool exited(int status) const {
    return kind == Kind::kExited && exit_status == status;
  }
};

class LinearMemory;

// Why a guest gave control back before its task was done: what has to happen before it goes on.
enum class Suspension {
  kInput,  // the client has to send something: COPY FROM STDIN, or an answer that pg_dump expects
  kWait,   // a latch, a point in time, a descriptor (emscripten::Kernel)
  kYield,  // nothing; others shall have their turn
};

// Not thread-safe. A suspended one may be resumed on another thread than it was started on.
class Execution {
 public:
  static constexpr size_t kStackSize = size_t{256} << 20;
  static constexpr size_t kGuardSize = size_t{1} << 20;

  // Reserves the stack; pages are taken as the guest touches them. Throws std::bad_alloc when the
  // address space is not to be had.
  Execution();
  ~Execution();
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  // Runs `task` on the guest stack until it returns (true) or suspends (false). `task` must not
  // let an exception escape, and must live until it has returned. The stack holds one task: while
  // one runs or is suspended, calling this is a mistake of the host that would lose it, and the
  // program is aborted with a message. Who may meet a suspended task asks suspended() first.
  bool run(const std::function<void()>& task);
  // Continues the suspended task; results as run(). Without one the program is aborted, too.
  bool resume();
  // Drops the suspended task, if there is one: it does not go on, and no destructor of its frames
  // runs. The guest's memory is as the task left it, in the middle of something, so that the guest
  // is good for nothing but to be destroyed, unless the host knows better. The destructor does the
  // same.
  void abandon();

  [[nodiscard]] bool suspended() const { return suspension_.has_value(); }
  // Why the task is suspended; nullopt if it is not.
  [[nodiscard]] std::optional<Suspension> suspension() const { return suspension_; }

  // On the guest stack: gives control back to run() or resume(), and returns when resumed. As the
  // task may be abandoned, no frame of the host between here and run() may need its destructor,
  // unless what it owns may be lost.
  void suspend(Suspension reason);

  // On the guest stack: runs `task` on the stack, and as the code, of run()'s or resume()'s caller,
  // and returns when it has. For callbacks into code that may not run on a stack that it does not
  // know (Go, the JVM, CPython). `task` must not let an exception escape, and must not use this
  // object.
  void run_on_callers_stack(const std::function<void()>& task);

  // On the guest stack: calls `f` so that a trap or exit inside it ends here.
  template <class F>
  Outcome protect(F&& f) {
    RecoveryPoint point;
    point.outer = innermost_;
    point.outer_target = invoke_target;
    innermost_ = &point;
    // A longjmp inside `f` to a frame outside would leave innermost_ pointing at this dead one.
    invoke_target = nullptr;
    if (_setjmp(point.buffer) == 0) {
      f();
      leave(point);
      return {};
    }
    leave(point);
    return pending_;
  }

  // On the guest stack, below protect(): leave guest code.
  [[noreturn]] void exit(int status);
  // `message` is a constant.
  [[noreturn]] void trap(const char* message, uint64_t address = 0);

  // The linear memory of the code that runs here: a fault in its reservation is a trap.
  LinearMemory* memory = nullptr;

  // The innermost JumpTarget of the guest's own setjmp (emscripten::invoke keeps it, by way of
  // w2c_env::invoke_target). It hangs
  // on the execution because it is part of the stack: protect() begins with none, and when it ends,
  // however it does, the one from before is there again.
  void* invoke_target = nullptr;

  // Bytes of native stack left below the caller's frame; only on the guest stack.
  [[nodiscard]] size_t stack_left() const;

  // What a host function may use of the guest stack.
  static constexpr size_t kHostFunctionStack = size_t{512} << 10;
  // Called by a host function before it does anything: a trap unless so much is left. Guest code
  // may run into the guard region, because cutting it off there harms nobody; host code must not,
  // since the jump out of it would leave locks held (malloc's) and objects half made.
  void need_host_stack() {
    if (stack_left() < kHostFunctionStack) trap("call stack exhausted");
  }

  // The execution whose guest code runs on this thread, or null.
  static Execution* current();

 private:
  friend struct TrapSignals;
  struct RecoveryPoint {
    jmp_buf buffer;
    RecoveryPoint* outer;
    void* outer_target;
  };

  void leave(const RecoveryPoint& point) {
    innermost_ = point.outer;
    invoke_target = point.outer_target;
  }
  bool switch_in();
  // To run()'s or resume()'s caller; returns when it switches in again.
  void switch_out();
  // In the handler of a fault: a trap when it returns.
  void trap_after_fault(void* context, const char* message, uint64_t address);
  // Aborts the program: the host has used this object wrongly.
  [[noreturn]] static void misused(const char* how);

  std::span<std::byte> stack_;  // with the guard region at its low end
  void* context_ = nullptr;     // where the guest stack stands while it does not run
  void* caller_ = nullptr;      // where to go back to while it runs
  const std::function<void()>* task_ = nullptr;
  // What the caller is to run before it switches in again; null: nothing, it goes on.
  const std::function<void()>* errand_ = nullptr;
  // For sanitizers. AddressSanitizer: the stack to go back to. ThreadSanitizer: its fiber for the
  // stack to go back to, and the one for the guest's.
  [[maybe_unused]] const void* caller_stack_ = nullptr;
  [[maybe_unused]] size_t caller_stack_size_or_fiber_ = 0;
  bool running_ = false;  // a task is on the stack and not suspended
  std::optional<Suspension> suspension_;
  RecoveryPoint* innermost_ = nullptr;
  Outcome pending_;
};

}  // namespace pglite::wasm

#endif  // PGLITE_WASM_EXECUTION_H_
