#include "postgres/upkeep/foreign_key_cache.h"

#include <type_traits>

#include "wasm/guest_memory.h"

namespace pglite::postgres {

namespace {

using wasm::GuestPtr;

// struct MemoryContextData (nodes/memnodes.h).
constexpr uint32_t kAllocated = 8;
constexpr uint32_t kFirstChild = 20;
constexpr uint32_t kNextChild = 28;
constexpr uint32_t kIdentifier = 36;

// struct HTAB (utils/hash/dynahash.c). The table's name follows it and is its context's identifier.
constexpr uint32_t kTableSize = 48;
constexpr uint32_t kTableContext = 24;
constexpr uint32_t kTableName = 28;

// struct RI_QueryHashEntry and RI_ConstraintInfo (utils/adt/ri_triggers.c); both begin with the
// key.
constexpr uint32_t kPlan = 8;
constexpr uint32_t kValid = 4;

constexpr uint32_t kRemove = 2;  // HASH_REMOVE
// Of an entry of the plans' table, at least.
constexpr uint64_t kEntrySize = 16;

// More contexts than a session has right below TopMemoryContext, so that a walk ends.
constexpr int kMostContexts = 10000;

}  // namespace

uint32_t ForeignKeyCache::load(uint32_t address) const {
  return process_.memory().load(GuestPtr<uint32_t>{address}).value_or(0);
}

uint32_t ForeignKeyCache::find_table(const char* name) const {
  const uint32_t top = process_.data_address("TopMemoryContext");
  if (top == 0) return 0;
  uint32_t context = load(load(top) + kFirstChild);
  for (int i = 0; context != 0 && i < kMostContexts; ++i) {
    const uint32_t identifier = load(context + kIdentifier);
    if (identifier > kTableSize) {
      const auto text = process_.memory().c_string(identifier);
      const uint32_t table = identifier - kTableSize;
      if (text && *text == name && load(table + kTableName) == identifier &&
          load(table + kTableContext) == context) {
        return table;
      }
    }
    context = load(context + kNextChild);
  }
  return 0;
}

bool ForeignKeyCache::find() {
  if (plans_ == 0) plans_ = find_table("RI query cache");
  return plans_ != 0;
}

uint64_t ForeignKeyCache::most_plans() const {
  if (plans_ == 0) return 0;
  return load(load(plans_ + kTableContext) + kAllocated) / kEntrySize;
}

template <class Visit>
void ForeignKeyCache::for_each(uint32_t table, Visit visit) {
  // A trap skips destructors.
  static_assert(std::is_trivially_destructible_v<Visit>);
  const auto begin = process_.function<void(uint32_t, uint32_t)>("hash_seq_init");
  const auto next = process_.function<uint32_t(uint32_t)>("hash_seq_search");
  const auto allocate = process_.function<uint32_t(uint32_t)>("_emscripten_stack_alloc");
  if (table == 0 || !begin || !next || !allocate) return;
  process_.run([&] {
    const uint32_t stack_pointer = *process_.env().stack_pointer;
    (void)process_.call([&] {
      const uint32_t scan = allocate(32);  // HASH_SEQ_STATUS
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
  const auto free_plan = process_.function<uint32_t(uint32_t)>("SPI_freeplan");
  const auto search =
      process_.function<uint32_t(uint32_t, uint32_t, uint32_t, uint32_t)>("hash_search");
  if (!free_plan || !search) return;
  for_each(plans_, [&](uint32_t entry) {
    // First out of the table: nothing may lead to a plan that is gone.
    const uint32_t plan = load(entry + kPlan);
    search(plans_, entry, kRemove, 0);
    if (plan != 0) free_plan(plan);
  });
  if (descriptions_ == 0) descriptions_ = find_table("RI constraint cache");
  for_each(descriptions_, [&](uint32_t entry) {
    const auto valid = process_.memory().load(GuestPtr<uint8_t>{entry + kValid});
    if (valid && *valid == 0) search(descriptions_, entry, kRemove, 0);
  });
}

}  // namespace pglite::postgres
