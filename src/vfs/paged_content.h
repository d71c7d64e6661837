// The contents of one file in memory: 8 KiB pages (PostgreSQL's block size) behind a page table.
//
// A page is absent (reads as zeros, costs nothing), borrowed (lies in memory someone else keeps,
// such as a linked image, and is copied when it is first written) or owned. PostgreSQL extends
// relations and WAL segments by writing zeros; zeros written to an absent page leave it absent, so
// a fresh 16 MB WAL segment takes no memory.
//
// The table is an array up to 1 GiB, PostgreSQL's segment size and so nearly every file it has,
// and an ordered map beyond, which keeps a write at 1 TiB as cheap as it is rare.
#ifndef PGLITE_VFS_PAGED_CONTENT_H_
#define PGLITE_VFS_PAGED_CONTENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "vfs/file.h"
#include "vfs/page_store.h"

namespace pglite::vfs {

// What the files of one file system may own together. Shared with each content, because an opened
// file outlives its file system.
struct MemoryBudget {
  uint64_t capacity = 0;
  uint64_t used = 0;
  PageStore pages;
};

class PagedContent {
 public:
  static constexpr size_t kPageSize = PageStore::kPageSize;
  static constexpr uint64_t kMaximumSize = uint64_t{1} << 44;  // EFBIG beyond, as ext4 has it

  explicit PagedContent(std::shared_ptr<MemoryBudget> budget) : budget_(std::move(budget)) {}
  ~PagedContent();
  PagedContent(const PagedContent&) = delete;
  PagedContent& operator=(const PagedContent&) = delete;

  [[nodiscard]] uint64_t size() const { return size_; }
  // Pages that are not absent.
  [[nodiscard]] uint64_t page_count() const { return page_count_; }

  // As File::read and File::write. EFBIG over kMaximumSize; ENOSPC when the budget or the memory
  // ran out before the first byte, else the bytes that fitted.
  size_t read(std::span<std::byte> buffer, uint64_t offset) const;
  Result<size_t> write(std::span<const std::byte> data, uint64_t offset);
  Result<void> truncate(uint64_t size);

  // Makes page `index` (not there yet) the given memory, which must outlive this. At most kPageSize
  // bytes; a shorter page ends in zeros. Bytes beyond size() must not be given. May throw
  // std::bad_alloc.
  void borrow(uint64_t index, std::span<const std::byte> bytes);
  // For a following borrow() of many.
  void reserve(uint64_t pages);

  // Calls `visit` for every page that is not absent, in order; bytes the span lacks are zeros.
  void for_each_page(
      const std::function<void(uint64_t index, std::span<const std::byte> bytes)>& visit) const;

 private:
  struct Page {
    // Owned: kPageSize bytes of the budget's, of which those beyond size_ are zeros.
    // Borrowed: `length` bytes, none beyond size_; what follows them is zeros.
    const std::byte* data = nullptr;  // null: absent
    uint32_t length = 0;
    bool owned = false;
  };

  [[nodiscard]] const Page* find(uint64_t index) const;
  Page& find_or_add(uint64_t index);  // may throw std::bad_alloc
  // False when there is no room.
  bool write_page(uint64_t index, size_t begin, std::span<const std::byte> data);
  bool make_owned(Page& page);
  void release(Page& page);

  std::shared_ptr<MemoryBudget> budget_;
  std::vector<Page> dense_;          // pages below kDensePages; as long as the last one used
  std::map<uint64_t, Page> sparse_;  // the others
  uint64_t size_ = 0;
  uint64_t page_count_ = 0;
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_PAGED_CONTENT_H_
