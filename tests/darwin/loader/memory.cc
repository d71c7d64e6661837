#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "darwin.h"

namespace pglite::loader {

namespace {

void* map(void* start, size_t size, int protection, int flags, int fd, int64_t offset) {
  int here = flags & (MAP_SHARED | MAP_PRIVATE | MAP_FIXED);
  if ((flags & 0x40) != 0) here |= MAP_NORESERVE;
  if ((flags & 0x1000) != 0) here |= MAP_ANONYMOUS;
  if (size == 0 || (flags & ~0x1853) != 0) {
    program_errno() = EINVAL;
    return MAP_FAILED;
  }
  void* const mapped = mmap(start, size, protection, here, fd, offset);
  if (mapped == MAP_FAILED) note_error();
  return mapped;
}

int advise(void* start, size_t size, int advice) {
  constexpr int kFree = 5;
  if (advice > kFree) {
    program_errno() = EINVAL;
    return -1;
  }
  return noted(madvise(start, size, advice == kFree ? MADV_FREE : advice));
}

void set_pattern(void* start, const void* pattern, size_t size) {
  auto* to = static_cast<std::byte*>(start);
  for (; size != 0;) {
    const size_t count = std::min<size_t>(size, 16);
    std::memcpy(to, pattern, count);
    to += count;
    size -= count;
  }
}

size_t copy_string(char* to, const char* from, size_t size, size_t room) {
  if (size > room) std::abort();
  const size_t length = std::strlen(from);
  if (size != 0) {
    const size_t count = std::min(length, size - 1);
    std::memcpy(to, from, count);
    to[count] = '\0';
  }
  return length;
}

void zero(void* start, size_t size) {
  std::memset(start, 0, size);
}

}  // namespace

Exports memory_exports() {
  static const auto exports = std::to_array<Export>({
      {"mmap", code(map)},
      {"munmap", wrapped<&munmap>()},
      {"mprotect", wrapped<&mprotect>()},
      {"madvise", code(advise)},
      {"malloc", wrapped<&malloc>()},
      {"calloc", wrapped<&calloc>()},
      {"realloc", wrapped<&realloc>()},
      {"aligned_alloc", wrapped<&aligned_alloc>()},
      {"memset_pattern16", code(set_pattern)},
      {"__strlcpy_chk", code(copy_string)},
      {"__bzero", code(zero)},
  });
  return exports;
}

}  // namespace pglite::loader
