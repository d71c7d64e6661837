#include "postgres/upkeep/foreign_key_cache.h"

#include <type_traits>

#include "postgres/guest/layout.h"
#include "wasm/guest_memory.h"

namespace pglite::postgres {

namespace {

using wasm::GuestPtr;

// Of an entry of the plans' table, at least.
constexpr uint64_t kEntrySize = 16;

}  // namespace

uint32_t ForeignKeyCache::load(uint32_t address) const {
  return process_.memory().load(GuestPtr<uint32_t>{address}).value_or(0);
}

bool ForeignKeyCache::find() {
  if (plans_ == 0) plans_ = find_hash_table(process_, kForeignKeyPlans);
  return plans_ != 0;
}

uint64_t ForeignKeyCache::most_plans() const {
  if (plans_ == 0) return 0;
  return load(load(plans_ + kLayout.hash_table_context) + kLayout.memory_context_allocated) /
         kEntrySize;
}

template <class Visit>
void ForeignKeyCache::for_each(uint32_t table, Visit visit) {
  // A trap skips destructors.
  static_assert(std::is_trivially_destructible_v<Visit>);
  const auto begin = find_symbol(process_, symbols::kHashSeqInit);
  const auto next = find_symbol(process_, symbols::kHashSeqSearch);
  const auto allocate = find_symbol(process_, symbols::kStackAlloc);
  if (table == 0 || !begin || !next || !allocate) return;
  process_.run([&] {
    const uint32_t stack_pointer = *process_.env().stack_pointer;
    (void)process_.call([&] {
      const uint32_t scan = allocate((kLayout.hash_scan_size + 15) / 16 * 16);
      begin(scan, table);
      while (const uint32_t entry = next(scan)) visit(entry);
    });
    *process_.env().stack_pointer = stack_pointer;
  });
}

uint64_t ForeignKeyCache::plans() {
  uint64_t count = 0;
  for_each(plans_, [&](uint32_t) { ++count; });
  return count;
}

void ForeignKeyCache::forget() {
  const auto free_plan = find_symbol(process_, symbols::kSpiFreePlan);
  const auto search = find_symbol(process_, symbols::kHashSearch);
  if (!free_plan || !search) return;
  for_each(plans_, [&](uint32_t entry) {
    // First out of the table: nothing may lead to a plan that is gone.
    const uint32_t plan = load(entry + kLayout.foreign_key_plan);
    search(plans_, entry, kLayout.hash_remove, 0);
    if (plan != 0) free_plan(plan);
  });
  if (descriptions_ == 0) descriptions_ = find_hash_table(process_, kForeignKeyDescriptions);
  for_each(descriptions_, [&](uint32_t entry) {
    const auto valid = process_.memory().load(GuestPtr<uint8_t>{entry + kLayout.foreign_key_valid});
    if (valid && *valid == 0) search(descriptions_, entry, kLayout.hash_remove, 0);
  });
}

}  // namespace pglite::postgres
