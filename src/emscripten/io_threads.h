// Calls of the system that take long, made while other guests run: the guest that wants one is
// suspended, a thread makes the call, and the guest goes on with its result. Guest code runs in no
// such thread.
#ifndef PGLITE_EMSCRIPTEN_IO_THREADS_H_
#define PGLITE_EMSCRIPTEN_IO_THREADS_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace pglite::emscripten {

class IoThreads {
 public:
  // `notify` is called in one of the threads after a job is done.
  explicit IoThreads(std::function<void()> notify) : notify_(std::move(notify)) {}
  // Waits for the jobs under way; those that have not begun are dropped.
  ~IoThreads();
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  // Something to do in a thread. It is kept alive by whoever shares it, so that a guest that is
  // dropped meanwhile leaves nothing behind.
  struct Job {
    std::function<void()> work;  // does not throw
    uint8_t pending = 1;         // 0 when it is done; read it with done()

    [[nodiscard]] bool done() const { return __atomic_load_n(&pending, __ATOMIC_ACQUIRE) == 0; }
  };
  // False: there is no thread for it, and the caller does it itself.
  bool submit(std::shared_ptr<Job> job);

 private:
  // So many calls at once: those of the WAL, of a checkpoint and of some others.
  static constexpr size_t kMostThreads = 4;

  void run();
  bool add_thread();

  std::function<void()> notify_;
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::deque<std::shared_ptr<Job>> jobs_;
  size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // made when they are needed
};

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_IO_THREADS_H_
