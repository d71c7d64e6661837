#ifndef PGLITE_TESTS_UNIT_PGLITE_CANCELLER_H_
#define PGLITE_TESTS_UNIT_PGLITE_CANCELLER_H_

#include <atomic>
#include <cstdint>
#include <thread>

namespace pglite::postgres {

// A thread that cancels an Instance or a Session without pause.
template <class Target>
class Canceller {
 public:
  explicit Canceller(Target& target)
      : thread_([this, &target] {
          while (!stop_) {
            ++begun_;
            target.cancel();
            ++done_;
            if (rest_) {
              resting_ = true;
              while (rest_ && !stop_) std::this_thread::yield();
              resting_ = false;
            }
          }
        }) {}
  ~Canceller() {
    stop_ = true;
    thread_.join();
  }
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  // Afterwards the last cancel has returned.
  void rest() {
    rest_ = true;
    while (!resting_) std::this_thread::yield();
  }
  void go_on() {
    rest_ = false;
    const uint64_t seen = done_;
    while (done_ == seen) std::this_thread::yield();
  }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<bool> rest_ = false;
  std::atomic<bool> resting_ = false;
  std::atomic<uint64_t> begun_ = 0;
  std::atomic<uint64_t> done_ = 0;
  std::thread thread_;
};

}  // namespace pglite::postgres

#endif  // PGLITE_TESTS_UNIT_PGLITE_CANCELLER_H_
