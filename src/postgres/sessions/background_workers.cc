#include "postgres/sessions/background_workers.h"

#include <algorithm>
#include <cstring>

#include "emscripten/kernel.h"
#include "postgres/guest/layout.h"

namespace pglite::postgres {

namespace {

using emscripten::Process;
using wasm::GuestPtr;

// More slots than anybody may want; what shared memory says is the guests' word.
constexpr uint32_t kMostSlots = 262143;

uint32_t load(const Process& process, uint32_t address) {
  return process.memory().load(GuestPtr<uint32_t>{address}).value_or(0);
}
bool load_flag(const Process& process, uint32_t address) {
  return process.memory().load(GuestPtr<uint8_t>{address}).value_or(0) != 0;
}
void store(const Process& process, uint32_t address, uint32_t value) {
  (void)process.memory().store(GuestPtr<uint32_t>{address}, value);
}

uint32_t array(const Process& process) {
  return load(process, process.data_address(symbols::kBackgroundWorkers));
}
uint32_t slot_address(const Process& process, uint32_t slot) {
  return array(process) + kLayout.workers_slots + slot * kLayout.worker_slot_size;
}

int32_t member(const std::string& worker, uint32_t offset) {
  int32_t value = 0;
  std::memcpy(&value, worker.data() + offset, sizeof value);
  return value;
}

}  // namespace

BackgroundWorkers::Worker* BackgroundWorkers::find_slot(uint32_t slot) {
  const auto found = std::ranges::find(workers_, slot, &Worker::slot);
  return found == workers_.end() ? nullptr : &*found;
}

void BackgroundWorkers::release_slot(const Process& process, uint32_t slot) {
  const uint32_t at = slot_address(process, slot);
  const uint32_t flags = load(process, at + kLayout.worker_slot_worker + kLayout.worker_flags);
  if (flags & kLayout.worker_is_parallel) {
    const uint32_t terminated = array(process) + kLayout.workers_terminated;
    store(process, terminated, load(process, terminated) + 1);
  }
  (void)process.memory().store(GuestPtr<uint8_t>{at + kLayout.worker_slot_in_use}, 0);
}

void BackgroundWorkers::act(const Process& process, bool allow_new) {
  const uint32_t slots =
      std::min(load(process, array(process) + kLayout.workers_total), kMostSlots);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const uint32_t at = slot_address(process, slot);
    if (!load_flag(process, at + kLayout.worker_slot_in_use)) continue;
    const bool terminate = load_flag(process, at + kLayout.worker_slot_terminate);
    if (Worker* known = find_slot(slot)) {
      if (!terminate || known->terminate) continue;
      known->terminate = true;
      if (known->pid != 0) {
        callbacks_.signal(known->pid, kSignalTerminate);
        continue;
      }
      // It never ran, or waits to be restarted.
      const int32_t notify = member(known->data, kLayout.worker_notify_pid);
      store(process, at + kLayout.worker_slot_pid, 0);
      std::erase_if(workers_, [&](const Worker& worker) { return worker.slot == slot; });
      release_slot(process, slot);
      if (notify != 0) callbacks_.signal(notify, kSignalUser1);
      continue;
    }
    const auto bytes = process.memory().bytes(at + kLayout.worker_slot_worker, kLayout.worker_size);
    if (!bytes) return;
    Worker worker;
    worker.slot = slot;
    worker.data.assign(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    if (terminate || !allow_new) {
      store(process, at + kLayout.worker_slot_pid, 0);
      release_slot(process, slot);
      const int32_t notify = member(worker.data, kLayout.worker_notify_pid);
      if (notify != 0) callbacks_.signal(notify, kSignalUser1);
      continue;
    }
    workers_.push_back(std::move(worker));
    start(process, workers_.back());
  }
}

void BackgroundWorkers::start(const Process& process, Worker& worker) {
  worker.restart_at.reset();
  worker.pid = callbacks_.start(worker.data);
  if (worker.pid == 0) {
    // As a postmaster whose fork() failed: it tries again.
    worker.restart_at = emscripten::monotonic_milliseconds() + 1000;
    return;
  }
  store(process, slot_address(process, worker.slot) + kLayout.worker_slot_pid,
        static_cast<uint32_t>(worker.pid));
  const int32_t notify = member(worker.data, kLayout.worker_notify_pid);
  if (notify != 0) callbacks_.signal(notify, kSignalUser1);
}

void BackgroundWorkers::ended(const Process& process, int32_t pid, const wasm::Outcome& outcome) {
  const auto worker = std::ranges::find(workers_, pid, &Worker::pid);
  if (worker == workers_.end()) return;
  worker->pid = 0;
  store(process, slot_address(process, worker->slot) + kLayout.worker_slot_pid, 0);
  const int32_t notify = member(worker->data, kLayout.worker_notify_pid);
  const int32_t restart = member(worker->data, kLayout.worker_restart_time);
  if (outcome.exited(0) || worker->terminate || restart == kLayout.worker_never_restart ||
      !allow_restarts_) {
    release_slot(process, worker->slot);
    workers_.erase(worker);
  } else {
    worker->restart_at = emscripten::monotonic_milliseconds() + static_cast<double>(restart) * 1000;
  }
  if (notify != 0) callbacks_.signal(notify, kSignalUser1);
}

std::optional<double> BackgroundWorkers::next_restart() const {
  std::optional<double> next;
  for (const Worker& worker : workers_) {
    if (worker.restart_at && (!next || *worker.restart_at < *next)) next = worker.restart_at;
  }
  return next;
}

void BackgroundWorkers::restart_due(const Process& process) {
  const double now = emscripten::monotonic_milliseconds();
  for (Worker& worker : workers_) {
    if (worker.restart_at && *worker.restart_at <= now) start(process, worker);
  }
}

}  // namespace pglite::postgres
