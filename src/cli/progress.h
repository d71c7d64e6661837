// How far something long has come: a line on a terminal, written over and over.
#ifndef PGLITE_CLI_PROGRESS_H_
#define PGLITE_CLI_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <functional>
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

// The descriptor if it is a terminal, else -1.
int if_terminal(int fd);
// Of a regular file; else 0.
uint64_t size_of_file(int fd);
// "12.3 MB"
std::string readable_size(uint64_t bytes);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROGRESS_H_
