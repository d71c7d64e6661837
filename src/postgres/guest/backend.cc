// How PGlite's single-user backend is driven (PGlite: packages/pglite/src/pglite.ts).
//
// PGlite has cut PostgresMain in pieces: one turn of its loop (PostgresMainLoopOnce), and what it
// does after an error was thrown to it (PostgresMainLongJmp). A turn reads one message through our
// read callback and writes its answer through our write callback. An error thrown to the top leaves
// the turn by exit(100).
//
// A turn that asks for input when the request is used up is in COPY FROM STDIN. It is suspended
// there, on its own stack, and goes on with the next request. A turn that waits for something else
// is suspended where the kernel does so, and goes on by resume().
#include "postgres/guest/backend.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <system_error>

#include "os/random.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/guest/layout.h"
#include "postgres/guest/postgres_process.h"
#include "wire/backend.h"

namespace pglite::postgres {

namespace {

// The names of our callbacks in snapshots.
constexpr std::string_view kReadInput = "read_input";
constexpr std::string_view kWriteOutput = "write_output";

}  // namespace

Status Backend::make(const BackendConfig& config, std::unique_ptr<Backend>* out) {
  std::unique_ptr<Backend> backend(new Backend);
  auto* self = backend.get();
  self->last_fatal_ = config.last_fatal;
  self->work_task_ = [self] { self->work(); };
  const auto key = std::as_writable_bytes(std::span(&self->cancel_key_, 1));
  if (const auto filled = os::fill_random(key); !filled) {
    return Status::io_error(
        "the system gives no random bytes, which a session's cancel key needs: " +
        std::make_error_code(filled.error()).message());
  }
  *out = std::move(backend);
  return {};
}

Status Backend::start(const BackendConfig& config, std::unique_ptr<Backend>* out) {
  std::unique_ptr<Backend> backend;
  Status status = make(config, &backend);
  if (!status.ok()) return status;
  status =
      make_postgres_process(config.tree, postgres_environment(config.username, config.database),
                            config.log, &backend->process_, config.kernel);
  if (status.ok()) status = backend->boot(config);
  if (status.ok()) *out = std::move(backend);
  return status;
}

Status Backend::restore(const BackendConfig& config, std::string_view state,
                        const emscripten::PageSource& pages, std::unique_ptr<Backend>* out) {
  std::unique_ptr<Backend> backend;
  if (Status status = make(config, &backend); !status.ok()) return status;
  emscripten::RestoreError error;
  emscripten::ProcessConfig process = postgres_process_config(
      config.tree, postgres_environment(config.username, config.database), config.log);
  process.kernel = config.kernel;
  backend->process_ = emscripten::Process::restore(
      std::move(process), state, pages,
      [&](std::string_view name) { return backend->callback(name); }, &error);
  if (backend->process_ == nullptr) {
    return error.is_damaged ? Status::incompatible(error.message)
                            : Status::engine_gone(error.message);
  }
  backend->find_functions();
  *out = std::move(backend);
  return {};
}

Status Backend::save(std::string* state) {
  if (!failure_.empty()) return Status::engine_gone(failure_);
  if (waiting_for_input()) return Status::invalid_argument("a COPY is under way");
  if (suspension()) return Status::invalid_argument("a request is under way");
  std::string error;
  if (!process_->save(state, &error)) return Status::invalid_argument(error);
  return {};
}

emscripten::Callback Backend::callback(std::string_view name) {
  const auto make_callback = [&](auto* function) {
    return emscripten::Callback{wasm_func_type_ii_i,
                                reinterpret_cast<wasm_rt_function_ptr_t>(function), this};
  };
  if (name == kReadInput) return make_callback(read_input);
  if (name == kWriteOutput) return make_callback(write_output);
  return postgres_callback(name, &process_);
}

void Backend::find_functions() {
  main_loop_once_ = find_symbol(*process_, symbols::kMainLoopOnce);
  main_long_jump_ = find_symbol(*process_, symbols::kMainLongJump);
  send_ready_for_query_ = find_symbol(*process_, symbols::kSendReadyForQuery);
  flush_output_ = find_symbol(*process_, symbols::kFlushOutput);
  remaining_data_ = find_symbol(*process_, symbols::kRemainingData);
  process_interrupts_ = find_symbol(*process_, symbols::kProcessInterrupts);
  query_cancel_pending_ = process_->data_address(symbols::kQueryCancelPending);
}

Status Backend::boot(const BackendConfig& config) {
  emscripten::Process& process = *process_;
  find_functions();
  std::vector<std::string> arguments = {"--single"};
  if (!config.fsync) arguments.emplace_back("-F");
  arguments.insert(arguments.end(), {"-O", "-j"});
  std::vector<std::string> settings = {
      "search_path=public",     "exit_on_error=false",
      "log_checkpoints=false",  "max_worker_processes=0",
      "max_parallel_workers=0", "max_parallel_workers_per_gather=0",
      "io_method=sync",         "max_parallel_maintenance_workers=0"};
  settings.insert(settings.end(), config.settings.begin(), config.settings.end());
  for (const std::string& setting : settings) {
    arguments.emplace_back("-c");
    arguments.push_back(setting);
  }
  if (config.debug_level > 0) {
    arguments.insert(arguments.end(), {"-d", std::to_string(config.debug_level)});
  }
  arguments.insert(arguments.end(), {"-D", std::string(kDataDirectory), "--", config.database});

  wasm::Outcome outcome;
  process.run([&] {
    outcome = process.call([&] {
      const auto set_callbacks = find_symbol(process, symbols::kSetCallbacks);
      const uint32_t read = process.add_callback(kReadInput, callback(kReadInput));
      set_callbacks(read, process.add_callback(kWriteOutput, callback(kWriteOutput)));
      find_symbol(process, symbols::kSetActive)(1);
    });
    if (!outcome.returned()) return;
    outcome = process.call_main(arguments);
    if (!outcome.exited(kExitAlive)) return;
    outcome = process.call([&] { find_symbol(process, symbols::kStartPGlite)(); });
  });
  if (outcome.returned()) return {};
  return Status::engine_gone("PostgreSQL did not start: " + reason_for(outcome));
}

uint32_t Backend::read_input(void* context, uint32_t buffer, uint32_t size) {
  auto& self = *static_cast<Backend*>(context);
  self.process_->execution().need_host_stack();
  // Without a request of a client there is nobody who could send more: the end of the input.
  if (self.input_.empty() && self.sink_ != nullptr && self.process_->may_suspend()) {
    self.process_->execution().suspend(wasm::Suspension::kInput);
  }
  const auto target = self.process_->memory().bytes(buffer, size);
  if (!target) return 0;
  const size_t count = std::min<size_t>(size, self.input_.size());
  std::memcpy(target->data(), self.input_.data(), count);
  self.input_.remove_prefix(count);
  return static_cast<uint32_t>(count);
}

uint32_t Backend::write_output(void* context, uint32_t buffer, uint32_t size) {
  auto& self = *static_cast<Backend*>(context);
  self.process_->execution().need_host_stack();
  const auto source = self.process_->memory().bytes(buffer, size);
  if (!source) return 0;
  self.deliver({reinterpret_cast<const char*>(source->data()), source->size()});
  return size;
}

// The sink is the caller's code and must not unwind through the guest.
void Backend::deliver(std::string_view bytes) {
  constexpr std::string_view kReady("Z\0\0\0\5I", 6);
  ready_ = bytes.ends_with(kReady);
  try {
    if (collected_ != nullptr) {
      collected_->append(bytes);
    } else if (sink_ != nullptr) {
      (*sink_)(bytes);
    }
  } catch (const std::exception& exception) {
    if (failure_.empty()) {
      failure_ = std::string("the answer could not be delivered: ") + exception.what();
    }
  } catch (...) {
    if (failure_.empty()) failure_ = "the answer could not be delivered";
  }
}

void Backend::replace_cancel_key(std::string& answer) const {
  size_t position = 0;
  wire::BackendScanner().scan(answer, [&](char type, size_t end) {
    constexpr size_t kKeySize = sizeof cancel_key_;
    if (type == 'K' && end - position >= 9 + kKeySize) {
      std::memcpy(answer.data() + end - kKeySize, &cancel_key_, kKeySize);
    }
    position = end;
  });
}

std::string_view final_words(std::string_view line) {
  const size_t severity = std::min(line.find("FATAL:"), line.find("PANIC:"));
  if (severity != std::string_view::npos) return line.substr(severity);
  return line.starts_with("postgres: ") ? line : std::string_view();
}

std::string Backend::reason_for(const wasm::Outcome& outcome) const {
  // A FATAL error is followed by an exit, a PANIC by an abort, which is a trap.
  const bool said_why = last_fatal_ != nullptr && (outcome.kind == wasm::Outcome::Kind::kExited
                                                       ? !last_fatal_->empty()
                                                       : last_fatal_->starts_with("PANIC:"));
  return said_why ? *last_fatal_ : describe(outcome);
}

void Backend::fail(const wasm::Outcome& outcome, const char* where) {
  trapped_ = trapped_ || outcome.kind == wasm::Outcome::Kind::kTrapped;
  if (!failure_.empty()) return;
  if (outcome.exited(kExitFatal)) {
    session_ended_ = true;
    failure_ = "PostgreSQL has ended the session: " + reason_for(outcome);
    return;
  }
  failure_ = std::string("PostgreSQL ended in ") + where + ": " + reason_for(outcome);
}

void Backend::work() {
  if (!input_.empty() && input_.front() == '\0') {
    work_startup_packet();
  } else {
    work_messages();
  }
}

void Backend::work_startup_packet() {
  emscripten::Process& process = *process_;
  uint32_t result = 0;
  std::string answer;
  collected_ = &answer;
  const wasm::Outcome outcome = process.call([&] {
    const uint32_t port = find_symbol(process, symbols::kGetMyProcPort)();
    const auto startup = find_symbol(process, symbols::kProcessStartupPacket);
    result = startup(port, 1, 1);
    if (result == 0) {
      find_symbol(process, symbols::kSendConnectionData)();
      flush_output_();
    }
  });
  collected_ = nullptr;
  replace_cancel_key(answer);
  deliver(answer);
  if (!outcome.returned()) {
    fail(outcome, "the startup packet");
  } else if (result != 0) {
    failure_ = "PostgreSQL refused the startup packet";
  }
}

void Backend::work_messages() {
  emscripten::Process& process = *process_;
  while (!input_.empty() || remaining_data_() > 0) {
    wasm::Outcome outcome = process.call([&] { main_loop_once_(); });
    // Giving a transaction up may fail as well: PostgreSQL then begins anew with that, and PANICs
    // when it gets no further.
    while (outcome.exited(kExitLongJump)) {
      outcome = process.call([&] { main_long_jump_(); });
    }
    if (!outcome.returned()) return fail(outcome, "a message");
    if (!failure_.empty()) return;
  }
  const wasm::Outcome outcome = process.call([&] {
    send_ready_for_query_();
    flush_output_();
  });
  if (!outcome.returned()) fail(outcome, "the end of a request");
}

Status Backend::run_to_pause() {
  wasm::Execution& execution = process_->execution();
  process_->interrupt_timer.attend();
  const bool done = execution.suspended() ? execution.resume() : execution.run(work_task_);
  process_->interrupt_timer.rest();
  if (done || waiting_for_input()) sink_ = nullptr;
  return failure();
}

Status Backend::failure() const {
  if (failure_.empty()) return {};
  return session_ended_ ? Status::session_ended(failure_) : Status::engine_gone(failure_);
}

Status Backend::declare_gone(std::string reason) {
  if (failure_.empty()) failure_ = std::move(reason);
  return failure();
}

std::optional<Clock::time_point> Backend::next_timer() const {
  if (!failure_.empty() || suspension()) return std::nullopt;
  const std::optional<double> next = process_->next_timer();
  if (!next) return std::nullopt;
  const std::chrono::duration<double, std::milli> since_boot(*next);
  return Clock::time_point(std::chrono::ceil<Clock::duration>(since_boot));
}

Status Backend::deliver_timers(const ResponseSink& sink) {
  if (!failure_.empty() || suspension()) return failure();
  forget_cancel();
  std::string said;
  collected_ = &said;
  emscripten::Process& process = *process_;
  process.run([&] {
    // The hook in front of it runs the handlers of what is due (Process::interrupt_flag()).
    wasm::Outcome outcome = process.call([&] { process_interrupts_(); });
    while (outcome.exited(kExitLongJump)) outcome = process.call([&] { main_long_jump_(); });
    if (!outcome.returned()) return fail(outcome, "an idle moment");
    outcome = process.call([&] {
      send_ready_for_query_();
      flush_output_();
    });
    if (!outcome.returned()) fail(outcome, "an idle moment");
  });
  collected_ = nullptr;
  // Nobody has asked: of an error, and the ReadyForQuery after it, only the session's end is told.
  if (session_ended_) {
    sink_ = &sink;
    deliver(said);
    sink_ = nullptr;
  }
  return failure();
}

Status Backend::exec(std::string_view request, const ResponseSink& sink) {
  if (!failure_.empty()) return failure();
  if (suspension() && !waiting_for_input()) {
    return Status::invalid_argument("another request is under way");
  }
  if (request.empty()) return {};
  input_ = request;
  sink_ = &sink;
  return run_to_pause();
}

Status Backend::resume() {
  if (!failure_.empty()) return failure();
  if (!suspension() || waiting_for_input()) {
    return Status::invalid_argument("no request is under way");
  }
  return run_to_pause();
}

Status Backend::exec_to_end(std::string_view request, const ResponseSink& sink) {
  const emscripten::Process::NoSuspension to_its_end(*process_);
  return exec(request, sink);
}

void Backend::cancel() {
  process_->send_signal(kCancelSignal);
}

void Backend::forget_cancel() {
  if (suspension()) return;
  process_->signals.remove(kCancelSignal);
  (void)process_->memory().store(wasm::GuestPtr<uint32_t>{query_cancel_pending_}, 0);
}

Status Backend::stop() {
  if (session_ended_) return {};
  if (!failure_.empty()) return failure();
  if (waiting_for_input()) {
    // A COPY whose client went away: PostgreSQL sees the end of its input and gives the
    // transaction up.
    const emscripten::Process::NoSuspension to_its_end(*process_);
    Status status = run_to_pause();
    if (trapped_) return status;
    if (session_ended_) return {};
    failure_.clear();
  }
  if (suspension()) return Status::invalid_argument("a request is under way");
  forget_cancel();
  emscripten::Process& process = *process_;
  wasm::Outcome outcome;
  process.run([&] {
    outcome = process.call([&] { find_symbol(process, symbols::kSetActive)(0); });
    if (!outcome.returned()) return;
    // Not PGlite's own way (pgl_run_atexit_funcs): PostgreSQL takes that for an exit that nobody
    // asked for, and keeps no statistics.
    outcome = process.call([&] { find_symbol(process, symbols::kProcExit)(0); });
  });
  if (outcome.exited(0)) {
    failure_ = "the instance is closed";
    return {};
  }
  fail(outcome, "shutdown");
  return Status::engine_gone(failure_);
}

}  // namespace pglite::postgres
