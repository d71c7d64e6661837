#include "emscripten/scheduler.h"

#include <algorithm>

namespace pglite::emscripten {

namespace {

constexpr double kSliceMs = std::chrono::duration<double, std::milli>(Scheduler::kSlice).count();

// Another thread may clear it.
bool is_zero(const uint8_t* byte) {
  return __atomic_load_n(byte, __ATOMIC_ACQUIRE) == 0;
}

}  // namespace

Scheduler::Task::Task(Scheduler& scheduler, wasm::Execution& execution, const SignalSet& signals,
                      uint32_t* look_up, std::function<void()> body)
    : scheduler_(scheduler),
      execution_(execution),
      signals_(signals),
      look_up_(look_up),
      body_(std::move(body)) {
  scheduler_.tasks_.push_back(this);
  scheduler_.ready_.push_back(this);
}

Scheduler::Task::~Task() {
  std::erase(scheduler_.tasks_, this);
  std::erase(scheduler_.ready_, this);
  std::erase(scheduler_.yielded_, this);
  std::erase(scheduler_.polled_, this);
  scheduler_.due_.erase({due_, this});
  if (begun_ && state_ != State::kEnded) execution_.abandon();
}

void Scheduler::Task::wake() {
  if (state_ == State::kWaiting && minds_signals_) scheduler_.make_ready(*this);
}

void Scheduler::Task::wait(double due, const uint8_t* byte) {
  // What came before it waits needs no wait.
  if (!signals_.empty() || (byte != nullptr && is_zero(byte))) return;
  if (due <= monotonic_milliseconds()) return;
  suspend_until(due, byte);
}

void Scheduler::Task::wait_for(const uint8_t* byte) {
  if (is_zero(byte)) return;
  minds_signals_ = false;
  suspend_until(WaitFor::kNoEnd, byte);
  minds_signals_ = true;
}

void Scheduler::Task::suspend_until(double due, const uint8_t* byte) {
  state_ = State::kWaiting;
  due_ = due;
  byte_ = byte;
  if (due < WaitFor::kNoEnd) scheduler_.due_.insert({due, this});
  if (byte != nullptr) scheduler_.polled_.push_back(this);
  execution_.suspend(wasm::Suspension::kWait);
}

void Scheduler::Task::yield() {
  state_ = State::kReady;
  scheduler_.yielded_.push_back(this);
  scheduler_.yielded_turn_ended_ = monotonic_milliseconds();
  execution_.suspend(wasm::Suspension::kYield);
}

void Scheduler::make_ready(Task& task) {
  task.state_ = Task::State::kReady;
  if (task.due_ < WaitFor::kNoEnd) due_.erase({task.due_, &task});
  if (task.byte_ != nullptr) std::erase(polled_, &task);
  task.due_ = WaitFor::kNoEnd;
  task.byte_ = nullptr;
  ready_.push_back(&task);
}

void Scheduler::wake_due() {
  if (news_.load(std::memory_order_relaxed) && news_.exchange(false)) {
    for (Task* task : tasks_) {
      if (task->waiting() && task->minds_signals_ && !task->signals_.empty()) make_ready(*task);
    }
  }
  for (size_t i = polled_.size(); i-- > 0;) {
    if (is_zero(polled_[i]->byte_)) make_ready(*polled_[i]);
  }
  if (due_.empty()) return;
  const double now = monotonic_milliseconds();
  while (!due_.empty() && due_.begin()->first <= now) make_ready(*due_.begin()->second);
}

bool Scheduler::has_ready() {
  wake_due();
  return !ready_.empty() || !yielded_.empty();
}

bool Scheduler::only_long_ready() {
  wake_due();
  return ready_.empty() && !yielded_.empty();
}

bool Scheduler::run_next() {
  wake_due();
  if (ready_.empty() && yielded_.empty()) return false;
  const double now = monotonic_milliseconds();
  const bool is_long =
      !yielded_.empty() && (ready_.empty() || now - yielded_turn_ended_ >= kSliceMs);
  std::deque<Task*>& queue = is_long ? yielded_ : ready_;
  Task& task = *queue.front();
  queue.pop_front();
  task.state_ = Task::State::kRunning;
  slice_over_.store(false, std::memory_order_relaxed);
  turn_began_.store(now, std::memory_order_relaxed);
  running_flag_.store(task.look_up_, std::memory_order_relaxed);
  const bool begun = std::exchange(task.begun_, true);
  const bool done = begun ? task.execution_.resume() : task.execution_.run(task.body_);
  running_flag_.store(nullptr, std::memory_order_relaxed);
  if (done) task.state_ = Task::State::kEnded;
  return true;
}

std::optional<double> Scheduler::next_due() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

void Scheduler::slice_is_over(void* self) {
  auto& scheduler = *static_cast<Scheduler*>(self);
  uint32_t* const flag = scheduler.running_flag_.load(std::memory_order_relaxed);
  if (flag == nullptr) return;
  // The timer does not know of turns: this one may just have begun.
  constexpr double kMostOfIt = 0.8 * kSliceMs;
  const double began = scheduler.turn_began_.load(std::memory_order_relaxed);
  if (monotonic_milliseconds() - began < kMostOfIt) return;
  scheduler.slice_over_.store(true, std::memory_order_relaxed);
  std::atomic_ref(*flag).store(1, std::memory_order_relaxed);
}

void Scheduler::begin_slices() {
  if (!slice_timer_.armed()) {
    slice_timer_.arm(kSlice, kSlice);
  } else {
    slice_timer_.attend();
  }
}

void Scheduler::end_slices() {
  slice_timer_.disarm();
}

}  // namespace pglite::emscripten
