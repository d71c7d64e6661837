// The signals that wait for a guest, as the pending signals of a process of an operating system: a
// signal that comes twice before it is taken is one signal, and different ones do not displace each
// other.
#ifndef PGLITE_EMSCRIPTEN_SIGNAL_SET_H_
#define PGLITE_EMSCRIPTEN_SIGNAL_SET_H_

#include <atomic>
#include <bit>
#include <cstdint>

namespace pglite::emscripten {

// All methods may be called from any thread and from signal handlers, at the same time.
class SignalSet {
 public:
  static constexpr int kHighest = 64;  // as in the guest's C library

  // Numbers that are no signal's are ignored.
  void add(int signal) { signals_.fetch_or(bit(signal)); }
  void remove(int signal) { signals_.fetch_and(~bit(signal)); }
  [[nodiscard]] bool contains(int signal) const { return (signals_.load() & bit(signal)) != 0; }
  [[nodiscard]] bool empty() const { return signals_.load() == 0; }

  // Removes the signal with the lowest number and returns it; 0: there is none. The lowest first is
  // Linux's order, too.
  int take() {
    uint64_t signals = signals_.load();
    while (signals != 0 && !signals_.compare_exchange_weak(signals, signals & (signals - 1))) {
    }
    return signals == 0 ? 0 : std::countr_zero(signals) + 1;
  }

 private:
  // A signal handler must not wait for the thread that it interrupted.
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  static constexpr uint64_t bit(int signal) {
    return signal < 1 || signal > kHighest ? 0 : uint64_t{1} << (signal - 1);
  }

  std::atomic<uint64_t> signals_ = 0;
};

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_SIGNAL_SET_H_
