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
  static constexpr size_t kPage = 4096;
  // Whether the kPage bytes at `page` are all zero.
  static bool is_zero(const uint8_t* page) {
    return page[0] == 0 && std::memcmp(page, page + 1, kPage - 1) == 0;
  }

  // `memory` is where the pages are counted from, a multiple of kPage. Where the system does not
  // tell, or has pages of another size, all pages count as touched.
  explicit TouchedPages(const void* memory);

  // Sets `touched[i]` for the page with the index `first + i`. A page that was mapped from a file
  // and not touched through this mapping counts as untouched, though it holds something. Any thread
  // may call it.
  void read(uint64_t first, std::span<bool> touched) const;

 private:
  [[maybe_unused]] uint64_t first_page_;  // not where the system does not tell
  UniqueFd map_;  // what the system tells; invalid where it does not
};

}  // namespace pglite::os

#endif  // PGLITE_OS_TOUCHED_PAGES_H_
