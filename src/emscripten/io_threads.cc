#include "emscripten/io_threads.h"

#include <csignal>
#include <system_error>
#include <utility>

namespace pglite::emscripten {

IoThreads::~IoThreads() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool IoThreads::submit(std::shared_ptr<Job> job) {
  const std::lock_guard lock(mutex_);
  if (idle_ <= jobs_.size() && !add_thread() && threads_.empty()) return false;
  jobs_.push_back(std::move(job));
  wanted_.notify_one();
  return true;
}

bool IoThreads::add_thread() {
  if (threads_.size() == kMostThreads) return false;
  // The process's signals are for its other threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool added = true;
  try {
    threads_.emplace_back([this] { run(); });
  } catch (const std::system_error&) {
    added = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return added;
}

void IoThreads::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wanted_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    --idle_;
    if (stopping_) return;
    const std::shared_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job->work();
    __atomic_store_n(&job->pending, uint8_t{0}, __ATOMIC_RELEASE);
    notify_();
    lock.lock();
  }
}

}  // namespace pglite::emscripten
