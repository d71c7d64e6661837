// A WebAssembly linear memory as wasm2c's code wants it: 4 GiB that an address can reach and 4 GiB
// that address plus offset can reach are reserved, the pages that exist are accessible, the rest
// faults. It grows in place and is never copied. In front of it is room for the table and the
// instance of a fused module (guest_module.h), zero at first.
//
// Its pages are of two kinds. Private ones belong to this memory alone: they were empty at first,
// or came from a file and are copied when they are written to. Nobody can tell a private page that
// was filled with zeros from a fresh one, so the kind needs no record. Shared regions are mapped by
// several memories at once, at the same guest address; they are recorded here, because no private
// page may ever take the place of one of their pages: this memory would go on alone with a copy.
#ifndef PGLITE_WASM_LINEAR_MEMORY_H_
#define PGLITE_WASM_LINEAR_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "wasm-rt.h"

namespace pglite::wasm {

// Guest addresses: [begin, end).
struct SharedRegion {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Not thread-safe: one thread at a time, that of its guest. What shared regions contain is the
// guests' affair.
class LinearMemory {
 public:
  static constexpr uint64_t kReservation = uint64_t{8} << 30;
  // What is mapped begins and ends at multiples of it. A system whose pages are larger refuses what
  // is no multiple of those; 64 KiB is what none does.
  static constexpr uint64_t kMapAlignment = 4096;

  // Nothing yet: a module that owns its memory gets it by allocate(), when it is instantiated.
  LinearMemory() = default;
  // Throws std::bad_alloc when the address space or the first pages are not to be had. Sizes are in
  // pages of WebAssembly, 64 KiB.
  LinearMemory(uint64_t min_pages, uint64_t max_pages);
  // Unmaps everything; files and descriptors are not touched.
  ~LinearMemory();
  LinearMemory(const LinearMemory&) = delete;
  LinearMemory& operator=(const LinearMemory&) = delete;

  // Makes the memory and describes it in `*place`, which belongs to the module and must be there as
  // long as this object is used. False where it exists already, or there is no address space.
  bool allocate(wasm_rt_memory_t* place, uint64_t min_pages, uint64_t max_pages);

  // Null before there is memory.
  [[nodiscard]] wasm_rt_memory_t* get() { return place_; }
  [[nodiscard]] const wasm_rt_memory_t* get() const { return place_; }
  [[nodiscard]] uint64_t size() const { return place_ == nullptr ? 0 : place_->size; }

  // Puts `size` bytes of a file, from `offset` on, to `address`; they are copied when they are
  // written to. False, and nothing has changed, where a part of the range is outside of the memory
  // or shared, or a number is no multiple of kMapAlignment; false also where the system refuses.
  // The caller vouches that the file has so many bytes and keeps them.
  bool map_file(uint64_t address, uint64_t size, int fd, uint64_t offset);
  // As map_file(), but what is written is seen by all that map the file so. What was there before
  // is gone. The region lasts until unmap_shared(), or as long as the memory.
  bool map_shared(uint64_t address, uint64_t size, int fd, uint64_t offset);
  // Puts fresh private pages, all zeros, in the place of a shared region. False, and nothing has
  // changed, where no shared region is just this range. False also where the system refuses; the
  // region is then still recorded, and no guest may run on in this memory: it may be shared, or may
  // not be there.
  bool unmap_shared(uint64_t address, uint64_t size);
  // In the order of their addresses; they do not overlap.
  [[nodiscard]] std::span<const SharedRegion> shared_regions() const { return shared_; }

  // Whether all of the range lies in this memory's accessible part.
  [[nodiscard]] bool contains(const void* start, uint64_t size) const {
    if (place_ == nullptr) return false;
    const uint64_t offset =
        reinterpret_cast<uintptr_t>(start) - reinterpret_cast<uintptr_t>(place_->data);
    return offset <= place_->size && size <= place_->size - offset;
  }
  // Zeros a range that lies in the memory. Of private pages it takes fresh ones, which cost nothing
  // until they are used; a shared region gets its zeros written.
  void clear(uint64_t address, uint64_t size);

 private:
  // The same for a range without a shared part.
  void clear_private(uint64_t address, uint64_t size);
  [[nodiscard]] bool may_map(uint64_t address, uint64_t size, uint64_t offset) const;

  wasm_rt_memory_t memory_{};          // where no module has one of its own
  wasm_rt_memory_t* place_ = nullptr;  // what describes the memory
  std::byte* reservation_ = nullptr;
  std::vector<SharedRegion> shared_;
};

}  // namespace pglite::wasm

#endif  // PGLITE_WASM_LINEAR_MEMORY_H_
