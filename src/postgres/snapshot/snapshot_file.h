// Snapshots as files (the format: snapshot_format.h), and what a snapshot gives to a starting
// instance.
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
#include "postgres/snapshot/snapshot_format.h"

namespace pglite::postgres {

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
  // Writes a snapshot of an idle backend into `fd`, from its start (snapshot_capture.cc).
  static Status capture(Backend& backend, vfs::MemoryFileSystem& tree,
                        const CaptureOptions& options, int fd);
  // Writes a snapshot of the files of a cluster that was shut down into `fd`, from its start.
  static Status capture_files(vfs::MemoryFileSystem& tree, int fd);
  // A snapshot in a file of its own, which is trusted with nothing (snapshot_format.h).
  static Status open(os::UniqueFd fd, const std::string& name,
                     std::shared_ptr<const SnapshotFile>* out);
  // One that lies in memory that is kept elsewhere and does not change: its pages are copied.
  static Status open_bytes(std::span<const std::byte> bytes, SnapshotOrigin origin,
                           std::shared_ptr<const SnapshotFile>* out);
  // The one that is linked in: `bytes` lie in the executable.
  static Status open_linked(std::span<const std::byte> bytes,
                            std::shared_ptr<const SnapshotFile>* out);
  ~SnapshotFile() override;

  Status save(const std::string& path) const override;
  // What has no session has no pages.
  bool fill(wasm::LinearMemory& memory) const override;

  [[nodiscard]] std::string_view state() const { return contents_.state; }
  [[nodiscard]] std::span<const std::byte> tree_image() const { return contents_.tree; }
  // True when the tree is to be laid over the template data directory.
  [[nodiscard]] bool is_overlay() const { return contents_.kind == SnapshotKind::kOverlay; }
  // False: there is nothing but the tree.
  [[nodiscard]] bool has_session() const { return contents_.kind != SnapshotKind::kFiles; }
  [[nodiscard]] const std::vector<std::string>& removed_files() const {
    return contents_.tables.removed;
  }
  [[nodiscard]] const std::vector<Patch>& patches() const { return contents_.tables.patches; }
  [[nodiscard]] const std::vector<PageRun>& runs() const { return contents_.tables.runs; }

 private:
  SnapshotFile() = default;

  os::UniqueFd fd_;         // of the file that pages are mapped from; may be invalid
  uint64_t fd_offset_ = 0;  // where the snapshot begins in it
  std::span<const std::byte> bytes_;
  bool owns_mapping_ = false;
  SnapshotContents contents_;  // of bytes_
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SNAPSHOT_SNAPSHOT_FILE_H_
