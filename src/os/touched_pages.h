// Which pages of this process's memory were ever touched, so that reading a large memory does not
// have to touch the others.
#ifndef PGLITE_OS_TOUCHED_PAGES_H_
#define PGLITE_OS_TOUCHED_PAGES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "os/unique_fd.h"

namespace pglite::os {

class TouchedPages {
 public:
  // What flags are given for. The system's pages are as large, or several of it.
  static constexpr size_t kPage = 4096;
  // Whether the kPage bytes at `page` are all zero.
  static bool is_zero(const uint8_t* page) {
    return page[0] == 0 && std::memcmp(page, page + 1, kPage - 1) == 0;
  }

  // `memory` is where the pages are counted from, a multiple of kPage. Where the system does not
  // tell, all pages count as touched.
  explicit TouchedPages(const void* memory);
  // With what `map` says of pages of `system_page` bytes, for tests.
  TouchedPages(const void* memory, UniqueFd map, size_t system_page);

  // Sets `touched[i]` for the page with the index `first + i`: whether the system's page that it is
  // a part of was touched. A page that was mapped from a file and not touched through this mapping
  // counts as untouched, though it holds something. Any thread may call it.
  void read(uint64_t first, std::span<bool> touched) const;

 private:
  // Only the descriptor is used where the system does not tell.
  [[maybe_unused]] uint64_t first_page_;
  UniqueFd map_;                            // what the system tells; invalid where it does not
  [[maybe_unused]] uint64_t pages_a_word_;  // of kPage bytes, in a page of the system
};

}  // namespace pglite::os

#endif  // PGLITE_OS_TOUCHED_PAGES_H_
