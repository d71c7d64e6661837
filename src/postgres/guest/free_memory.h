// What the guest's heap has free. Linear memory never becomes smaller: what one large query took,
// the process would keep.
#ifndef PGLITE_POSTGRES_GUEST_FREE_MEMORY_H_
#define PGLITE_POSTGRES_GUEST_FREE_MEMORY_H_

#include <cstdint>

#include "emscripten/process.h"

namespace pglite::postgres {

class FreeMemory {
 public:
  // By how much linear memory must have grown before it is worth a look: bytes.
  static constexpr uint64_t kWorthIt = uint64_t{64} << 20;

  explicit FreeMemory(emscripten::Process& process);

  // Whether the memory is so large that much of it may be free. A load.
  [[nodiscard]] bool may_be_large() const;
  // Gives the pages of large free blocks back to the system; the guest gets fresh ones when it uses
  // them again. On the guest stack, while PostgreSQL is not in malloc().
  void give_back();

 private:
  emscripten::Process& process_;
  uint64_t usual_;  // linear memory when this was made
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_FREE_MEMORY_H_
