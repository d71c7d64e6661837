// A WebAssembly linear memory as wasm2c's code wants it: 4 GiB that an address can reach and 4 GiB
// that address plus offset can reach are reserved, the pages that exist are accessible, the rest
// faults. It grows in place and is never copied. In front of it is room for the table and the
// instance of a fused module (guest_module.h), zero at first.
#ifndef PGLITE_WASM_LINEAR_MEMORY_H_
#define PGLITE_WASM_LINEAR_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "wasm-rt.h"

namespace pglite::wasm {

class LinearMemory {
 public:
  static constexpr uint64_t kReservation = uint64_t{8} << 30;

  // Throws std::bad_alloc when the address space or the first pages are not to be had.
  LinearMemory(uint64_t min_pages, uint64_t max_pages);
  ~LinearMemory();
  LinearMemory(const LinearMemory&) = delete;
  LinearMemory& operator=(const LinearMemory&) = delete;

  [[nodiscard]] wasm_rt_memory_t* get() { return &memory_; }

 private:
  wasm_rt_memory_t memory_{};
};

}  // namespace pglite::wasm

#endif  // PGLITE_WASM_LINEAR_MEMORY_H_
