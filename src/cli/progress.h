// How far something long has come: a line on a terminal, written over and over.
#ifndef PGLITE_CLI_PROGRESS_H_
#define PGLITE_CLI_PROGRESS_H_

#include <pglite/status.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace pglite::cli {

class Progress {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kPatience{1000};  // until the first line
  static constexpr std::chrono::milliseconds kInterval{200};   // between two

  // `fd`: stderr; -1: nothing is shown. `what` stands in front; `total`: bytes; 0: not known.
  Progress(int fd, std::string what, uint64_t total,
           std::function<Clock::time_point()> now = Clock::now);
  // Leaves an empty line.
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // So many bytes are done.
  void update(uint64_t done);
  // Makes room for a message; the next update shows the line again.
  void clear();

 private:
  int fd_;
  std::string what_;
  uint64_t total_;
  std::function<Clock::time_point()> now_;
  Clock::time_point next_;
  bool is_shown_ = false;
};

// The same for what does not tell how far it has come: how long it takes. A thread shows it, which
// takes no signals.
class Waiting {
 public:
  // `fd` as above; `second`: what counts as one.
  explicit Waiting(int fd, std::chrono::milliseconds second = std::chrono::seconds(1))
      : fd_(fd), second_(second) {}

  // Runs `work`, and shows `what` with the seconds since, from the first one on. One at a time.
  Status during(const std::string& what, const std::function<Status()>& work);
  // Makes room for a message. Any thread may call it.
  void clear();

 private:
  void show(const std::string& what);

  int fd_;
  std::chrono::milliseconds second_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_ended_ = false;
  bool is_shown_ = false;
};

// The descriptor if it is a terminal, else -1.
int if_terminal(int fd);
// Of a regular file; else 0.
uint64_t size_of_file(int fd);
// "12.3 MB"
std::string readable_size(uint64_t bytes);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROGRESS_H_
