// For systems whose timers cannot signal a thread: a thread of ours waits, and signals with
// pthread_kill(3). What it has sent stands in the alarm, because such a signal carries nothing.
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "os/timer_alarm.h"

namespace pglite::os {

using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// In a list that only grows, which handlers may read at any time. One that is not used waits for
// the next user.
struct Alarm::Place {
  // Read by handlers, in any thread.
  std::atomic<pid_t> process = 0;  // 0: not used; a forked child has none of its parent's
  std::atomic<pthread_t> thread{};
  std::atomic<uint64_t> identifier = 0;
  std::atomic<bool> sent = false;
  Place* next = nullptr;

  // The service's.
  bool thread_lives = false;
  bool runs = false;
  Clock::time_point due{};
  nanoseconds interval{};
};

namespace {

std::atomic<Alarm::Place*>& first_place() {
  static std::atomic<Alarm::Place*> first = nullptr;
  return first;
}

// What waits, one a process. A forked child makes its own: its parent's thread is not in it, and
// may have held the mutex. Never freed, because its thread may run to the end of the process.
class Service {
 public:
  // Null where the system has no thread left.
  static Service* of_this_process() {
    static std::atomic<Service*> current = nullptr;
    static std::atomic<pid_t> maker = 0;  // who holds the lock
    const pid_t self = getpid();
    pid_t holder = 0;
    // A child takes it over if it was forked while another thread of its parent held it.
    while (!maker.compare_exchange_weak(holder, self, std::memory_order_acquire)) {
      if (holder == self) {
        sched_yield();
        holder = 0;
      }
    }
    Service* service = current.load(std::memory_order_relaxed);
    if (service == nullptr || service->process_ != self) {
      service = new (std::nothrow) Service();
      if (service != nullptr && !service->begin()) {
        delete service;
        service = nullptr;
      }
      if (service != nullptr) current.store(service, std::memory_order_relaxed);
    }
    maker.store(0, std::memory_order_release);
    return service;
  }

  Alarm::Place* take(uint64_t identifier) {
    const std::lock_guard lock(mutex_);
    Alarm::Place* place = first_place().load(std::memory_order_acquire);
    while (place != nullptr && place->process.load(std::memory_order_relaxed) == process_) {
      place = place->next;
    }
    const bool is_new = place == nullptr;
    if (is_new) place = new (std::nothrow) Alarm::Place();
    if (place == nullptr) return nullptr;
    place->sent.store(false, std::memory_order_relaxed);
    place->identifier.store(identifier, std::memory_order_relaxed);
    place->thread.store(pthread_self(), std::memory_order_relaxed);
    place->thread_lives = true;
    place->runs = false;
    place->process.store(process_, std::memory_order_release);
    if (is_new) {
      place->next = first_place().load(std::memory_order_relaxed);
      // In a child, the parent's places are there as well, and nobody else's.
      while (!first_place().compare_exchange_weak(place->next, place, std::memory_order_release)) {
      }
    }
    return place;
  }

  void set(Alarm::Place& place, nanoseconds first, nanoseconds interval) {
    const std::lock_guard lock(mutex_);
    place.sent.store(false, std::memory_order_relaxed);
    place.due = Clock::now() + std::min<nanoseconds>(first, kLongest);
    place.interval = interval;
    place.runs = true;
    if (place.due < wakes_at_) changed_.notify_one();
  }

  void stop(Alarm::Place& place) {
    const std::lock_guard lock(mutex_);
    place.runs = false;
    place.sent.store(false, std::memory_order_relaxed);
  }

  void give_back(Alarm::Place& place) {
    stop(place);
    place.process.store(0, std::memory_order_release);
  }

  // The calling thread is about to end: nobody may signal it any more.
  void thread_ends() {
    const std::lock_guard lock(mutex_);
    for_each_place([](Alarm::Place& place) {
      if (pthread_equal(place.thread.load(std::memory_order_relaxed), pthread_self()) != 0) {
        place.thread_lives = false;
      }
    });
  }

 private:
  // Far enough, and no overflow.
  static constexpr auto kLongest = std::chrono::hours(24 * 365);

  Service() : process_(getpid()) {}

  bool begin() {
    // The process's signals are for its other threads.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool has_begun = true;
    try {
      std::thread([this] { run(); }).detach();
    } catch (const std::system_error&) {
      has_begun = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return has_begun;
  }

  template <class Function>
  void for_each_place(Function function) const {
    for (Alarm::Place* place = first_place().load(std::memory_order_acquire); place != nullptr;
         place = place->next) {
      if (place->process.load(std::memory_order_relaxed) == process_) function(*place);
    }
  }

  [[noreturn]] void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto now = Clock::now();
      wakes_at_ = now + kLongest;
      for_each_place([&](Alarm::Place& place) {
        if (!place.runs || !place.thread_lives) return;
        if (place.due <= now) expire(place, now);
        if (place.runs) wakes_at_ = std::min(wakes_at_, place.due);
      });
      changed_.wait_until(lock, wakes_at_);
    }
  }

  static void expire(Alarm::Place& place, Clock::time_point now) {
    place.sent.store(true, std::memory_order_release);
    pthread_kill(place.thread.load(std::memory_order_relaxed), kAlarmSignal);
    place.runs = place.interval > nanoseconds::zero();
    // Those that were missed are not made up for.
    place.due = std::max(place.due + place.interval, now);
  }

  pid_t process_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Clock::time_point wakes_at_ = Clock::time_point::max();
};

// Not inline: a guest's stack may go on in another thread.
[[gnu::noinline]] void tell_when_this_thread_ends() {
  struct End {
    ~End() {
      if (Service* const service = Service::of_this_process()) service->thread_ends();
    }
    bool is_known = false;
  };
  thread_local End end;
  end.is_known = true;
}

}  // namespace

bool Alarm::make(uint64_t identifier) {
  Service* const service = Service::of_this_process();
  if (service == nullptr) return false;
  tell_when_this_thread_ends();
  place_ = service->take(identifier);
  return place_ != nullptr;
}

// The service is there: make() has been called in this process.
void Alarm::set(nanoseconds first, nanoseconds interval) {
  Service::of_this_process()->set(*place_, first, interval);
}

void Alarm::stop() {
  Service::of_this_process()->stop(*place_);
}

void Alarm::remove() {
  Service::of_this_process()->give_back(*place_);
}

void Alarm::deliver(const siginfo_t& /*info*/, void (*expired)(uint64_t identifier)) {
  const pid_t process = getpid();
  for (Place* place = first_place().load(std::memory_order_acquire); place != nullptr;
       place = place->next) {
    if (place->process.load(std::memory_order_acquire) == process &&
        pthread_equal(place->thread.load(std::memory_order_relaxed), pthread_self()) != 0 &&
        place->sent.exchange(false, std::memory_order_acq_rel)) {
      expired(place->identifier.load(std::memory_order_relaxed));
    }
  }
}

}  // namespace pglite::os
