#include "postgres/upkeep/catalog_caches.h"

#include "wasm/guest_memory.h"

namespace pglite::postgres {

namespace {

using wasm::GuestPtr;

constexpr uint32_t kMemoryAllocated = 8;  // struct MemoryContextData (nodes/memnodes.h)

// struct SISeg (storage/ipc/sinvaladt.c): a ring of 4096 messages of 16 bytes, then the sessions.
constexpr uint32_t kSessionCount = 65552;
constexpr uint32_t kSessionNumbers = 65556;  // a pointer to them
constexpr uint32_t kSessions = 65560;
constexpr uint32_t kSessionSize = 16;
// struct ProcState, in it.
constexpr uint32_t kPid = 0;
constexpr uint32_t kReset = 8;
constexpr uint32_t kHasMessages = 10;

}  // namespace

uint64_t CatalogCaches::allocated() const {
  const wasm::GuestMemory memory = process_.memory();
  const auto context = memory.load(GuestPtr<uint32_t>{context_});
  if (context_ == 0 || !context || *context == 0) return 0;
  return memory.load(GuestPtr<uint32_t>{*context + kMemoryAllocated}).value_or(0);
}

bool CatalogCaches::forget(uint32_t queue_size) {
  const auto find = process_.function<uint32_t(uint32_t, uint32_t, uint32_t)>("ShmemInitStruct");
  const auto allocate = process_.function<uint32_t(uint32_t)>("_emscripten_stack_alloc");
  const uint32_t pid_address = process_.data_address("MyProcPid");
  if (!find || !allocate || pid_address == 0) return false;
  uint32_t queue = 0;
  process_.run([&] {
    const uint32_t stack_pointer = *process_.env().stack_pointer;
    (void)process_.call([&] {
      const uint32_t found = allocate(16);
      queue = find(process_.push_string(kQueue), queue_size, found);
    });
    *process_.env().stack_pointer = stack_pointer;
  });
  if (queue == 0) return false;
  const wasm::GuestMemory memory = process_.memory();
  const auto load = [&](uint32_t address) {
    return memory.load(GuestPtr<uint32_t>{address}).value_or(0);
  };
  const uint32_t pid = load(pid_address);
  const uint32_t count = load(queue + kSessionCount);
  for (uint32_t i = 0; i < std::min<uint32_t>(count, 1024); ++i) {
    const uint32_t number = load(load(queue + kSessionNumbers) + 4 * i);
    const uint32_t session = queue + kSessions + kSessionSize * number;
    if (pid == 0 || load(session + kPid) != pid) continue;
    return memory.store(GuestPtr<uint8_t>{session + kReset}, 1).has_value() &&
           memory.store(GuestPtr<uint8_t>{session + kHasMessages}, 1).has_value();
  }
  return false;
}

}  // namespace pglite::postgres
