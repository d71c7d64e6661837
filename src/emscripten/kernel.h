// What a guest process asks of the system it lives in, besides files: to wait, to let others run,
// to signal another process.
//
// One process may live alone: it sleeps where it waits, and nobody else is there. Of many guests on
// one thread, the one that waits has to let the others run: its kernel suspends it
// (wasm::Execution::suspend), and the host resumes it when what it waits for has come.
#ifndef PGLITE_EMSCRIPTEN_KERNEL_H_
#define PGLITE_EMSCRIPTEN_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "vfs/file.h"
#include "wasm/guest_memory.h"

namespace pglite::emscripten {

class Process;

struct WaitFor {
  enum class What {
    kTime,   // nothing but `due`
    kLatch,  // that `latch` is not zero
    kFiles,  // that a descriptor becomes ready: only a signal handler of the guest can do that
    kByte,   // that `byte` is zero: another process clears it in shared memory
  };
  static constexpr double kNoEnd = 1e300;

  What what = What::kTime;
  // When the guest wants to look again at the latest: the end of its wait or the next of its
  // timers, whichever comes first. CLOCK_MONOTONIC in milliseconds; kNoEnd: never by itself.
  double due = kNoEnd;
  // Whether the wait itself has an end. Otherwise `due` is that of a timer.
  bool has_end = false;
  // kLatch: PostgreSQL's struct Latch, which begins with the flag; 0: no latch is waited for. The
  // address is the guest's word: it may lie outside of its memory.
  wasm::GuestPtr<uint32_t> latch{};
  // kByte: as little to be trusted.
  wasm::GuestPtr<uint8_t> byte{};
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  // On the guest stack of `process`. Returns when `due` has come, when a signal was sent to the
  // process (Process::signals), or when the latch is set; it may return earlier, for no reason at
  // all, as the guest looks for itself and waits again. It delivers no signals and calls no guest
  // code. It may suspend the guest with Suspension::kWait, but only where Process::may_suspend()
  // says so; a suspended guest may be abandoned, so it keeps nothing that needs a destructor
  // meanwhile.
  virtual void wait(Process& process, const WaitFor& what) = 0;

  // On the guest stack of `process`, whenever the guest looks up while it computes
  // (Process::interrupt_flag). May let others run, with Suspension::kYield; the rules are wait()'s.
  virtual void look_up(Process& process) { (void)process; }

  // On the guest stack of `process`: fsync(2), or fdatasync(2) where `data_only`. May suspend the
  // guest until it is done; the rules are wait()'s. EBADF: there is no such descriptor; otherwise
  // as vfs::File::sync().
  virtual vfs::Result<void> sync(Process& process, int descriptor, bool data_only);

  // On the guest stack of `process`: pread(2) into guest memory. May suspend the guest until it is
  // done; the rules are wait()'s. Fails as vfs::DescriptorTable::pread().
  virtual vfs::Result<size_t> pread(Process& process, int descriptor, std::span<std::byte> buffer,
                                    int64_t offset);

  // kill(2), for a process other than the sender. False: there is none.
  virtual bool kill(Process& sender, int32_t pid, int signal) {
    (void)sender, (void)pid, (void)signal;
    return false;
  }
};

// Holds up the thread: sleeps until `due`, but no longer than 20 ms at a time, because a signal
// from another thread does not wake it. What a process without a kernel has. No state; any thread.
class SleepingKernel final : public Kernel {
 public:
  void wait(Process& process, const WaitFor& what) override;
};

// What PostgreSQL does otherwise as one of many processes. Functions of the guest ask them first
// (aot/translate.py). All are called on the guest stack, below a protected call, and must hold
// nothing that needs a destructor where they suspend the guest.
class ProgramHooks {
 public:
  virtual ~ProgramHooks() = default;

  // WaitEventSetWait: how many events have occurred, at most `count`, written to the array
  // `occurred`. `timeout` is milliseconds, negative: none. `activity` is the wait event to show.
  virtual uint32_t wait_event_set(Process& process, uint32_t set, int32_t timeout,
                                  uint32_t occurred, uint32_t count, uint32_t activity) = 0;
  // RequestCheckpoint. False: the guest makes one by itself.
  virtual bool request_checkpoint(Process& process, uint32_t flags) = 0;
};

// CLOCK_MONOTONIC in milliseconds, as WaitFor::due. What waits and timers go by; what the guest is
// told comes from os::monotonic_clock(), which says something else where images are made.
double monotonic_milliseconds();

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_KERNEL_H_
