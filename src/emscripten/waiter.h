// How a guest waits: nanosleep, WaitLatch and poll ask the waiter that their process was given.
//
// One backend may simply sleep. Of many guests on one thread, the one that waits has to let the
// others run: its waiter suspends it (wasm::Execution::suspend), and the host resumes it when what
// it waits for has come.
#ifndef PGLITE_EMSCRIPTEN_WAITER_H_
#define PGLITE_EMSCRIPTEN_WAITER_H_

#include <cstdint>

#include "wasm/guest_memory.h"

namespace pglite::emscripten {

class Process;

struct WaitFor {
  enum class What {
    kTime,   // nothing but `due`
    kLatch,  // that `latch` is not zero
    kFiles,  // that a descriptor becomes ready: only a signal handler of the guest can do that
  };
  static constexpr double kNoEnd = 1e300;

  What what = What::kTime;
  // When the guest wants to look again at the latest: the end of its wait or the next of its
  // timers, whichever comes first. CLOCK_MONOTONIC in milliseconds; kNoEnd: never by itself.
  double due = kNoEnd;
  // kLatch: PostgreSQL's struct Latch, which begins with the flag; 0: no latch is waited for. The
  // address is the guest's word: it may lie outside of its memory.
  wasm::GuestPtr<uint32_t> latch{};
};

class Waiter {
 public:
  virtual ~Waiter() = default;

  // On the guest stack of `process`. Returns when `due` has come, when a signal was sent to the
  // process (Process::signals), or when the latch is set; it may return earlier, for no reason at
  // all, as the guest looks for itself and waits again. It delivers no signals and calls no guest
  // code. It may suspend the guest with Suspension::kWait, but only where Process::may_suspend()
  // says so; a suspended guest may be abandoned, so it keeps nothing that needs a destructor
  // meanwhile.
  virtual void wait(Process& process, const WaitFor& what) = 0;
};

// Holds up the thread: sleeps until `due`, but no longer than 20 ms at a time, because a signal
// from another thread does not wake it. What a process without a waiter has. No state; any thread.
class SleepingWaiter final : public Waiter {
 public:
  void wait(Process& process, const WaitFor& what) override;
};

// CLOCK_MONOTONIC in milliseconds, as WaitFor::due.
double monotonic_milliseconds();

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_WAITER_H_
