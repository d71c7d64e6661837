#include "postgres/sessions/child.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <utility>

#include "postgres/guest/postgres_process.h"
#include "postgres/sessions/postmaster.h"

namespace pglite::postgres {

using emscripten::Process;
using emscripten::WaitFor;
using wasm::GuestPtr;

namespace {

symbols::ProcessMain main_of(BackendType type) {
  switch (type) {
    case BackendType::kAutovacuumLauncher:
      return symbols::kAutovacuumLauncherMain;
    case BackendType::kAutovacuumWorker:
      return symbols::kAutovacuumWorkerMain;
    case BackendType::kBackgroundWorker:
      return symbols::kBackgroundWorkerMain;
    case BackendType::kCheckpointer:
      return symbols::kCheckpointerMain;
    case BackendType::kStartup:
      return symbols::kStartupProcessMain;
    case BackendType::kWalWriter:
      return symbols::kWalWriterMain;
    case BackendType::kBackend:
    case BackendType::kWalSender:  // begins as a backend
      break;
  }
  return symbols::kBackendMain;
}

}  // namespace

Status Child::make(Postmaster& postmaster, BackendType type, int32_t pid, std::string startup_data,
                   std::unique_ptr<Child>* out) {
  std::unique_ptr<Child> child(new Child(postmaster, type, pid));
  Status status = child->open(std::move(startup_data));
  if (status.ok()) *out = std::move(child);
  return status;
}

Child::~Child() {
  if (job_ == nullptr) return;
  // It uses this object.
  while (!job_->done()) std::this_thread::yield();
}

Status Child::open(std::string startup_data) {
  startup_data_ = std::move(startup_data);
  emscripten::ProcessConfig config = postmaster_.process_config();
  config.kernel = this;
  config.hooks = this;
  config.pid = pid_;
  emscripten::RestoreError error;
  process_ = Process::restore(
      std::move(config), postmaster_.image().state(), postmaster_.image(),
      [this](std::string_view name) { return callback(name); }, &error);
  if (process_ == nullptr) {
    return Status::engine_gone("a process of PostgreSQL cannot be started: " + error.message);
  }
  wait_event_info_ = process_->data_address(symbols::kWaitEventInfo);
  task_ = std::make_unique<emscripten::Scheduler::Task>(postmaster_.scheduler(),
                                                        process_->execution(), process_->signals,
                                                        process_->interrupt_flag(), [this] {
                                                          live();
                                                          postmaster_.note_end();
                                                        });
  return {};
}

bool Child::crashed() const {
  return ended() && !outcome_.exited(0) && !outcome_.exited(kExitFatal);
}

emscripten::Callback Child::callback(std::string_view name) {
  return postmaster_.callback(name, &process_);
}

uint32_t Child::load(uint32_t address) const {
  return process_->memory().load(GuestPtr<uint32_t>{address}).value_or(0);
}

void Child::store(uint32_t address, uint32_t value) {
  (void)process_->memory().store(GuestPtr<uint32_t>{address}, value);
}

void Child::set_flag(const char* name, bool value) {
  (void)process_->memory().store(GuestPtr<uint8_t>{process_->data_address(name)}, value ? 1 : 0);
}

uint32_t Child::push_bytes(std::string_view bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  const uint32_t at = find_symbol(*process_, symbols::kStackAlloc)(size);
  if (const auto target = process_->memory().bytes(at, size)) {
    std::memcpy(target->data(), bytes.data(), bytes.size());
  }
  return at;
}

// postmaster_child_launch() and InitPostmasterChild() after their fork().
void Child::begin() {
  set_variable(symbols::kMyProcPid, static_cast<uint32_t>(pid_));
  // on_exit_reset(): what the parked process had to do at its end is not for its children.
  for (const char* count : symbols::kExitCounts) set_variable(count, 0);
  set_flag(symbols::kIsPostmasterEnvironment, true);
  postmaster_.update_configuration(*process_);
  set_flag(symbols::kIsUnderPostmaster, true);
  set_variable(symbols::kMyBackendType, static_cast<uint32_t>(type_));
  find_symbol(*process_, symbols::kInitProcessGlobals)();
  set_variable(symbols::kMyProcPid, static_cast<uint32_t>(pid_));
  find_symbol(*process_, symbols::kInitLatch)(variable(symbols::kMyLatch));
}

void Child::live() {
  Process& process = *process_;
  outcome_ = process.call([&] {
    begin();
    before_main();
    find_symbol(process, main_of(type_))(push_bytes(startup_data_),
                                         static_cast<uint32_t>(startup_data_.size()));
  });
  // PGlite has cut PostgresMain in pieces. It has a loop, but an error that is thrown to the top
  // leaves it: the turns after that are ours.
  const auto main_loop_once = find_symbol(process, symbols::kMainLoopOnce);
  const auto main_long_jump = find_symbol(process, symbols::kMainLongJump);
  const auto process_interrupts = find_symbol(process, symbols::kProcessInterrupts);
  while (outcome_.exited(kExitLongJump)) {
    // An error may come again at once for ever, before PostgreSQL looks up: the one of a conversion
    // that PGlite lacks does. So it looks up here, for others' turns, signals, a lost client.
    outcome_ = process.call([&] {
      main_long_jump();
      if (std::atomic_ref(*process.interrupt_flag()).load() != 0) process_interrupts();
    });
    while (outcome_.returned()) outcome_ = process.call([&] { main_loop_once(); });
  }
  // The client has ended the session. PGlite leaves out what PostgresMain does then.
  if (outcome_.exited(kExitAlive)) {
    outcome_ = process.call([&] { find_symbol(process, symbols::kProcExit)(0); });
  }
}

bool Child::waits_for_others() const {
  // Whoever waits for a lock has a timer for when to look for a deadlock, usually after a second.
  // The others (statement_timeout, or when to hand in statistics) may be far away.
  constexpr double kSoon = 2000;
  return task_->waits_for_others(wait_has_end_ ? WaitFor::kNoEnd
                                               : emscripten::monotonic_milliseconds() + kSoon);
}

bool Child::waits_for_checkpointer() const {
  if (!task_->waiting()) return false;
  const uint32_t event = load(load(wait_event_info_));
  return event == kLayout.wait_event_checkpoint_start ||
         event == kLayout.wait_event_checkpoint_done;
}

void Child::signal(int number) {
  // It is for a latch, which has been set: there is nothing for a handler to do.
  if (number != kSignalUrgent) process_->send_signal(number);
  task_->wake();
}

void Child::set_latch() {
  store(variable(symbols::kMyLatch) + kLayout.latch_is_set, 1);
  task_->wake();
}

void Child::wait(Process& process, const WaitFor& what) {
  wait_has_end_ = what.has_end;
  process.interrupt_timer.rest();
  if (what.what != WaitFor::What::kByte) {
    task_->wait(what.due);
  } else if (const auto byte = process.memory().bytes(what.byte.address, 1)) {
    // Neither signals nor timers end the wait for a semaphore, and nothing delivers them there.
    task_->wait_for(reinterpret_cast<const uint8_t*>(byte->data()));
  }
  process.interrupt_timer.attend();
}

void Child::look_up(Process& process) {
  if (!postmaster_.scheduler().take_slice_over()) return;
  // PostgreSQL holds a lightweight lock only while it holds interrupts off, and then it does not
  // look up.
  process.interrupt_timer.rest();
  task_->yield();
  process.interrupt_timer.attend();
}

template <class Operation>
std::optional<vfs::Result<size_t>> Child::do_in_thread(Process& process, int descriptor,
                                                       Operation operation) {
  {
    auto open = process.descriptors().share(descriptor);
    if (!open) return vfs::error(open.error());
    job_file_ = std::move(*open);
  }
  job_ = std::make_shared<emscripten::IoThreads::Job>();
  // The child outlives the job: its destructor waits for it.
  job_->work = [this, operation] { job_result_ = operation(*job_file_->file); };
  const bool submitted = postmaster_.io_threads().submit(job_);
  if (submitted) {
    process.interrupt_timer.rest();
    while (!job_->done()) task_->wait_for(&job_->pending);
    process.interrupt_timer.attend();
  }
  job_.reset();
  job_file_.reset();
  return submitted ? std::optional(job_result_) : std::nullopt;
}

// The others go on meanwhile. Who needs the same WAL on disk waits for the one that flushes it, and
// then finds its own there, too: PostgreSQL's group commit.
vfs::Result<void> Child::sync(Process& process, int descriptor, bool data_only) {
  if (!postmaster_.has_io_in_threads()) return Kernel::sync(process, descriptor, data_only);
  const auto done =
      do_in_thread(process, descriptor, [data_only](vfs::File& file) -> vfs::Result<size_t> {
        const auto synced = data_only ? file.sync_data() : file.sync();
        if (!synced) return vfs::error(synced.error());
        return size_t{0};
      });
  if (!done) return Kernel::sync(process, descriptor, data_only);
  return *done ? vfs::Result<void>() : vfs::Result<void>(vfs::error(done->error()));
}

// Most of what PostgreSQL reads is in the system's memory. Whoever has to wait for the disk lets
// the others run. The guest whose memory the thread writes to is suspended meanwhile, and in shared
// buffers nobody else looks at a page that is being read.
vfs::Result<size_t> Child::pread(Process& process, int descriptor, std::span<std::byte> buffer,
                                 int64_t offset) {
  if (!postmaster_.has_io_in_threads()) return Kernel::pread(process, descriptor, buffer, offset);
  auto read = process.descriptors().pread_at_once(descriptor, buffer, offset);
  if (read || read.error() != std::errc::resource_unavailable_try_again) return read;
  const auto done = do_in_thread(process, descriptor, [buffer, offset](vfs::File& file) {
    return file.read(buffer, static_cast<uint64_t>(offset));
  });
  return done ? *done : Kernel::pread(process, descriptor, buffer, offset);
}

bool Child::kill(Process& /*sender*/, int32_t pid, int number) {
  return postmaster_.kill(pid, number);
}

uint32_t Child::collect(uint32_t set, uint32_t occurred, uint32_t count) {
  const uint32_t events = load(set + kLayout.wait_set_events);
  const uint32_t latch = load(set + kLayout.wait_set_latch);
  uint32_t found = 0;
  const auto add = [&](uint32_t event, uint32_t what) {
    const auto source = process_->memory().bytes(event, kLayout.wait_event_size);
    const uint32_t at = occurred + found * kLayout.wait_event_size;
    const auto target = process_->memory().bytes(at, kLayout.wait_event_size);
    if (!source || !target) return;
    std::memcpy(target->data(), source->data(), source->size());
    store(at + kLayout.wait_event_events, what);
    ++found;
  };
  if (latch != 0 && load(latch + kLayout.latch_is_set) != 0) {
    add(events + load(set + kLayout.wait_set_latch_position) * kLayout.wait_event_size,
        kLayout.wait_latch_set);
  }
  const uint32_t registered = std::min(load(set + kLayout.wait_set_count), uint32_t{1000});
  for (uint32_t i = 0; i < registered && found < count; ++i) {
    const uint32_t event = events + i * kLayout.wait_event_size;
    const uint32_t wanted =
        load(event + kLayout.wait_event_events) &
        (kLayout.wait_socket_readable | kLayout.wait_socket_writable | kLayout.wait_socket_closed);
    if (wanted == 0) continue;
    if (const uint32_t has = socket_events(wanted) & wanted) add(event, has);
  }
  return found;
}

uint32_t Child::wait_event_set(Process& process, uint32_t set, int32_t timeout, uint32_t occurred,
                               uint32_t count, uint32_t activity) {
  const uint32_t shown = load(wait_event_info_);
  const uint32_t latch = load(set + kLayout.wait_set_latch);
  const double due = timeout < 0 ? WaitFor::kNoEnd : emscripten::monotonic_milliseconds() + timeout;
  uint32_t found = collect(set, occurred, count);
  if (found != 0 || timeout == 0) return found;
  store(shown, activity);
  for (;;) {
    // SetLatch() signals the latch's owner only where that may sleep.
    if (latch != 0) store(latch + kLayout.latch_maybe_sleeping, 1);
    process.wait({.what = WaitFor::What::kLatch, .due = due, .latch = {latch}});
    if (latch != 0) store(latch + kLayout.latch_maybe_sleeping, 0);
    process.deliver_signals();
    found = collect(set, occurred, count);
    if (found != 0 || emscripten::monotonic_milliseconds() >= due) break;
  }
  store(shown, 0);
  return found;
}

// As RequestCheckpoint() of a server. PGlite's has lost all but the standalone case.
bool Child::request_checkpoint(Process& process, uint32_t flags) {
  const uint32_t shared = variable(symbols::kCheckpointerShared);
  const auto at = [&](uint32_t member) { return load(shared + member); };
  const uint32_t old_failed = at(kLayout.checkpointer_failed);
  const uint32_t old_started = at(kLayout.checkpointer_started);
  store(shared + kLayout.checkpointer_flags,
        at(kLayout.checkpointer_flags) | flags | kLayout.checkpoint_requested);
  if (!postmaster_.wake_checkpointer()) return true;
  if ((flags & kLayout.checkpoint_wait) == 0) return true;

  const auto prepare = find_symbol(process, symbols::kPrepareToSleep);
  const auto sleep = find_symbol(process, symbols::kSleepOn);
  const auto cancel = find_symbol(process, symbols::kCancelSleep);
  prepare(shared + kLayout.checkpointer_start_cv);
  while (at(kLayout.checkpointer_started) == old_started) {
    sleep(shared + kLayout.checkpointer_start_cv, kLayout.wait_event_checkpoint_start);
  }
  cancel();
  const uint32_t started = at(kLayout.checkpointer_started);
  prepare(shared + kLayout.checkpointer_done_cv);
  while (static_cast<int32_t>(at(kLayout.checkpointer_done) - started) < 0) {
    sleep(shared + kLayout.checkpointer_done_cv, kLayout.wait_event_checkpoint_done);
  }
  cancel();
  if (at(kLayout.checkpointer_failed) != old_failed) {
    raise_error(process, {.sqlstate = make_sqlstate("XX000"),
                          .message = "checkpoint request failed",
                          .hint = "Consult recent messages in the server log for details."});
  }
  return true;
}

}  // namespace pglite::postgres
