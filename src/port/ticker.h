// Interrupts this thread's blocking calls at an interval.
//
// A blocking read is the cheapest way to wait for a request, but it notices nothing else. The
// ticker makes it return with EINTR, so that whoever reads can look around. A tick that comes
// between the look and the read is lost, and the next one is not: whatever happens is noticed
// within an interval.
//
// It is a POSIX timer that sends SIGALRM to the thread that made it; no thread is involved. The
// handler belongs to the process: at most one ticker at a time.
#ifndef PGLITE_PORT_TICKER_H_
#define PGLITE_PORT_TICKER_H_

#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>

namespace pglite::port {

class Ticker {
 public:
  static constexpr std::chrono::milliseconds kInterval{10};

  Ticker() = default;
  // Puts the signal's disposition back.
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  // Called at each tick, in the signal handler: it may do what is async-signal-safe.
  void on_tick(void (*function)(void* context), void* context) {
    function_ = function;
    context_ = context;
  }

  // False where the system has no timer left.
  bool start();
  void stop();
  [[nodiscard]] bool running() const { return running_; }
  // Whether there was a tick since the last call.
  bool take() { return ticked_.load(std::memory_order_relaxed) && ticked_.exchange(false); }

 private:
  bool create();
  static void handle(int signal, siginfo_t* info, void* context);

  void (*function_)(void* context) = nullptr;
  void* context_ = nullptr;
  std::atomic<bool> ticked_ = false;
  bool exists_ = false;
  bool running_ = false;
  timer_t timer_{};
  struct sigaction old_action_{};
};

}  // namespace pglite::port

#endif  // PGLITE_PORT_TICKER_H_
