#include "postgres/sessions/postmaster.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <system_error>

#include "os/clock.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/layout.h"
#include "postgres/guest/postgres_process.h"
#include "vfs/shared_memory_filesystem.h"

namespace pglite::postgres {

namespace {

using emscripten::Process;
using wasm::GuestPtr;

// PostgreSQL's pg_hba.conf. Whoever is in this process may be anybody.
constexpr std::string_view kHbaFile = "/pglite/pg_hba.conf";
constexpr std::string_view kBelieved =
    "local all all trust\n"
    "local replication all trust\n";
constexpr std::string_view kOfTheCluster = "include_if_exists /pglite/data/pg_hba.conf\n";

// Where the C library has the segments of shm_open().
constexpr std::string_view kSharedMemoryDirectory = "/dev/shm";

// What a process without a client reads and writes.
uint32_t nothing_to_read(void* /*context*/, uint32_t /*buffer*/, uint32_t /*size*/) {
  return 0;
}
uint32_t swallow(void* /*context*/, uint32_t /*buffer*/, uint32_t size) {
  return size;
}

uint32_t load(const Process& process, uint32_t address) {
  return process.memory().load(GuestPtr<uint32_t>{address}).value_or(0);
}

// Makes `*size` bytes of shared memory at `segment`, in which PostgreSQL has just made what it
// needs, end at a multiple of `page`. What is behind it in the page belongs to each process alone,
// so it is shared memory that has to give way: its last part, which PostgreSQL keeps free for
// tables that outgrow their estimates. False: not so much is free, or it does not begin at such a
// multiple.
bool cut_shared_memory(const Process& process, uint32_t segment, uint64_t page, uint32_t* size) {
  const auto cut = static_cast<uint32_t>(*size / page * page);
  if (segment % page != 0 || load(process, segment + kLayout.shared_memory_used) > cut)
    return false;
  if (cut != *size) {
    const GuestPtr<uint32_t> place{segment + kLayout.shared_memory_size};
    if (!process.memory().store(place, cut)) return false;
  }
  *size = cut;
  return true;
}

// Microseconds since 2000-01-01.
int64_t postgres_time() {
  const timespec now = os::wall_clock();
  return (now.tv_sec - kPostgresEpochSeconds) * 1'000'000 + now.tv_nsec / 1000;
}

Status write_file(vfs::FileSystem& filesystem, std::string_view path, std::string_view content) {
  auto file = filesystem.open(path, {.write = true, .create = true, .truncate = true}, 0600);
  if (file) {
    const auto written = (*file)->write(std::as_bytes(std::span(content)), 0);
    if (written && *written == content.size()) return {};
  }
  return Status::io_error("the file \"" + std::string(path) + "\" cannot be made");
}

}  // namespace

Postmaster::Postmaster(PostmasterConfig config)
    : config_(std::move(config)),
      workers_({.start =
                    [this](std::string data) {
                      Child* child = nullptr;
                      Status status =
                          start_child(BackendType::kBackgroundWorker, std::move(data), &child);
                      return status.ok() ? child->pid() : 0;
                    },
                .signal = [this](int32_t pid, int signal) { (void)kill(pid, signal); }}) {}

Status Postmaster::start(PostmasterConfig config, std::unique_ptr<Postmaster>* out) {
  std::unique_ptr<Postmaster> postmaster(new Postmaster(std::move(config)));
  auto event = os::WakeEvent::make();
  if (!event) {
    return Status::io_error("the server cannot be started: " +
                            std::make_error_code(event.error()).message());
  }
  postmaster->wake_event_ = std::move(*event);
  Status status = postmaster->park();
  if (status.ok()) status = postmaster->recover();
  if (status.ok()) status = postmaster->start_helpers();
  postmaster->running_ = true;
  if (status.ok()) *out = std::move(postmaster);
  return status;
}

Postmaster::~Postmaster() = default;

emscripten::ProcessConfig Postmaster::process_config() const {
  return postgres_process_config(config_.tree, postgres_environment(kInitialName, kInitialName),
                                 config_.log);
}

emscripten::Callback Postmaster::callback(std::string_view name,
                                          std::unique_ptr<Process>* process) {
  const auto make_callback = [&](auto* function) {
    return emscripten::Callback{wasm_func_type_ii_i,
                                reinterpret_cast<wasm_rt_function_ptr_t>(function), this};
  };
  if (name == kReadInput) return make_callback(nothing_to_read);
  if (name == kWriteOutput) return make_callback(swallow);
  return postgres_callback(name, process);
}

// Runs PostgreSQL's main() to where its shared memory is made, and takes the image of it.
Status Postmaster::park() {
  if (config_.access_rules.empty()) {
    config_.access_rules = std::string(kBelieved) + std::string(kOfTheCluster);
    has_own_rules_ = false;
  }
  Status status = write_file(*config_.tree.memory, kHbaFile, config_.access_rules);
  if (!status.ok()) return status;
  if (!config_.tree.root->mount(kSharedMemoryDirectory,
                                std::make_shared<vfs::SharedMemoryFileSystem>())) {
    return Status::io_error("there is no place for shared memory");
  }
  std::unique_ptr<Process> parked;
  status = make_postgres_process(config_.tree, postgres_environment(kInitialName, kInitialName),
                                 config_.log, &parked);
  if (!status.ok()) return status;
  Process& process = *parked;

  std::vector<std::string> arguments = {"--single"};
  if (!config_.fsync) arguments.emplace_back("-F");
  std::vector<std::string> settings = {
      // There are no threads of PostgreSQL's to do it otherwise.
      "io_method=sync",
      "hba_file=" + std::string(kHbaFile),
      // Workers take turns with their leader on one thread: they gain nothing. A session that wants
      // their plans can have them.
      "max_parallel_workers_per_gather=0",
      "max_parallel_maintenance_workers=0",
  };
  if (!config_.autovacuum) settings.emplace_back("autovacuum=off");
  settings.insert(settings.end(), config_.settings.begin(), config_.settings.end());
  if (config_.logs_json) settings.emplace_back("log_destination=jsonlog");
  for (const std::string& setting : settings) {
    arguments.emplace_back("-c");
    arguments.push_back(setting);
  }
  if (config_.debug_level > 0) {
    arguments.insert(arguments.end(), {"-d", std::to_string(config_.debug_level)});
  }
  arguments.insert(arguments.end(),
                   {"-D", std::string(kDataDirectory), "--", std::string(kInitialName)});

  wasm::Outcome outcome;
  bool has_hba = false;
  process.parks = true;
  process.run([&] {
    outcome = process.call([&] {
      const auto set_callbacks = find_symbol(process, symbols::kSetCallbacks);
      const uint32_t read = process.add_callback(kReadInput, callback(kReadInput, &parked));
      set_callbacks(read, process.add_callback(kWriteOutput, callback(kWriteOutput, &parked)));
      find_symbol(process, symbols::kSetActive)(1);
      if (config_.logs_json) {
        (void)process.memory().store(
            GuestPtr<uint8_t>{process.data_address(symbols::kRedirectionDone)}, uint8_t{1});
      }
    });
    if (!outcome.returned()) return;
    outcome = process.call_main(arguments);
    if (!outcome.exited(Process::kExitParked)) return;
    outcome = process.call([&] {
      find_symbol(process, symbols::kSetMaxSafeFds)();
      has_hba = find_symbol(process, symbols::kLoadHba)() != 0;
      (void)process.memory().store(GuestPtr<int64_t>{process.data_address(symbols::kPgStartTime)},
                                   postgres_time());
    });
  });
  if (!outcome.returned()) {
    return Status::engine_gone("PostgreSQL did not start: " + reason_for(outcome));
  }
  if (!has_hba) {
    return Status::incompatible(
        "PostgreSQL did not start: the access rules (pg_hba.conf) have an error, see the log");
  }

  const uint32_t segment = load(process, process.data_address(symbols::kSharedMemory));
  uint32_t size = load(process, segment + kLayout.shared_memory_size);
  if (!cut_shared_memory(process, segment, config_.page_size, &size)) {
    return Status::incompatible("PostgreSQL did not start: the system's pages are too large");
  }
  return ParkedImage::capture(process, {.begin = segment, .end = uint64_t{segment} + size},
                              config_.page_size, &image_);
}

std::string Postmaster::reason_for(const wasm::Outcome& outcome) const {
  const std::string* last = config_.last_fatal;
  return last != nullptr && !last->empty() ? *last : describe(outcome);
}

int32_t Postmaster::next_pid() {
  do {
    last_pid_ = last_pid_ == INT32_MAX ? 101 : last_pid_ + 1;
  } while (children_.contains(last_pid_));
  return last_pid_;
}

Status Postmaster::start_child(BackendType type, std::string startup_data, Child** out) {
  std::unique_ptr<Child> child;
  const int32_t pid = next_pid();
  Status status = Child::make(*this, type, pid, std::move(startup_data), &child);
  if (!status.ok()) return status;
  if (out != nullptr) *out = child.get();
  children_[pid] = std::move(child);
  return {};
}

Child* Postmaster::find(BackendType type) {
  const auto found = std::ranges::find_if(
      children_, [&](const auto& child) { return child.second->type() == type; });
  return found == children_.end() ? nullptr : found->second.get();
}

void Postmaster::sleep_until(double end) const {
  const double left = std::ceil(end - emscripten::monotonic_milliseconds());
  pollfd wake = {.fd = wake_event_.descriptor(), .events = POLLIN, .revents = 0};
  (void)poll(&wake, 1, static_cast<int>(std::clamp(left, 0.0, 60'000.0)));
}

template <class Done>
bool Postmaster::run_until(Done done, double limit_ms) {
  const double end = emscripten::monotonic_milliseconds() + limit_ms;
  while (!done()) {
    if (!failure_.ok()) return false;
    const bool ran = run_next();
    if (emscripten::monotonic_milliseconds() >= end) return done();
    if (ran) continue;
    wake_event_.clear();
    if (!scheduler_.has_ready()) sleep_until(std::min(next_due().value_or(end), end));
  }
  return true;
}

// The checkpointer comes first: the startup process asks it for checkpoints.
Status Postmaster::recover() {
  Status status = start_child(BackendType::kCheckpointer, {}, nullptr);
  Child* startup = nullptr;
  if (status.ok()) status = start_child(BackendType::kStartup, {}, &startup);
  if (!status.ok()) return status;
  const int32_t pid = startup->pid();
  while (children_.contains(pid)) {
    if (!run_until([&] { return !children_.contains(pid); }, 60'000) && !failure_.ok()) {
      return failure_;
    }
  }
  return failure_;
}

Status Postmaster::start_helpers() {
  Status status = start_child(BackendType::kWalWriter, {}, nullptr);
  if (status.ok()) status = start_child(BackendType::kAutovacuumLauncher, {}, nullptr);
  return status;
}

Status Postmaster::connect(const SocketAddress& address, Client** out) {
  if (!failure_.ok()) return failure_;
  std::unique_ptr<Client> client;
  const int32_t pid = next_pid();
  Status status = Client::make(*this, pid, address, &client);
  if (!status.ok()) return status;
  *out = client.get();
  children_[pid] = std::move(client);
  ++client_count_;
  return {};
}

void Postmaster::release(Client* client) {
  client->is_orphan = true;
  client->close_input();
  // What it is in the middle of is for nobody. One that waits for its client sees that it has gone.
  if (!client->wants_input() && !client->ended()) client->signal(kSignalTerminate);
  if (client->ended() || !failure_.ok()) remove(client->pid());
}

void Postmaster::remove(int32_t pid) {
  client_count_ -= static_cast<int>(children_.erase(pid));
}

bool Postmaster::others_may_act(const Client& client) const {
  // The checkpointer may be waiting for the system, or for a second after an error.
  if (client.waits_for_checkpointer()) return true;
  return std::ranges::any_of(children_, [&](const auto& entry) {
    const Child& child = *entry.second;
    if (&child == &client || child.ended()) return false;
    if (const auto* other = dynamic_cast<const Client*>(&child)) {
      return !other->wants_input() && !other->waits_for_others();
    }
    const bool works = child.type() == BackendType::kAutovacuumWorker ||
                       child.type() == BackendType::kBackgroundWorker;
    return works && !child.waits_for_others();
  });
}

bool Postmaster::kill(int32_t pid, int signal) {
  if (pid == 0) {
    signalled_ = signalled_ || signal == kSignalUser1;
    if (signal == kSignalHangUp) reload();
    return true;
  }
  const auto child = children_.find(pid < 0 ? -pid : pid);
  if (child == children_.end() || child->second->ended()) return false;
  if (signal != 0) child->second->signal(signal);
  return true;
}

void Postmaster::reload() {
  reloaded_ = true;
  // It has ended where autovacuum was off, and ends again where it is.
  if (running_ && !shutting_down_ && find(BackendType::kAutovacuumLauncher) == nullptr) {
    restarts_[BackendType::kAutovacuumLauncher] = emscripten::monotonic_milliseconds();
  }
  for (const auto& [pid, child] : children_) {
    if (!child->ended()) child->signal(kSignalHangUp);
  }
}

void Postmaster::update_configuration(Process& process) {
  if (reloaded_) find_symbol(process, symbols::kProcessConfigFile)(kLayout.context_sighup);
}

void Postmaster::give_access_rules(Process& process, bool is_outside) {
  const bool believed = !is_outside && has_own_rules_;
  if (!believed && !reloaded_) return;  // the image has them
  // Nobody else runs meanwhile.
  if (believed) (void)write_file(*config_.tree.memory, kHbaFile, kBelieved);
  (void)find_symbol(process, symbols::kLoadHba)();
  if (believed) (void)write_file(*config_.tree.memory, kHbaFile, config_.access_rules);
}

bool Postmaster::wake_checkpointer() {
  Child* checkpointer = find(BackendType::kCheckpointer);
  if (checkpointer == nullptr) return false;
  checkpointer->set_latch();
  return true;
}

bool Postmaster::run_next() {
  if (!failure_.ok()) return false;
  restart_due();
  if (!scheduler_.run_next()) return false;
  if (any_ended_) reap();
  if (signalled_) act_on_signals();
  return true;
}

void Postmaster::fail(const Child& child) {
  if (!failure_.ok()) return;
  // A FATAL error is some session's own, unless the cluster was being recovered.
  const std::string* last = config_.last_fatal;
  const bool is_said =
      last != nullptr && (child.type() == BackendType::kStartup || last->starts_with("PANIC"));
  failure_ = Status::engine_gone(
      "a process of PostgreSQL crashed (pid " + std::to_string(child.pid()) +
      "): " + (is_said ? reason_for(child.outcome()) : describe(child.outcome())));
}

void Postmaster::restart_due() {
  const std::optional<double> worker = workers_.next_restart();
  if (!worker && restarts_.empty()) return;
  const double now = emscripten::monotonic_milliseconds();
  if (worker && *worker <= now) {
    if (const Process* process = any_process()) workers_.restart_due(*process);
  }
  std::erase_if(restarts_, [&](const auto& restart) {
    return restart.second <= now && start_child(restart.first, {}, nullptr).ok();
  });
}

std::optional<double> Postmaster::next_due() const {
  std::optional<double> next = scheduler_.next_due();
  const auto consider = [&](double due) {
    if (!next || due < *next) next = due;
  };
  if (const auto worker = workers_.next_restart()) consider(*worker);
  for (const auto& [type, due] : restarts_) consider(due);
  return next;
}

const Process* Postmaster::any_process() const {
  for (const auto& [pid, child] : children_) {
    if (!child->ended()) return &child->process();
  }
  return nullptr;
}

void Postmaster::reap() {
  any_ended_ = false;
  for (auto it = children_.begin(); it != children_.end();) {
    Child& child = *it->second;
    if (!child.ended()) {
      ++it;
      continue;
    }
    const auto* client = dynamic_cast<const Client*>(&child);
    const bool needed = child.type() == BackendType::kStartup ||
                        (child.type() == BackendType::kCheckpointer && !wal_is_shut_down_);
    if (child.crashed() || (needed && !child.outcome().exited(0))) fail(child);
    // After an error PostgreSQL's postmaster starts them again, too.
    const bool is_helper =
        child.type() == BackendType::kWalWriter || child.type() == BackendType::kAutovacuumLauncher;
    if (is_helper && !shutting_down_ && child.outcome().exited(kExitFatal)) {
      constexpr double kPause = 1000;
      restarts_[child.type()] = emscripten::monotonic_milliseconds() + kPause;
    }
    if (child.type() == BackendType::kBackgroundWorker && failure_.ok()) {
      if (const Process* process = any_process()) {
        workers_.ended(*process, child.pid(), child.outcome());
      }
    }
    // A client's owner still wants its last words.
    if (client != nullptr && !client->is_orphan) {
      ++it;
    } else {
      client_count_ -= client != nullptr ? 1 : 0;
      it = children_.erase(it);
    }
  }
}

void Postmaster::act_on_signals() {
  signalled_ = false;
  const Process* some = any_process();
  if (some == nullptr) return;
  const Process& process = *some;
  const uint32_t flags = load(process, process.data_address(symbols::kPostmasterSignals));
  const auto take = [&](PostmasterSignal signal) {
    const GuestPtr<uint32_t> at{flags + 4 * static_cast<uint32_t>(signal)};
    const bool is_set = process.memory().load(at).value_or(0) != 0;
    if (is_set) (void)process.memory().store(at, 0);
    return is_set;
  };
  if (take(PostmasterSignal::kWalIsShutDown)) wal_is_shut_down_ = true;
  if (take(PostmasterSignal::kStartAutovacuumWorker) && !shutting_down_) {
    (void)start_child(BackendType::kAutovacuumWorker, {}, nullptr);
  }
  if (take(PostmasterSignal::kBackgroundWorkerChange)) workers_.act(process, !shutting_down_);
  // The others ask for what is not here, or tell what is known.
  for (uint32_t i = 0; i < static_cast<uint32_t>(PostmasterSignal::kCount); ++i) {
    (void)take(static_cast<PostmasterSignal>(i));
  }
}

Status Postmaster::shut_down() {
  constexpr double kPatience = 60'000;
  shutting_down_ = true;
  restarts_.clear();
  workers_.forget_restarts();
  const auto is_last = [](const auto& entry) {
    const Child& child = *entry.second;
    return child.type() == BackendType::kCheckpointer || child.ended();
  };
  for (const auto& [pid, child] : children_) {
    if (auto* client = dynamic_cast<Client*>(child.get())) client->close_input();
  }
  // One that has just begun has no handler yet, and loses the signal.
  constexpr double kAgain = 100;
  const double end = emscripten::monotonic_milliseconds() + kPatience;
  do {
    for (const auto& [pid, child] : children_) {
      if (child->type() != BackendType::kCheckpointer && !child->ended()) {
        child->signal(kSignalTerminate);
      }
    }
    if (emscripten::monotonic_milliseconds() > end) {
      return Status::engine_gone("PostgreSQL's sessions did not end");
    }
  } while (!run_until([&] { return std::ranges::all_of(children_, is_last); }, kAgain) &&
           failure_.ok());
  if (!failure_.ok()) return failure_;
  Child* checkpointer = find(BackendType::kCheckpointer);
  if (checkpointer == nullptr) return Status::engine_gone("PostgreSQL has no checkpointer");
  running_ = false;
  checkpointer->signal(kSignalInterrupt);
  if (run_until([&] { return wal_is_shut_down_; }, kPatience)) {
    checkpointer->signal(kSignalUser2);
    (void)run_until([&] { return find(BackendType::kCheckpointer) == nullptr; }, kPatience);
  }
  if (!failure_.ok()) return failure_;
  if (!wal_is_shut_down_) return Status::engine_gone("PostgreSQL's shutdown did not end");
  Status status = run_exit_functions();
  remove_pid_file(config_.tree);
  return status;
}

Status Postmaster::run_exit_functions() {
  emscripten::ProcessConfig config = process_config();
  const int32_t pid = next_pid();
  config.pid = pid;
  emscripten::RestoreError error;
  std::unique_ptr<Process> process;
  process = Process::restore(
      std::move(config), image_->state(), *image_,
      [&](std::string_view name) { return callback(name, &process); }, &error);
  if (process == nullptr) {
    return Status::engine_gone("PostgreSQL's shutdown did not end: " + error.message);
  }
  wasm::Outcome outcome;
  process->run([&] {
    outcome = process->call([&] {
      // proc_exit() is not for a process whose parent registered the functions.
      (void)process->memory().store(GuestPtr<uint32_t>{process->data_address(symbols::kMyProcPid)},
                                    static_cast<uint32_t>(pid));
      find_symbol(*process, symbols::kProcExit)(0);
    });
  });
  return outcome.exited(0)
             ? Status()
             : Status::engine_gone("PostgreSQL's shutdown did not end: " + describe(outcome));
}

void Postmaster::remove_pid_file(const GuestTree& tree) {
  (void)tree.root->remove_file(std::string(kDataDirectory) + "/postmaster.pid");
}

}  // namespace pglite::postgres
