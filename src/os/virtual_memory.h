// Pages of this process's address space. Sizes and addresses are multiples of the system's page
// size, but for make_accessible() nothing here rounds. All functions may be called from any thread;
// what they do to one range at the same time is the callers' affair. Those that fail leave errno.
#ifndef PGLITE_OS_VIRTUAL_MEMORY_H_
#define PGLITE_OS_VIRTUAL_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace pglite::os {

// Address space without memory: every access faults. Null when there is none to be had.
std::byte* reserve_address_space(size_t size);
// Readable and writable pages, private and zero, that take memory when they are first touched.
// They are not counted against what the system is willing to promise. Null when there are none.
std::byte* allocate_pages(size_t size);
// Gives a range back, whatever is mapped in it.
void unmap(void* start, size_t size);

// Readable and writable, what is in it stays; false when the system refuses.
bool make_accessible(void* start, size_t size);
// Every access faults from now on; false when the system refuses.
bool make_inaccessible(void* start, size_t size);

// The following replace what is mapped at `start`. False when the system refuses: then it is as it
// was, or nothing at all is mapped there any more.

// Fresh pages as those of allocate_pages(), with huge pages forbidden.
bool map_zero_pages(void* start, size_t size);
// `size` bytes of the file from `offset` on, copied when they are written to: the file stays as it
// is. The descriptor may be closed afterwards. A read beyond the end of the file is SIGBUS.
bool map_file_copy(void* start, size_t size, int fd, uint64_t offset);
// As map_file_copy(), but shared: what is written is written to the file, and is seen by all that
// map it so.
bool map_file_shared(void* start, size_t size, int fd, uint64_t offset);

// Gives the memory of private pages back; the range stays accessible, and what it contains then is
// undefined: what it was, or zero.
void give_back_memory(void* start, size_t size);
// Asks the system not to use pages larger than its usual ones, even where it does so by itself. A
// system without such pages does nothing.
void forbid_huge_pages(void* start, size_t size);

}  // namespace pglite::os

#endif  // PGLITE_OS_VIRTUAL_MEMORY_H_
