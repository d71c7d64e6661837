#include "cli/progress.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <string_view>
#include <thread>
#include <utility>

namespace pglite::cli {
namespace {

// What a terminal does not take is lost.
void show(int fd, std::string_view text) {
  static_cast<void>(!::write(fd, text.data(), text.size()));
}

}  // namespace

Progress::Progress(int fd, std::string what, uint64_t total, std::function<Clock::time_point()> now)
    : fd_(fd), what_(std::move(what)), total_(total), now_(std::move(now)) {
  if (fd_ >= 0) next_ = now_() + kPatience;
}

void Progress::update(uint64_t done) {
  if (fd_ < 0) return;
  const Clock::time_point now = now_();
  if (now < next_) return;
  next_ = now + kInterval;
  std::string line = "\r\x1b[K" + what_ + ": " + readable_size(done);
  if (total_ > 0) {
    line += " of " + readable_size(total_) + ", " +
            std::to_string(std::min<uint64_t>(100, done * 100 / total_)) + "%";
  }
  show(fd_, line);
  is_shown_ = true;
}

void Progress::clear() {
  if (std::exchange(is_shown_, false)) show(fd_, "\r\x1b[K");
}

Status Waiting::during(const std::string& what, const std::function<Status()>& work) {
  if (fd_ < 0) return work();
  is_ended_ = false;
  // Signals are for the thread that works.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::jthread shower([this, &what] { show(what); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  struct End {
    Waiting& waiting;
    ~End() {
      const std::lock_guard lock(waiting.mutex_);
      waiting.is_ended_ = true;
      waiting.ended_.notify_one();
    }
  };
  const End end{*this};
  return work();
}

void Waiting::show(const std::string& what) {
  std::unique_lock lock(mutex_);
  for (int seconds = 1; !ended_.wait_for(lock, second_, [this] { return is_ended_; }); ++seconds) {
    cli::show(fd_, "\r\x1b[K" + what + ": " + std::to_string(seconds) + " s");
    is_shown_ = true;
  }
  if (std::exchange(is_shown_, false)) cli::show(fd_, "\r\x1b[K");
}

void Waiting::clear() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(is_shown_, false)) cli::show(fd_, "\r\x1b[K");
}

int if_terminal(int fd) {
  return ::isatty(fd) == 1 ? fd : -1;
}

uint64_t size_of_file(int fd) {
  struct stat status{};
  const bool is_file = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  return is_file ? static_cast<uint64_t>(status.st_size) : 0;
}

std::string readable_size(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return std::to_string(bytes) + " bytes";
  auto size = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (size >= 999.95 && unit + 1 < kUnits.size()) {
    size /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %s", size, kUnits[unit]);
  return text;
}

}  // namespace pglite::cli
