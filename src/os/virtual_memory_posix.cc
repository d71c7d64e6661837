#include <sys/mman.h>

#include "os/virtual_memory.h"

namespace pglite::os {

namespace {

constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

std::byte* map_anonymous(size_t size, int protection) {
  void* start = mmap(nullptr, size, protection, kPrivate, -1, 0);
  return start == MAP_FAILED ? nullptr : static_cast<std::byte*>(start);
}

bool map_file(void* start, size_t size, int fd, uint64_t offset, int flags) {
  return mmap(start, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
              static_cast<off_t>(offset)) != MAP_FAILED;
}

}  // namespace

std::byte* reserve_address_space(size_t size) {
  return map_anonymous(size, PROT_NONE);
}

std::byte* allocate_pages(size_t size) {
  return map_anonymous(size, PROT_READ | PROT_WRITE);
}

void unmap(void* start, size_t size) {
  munmap(start, size);
}

bool make_accessible(void* start, size_t size) {
  return size == 0 || mprotect(start, size, PROT_READ | PROT_WRITE) == 0;
}

bool make_inaccessible(void* start, size_t size) {
  return mprotect(start, size, PROT_NONE) == 0;
}

bool map_zero_pages(void* start, size_t size) {
  if (mmap(start, size, PROT_READ | PROT_WRITE, kPrivate | MAP_FIXED, -1, 0) == MAP_FAILED) {
    return false;
  }
  forbid_huge_pages(start, size);
  return true;
}

bool map_file_copy(void* start, size_t size, int fd, uint64_t offset) {
  return map_file(start, size, fd, offset, MAP_PRIVATE | MAP_NORESERVE);
}

bool map_file_shared(void* start, size_t size, int fd, uint64_t offset) {
  return map_file(start, size, fd, offset, MAP_SHARED);
}

}  // namespace pglite::os
