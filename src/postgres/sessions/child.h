// One process of a PostgreSQL server: a backend, the checkpointer, a worker. It is a guest of its
// own over the server's parked image, with the server's shared memory and files, and has its turns
// from the server's scheduler.
#ifndef PGLITE_POSTGRES_SESSIONS_CHILD_H_
#define PGLITE_POSTGRES_SESSIONS_CHILD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "emscripten/io_threads.h"
#include "emscripten/kernel.h"
#include "emscripten/process.h"
#include "emscripten/scheduler.h"
#include "pglite/status.h"
#include "postgres/guest/layout.h"
#include "wasm/execution.h"

namespace pglite::postgres {

class Postmaster;

class Child : public emscripten::Kernel, public emscripten::ProgramHooks {
 public:
  // A process that begins with its main function at its first turn. `startup_data` is what that
  // gets. kEngineGone: there is no memory for it.
  static Status make(Postmaster& postmaster, BackendType type, int32_t pid,
                     std::string startup_data, std::unique_ptr<Child>* out);
  // Abandons a process that has not ended.
  ~Child() override;

  [[nodiscard]] BackendType type() const { return type_; }
  [[nodiscard]] int32_t pid() const { return pid_; }
  emscripten::Process& process() { return *process_; }
  emscripten::Scheduler::Task& task() { return *task_; }
  [[nodiscard]] const emscripten::Scheduler::Task& task() const { return *task_; }

  [[nodiscard]] bool ended() const { return task_->ended(); }
  // It waits for another process or for somebody outside, and none of its timers is due soon.
  [[nodiscard]] bool waits_for_others() const;
  // It waits for a checkpoint that it has requested.
  [[nodiscard]] bool waits_for_checkpointer() const;
  // How it ended: exit statuses 0 and 1 are in order, all else is a crash.
  [[nodiscard]] const wasm::Outcome& outcome() const { return outcome_; }
  [[nodiscard]] bool crashed() const;

  // Sends a signal; the process runs its handler at its next turn. On the scheduler's thread.
  void signal(int number);
  // Sets the process's own latch. On the scheduler's thread.
  void set_latch();

  // Kernel and ProgramHooks: called by the process itself, on its guest stack.
  void wait(emscripten::Process& process, const emscripten::WaitFor& what) override;
  void look_up(emscripten::Process& process) override;
  vfs::Result<void> sync(emscripten::Process& process, int descriptor, bool data_only) override;
  vfs::Result<size_t> pread(emscripten::Process& process, int descriptor,
                            std::span<std::byte> buffer, int64_t offset) override;
  bool kill(emscripten::Process& sender, int32_t pid, int number) override;
  uint32_t wait_event_set(emscripten::Process& process, uint32_t set, int32_t timeout,
                          uint32_t occurred, uint32_t count, uint32_t activity) override;
  bool request_checkpoint(emscripten::Process& process, uint32_t flags) override;

 protected:
  Child(Postmaster& postmaster, BackendType type, int32_t pid)
      : postmaster_(postmaster), type_(type), pid_(pid) {}
  // Makes the process; once.
  Status open(std::string startup_data);

  // Callbacks of the guest by name, as Process::restore wants them.
  virtual emscripten::Callback callback(std::string_view name);
  // Called in the process before its main function.
  virtual void before_main() {}
  // Which of `events` (WL_SOCKET_...) the process's socket has now.
  virtual uint32_t socket_events(uint32_t events) {
    (void)events;
    return 0;
  }

  [[nodiscard]] uint32_t load(uint32_t address) const;
  void store(uint32_t address, uint32_t value);
  // A variable of PostgreSQL's.
  [[nodiscard]] uint32_t variable(const char* name) const {
    return load(process_->data_address(name));
  }
  void set_variable(const char* name, uint32_t value) {
    store(process_->data_address(name), value);
  }
  void set_flag(const char* name, bool value);
  // On the guest stack: bytes in the current frame of the guest's stack.
  uint32_t push_bytes(std::string_view bytes);

  Postmaster& postmaster_;

 private:
  // The whole life of the process, on the guest stack.
  void live();
  // What a postmaster's child does between fork and its main function.
  void begin();
  // On the guest stack: has a thread do `operation` with the file of a descriptor, and lets the
  // others run meanwhile. nullopt: there is no thread for it, and nothing was done.
  template <class Operation>
  std::optional<vfs::Result<size_t>> do_in_thread(emscripten::Process& process, int descriptor,
                                                  Operation operation);
  // What has occurred of a WaitEventSet.
  uint32_t collect(uint32_t set, uint32_t occurred, uint32_t count);

  BackendType type_;
  int32_t pid_;
  std::string startup_data_;
  std::unique_ptr<emscripten::Process> process_;
  std::unique_ptr<emscripten::Scheduler::Task> task_;  // goes before the process
  wasm::Outcome outcome_;
  bool wait_has_end_ = false;  // the one that it is in
  // What a thread does for the process. It is kept here, as the process may be abandoned meanwhile.
  std::shared_ptr<emscripten::IoThreads::Job> job_;
  std::shared_ptr<vfs::OpenFile> job_file_;
  vfs::Result<size_t> job_result_ = size_t{0};
  uint32_t wait_event_info_ = 0;  // where PostgreSQL keeps it
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SESSIONS_CHILD_H_
