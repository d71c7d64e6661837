#include <sys/mman.h>

#include "os/virtual_memory.h"

namespace pglite::os {

// The system takes the pages when it needs memory; until then they hold what they did.
void give_back_memory(void* start, size_t size) {
  const auto pages = whole_pages(start, size, page_size());
  if (!pages.empty()) madvise(pages.data(), pages.size(), MADV_FREE);
}

void forbid_huge_pages(void* /*start*/, size_t /*size*/) {}

}  // namespace pglite::os
