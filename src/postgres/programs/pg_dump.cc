// How pg_dump and the backend talk (PGlite: packages/pglite-tools/src/pg_dump.ts).
//
// Both are guests on stacks of their own, and neither is a thread. libpq in pg_dump sends and
// receives through two callbacks. One that wants to receive when nothing is there is suspended;
// what it has sent by then is a request, which the backend answers. While the answer is long
// (COPY), the backend's turn is where pg_dump goes on, whenever enough has come: a table of any
// size takes no more memory than that.
#include "postgres/programs/pg_dump.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "emscripten/import_result.h"
#include "postgres/guest/postgres_process.h"
#include "postgres/programs/symbols.h"
#include "vfs/devices.h"
#include "vfs/memory_filesystem.h"
#include "wasm/module_registry.h"
#include "wire/backend_message.h"
#include "wire/frontend.h"
#include "wire/startup_packet.h"

namespace pglite::postgres {

namespace {

using emscripten::Process;

constexpr size_t kEnoughToGoOn = size_t{256} << 10;  // bytes of an answer
constexpr size_t kRequestLimit = size_t{wire::kLargeMessageLimit} + (size_t{1} << 20);
constexpr uint32_t kFailed = UINT32_MAX;  // -1, as recv(2) and send(2) have it

// Standard output. What the sink says is kept: pg_dump knows errno numbers only.
class OutputDevice : public vfs::Device {
 public:
  explicit OutputDevice(const ByteSink& sink) : sink_(sink) {}

  vfs::Result<size_t> read(std::span<std::byte> /*buffer*/) override {
    return vfs::error(std::errc::bad_file_descriptor);
  }
  vfs::Result<size_t> write(std::span<const std::byte> data) override {
    if (status_.ok()) {
      try {
        status_ = sink_({reinterpret_cast<const char*>(data.data()), data.size()});
      } catch (const std::exception& exception) {
        status_ =
            Status::io_error(std::string("the dump cannot be delivered: ") + exception.what());
      } catch (...) {
        status_ = Status::io_error("the dump cannot be delivered: an exception of unknown type");
      }
    }
    if (!status_.ok()) return vfs::error(std::errc::io_error);
    size_ += data.size();
    return data.size();
  }
  [[nodiscard]] bool seekable() const override { return false; }

  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] uint64_t size() const { return size_; }

 private:
  const ByteSink& sink_;
  Status status_;
  uint64_t size_ = 0;
};

// Standard input. There is none; an end of file would make `--filter=-` a filter that lets all
// pass.
class NoInputDevice : public vfs::Device {
 public:
  vfs::Result<size_t> read(std::span<std::byte> /*buffer*/) override {
    return vfs::error(std::errc::bad_file_descriptor);
  }
  vfs::Result<size_t> write(std::span<const std::byte> /*data*/) override {
    return vfs::error(std::errc::bad_file_descriptor);
  }
  [[nodiscard]] bool seekable() const override { return false; }
};

class PgDump {
 public:
  explicit PgDump(const PgDumpConfig& config)
      : config_(config), output_(std::make_shared<OutputDevice>(config.output)) {}

  Status run();

 private:
  static uint32_t receive(void* context, uint32_t buffer, uint32_t size);
  static uint32_t send(void* context, uint32_t buffer, uint32_t size);

  Status make_process();
  void work();
  void go_on() { ended_ = process_->execution().resume(); }
  // Has what was sent answered.
  Status answer();
  void take_answer(std::string_view bytes);
  // The answer to a startup packet that is malformed, or asks for another session than this one.
  [[nodiscard]] std::optional<std::string> refusal(std::string_view request) const;
  [[nodiscard]] Status result() const;

  const PgDumpConfig& config_;
  std::shared_ptr<OutputDevice> output_;
  std::unique_ptr<Process> process_;
  wasm::Outcome outcome_;
  bool ended_ = false;
  bool hung_up_ = false;  // nothing more will come
  std::string sent_;
  std::string received_;
  size_t received_begin_ = 0;  // what of received_ pg_dump has got
};

Status PgDump::make_process() {
  auto files = std::make_shared<vfs::MemoryFileSystem>();
  const std::pair<std::string_view, std::shared_ptr<vfs::Device>> devices[] = {
      {"/dev/null", vfs::make_null_device()},
      {"/dev/random", vfs::make_random_device()},
      {"/dev/urandom", vfs::make_random_device()},
      {"/dev/stdin", std::make_shared<NoInputDevice>()},
      {"/dev/stdout", output_},
      {"/dev/stderr", std::make_shared<vfs::LineSink>(config_.messages)},
  };
  bool made = files->make_directories("/dev", 0755) && files->make_directories("/tmp", 0777) &&
              files->make_directories("/bin", 0755);
  // It looks for itself, and complains where it is not there.
  made = made && files->open("/bin/pg_dump", {.write = true, .create = true}, 0555);
  for (const auto& [path, device] : devices) made = made && files->add_device(path, device);
  if (!made) return Status::engine_gone("pg_dump's files cannot be made");
  emscripten::ProcessConfig config;
  config.main = wasm::find_module_by_name("pg_dump");
  config.program = "pg_dump";
  config.environment = {"HOME=/",
                        "PATH=/bin",
                        "LANG=C.UTF-8",
                        "TZ=UTC",
                        "PGHOST=/tmp",
                        "PGUSER=" + config_.username,
                        "PGDATABASE=" + config_.database};
  config.filesystem = std::move(files);
  config.has_sockets = true;
  config.log = config_.messages;
  config.on_missing_function = [](Process& process, const char* name) {
    process.log("pg_dump called " + std::string(name) + ", which it lacks");
  };
  std::string error;
  process_ = Process::create(std::move(config), &error);
  if (process_ == nullptr) return Status::engine_gone("pg_dump cannot be started: " + error);
  return {};
}

// On pg_dump's stack, from its beginning to its end.
void PgDump::work() {
  outcome_ = process_->call([&] {
    const auto callback = [&](auto* function) {
      return emscripten::Callback{wasm_func_type_ii_i,
                                  reinterpret_cast<wasm_rt_function_ptr_t>(function), this};
    };
    const auto set_callbacks = find_symbol(*process_, symbols::kSetSocket);
    const uint32_t read = process_->add_callback("receive", callback(receive));
    set_callbacks(read, process_->add_callback("send", callback(send)));
  });
  if (!outcome_.returned()) return;
  outcome_ = process_->call_main(config_.arguments);
  if (outcome_.kind != wasm::Outcome::Kind::kExited) return;
  // What exit() would do after main.
  const auto at_exit = find_symbol(*process_, symbols::kRunExitFunctions);
  const auto flush = find_symbol(*process_, symbols::kFlushStream);
  process_->call([&] { at_exit(); });
  process_->call([&] { flush(0); });
}

uint32_t PgDump::receive(void* context, uint32_t buffer, uint32_t size) {
  auto& self = *static_cast<PgDump*>(context);
  self.process_->execution().need_host_stack();
  if (self.received_.empty() && !self.hung_up_) {
    self.process_->execution().suspend(wasm::Suspension::kInput);
  }
  const auto target = self.process_->memory().bytes(buffer, size);
  if (!target) return kFailed;
  const size_t count = std::min<size_t>(size, self.received_.size() - self.received_begin_);
  std::memcpy(target->data(), self.received_.data() + self.received_begin_, count);
  self.received_begin_ += count;
  if (self.received_begin_ == self.received_.size()) {
    self.received_.clear();
    self.received_begin_ = 0;
  }
  return static_cast<uint32_t>(count);
}

uint32_t PgDump::send(void* context, uint32_t buffer, uint32_t size) {
  return emscripten::guarded(kFailed, [&] {
    auto& self = *static_cast<PgDump*>(context);
    const auto source = self.process_->memory().bytes(buffer, size);
    if (!source || size > kRequestLimit - self.sent_.size()) return kFailed;
    self.sent_.append(reinterpret_cast<const char*>(source->data()), source->size());
    return size;
  });
}

void PgDump::take_answer(std::string_view bytes) {
  if (ended_) return;
  received_ += bytes;
  if (received_.size() < kEnoughToGoOn) return;
  go_on();
  if (ended_) config_.cancel();
}

std::optional<std::string> PgDump::refusal(std::string_view request) const {
  const wire::Split split = wire::split_packet(request, 0);
  if (split.result != wire::Split::Result::kPacket ||
      split.packet.kind != wire::PacketKind::kStartup) {
    return std::nullopt;
  }
  wire::StartupPacket startup;
  if (const std::string error = wire::parse_startup_packet(split.packet.bytes, &startup);
      !error.empty()) {
    return wire::error_response("FATAL", "08P01", error);
  }
  const std::string_view user = startup.value("user").value_or("");
  std::string_view database = startup.value("database").value_or("");
  if (database.empty()) database = user;  // as PostgreSQL does
  if (user == config_.username && database == config_.database) return std::nullopt;
  const std::string message = "this session is role \"" + config_.username + "\" in database \"" +
                              config_.database + "\", not \"" + std::string(user) + "\" in \"" +
                              std::string(database) + "\"";
  return wire::error_response("FATAL", "08004", message);
}

Status PgDump::answer() {
  const std::string request = std::exchange(sent_, {});
  if (auto refused = refusal(request)) {
    received_ = std::move(*refused);
    return {};
  }
  return config_.exec(request, [this](std::string_view bytes) { take_answer(bytes); });
}

Status PgDump::result() const {
  if (!output_->status().ok()) return output_->status();
  if (outcome_.kind != wasm::Outcome::Kind::kExited) {
    return Status::engine_gone("pg_dump failed: " + describe(outcome_));
  }
  if (outcome_.exit_status != 0) return {StatusCode::kToolFailed, "pg_dump failed"};
  if (output_->size() == 0) {
    return Status::invalid_argument(
        "pg_dump wrote to a file of its own, which is gone; accepted is what writes to its "
        "standard output, without -f");
  }
  return {};
}

Status PgDump::run() {
  Status status = make_process();
  if (!status.ok()) return status;
  const std::function<void()> task = [this] { work(); };
  ended_ = process_->execution().run(task);
  while (!ended_) {
    if (received_.empty()) {
      // It waits. Where it has asked for nothing, or the answer is cut off, it waits in vain.
      hung_up_ = hung_up_ || sent_.empty() || !status.ok();
      if (!hung_up_) status = answer();
    }
    if (!ended_ && (hung_up_ || !received_.empty())) go_on();
  }
  return status.ok() ? result() : status;
}

}  // namespace

Status run_pg_dump(const PgDumpConfig& config) {
  return PgDump(config).run();
}

}  // namespace pglite::postgres
