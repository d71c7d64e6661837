#include <sys/mman.h>
#include <unistd.h>

#include "os/virtual_memory.h"

namespace pglite::os {

namespace {

constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

Result<std::byte*> map_anonymous(size_t size, int protection) {
  void* start = mmap(nullptr, size, protection, kPrivate, -1, 0);
  if (start == MAP_FAILED) return last_error();
  return static_cast<std::byte*>(start);
}

Result<void> map_over(void* start, size_t size, int flags, int fd, uint64_t offset) {
  if (mmap(start, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
           static_cast<off_t>(offset)) == MAP_FAILED) {
    return last_error();
  }
  return {};
}

Result<void> protect(void* start, size_t size, int protection) {
  return done(retry([&] { return mprotect(start, size, protection); }));
}

}  // namespace

size_t page_size() {
  return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

std::span<std::byte> whole_pages(void* start, size_t size, size_t page) {
  auto* const bytes = static_cast<std::byte*>(start);
  const size_t before = (page - reinterpret_cast<uintptr_t>(start) % page) % page;
  if (before >= size) return {};
  return {bytes + before, (size - before) / page * page};
}

Result<std::byte*> reserve_address_space(size_t size) {
  return map_anonymous(size, PROT_NONE);
}

Result<std::byte*> allocate_pages(size_t size) {
  return map_anonymous(size, PROT_READ | PROT_WRITE);
}

void unmap(void* start, size_t size) {
  munmap(start, size);
}

Result<void> make_accessible(void* start, size_t size) {
  return size == 0 ? Result<void>() : protect(start, size, PROT_READ | PROT_WRITE);
}

Result<void> make_inaccessible(void* start, size_t size) {
  return protect(start, size, PROT_NONE);
}

Result<void> map_zero_pages(void* start, size_t size) {
  auto mapped = map_over(start, size, kPrivate, -1, 0);
  if (mapped) forbid_huge_pages(start, size);
  return mapped;
}

Result<void> map_file_copy(void* start, size_t size, int fd, uint64_t offset) {
  return map_over(start, size, MAP_PRIVATE | MAP_NORESERVE, fd, offset);
}

Result<void> map_file_shared(void* start, size_t size, int fd, uint64_t offset) {
  return map_over(start, size, MAP_SHARED, fd, offset);
}

}  // namespace pglite::os
