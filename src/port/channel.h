// The port's two descriptors. They may block or not, and may be pipes, sockets, terminals or files.
//
// While requests follow each other, waiting for the next one is one blocking read. It is the
// cheapest way to wait, but notices nothing else. A ticker makes the read return, to look at
// everything else: signals, a vanished reader, the deadline. A tick that comes between the look and
// the read is lost, but the next one is not, so everything is noticed within an interval. When
// nothing came for an interval the ticker stops, and waiting is a poll for all of them, which costs
// nothing until one of them happens. The descriptors' flags stay untouched, because they are shared
// with the program that started us.
#ifndef PGLITE_PORT_CHANNEL_H_
#define PGLITE_PORT_CHANNEL_H_

#include <pglite/status.h>
#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>

#include "os/shutdown_signals.h"
#include "os/timer.h"

namespace pglite::port {

class Channel {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // When read() must return at the latest. It is called whenever that may have changed and matters.
  using Deadline = std::function<std::optional<TimePoint>()>;
  static constexpr std::chrono::milliseconds kTickInterval{10};

  // None is owned. `signals` may be null, `deadline` empty.
  Channel(int in, int out, os::ShutdownSignals* signals, Deadline deadline)
      : in_(in), out_(out), signals_(signals), deadline_(std::move(deadline)) {}

  enum class Event {
    kBytes,         // `*count` bytes were read
    kEnd,           // end of input
    kSignal,        // SIGTERM or SIGINT: `*count` is its number
    kOutputClosed,  // nobody reads the answers any more
    kDeadline,      // the deadline has passed
    kError,         // reading failed: `*count` is the errno
  };
  // Waits for one of these. The others are noticed within kTickInterval, also when there is
  // input all the time, and at once when there has been none for a while.
  Event read(std::span<char> room, size_t* count);

  // Sets what is called, in a signal handler, every kTickInterval while the ticker runs: from a
  // request on, also while that is run, until none comes for an interval.
  void on_tick(void (*function)(void* context), void* context) {
    on_tick_ = function;
    tick_context_ = context;
  }
  // Makes the ticker run until no request has come for an interval.
  void keep_ticking() {
    if (!ticking_) ticking_ = ticker_.arm(kTickInterval, kTickInterval);
  }
  // Whether there is input, or its end. Async-signal-safe.
  [[nodiscard]] bool readable() const;
  // Whether nobody reads the answers any more. Async-signal-safe.
  [[nodiscard]] bool output_closed() const;
  // Reads what is there, if readable(). Returns what read(2) does. Async-signal-safe.
  [[nodiscard]] ssize_t read_at_hand(std::span<char> room) const;

  // Writes everything, waiting for the reader as long as it takes. Consumes `parts`.
  // kDisconnected: the reader is gone. kIoError: anything else.
  Status write(std::span<iovec> parts);

 private:
  // In a signal handler.
  static void tick(void* channel);
  // Whether there was a tick since the last call.
  bool take_tick() { return ticked_.load(std::memory_order_relaxed) && ticked_.exchange(false); }
  // Waits until there is input or anything else: nullopt where a read should be tried.
  std::optional<Event> wait(bool block, size_t* count);
  [[nodiscard]] std::optional<TimePoint> deadline() const {
    return deadline_ ? deadline_() : std::nullopt;
  }

  int in_;
  int out_;
  os::ShutdownSignals* signals_;
  Deadline deadline_;
  void (*on_tick_)(void* context) = nullptr;
  void* tick_context_ = nullptr;
  std::atomic<bool> ticked_ = false;
  bool ticking_ = false;
  bool read_since_tick_ = false;
  bool non_blocking_ = false;  // `in` has been found to be: a read does not wait
  os::Timer ticker_{os::Timer::Calls::kReturn, tick, this};
};

}  // namespace pglite::port

#endif  // PGLITE_PORT_CHANNEL_H_
