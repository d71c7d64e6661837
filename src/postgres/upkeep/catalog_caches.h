// What a session keeps in memory of the catalogues, and making it forget.
//
// PostgreSQL puts no limit on its catalogue caches: a backend ends with its connection. They also
// remember what they did not find (negative entries), and where that hangs on an object that is
// dropped nothing takes it out again: each table that is made, queried and dropped leaves some
// hundred bytes for "has no statistics". Our one session lives as long as the program.
#ifndef PGLITE_POSTGRES_UPKEEP_CATALOG_CACHES_H_
#define PGLITE_POSTGRES_UPKEEP_CATALOG_CACHES_H_

#include <algorithm>
#include <cstdint>

#include "emscripten/process.h"
#include "postgres/guest/layout.h"

namespace pglite::postgres {

// When entries are too many. What a session needs it takes again soon after it was made to forget,
// so the limit is twice that, within bounds: a session that works with many tables is not made to
// read their entries again and again.
class CacheLimit {
 public:
  static constexpr uint64_t kLeast = uint64_t{4} << 20;
  static constexpr uint64_t kMost = uint64_t{32} << 20;

  // To be asked from time to time, with the bytes in use. True: it is to forget now.
  bool exceeded(uint64_t used) {
    if (forgot_) limit_ = std::clamp(2 * used, kLeast, kMost);
    forgot_ = used > limit_;
    return forgot_;
  }

 private:
  uint64_t limit_ = kLeast;
  bool forgot_ = false;  // at the last time
};

class CatalogCaches {
 public:
  // The caches' memory context, and what the session's queue of invalidations is called in
  // pg_shmem_allocations.
  static constexpr const char* kContext = symbols::kCacheMemoryContext;
  static constexpr const char* kQueue = kInvalidationQueue;

  explicit CatalogCaches(emscripten::Process& process)
      : process_(process), context_(process.data_address(kContext)) {}

  // The bytes that the context has taken; it gives none back, only uses them again. Two loads.
  [[nodiscard]] uint64_t allocated() const;

  // Makes PostgreSQL drop all entries when the next transaction begins. It does so by itself when a
  // session has missed too many invalidations to know what is still true; this tells it that it
  // has. `queue_size`: of kQueue, as pg_shmem_allocations has it. False: the guest does not look as
  // expected, and nothing was done.
  bool forget(uint32_t queue_size);

 private:
  emscripten::Process& process_;
  uint32_t context_;  // the address of the pointer to it; 0 where there is none
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_UPKEEP_CATALOG_CACHES_H_
