// Lets a cancel reach the request that runs, and nothing else.
//
// A cancel comes at any moment, from another thread or from a signal handler. Between its look at
// whether something runs and what it does then, the request may end, the next one may begin, and
// the instance may be closed. So whoever cancels passes a gate, which is open while there is
// something to cancel; and who closes the gate waits until nobody stands in it. That is a matter of
// a few instructions of the other thread. A signal handler on the closing thread itself has come
// back before that thread goes on.
#ifndef PGLITE_PGLITE_CANCEL_GATE_H_
#define PGLITE_PGLITE_CANCEL_GATE_H_

#include <atomic>
#include <cstdint>
#include <thread>

namespace pglite {

class CancelGate {
 public:
  // Calls `act`, which must not block, if the gate is open; it stays so until `act` has returned.
  // Whether it was. From any thread and from signal handlers, as long as the gate exists.
  template <class F>
  bool pass(F&& act) {
    uint32_t state = state_.load(std::memory_order_relaxed);
    do {
      if ((state & kOpen) == 0) return false;
    } while (!state_.compare_exchange_weak(state, state + kOneInside, std::memory_order_acquire,
                                           std::memory_order_relaxed));
    act();
    state_.fetch_sub(kOneInside, std::memory_order_release);
    return true;
  }

  // The following are for the one thread that uses the instance, outside of pass(). What was done
  // before open() is seen in `act`.
  void open() { state_.fetch_or(kOpen, std::memory_order_release); }
  // Afterwards nobody is in `act`, and nobody gets there before the next open(); what was done
  // there is seen by the caller.
  void close() {
    state_.fetch_and(~kOpen, std::memory_order_relaxed);
    while (state_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  }

 private:
  // A signal handler must not wait for the thread that it interrupted.
  static_assert(std::atomic<uint32_t>::is_always_lock_free);

  // The lowest bit, and above it how many are inside.
  static constexpr uint32_t kOpen = 1;
  static constexpr uint32_t kOneInside = 2;
  std::atomic<uint32_t> state_ = 0;
};

}  // namespace pglite

#endif  // PGLITE_PGLITE_CANCEL_GATE_H_
