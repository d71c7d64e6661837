// Memory for the pages of file contents. It goes back to the system when it is free. Memory of the
// heap would not: PostgreSQL writes a table and its log in turn and then removes one of them, and
// free memory between used pages stays with the process.
#ifndef PGLITE_VFS_PAGE_STORE_H_
#define PGLITE_VFS_PAGE_STORE_H_

#include <cstddef>
#include <cstdint>

namespace pglite::vfs {

class PageStore {
 public:
  static constexpr size_t kPageSize = 8192;
  static constexpr size_t kBlockSize = size_t{1} << 20;
  // Free pages whose memory is kept: as much as a checkpoint frees of the log, which is then
  // written anew. To take memory from the system again costs as much as to write it.
  static constexpr size_t kKeptPages = (size_t{64} << 20) / kPageSize;

  PageStore() = default;
  // Every page must have come back.
  ~PageStore();
  PageStore(const PageStore&) = delete;
  PageStore& operator=(const PageStore&) = delete;

  // A page of any content; null when there is no memory.
  std::byte* take();
  void give_back(const std::byte* page);

  // Bytes of memory that pages have, free ones too.
  [[nodiscard]] uint64_t resident() const { return (used_ + kept_) * kPageSize; }

 private:
  struct Block;
  struct List {
    Block* first = nullptr;
    void add(Block* block);
    void remove(Block* block);
  };

  static Block* map_block();
  void release_free_pages(Block& block);

  List partial_;     // blocks with used and with free pages
  List empty_;       // blocks without used pages
  size_t used_ = 0;  // pages
  size_t kept_ = 0;  // free pages that have memory
};

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_PAGE_STORE_H_
