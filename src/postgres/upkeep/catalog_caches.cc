#include "postgres/upkeep/catalog_caches.h"

#include "wasm/guest_memory.h"

namespace pglite::postgres {

using wasm::GuestPtr;

uint64_t CatalogCaches::allocated() const {
  const wasm::GuestMemory memory = process_.memory();
  const auto context = memory.load(GuestPtr<uint32_t>{context_});
  if (context_ == 0 || !context || *context == 0) return 0;
  return memory.load(GuestPtr<uint32_t>{*context + kLayout.memory_context_allocated}).value_or(0);
}

bool CatalogCaches::forget(uint32_t queue_size) {
  const uint32_t pid_address = process_.data_address(symbols::kMyProcPid);
  const uint32_t queue = pid_address == 0 ? 0 : find_shared(process_, kQueue, queue_size);
  if (queue == 0) return false;
  const wasm::GuestMemory memory = process_.memory();
  const auto load = [&](uint32_t address) {
    return memory.load(GuestPtr<uint32_t>{address}).value_or(0);
  };
  const uint32_t pid = load(pid_address);
  const uint32_t count = load(queue + kLayout.sinval_session_count);
  for (uint32_t i = 0; i < std::min<uint32_t>(count, 1024); ++i) {
    const uint32_t number = load(load(queue + kLayout.sinval_session_numbers) + 4 * i);
    const uint32_t session = queue + kLayout.sinval_sessions + kLayout.sinval_session_size * number;
    if (pid == 0 || load(session + kLayout.sinval_session_pid) != pid) continue;
    return memory.store(GuestPtr<uint8_t>{session + kLayout.sinval_session_reset}, 1).has_value() &&
           memory.store(GuestPtr<uint8_t>{session + kLayout.sinval_session_has_messages}, 1)
               .has_value();
  }
  return false;
}

}  // namespace pglite::postgres
