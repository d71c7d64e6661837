#include <sys/mman.h>

#include "os/virtual_memory.h"

namespace pglite::os {

void give_back_memory(void* start, size_t size) {
  // The system would take the whole of the last page.
  const auto pages = whole_pages(start, size, page_size());
  if (!pages.empty()) madvise(pages.data(), pages.size(), MADV_DONTNEED);
}

void forbid_huge_pages(void* start, size_t size) {
  madvise(start, size, MADV_NOHUGEPAGE);
}

}  // namespace pglite::os
