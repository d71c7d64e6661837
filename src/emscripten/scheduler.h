// Many guests on one thread, one at a time. A guest runs until it waits, until its slice of time is
// over and it looks up, or until it ends; then the next that is ready gets its turn. Guest code
// never runs in parallel, and never begins to run inside another guest's.
//
// The host calls run_next() as often as it wants to; nothing runs between two calls.
#ifndef PGLITE_EMSCRIPTEN_SCHEDULER_H_
#define PGLITE_EMSCRIPTEN_SCHEDULER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "emscripten/kernel.h"
#include "emscripten/signal_set.h"
#include "os/timer.h"
#include "wasm/execution.h"

namespace pglite::emscripten {

// One thread at a time, but for news().
class Scheduler {
 public:
  // After so long, or up to twice that, a guest that computes lets the others run. A short query
  // beside a long one waits for so long; a turn costs some microseconds.
  static constexpr std::chrono::milliseconds kSlice{1};

  // One guest. It must not be destroyed while it runs.
  class Task {
   public:
    // `body` is what the guest does on the stack of `execution`, from its first turn on.
    // `look_up` is set to 1 when its slice is over (Process::interrupt_flag), null: never.
    // `signals` are looked at after news(). All outlive the task.
    Task(Scheduler& scheduler, wasm::Execution& execution, const SignalSet& signals,
         uint32_t* look_up, std::function<void()> body);
    // A task that has not ended is abandoned where it stands.
    ~Task();
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    // `body` has returned.
    [[nodiscard]] bool ended() const { return state_ == State::kEnded; }
    // It waits, and nothing has woken it yet.
    [[nodiscard]] bool waiting() const { return state_ == State::kWaiting; }

    // It waits for another guest or for somebody outside: neither time, up to `until`, nor a thread
    // of ours (wait_for) will wake it.
    [[nodiscard]] bool waits_for_others(double until = WaitFor::kNoEnd) const {
      return waiting() && minds_signals_ && due_ >= until;
    }

    // Makes a waiting task ready; nothing for others.
    void wake();

    // On the guest stack of this task, which runs. Returns when it was woken, when `due` has come
    // (CLOCK_MONOTONIC in milliseconds), or when `*byte` is zero, where it is not null.
    void wait(double due, const uint8_t* byte = nullptr);
    // As wait(), but signals do not end it: returns when `*byte` is zero, or earlier.
    void wait_for(const uint8_t* byte);
    // On the guest stack of this task: lets the others have a turn.
    void yield();

   private:
    friend class Scheduler;
    void suspend_until(double due, const uint8_t* byte);
    enum class State { kReady, kRunning, kWaiting, kEnded };

    Scheduler& scheduler_;
    wasm::Execution& execution_;
    const SignalSet& signals_;
    uint32_t* look_up_;
    std::function<void()> body_;
    State state_ = State::kReady;
    bool begun_ = false;
    bool minds_signals_ = true;
    double due_ = WaitFor::kNoEnd;
    const uint8_t* byte_ = nullptr;
  };

  Scheduler() = default;
  // The tasks are gone by then.
  ~Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Gives the first that is ready its turn. False: nobody was.
  bool run_next();
  // Whether there is somebody who is ready, or is due.
  [[nodiscard]] bool has_ready();
  // Whether all who are ready are in the middle of something long: whoever has been answered should
  // hear of it before they go on.
  [[nodiscard]] bool only_long_ready();
  // When the first of those that wait is due; nullopt: nobody ever is by itself. CLOCK_MONOTONIC in
  // milliseconds.
  [[nodiscard]] std::optional<double> next_due() const;

  // While they are on, a guest's slice ends. Both are cheap. Off: a guest runs until it waits.
  void begin_slices();
  void end_slices();
  // Whether the slice of the guest that runs is over. Asking takes the answer back.
  bool take_slice_over() { return slice_over_.exchange(false, std::memory_order_relaxed); }

  // A task may have got a signal from outside. From any thread and from signal handlers.
  void news() { news_.store(true); }
  [[nodiscard]] bool has_news() const { return news_.load(); }

 private:
  static void slice_is_over(void* self);
  void make_ready(Task& task);
  // Those that wait for what has come.
  void wake_due();

  // Those that have waited come before those whose slice was over, but the latter get a slice after
  // each time of one: what takes long goes on beside whatever many short things there are.
  std::deque<Task*> ready_;
  std::deque<Task*> yielded_;
  double yielded_turn_ended_ = 0;           // CLOCK_MONOTONIC in milliseconds
  std::set<std::pair<double, Task*>> due_;  // of those that wait, but not for ever
  std::vector<Task*> polled_;               // of those that wait, with a byte
  std::vector<Task*> tasks_;
  std::atomic<bool> news_ = false;
  std::atomic<bool> slice_over_ = false;
  // For the timer's signal handler: the flag of the task that runs, null: none; and when its turn
  // began, CLOCK_MONOTONIC in milliseconds.
  std::atomic<uint32_t*> running_flag_ = nullptr;
  std::atomic<double> turn_began_ = 0;
  os::Timer slice_timer_{os::Timer::Calls::kGoOn, slice_is_over, this};
};

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_SCHEDULER_H_
