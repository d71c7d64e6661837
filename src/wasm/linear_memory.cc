// LinearMemory, and the part of wasm-rt.h that translated code calls: memories, tables, traps.
#include "wasm/linear_memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "os/virtual_memory.h"
#include "wasm/execution.h"
#include "wasm/guest_module.h"

namespace pglite::wasm {

namespace {

// A table is mapped whole (8 MB; pages that are never touched cost nothing), so that it grows in
// place and without a system call: generated code and side modules keep pointers into it.
constexpr uint64_t kMaxTableElements = GUEST_TABLE_CAPACITY;
constexpr uint64_t kTableSize = GUEST_TABLE_SIZE;

constexpr uint64_t kInFront = GUEST_TABLE_SIZE + GUEST_INSTANCE_SIZE;
constexpr uint64_t kWhole = kInFront + LinearMemory::kReservation;

}  // namespace

LinearMemory::LinearMemory(uint64_t min_pages, uint64_t max_pages) {
  if (!allocate(&memory_, min_pages, max_pages)) throw std::bad_alloc();
}

LinearMemory::~LinearMemory() {
  if (reservation_ != nullptr) os::unmap(reservation_, kWhole);
}

bool LinearMemory::allocate(wasm_rt_memory_t* place, uint64_t min_pages, uint64_t max_pages) {
  if (reservation_ != nullptr) return false;
  const auto reserved = os::reserve_address_space(kWhole);
  if (!reserved) return false;
  std::byte* const start = *reserved;
  const uint64_t size = min_pages * WASM_DEFAULT_PAGE_SIZE;
  if (!os::make_accessible(start, kInFront + size)) {
    os::unmap(start, kWhole);
    return false;
  }
  // A system that gives huge pages to everybody would make an idle instance twice its size.
  os::forbid_huge_pages(start, kWhole);
  reservation_ = start;
  place_ = place;
  *place = {};
  place->data = reinterpret_cast<uint8_t*>(start) + kInFront;
  place->data_end = place->data + kReservation;
  place->page_size = WASM_DEFAULT_PAGE_SIZE;
  place->pages = min_pages;
  place->max_pages = max_pages;
  place->size = size;
  place->is64 = false;
  return true;
}

bool LinearMemory::may_map(uint64_t address, uint64_t size, uint64_t offset) const {
  if (size == 0 || (address | size | offset) % kMapAlignment != 0) return false;
  if (address > this->size() || size > this->size() - address) return false;
  return std::ranges::none_of(shared_, [&](const SharedRegion& region) {
    return address < region.end && region.begin < address + size;
  });
}

bool LinearMemory::map_file(uint64_t address, uint64_t size, int fd, uint64_t offset) {
  return may_map(address, size, offset) &&
         os::map_file_copy(place_->data + address, size, fd, offset).has_value();
}

bool LinearMemory::map_shared(uint64_t address, uint64_t size, int fd, uint64_t offset) {
  if (!may_map(address, size, offset)) return false;
  shared_.reserve(shared_.size() + 1);  // nothing may fail once it is mapped
  if (!os::map_file_shared(place_->data + address, size, fd, offset)) return false;
  os::forbid_huge_pages(place_->data + address, size);
  const SharedRegion region{address, address + size};
  shared_.insert(std::ranges::upper_bound(shared_, region.begin, {}, &SharedRegion::begin), region);
  return true;
}

bool LinearMemory::unmap_shared(uint64_t address, uint64_t size) {
  const auto region = std::ranges::find(shared_, address, &SharedRegion::begin);
  if (region == shared_.end() || region->end != address + size) return false;
  if (!os::map_zero_pages(place_->data + address, size)) return false;
  shared_.erase(region);
  return true;
}

void LinearMemory::clear(uint64_t address, uint64_t size) {
  const uint64_t end = address + size;
  for (const SharedRegion& region : shared_) {
    if (region.end <= address) continue;
    if (region.begin >= end) break;
    if (region.begin > address) clear_private(address, region.begin - address);
    const uint64_t begin = std::max(address, region.begin);
    address = std::min(end, region.end);
    std::memset(place_->data + begin, 0, address - begin);
  }
  if (address < end) clear_private(address, end - address);
}

void LinearMemory::clear_private(uint64_t address, uint64_t size) {
  // The pages of WebAssembly; no system has larger ones.
  constexpr uint64_t kPage = WASM_DEFAULT_PAGE_SIZE;
  uint8_t* const bytes = place_->data + address;
  const uint64_t head = std::min((kPage - address % kPage) % kPage, size);
  const uint64_t whole = (size - head) / kPage * kPage;
  if (whole == 0 || !os::map_zero_pages(bytes + head, whole)) {
    std::memset(bytes, 0, size);
    return;
  }
  std::memset(bytes, 0, head);
  std::memset(bytes + head + whole, 0, size - head - whole);
}

}  // namespace pglite::wasm

extern "C" {

using pglite::wasm::Execution;

bool wasm_rt_is_initialized(void) {
  return true;
}

const char* wasm_rt_strerror(wasm_rt_trap_t trap) {
  switch (trap) {
    case WASM_RT_TRAP_NONE:
      return "no error";
    case WASM_RT_TRAP_OOB:
      return "out of bounds memory access";
    case WASM_RT_TRAP_INT_OVERFLOW:
      return "integer overflow";
    case WASM_RT_TRAP_DIV_BY_ZERO:
      return "integer divide by zero";
    case WASM_RT_TRAP_INVALID_CONVERSION:
      return "invalid conversion to integer";
    case WASM_RT_TRAP_UNREACHABLE:
      return "unreachable executed";
    case WASM_RT_TRAP_CALL_INDIRECT:
      return "indirect call of a missing or mistyped function";
    case WASM_RT_TRAP_NULL_REF:
      return "null reference";
    case WASM_RT_TRAP_UNCAUGHT_EXCEPTION:
      return "uncaught exception";
    case WASM_RT_TRAP_UNALIGNED:
      return "unaligned atomic access";
#if !WASM_RT_MERGED_OOB_AND_EXHAUSTION_TRAPS
    case WASM_RT_TRAP_EXHAUSTION:
      return "call stack exhausted";
#endif
  }
  return "unknown trap";
}

void wasm_rt_trap(wasm_rt_trap_t code) {
  Execution* execution = Execution::current();
  if (execution == nullptr) {
    std::fprintf(stderr, "pglite-port: trap outside of guest code: %s\n", wasm_rt_strerror(code));
    std::abort();
  }
  execution->trap(wasm_rt_strerror(code));
}

// Called by a module that owns its memory while it is instantiated, on the guest stack: it gets the
// memory of its execution.
void wasm_rt_allocate_memory(wasm_rt_memory_t* memory, uint64_t initial_pages, uint64_t max_pages,
                             bool is64, uint32_t page_size) {
  if (is64 || page_size != WASM_DEFAULT_PAGE_SIZE) wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
  Execution* execution = Execution::current();
  if (execution == nullptr || execution->memory == nullptr ||
      !execution->memory->allocate(memory, initial_pages, max_pages)) {
    if (execution == nullptr) wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
    execution->trap("no memory for the module");
  }
}

// Clearing whole pages means taking fresh ones, if they are private: one that nobody touches costs
// nothing, and a page that was mapped from a file must not come back with the file's content. Only
// the memory itself knows which pages are; what is not the running guest's is written.
void guest_large_fill(void* start, uint32_t value, uint64_t size) {
  const Execution* execution = Execution::current();
  pglite::wasm::LinearMemory* memory = execution == nullptr ? nullptr : execution->memory;
  if ((value & 0xff) == 0 && memory != nullptr && memory->contains(start, size)) {
    memory->clear(static_cast<uint64_t>(static_cast<uint8_t*>(start) - memory->get()->data), size);
  } else {
    std::memset(start, static_cast<int>(value & 0xff), size);
  }
}

uint64_t wasm_rt_grow_memory(wasm_rt_memory_t* memory, uint64_t delta) {
  const uint64_t old_pages = memory->pages;
  if (delta > memory->max_pages || old_pages + delta > memory->max_pages) return UINT64_MAX;
  const uint64_t bytes = delta * WASM_DEFAULT_PAGE_SIZE;
  if (!pglite::os::make_accessible(memory->data + memory->size, bytes)) return UINT64_MAX;
  memory->pages += delta;
  memory->size += bytes;
  return old_pages;
}

// Called by a module that owns its memory when it is released: the memory goes with its
// LinearMemory.
void wasm_rt_free_memory(wasm_rt_memory_t* /*memory*/) {}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t* table, uint32_t elements,
                                    uint32_t max_elements) {
  const auto data = pglite::os::allocate_pages(pglite::wasm::kTableSize);
  if (!data || elements > pglite::wasm::kMaxTableElements) {
    Execution::current()->trap("no memory for the function table");
  }
  table->data = reinterpret_cast<wasm_rt_funcref_t*>(*data);
  table->size = elements;
  table->max_size = max_elements;
}

void guest_place_table(void* base, wasm_rt_funcref_table_t* table, uint32_t elements,
                       uint32_t max_elements) {
  if (elements > GUEST_TABLE_CAPACITY) {
    Execution::current()->trap("no memory for the function table");
  }
  table->data =
      reinterpret_cast<wasm_rt_funcref_t*>(static_cast<uint8_t*>(base) - pglite::wasm::kInFront);
  table->size = elements;
  table->max_size = max_elements;
}

uint32_t wasm_rt_grow_funcref_table(wasm_rt_funcref_table_t* table, uint32_t delta,
                                    wasm_rt_funcref_t init) {
  const uint32_t old_size = table->size;
  const uint64_t new_size = uint64_t{old_size} + delta;
  if (new_size > table->max_size || new_size > pglite::wasm::kMaxTableElements) return UINT32_MAX;
  for (uint32_t i = old_size; i < new_size; ++i) table->data[i] = init;
  table->size = static_cast<uint32_t>(new_size);
  return old_size;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t* table) {
  pglite::os::unmap(table->data, pglite::wasm::kTableSize);
}

}  // extern "C"
