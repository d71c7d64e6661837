// /proc/self/pagemap has a 64-bit word for each page of the address space (Linux:
// Documentation/admin-guide/mm/pagemap.rst).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "os/touched_pages.h"

namespace pglite::os {

namespace {

constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;

}  // namespace

TouchedPages::TouchedPages(const void* memory)
    : first_page_(reinterpret_cast<uintptr_t>(memory) / kPage) {
  if (sysconf(_SC_PAGESIZE) == static_cast<long>(kPage)) {
    map_ = UniqueFd(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  }
}

void TouchedPages::read(uint64_t first, std::span<bool> touched) const {
  std::array<uint64_t, 512> words{};
  while (!touched.empty()) {
    const size_t count = std::min(touched.size(), words.size());
    const size_t size = count * sizeof words[0];
    const auto offset = static_cast<off_t>((first_page_ + first) * sizeof words[0]);
    if (!map_ || pread(map_.get(), words.data(), size, offset) != static_cast<ssize_t>(size)) {
      std::ranges::fill(touched, true);
      return;
    }
    for (size_t i = 0; i < count; ++i) touched[i] = (words[i] & kPresentOrSwapped) != 0;
    touched = touched.subspan(count);
    first += count;
  }
}

}  // namespace pglite::os
