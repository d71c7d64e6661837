// /proc/self/pagemap has a 64-bit word for each page of the address space (Linux:
// Documentation/admin-guide/mm/pagemap.rst).
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "os/touched_pages.h"
#include "os/virtual_memory.h"

namespace pglite::os {

namespace {

constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;

// Whether the map is right about two pages of which one was touched. Emulators show a program the
// map of their own pages, which may be of another size or at other addresses.
bool is_right(int map, size_t page) {
  const auto memory = allocate_pages(2 * page);
  if (!memory) return false;
  forbid_huge_pages(*memory, 2 * page);
  static_cast<volatile std::byte&>((*memory)[page]) = std::byte{1};
  std::array<uint64_t, 2> words{};
  const auto offset = static_cast<off_t>(reinterpret_cast<uintptr_t>(*memory) / page * 8);
  const bool is_read = pread(map, words.data(), sizeof words, offset) == sizeof words;
  unmap(*memory, 2 * page);
  return is_read && (words[0] & kPresentOrSwapped) == 0 && (words[1] & kPresentOrSwapped) != 0;
}

UniqueFd open_map() {
  UniqueFd map(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  return map && is_right(map.get(), page_size()) ? std::move(map) : UniqueFd();
}

}  // namespace

TouchedPages::TouchedPages(const void* memory) : TouchedPages(memory, open_map(), page_size()) {}

TouchedPages::TouchedPages(const void* memory, UniqueFd map, size_t system_page)
    : first_page_(reinterpret_cast<uintptr_t>(memory) / kPage),
      map_(std::move(map)),
      pages_a_word_(system_page / kPage) {}

void TouchedPages::read(uint64_t first, std::span<bool> touched) const {
  std::array<uint64_t, 512> words{};
  while (!touched.empty()) {
    const uint64_t begin = first_page_ + first;
    const uint64_t first_word = begin / pages_a_word_;
    const uint64_t last_word = (begin + touched.size() - 1) / pages_a_word_;
    const size_t count = std::min<uint64_t>(last_word - first_word + 1, words.size());
    const size_t size = count * sizeof words[0];
    const auto offset = static_cast<off_t>(first_word * sizeof words[0]);
    if (!map_ || pread(map_.get(), words.data(), size, offset) != static_cast<ssize_t>(size)) {
      std::ranges::fill(touched, true);
      return;
    }
    const size_t known =
        std::min<uint64_t>(touched.size(), (first_word + count) * pages_a_word_ - begin);
    for (size_t i = 0; i < known; ++i) {
      const uint64_t word = words[(begin + i) / pages_a_word_ - first_word];
      touched[i] = (word & kPresentOrSwapped) != 0;
    }
    touched = touched.subspan(known);
    first += known;
  }
}

}  // namespace pglite::os
