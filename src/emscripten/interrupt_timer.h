// Makes a running guest look up at a point in time.
//
// Guest code that computes gives the host no chance to look at the clock. PostgreSQL, however,
// looks at its InterruptPending flag all the time; once it is set it calls ProcessInterrupts, and
// there translate.py has put a call of ours (guest_before_interrupts), which delivers the timers
// that are due. So all that has to happen asynchronously is one store into guest memory, by a
// signal handler in the thread that armed the timer. No thread is involved.
#ifndef PGLITE_EMSCRIPTEN_INTERRUPT_TIMER_H_
#define PGLITE_EMSCRIPTEN_INTERRUPT_TIMER_H_

#include <sys/types.h>

#include <cstdint>
#include <ctime>

namespace pglite::emscripten {

// SIGURG: ignored by default, so that a late one harms nobody, and used by hardly any program.
class InterruptTimer {
 public:
  InterruptTimer() = default;
  ~InterruptTimer() { remove(); }
  InterruptTimer(const InterruptTimer&) = delete;
  InterruptTimer& operator=(const InterruptTimer&) = delete;

  // Stores 1 to `*flag` `milliseconds` from now, if this thread still exists then. `flag` must stay
  // valid until disarm(), remove() or the destructor. Does nothing where the system has no timer
  // left: the guest is then interrupted when it next waits.
  void arm(double milliseconds, uint32_t* flag);
  void disarm();
  // As disarm(), and gives the system its timer back.
  void remove();

 private:
  timer_t timer_{};
  bool exists_ = false;
  pid_t thread_ = 0;          // the thread the timer signals
  pid_t process_ = 0;         // timers do not survive a fork
  uint32_t* flag_ = nullptr;  // what the existing timer sets
};

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_INTERRUPT_TIMER_H_
