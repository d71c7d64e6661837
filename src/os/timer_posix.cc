// The bookkeeping of timers and of the signal's disposition. What signals a thread is the system's
// (os/timer_alarm.h).
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <new>
#include <utility>

#include "os/timer.h"
#include "os/timer_alarm.h"

namespace pglite::os {

namespace {

using std::chrono::nanoseconds;

constexpr int kSignal = kAlarmSignal;

// What a thread remembers. No other thread ever has its serial number; its id may be given to
// another one when it has ended. A forked child has its parent's number.
struct ThisThread {
  uint64_t serial = 0;
  int timers = 0;  // how many need the signal unblocked
  bool was_blocked = false;
};

// Not inline: a guest's stack may go on in another thread.
[[gnu::noinline]] ThisThread& this_thread() {
  static std::atomic<uint64_t> last = 0;
  thread_local ThisThread self;
  if (self.serial == 0) self.serial = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return self;
}

sigset_t signal_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kSignal);
  return set;
}

nanoseconds now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

// Guards the data of the process. A child takes the lock over if it was forked while another thread
// of its parent held it: the data can be used at any moment of a change.
class Lock {
 public:
  Lock() {
    const pid_t self = getpid();
    pid_t holder = 0;
    while (!holder_.compare_exchange_weak(holder, self, std::memory_order_acquire)) {
      if (holder == self) {
        sched_yield();
        holder = 0;
      }
    }
  }
  ~Lock() { holder_.store(0, std::memory_order_release); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  inline static std::atomic<pid_t> holder_ = 0;
};

}  // namespace

// A timer of the system, or a place for one. It is never freed. Its address leaves bits free for a
// generation.
struct alignas(64) Timer::Slot {
  // A signal names its slot and generation. It calls the function only after it has put the slot
  // from armed to busy, so a thread that changes the state knows that nothing runs.
  enum Phase : uint64_t { kIdle, kArmed, kBusy, kPhases };
  std::atomic<uint64_t> state = 0;  // generation * kPhases + phase
  // Written when nothing runs; read when busy.
  Function function = nullptr;
  void* context = nullptr;
  bool once = true;

  Alarm alarm;
  uint64_t thread = 0;  // serial number
  pid_t process = 0;
  nanoseconds due{};
  nanoseconds interval{};

  Slot* next_free = nullptr;

  [[nodiscard]] uint64_t generation() const {
    return state.load(std::memory_order_relaxed) / kPhases;
  }
  void set(uint64_t generation, Phase phase) {
    uint64_t before = state.load(std::memory_order_relaxed);
    for (int attempts = 0;; ++attempts) {
      if (before % kPhases == kBusy) {
        // The function runs in another thread, which may be waiting for this thread's processor.
        constexpr timespec kMoment{.tv_sec = 0, .tv_nsec = 20'000};
        if (attempts > 10) nanosleep(&kMoment, nullptr);
        before = state.load(std::memory_order_relaxed);
      } else if (state.compare_exchange_weak(before, generation * kPhases + phase,
                                             std::memory_order_acq_rel,
                                             std::memory_order_relaxed)) {
        return;
      }
    }
  }
  void set(Phase phase) { set(generation(), phase); }
};

// The slots, and the signal's disposition.
struct Timer::Slots {
  static Slot* take(Calls calls);
  static void give_back(Slot* slot, Calls calls);
  static void expire(uint64_t identifier);

  // What a signal carries: the slot's address, which nobody else in the process has (another copy
  // of this code has timers of its own, and our signals are passed on to it), and of the generation
  // as many bits as are free in an address.
  static uint64_t identifier(const Slot& slot, uint64_t generation) {
    return address_of(&slot) | (generation & kLowBits) |
           (generation >> std::popcount(kLowBits)) << kAddressBits;
  }

 private:
  static constexpr uint32_t kChunk = 256;
  using Chunk = std::array<Slot, kChunk>;
  inline static std::array<std::atomic<Chunk*>, 4096> chunks_{};
  inline static uint32_t count_ = 0;
  inline static Slot* free_ = nullptr;

  // The most that processors have for a program; above them there may be tags.
  static constexpr unsigned kAddressBits = 52;
  static constexpr uint64_t kLowBits = alignof(Slot) - 1;
  static uint64_t address_of(const void* place) {
    return reinterpret_cast<uintptr_t>(place) & ((uint64_t{1} << kAddressBits) - 1);
  }
  // The slot that an identifier names; null: it is not one of ours. It need not be an identifier.
  static Slot* find(uint64_t identifier);

  // The dispositions that were found, each once. A handler of ours may run at any time later, so
  // none is freed.
  struct Found {
    struct sigaction action{};
    Found* next = nullptr;
  };
  static const Found* remember(const struct sigaction& action);
  inline static Found* found_ = nullptr;

  // A handler that somebody installs over ours may call ours at the end. If ours were then
  // installed over theirs, the two would call each other for ever. So we have several handlers,
  // which differ in where they pass a signal on to; only the first is used unless that happens.
  static constexpr size_t kLayers = 8;
  inline static std::array<std::atomic<const Found*>, kLayers> before_{};
  using Handler = void (*)(int, siginfo_t*, void*);
  template <size_t layer>
  static void handle(int signal, siginfo_t* info, void* context);
  template <size_t... layers>
  static constexpr std::array<Handler, kLayers> handlers(std::index_sequence<layers...>) {
    return {handle<layers>...};
  }
  // Which of ours `action` is; kLayers: none.
  static size_t layer_of(const struct sigaction& action);
  // `on_top`: also over a handler that somebody has installed over ours.
  static void install(bool on_top);
  static void leave();

  inline static size_t layers_ = 0;  // how many may be under somebody else's, or on top
  inline static uint32_t timers_ = 0;
  inline static uint32_t interrupting_ = 0;  // of them, those with Calls::kReturn
};

Timer::Slot* Timer::Slots::find(uint64_t identifier) {
  const uint64_t address = identifier & ((uint64_t{1} << kAddressBits) - 1) & ~kLowBits;
  for (const auto& place : chunks_) {
    Chunk* chunk = place.load(std::memory_order_acquire);
    if (chunk == nullptr) break;
    const uint64_t offset = address - address_of(chunk);
    if (offset < sizeof(Chunk)) {
      return offset % sizeof(Slot) == 0 ? &(*chunk)[offset / sizeof(Slot)] : nullptr;
    }
  }
  return nullptr;
}

void Timer::Slots::expire(uint64_t identifier) {
  Slot* const found = find(identifier);
  if (found == nullptr) return;
  Slot& slot = *found;
  uint64_t armed = slot.state.load(std::memory_order_relaxed);
  const uint64_t generation = armed / Slot::kPhases;
  if (armed % Slot::kPhases != Slot::kArmed || identifier != Slots::identifier(slot, generation)) {
    return;
  }
  if (!slot.state.compare_exchange_strong(armed, generation * Slot::kPhases + Slot::kBusy,
                                          std::memory_order_acquire, std::memory_order_relaxed)) {
    return;
  }
  slot.function(slot.context);
  const Slot::Phase then = slot.once ? Slot::kIdle : Slot::kArmed;
  slot.state.store(generation * Slot::kPhases + then, std::memory_order_release);
}

template <size_t layer>
void Timer::Slots::handle(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  Alarm::deliver(*info, expire);
  errno = saved;
  const Found* found = before_[layer].load(std::memory_order_acquire);
  if (found == nullptr) return;
  const struct sigaction& before = found->action;
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  }
}

size_t Timer::Slots::layer_of(const struct sigaction& action) {
  if ((action.sa_flags & SA_SIGINFO) == 0) return kLayers;
  static constexpr auto kHandlers = handlers(std::make_index_sequence<kLayers>());
  return static_cast<size_t>(std::ranges::find(kHandlers, action.sa_sigaction) - kHandlers.begin());
}

const Timer::Slots::Found* Timer::Slots::remember(const struct sigaction& action) {
  const auto same = [&](const struct sigaction& other) {
    // The two forms of a handler are in one place.
    if (other.sa_flags != action.sa_flags || other.sa_handler != action.sa_handler) return false;
    for (int signal = 1; signal < NSIG; ++signal) {
      if (sigismember(&other.sa_mask, signal) != sigismember(&action.sa_mask, signal)) return false;
    }
    return true;
  };
  for (Found* found = found_; found != nullptr; found = found->next) {
    if (same(found->action)) return found;
  }
  auto* found = new (std::nothrow) Found{action, found_};
  if (found != nullptr) found_ = found;
  return found;
}

// Installs a handler of ours, with the flags that are right at present.
void Timer::Slots::install(bool on_top) {
  struct sigaction top{};
  sigaction(kSignal, nullptr, &top);
  size_t layer = layer_of(top);
  if (layer == kLayers) {
    // With no layer left, the handler that somebody has installed over ours stays on top.
    if (!on_top || layers_ == kLayers) return;
    layer = layers_;
    const Found* found = remember(top);
    if (found == nullptr) return;
    before_[layer].store(found, std::memory_order_release);
  }
  layers_ = layer + 1;
  const Found* found = before_[layer].load(std::memory_order_relaxed);
  const struct sigaction& before = found->action;
  const bool is_handler = (before.sa_flags & SA_SIGINFO) != 0 ||
                          (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN);
  struct sigaction action{};
  static constexpr auto kHandlers = handlers(std::make_index_sequence<kLayers>());
  action.sa_sigaction = kHandlers[layer];
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  if (interrupting_ == 0) action.sa_flags |= is_handler ? before.sa_flags & SA_RESTART : SA_RESTART;
  if (is_handler) {
    action.sa_mask = before.sa_mask;
  } else {
    sigemptyset(&action.sa_mask);
  }
  sigaction(kSignal, &action, &top);
  // Somebody was quicker.
  if (layer_of(top) == kLayers) {
    if (const Found* quicker = remember(top))
      before_[layer].store(quicker, std::memory_order_release);
  }
}

// Puts back the disposition that was found, unless somebody else's handler is there.
void Timer::Slots::leave() {
  struct sigaction top{};
  sigaction(kSignal, nullptr, &top);
  const size_t layer = layer_of(top);
  if (layer == kLayers) return;
  layers_ = layer;
  sigaction(kSignal, &before_[layer].load(std::memory_order_relaxed)->action, &top);
  if (layer_of(top) != layer) sigaction(kSignal, &top, nullptr);  // somebody was quicker
}

// Null where there is no memory.
Timer::Slot* Timer::Slots::take(Calls calls) {
  const Lock lock;
  Slot* slot = free_;
  if (slot != nullptr) {
    free_ = slot->next_free;
  } else {
    if (count_ == chunks_.size() * kChunk) return nullptr;
    std::atomic<Chunk*>& chunk = chunks_[count_ / kChunk];
    if (chunk.load(std::memory_order_relaxed) == nullptr) {
      auto* made = new (std::nothrow) Chunk();
      if (made == nullptr) return nullptr;
      chunk.store(made, std::memory_order_release);
    }
    slot = &(*chunk.load(std::memory_order_relaxed))[count_++ % kChunk];
  }
  ++timers_;
  if (calls == Calls::kReturn) ++interrupting_;
  install(true);
  return slot;
}

void Timer::Slots::give_back(Slot* slot, Calls calls) {
  const Lock lock;
  slot->next_free = free_;
  free_ = slot;
  --timers_;
  if (calls == Calls::kReturn) --interrupting_;
  if (timers_ == 0) {
    leave();
  } else if (calls == Calls::kReturn && interrupting_ == 0) {
    install(false);
  }
}

// Makes the slot one of the calling thread. False where the system has no timer left.
bool Timer::make() {
  Slot* slot = Slots::take(calls_);
  if (slot == nullptr) return false;
  slot->function = function_;
  slot->context = context_;
  if (!slot->alarm.make(Slots::identifier(*slot, slot->generation()))) {
    Slots::give_back(slot, calls_);
    return false;
  }
  slot->thread = this_thread().serial;
  slot->process = getpid();
  slot_ = slot;
  return true;
}

void Timer::start(nanoseconds first) {
  slot_->once = slot_->interval == nanoseconds::zero();
  slot_->due = now() + first;
  unblock();  // before it is armed: a signal that was pending is an old one
  slot_->set(Slot::kArmed);
  slot_->alarm.set(std::max(first, nanoseconds(1)), slot_->interval);
}

void Timer::unblock() {
  ThisThread& self = this_thread();
  if (!std::exchange(unblocked_, true)) ++self.timers;
  const sigset_t signal = signal_set();
  sigset_t before;
  pthread_sigmask(SIG_UNBLOCK, &signal, &before);
  if (sigismember(&before, kSignal) == 1) self.was_blocked = true;
}

bool Timer::arm(nanoseconds first, nanoseconds interval) {
  if (slot_ != nullptr) {
    if (slot_->thread != this_thread().serial || slot_->process != getpid()) {
      remove();
    } else {
      slot_->set(Slot::kIdle);
    }
  }
  if (slot_ == nullptr && !make()) return false;
  slot_->interval = interval;
  start(first);
  return true;
}

void Timer::disarm() {
  if (slot_ == nullptr) return;
  if (slot_->process != getpid()) return remove();
  slot_->set(Slot::kIdle);
  slot_->alarm.stop();
  rest();
}

void Timer::remove() {
  if (slot_ == nullptr) return;
  rest();
  Slot* slot = std::exchange(slot_, nullptr);
  if (slot->process == getpid()) {
    slot->set(slot->generation() + 1, Slot::kIdle);
    slot->alarm.remove();
  } else {
    // The thread that the parent's handler ran in is not in this process.
    slot->state = (slot->generation() + 1) * Slot::kPhases + Slot::kIdle;
  }
  Slots::give_back(slot, calls_);
}

bool Timer::armed() const {
  return slot_ != nullptr &&
         slot_->state.load(std::memory_order_relaxed) % Slot::kPhases != Slot::kIdle;
}

void Timer::attend() {
  if (!armed()) return;
  if (slot_->thread == this_thread().serial && slot_->process == getpid()) return unblock();
  const nanoseconds due = slot_->due;
  const nanoseconds interval = slot_->interval;
  remove();
  arm(due - now(), interval);
}

void Timer::rest() {
  if (!std::exchange(unblocked_, false)) return;
  ThisThread& self = this_thread();
  if (slot_->thread != self.serial) return;
  if (--self.timers > 0 || !std::exchange(self.was_blocked, false)) return;
  const sigset_t signal = signal_set();
  pthread_sigmask(SIG_BLOCK, &signal, nullptr);
}

}  // namespace pglite::os
