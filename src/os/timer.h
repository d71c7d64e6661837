// Calls a function in this thread at a point in time, or at an interval, whether the thread
// computes then or waits in a call of the system.
//
// A timer sends SIGURG to the thread that armed it; the handler calls the timer's function. One
// signal serves all timers of the process, because the process has only one disposition for it.
// SIGURG is the right one:
//   - It is ignored by default. One that comes late harms nobody, and neither does one that an
//     exec finds pending.
//   - A program that handles it must expect one at any time. Go's runtime preempts its goroutines
//     with it for these two reasons. SIGALRM and the real-time signals end a process that no longer
//     handles them, and SIGALRM belongs to the callers of alarm().
//
// The handler is the process's, and others may want the signal:
//   - It is installed with the first timer. When the last one goes, the disposition that was there
//     before comes back, unless somebody has installed a handler meanwhile.
//   - The handler that was there before is called for each SIGURG, in its own form and with its
//     own mask. It is called for our signals too: the system merges a signal that somebody sends to
//     a thread with one of ours that is pending there, and Go's runtime would wait for the one that
//     is gone.
//   - Calls of the system go on after it (SA_RESTART), unless a timer wants them to return.
//   - It runs on the alternate signal stack: the stack of the thread may be nearly used up.
//
// A signal finds its timer through an identifier, which it looks up: after ~Timer, remove() or
// disarm() have returned, a signal that was under way does nothing.
//
// A timer needs the signal unblocked. arm() and attend() see to it and note the thread's mask as
// they found it; rest(), disarm(), remove() and ~Timer put it back, as far as no other timer of the
// thread needs it, and only in the thread that it was changed in.
//
// One thread at a time may use a timer; it need not be the same one. After a fork the child has no
// timer that runs: arm() and attend() make a new one.
#ifndef PGLITE_OS_TIMER_H_
#define PGLITE_OS_TIMER_H_

#include <chrono>

namespace pglite::os {

class Timer {
 public:
  enum class Calls {
    kGoOn,    // a call that waits in the system goes on after the function, where the system can
    kReturn,  // it fails with EINTR, as long as such a timer exists
  };
  // Runs in the signal handler: it may do what is async-signal-safe, must return, and must not use
  // the timer. It may run once more than the timer expires.
  using Function = void (*)(void* context);

  Timer(Calls calls, Function function, void* context)
      : calls_(calls), function_(function), context_(context) {}
  ~Timer() { remove(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Has the function called in the calling thread after `first` (at once where that is not
  // positive), and then at each `interval`; where that is zero, only once. Replaces what was armed
  // before. The system's timer is made by the first call in a thread and kept: the others cost
  // three short system calls. False where the system has no timer left.
  bool arm(std::chrono::nanoseconds first, std::chrono::nanoseconds interval = {});
  // No function runs after it has returned. The system's timer is kept.
  void disarm();
  // As disarm(), and gives the system its timer back.
  void remove();

  // Whether there are calls to come.
  [[nodiscard]] bool armed() const;

  // For a timer that stays armed while the thread does something that the timer is not meant for.
  // rest() puts the thread's mask back; the timer runs on. attend() makes an armed timer act in the
  // calling thread, whichever thread it was armed in, and whether or not that thread still exists.
  // Both cost nothing when the timer is not armed.
  void attend();
  void rest();

 private:
  struct Slot;
  struct Slots;

  bool make();
  void start(std::chrono::nanoseconds first);
  void unblock();

  Calls calls_;
  bool unblocked_ = false;  // in the slot's thread, by this timer
  Function function_;
  void* context_;
  Slot* slot_ = nullptr;  // the system's timer; null: there is none
};

}  // namespace pglite::os

#endif  // PGLITE_OS_TIMER_H_
