// Snapshot files: the format, and what a snapshot gives to a starting instance.
//
//   header     magic, format version, build identity, sizes, a checksum of everything before
//              the pages
//   state      emscripten::Process::save
//   tables     runs of pages, places to patch, removed files
//   pages      the non-zero pages of linear memory, in runs, aligned for mmap
//   tree       a file tree image (vfs/image.h), aligned to its pages
//
// Pages and tree are mapped, not read: what an instance does not touch costs nothing, and what it
// does not write is shared with every other instance through the page cache.
#ifndef PGLITE_POSTGRES_SNAPSHOT_SNAPSHOT_FILE_H_
#define PGLITE_POSTGRES_SNAPSHOT_SNAPSHOT_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "emscripten/process.h"
#include "os/unique_fd.h"
#include "pglite/snapshot.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/guest_tree.h"

namespace pglite::postgres {

// Something that no two instances may share, as it stands in a snapshot's memory.
struct Patch {
  enum class Kind : uint32_t { kSystemIdentifier, kNonce, kStartTime };
  Kind kind;
  uint32_t address;
};

class SnapshotFile;

// What capture() wants to be told.
struct CaptureOptions {
  // The snapshot that the backend's memory was mapped from, if it was.
  const SnapshotFile* origin = nullptr;
  // The tree is written whole, or, where `base` is given, as what differs from it.
  const vfs::MemoryFileSystem* base = nullptr;
  // Times of start (microseconds since 2000-01-01) to look for in memory.
  std::vector<int64_t> start_times;
};

class SnapshotFile final : public Snapshot, public emscripten::PageSource {
 public:
  // Writes a snapshot of an idle backend into `fd`, from its start.
  static Status capture(Backend& backend, vfs::MemoryFileSystem& tree,
                        const CaptureOptions& options, int fd);
  // A snapshot in a file of its own.
  static Status open(os::UniqueFd fd, const std::string& name,
                     std::shared_ptr<const SnapshotFile>* out);
  // The one that is linked in: `bytes` lie in the executable. Not checked again.
  static Status open_linked(std::span<const std::byte> bytes,
                            std::shared_ptr<const SnapshotFile>* out);
  ~SnapshotFile() override;

  Status save(const std::string& path) const override;
  bool fill(wasm_rt_memory_t& memory) const override;

  [[nodiscard]] std::string_view state() const { return state_; }
  [[nodiscard]] std::span<const std::byte> tree_image() const { return tree_; }
  // True when the tree is to be laid over the template data directory.
  [[nodiscard]] bool is_overlay() const { return is_overlay_; }
  [[nodiscard]] const std::vector<std::string>& removed_files() const { return removed_; }
  [[nodiscard]] const std::vector<Patch>& patches() const { return patches_; }

 private:
  struct Run {
    uint64_t guest_offset;  // bytes, a multiple of the page size, as all here
    uint64_t size;
    uint64_t file_offset;
  };
  SnapshotFile() = default;
  Status parse(const std::string& name, bool linked);

  os::UniqueFd fd_;         // of the file that pages are mapped from; may be invalid
  uint64_t fd_offset_ = 0;  // where the snapshot begins in it
  std::span<const std::byte> bytes_;
  bool owns_mapping_ = false;
  std::string_view state_;
  std::vector<Run> runs_;
  std::vector<Patch> patches_;
  std::vector<std::string> removed_;
  std::span<const std::byte> tree_;
  bool is_overlay_ = false;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SNAPSHOT_SNAPSHOT_FILE_H_
