// LinearMemory, and the part of wasm-rt.h that translated code calls: memories, tables, traps.
#include "wasm/linear_memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "wasm/execution.h"
#include "wasm/guest_module.h"

namespace pglite::wasm {

namespace {

// A table is mapped whole (8 MB; pages that are never touched cost nothing), so that it grows in
// place and without a system call: generated code and side modules keep pointers into it.
constexpr uint64_t kMaxTableElements = GUEST_TABLE_CAPACITY;
constexpr uint64_t kTableSize = GUEST_TABLE_SIZE;

constexpr uint64_t kInFront = GUEST_TABLE_SIZE + GUEST_INSTANCE_SIZE;

void* reserve(uint64_t size) {
  void* memory = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

bool make_accessible(void* start, uint64_t size) {
  return size == 0 || mprotect(start, size, PROT_READ | PROT_WRITE) == 0;
}

bool allocate(wasm_rt_memory_t* memory, uint64_t min_pages, uint64_t max_pages) {
  void* data = reserve(kInFront + LinearMemory::kReservation);
  if (data == nullptr) return false;
  const uint64_t size = min_pages * WASM_DEFAULT_PAGE_SIZE;
  if (!make_accessible(data, kInFront + size)) {
    munmap(data, kInFront + LinearMemory::kReservation);
    return false;
  }
  // A system that gives huge pages to everybody would make an idle instance twice its size.
  madvise(data, kInFront + LinearMemory::kReservation, MADV_NOHUGEPAGE);
  *memory = {};
  memory->data = static_cast<uint8_t*>(data) + kInFront;
  memory->data_end = memory->data + LinearMemory::kReservation;
  memory->page_size = WASM_DEFAULT_PAGE_SIZE;
  memory->pages = min_pages;
  memory->max_pages = max_pages;
  memory->size = size;
  memory->is64 = false;
  return true;
}

}  // namespace

LinearMemory::LinearMemory(uint64_t min_pages, uint64_t max_pages) {
  if (!allocate(&memory_, min_pages, max_pages)) throw std::bad_alloc();
}

LinearMemory::~LinearMemory() {
  wasm_rt_free_memory(&memory_);
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
    case WASM_RT_TRAP_EXHAUSTION:
      return "call stack exhausted";
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

// Called by a module that owns its memory while it is instantiated, on the guest stack.
void wasm_rt_allocate_memory(wasm_rt_memory_t* memory, uint64_t initial_pages, uint64_t max_pages,
                             bool is64, uint32_t page_size) {
  if (is64 || page_size != WASM_DEFAULT_PAGE_SIZE) wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
  if (!pglite::wasm::allocate(memory, initial_pages, max_pages)) {
    Execution::current()->trap("no memory for the module");
  }
}

// Clearing whole pages means taking fresh ones: a private anonymous page that nobody touches costs
// nothing, and a page that was mapped from a file must not come back with the file's content.
void guest_large_fill(void* start, uint32_t value, uint64_t size) {
  constexpr uintptr_t kPageMask = 65535;  // no system has larger pages
  auto* bytes = static_cast<std::byte*>(start);
  const uintptr_t misaligned = reinterpret_cast<uintptr_t>(bytes) & kPageMask;
  const uint64_t head = misaligned == 0 ? 0 : kPageMask + 1 - misaligned;
  if ((value & 0xff) == 0 && size > head) {
    const uint64_t whole = (size - head) & ~uint64_t{kPageMask};
    if (whole != 0 &&
        mmap(bytes + head, whole, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED) {
      std::memset(bytes, 0, head);
      std::memset(bytes + head + whole, 0, size - head - whole);
      madvise(bytes + head, whole, MADV_NOHUGEPAGE);  // as it was
      return;
    }
  }
  std::memset(bytes, static_cast<int>(value & 0xff), size);
}

uint64_t wasm_rt_grow_memory(wasm_rt_memory_t* memory, uint64_t delta) {
  const uint64_t old_pages = memory->pages;
  if (delta > memory->max_pages || old_pages + delta > memory->max_pages) return UINT64_MAX;
  const uint64_t bytes = delta * WASM_DEFAULT_PAGE_SIZE;
  if (!pglite::wasm::make_accessible(memory->data + memory->size, bytes)) return UINT64_MAX;
  memory->pages += delta;
  memory->size += bytes;
  return old_pages;
}

void wasm_rt_free_memory(wasm_rt_memory_t* memory) {
  munmap(memory->data - pglite::wasm::kInFront,
         pglite::wasm::kInFront + pglite::wasm::LinearMemory::kReservation);
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t* table, uint32_t elements,
                                    uint32_t max_elements) {
  void* data = pglite::wasm::reserve(pglite::wasm::kTableSize);
  if (data == nullptr || elements > pglite::wasm::kMaxTableElements ||
      !pglite::wasm::make_accessible(data, pglite::wasm::kTableSize)) {
    Execution::current()->trap("no memory for the function table");
  }
  table->data = static_cast<wasm_rt_funcref_t*>(data);
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
  munmap(table->data, pglite::wasm::kTableSize);
}

}  // extern "C"
