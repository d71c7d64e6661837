// Pages of this process's address space. Sizes and addresses are multiples of the system's page
// size; only make_accessible() rounds. Any thread may call these functions; the callers see to it
// that no two threads change one range at the same time. An error is what the system says.
#ifndef PGLITE_OS_VIRTUAL_MEMORY_H_
#define PGLITE_OS_VIRTUAL_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "os/result.h"

namespace pglite::os {

// The system's page size in bytes: a power of two; 4, 16 or 64 KiB on systems that this runs on.
size_t page_size();
// What of a range are whole pages of `page` bytes; empty where there is none.
std::span<std::byte> whole_pages(void* start, size_t size, size_t page);

// Address space without memory: every access faults.
Result<std::byte*> reserve_address_space(size_t size);
// Readable and writable pages, private and zero, that take memory when they are first touched.
// The system does not count them against the memory that it is willing to promise.
Result<std::byte*> allocate_pages(size_t size);
// Gives a range back, whatever is mapped in it.
void unmap(void* start, size_t size);

// Makes a range readable and writable; what is in it stays.
Result<void> make_accessible(void* start, size_t size);
// Every access to the range faults from now on.
Result<void> make_inaccessible(void* start, size_t size);

// The following replace what is mapped at `start`. After an error, the range is as it was, or
// nothing at all is mapped there any more.

// Fresh pages as those of allocate_pages(), with huge pages forbidden.
Result<void> map_zero_pages(void* start, size_t size);
// `size` bytes of the file from `offset` on, copied when they are written to: the file stays as it
// is. The descriptor may be closed afterwards. A read beyond the end of the file is SIGBUS.
Result<void> map_file_copy(void* start, size_t size, int fd, uint64_t offset);
// As map_file_copy(), but shared: a write goes to the file, and all that map the file so see it.
Result<void> map_file_shared(void* start, size_t size, int fd, uint64_t offset);

// Gives the memory of private pages back. The range, which may be any, stays accessible; what of it
// are whole pages then contains what it did, or zeros. The rest keeps its memory.
void give_back_memory(void* start, size_t size);
// Asks the system not to use pages larger than its usual ones, even where it does so by itself. A
// system without such pages does nothing.
void forbid_huge_pages(void* start, size_t size);

}  // namespace pglite::os

#endif  // PGLITE_OS_VIRTUAL_MEMORY_H_
