// A file system that remembers what was done to it, and what of that a power cut may leave.
//
// The model is weaker than any file system we know of, so that what survives it survives them:
//
// - What is written to a file or truncated is safe once that file was synced (sync and sync_data
//   alike: fdatasync(2) writes what is needed to read the data back, its size included). Until then
//   the disk may hold, for each sector by itself, the contents as of any moment since the last
//   sync; so writes are lost, reordered and torn. A sector is written or not, never half. Sizes are
//   as of any such moment too; what was never written below the size reads as zeros.
// - Names (made, removed, renamed, linked) are safe once the directory they are in was synced: of a
//   rename, the directory of the new name. Until then each may be there or not, in any combination
//   that keeps the order of what was done to one name. A rename is atomic. A directory that is gone
//   is gone with what is still in it.
// - EntryModel::kWithFile: syncing a file or directory also makes the name it was made under safe,
//   and the names of the directories made above it. POSIX does not promise it; ext4, XFS, btrfs and
//   F2FS do it, and PostgreSQL counts on it: nothing in it syncs the directory after md.c made a
//   relation's file. kStrict does without, to see where that matters: two cuts in three then lose
//   a table or an index.
// - A sync makes safe what was done before it began, and from the moment on when it is done.
// - Syncing everything (sync_all) makes all safe that was done before, contents and names.
// - Modes and times are not recorded. There are no symbolic links (ENOTSUP).
#ifndef PGLITE_TESTS_DURABILITY_RECORDING_FILESYSTEM_H_
#define PGLITE_TESTS_DURABILITY_RECORDING_FILESYSTEM_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "forwarding_filesystem.h"
#include "vfs/memory_filesystem.h"

namespace pglite::durability {

struct Operation {
  enum class Kind {
    kWrite,          // `data`, or `size` zeros, at `offset` of `inode`
    kTruncate,       // `inode` to `size`
    kMakeFile,       // `inode` as `name` in `directory`
    kMakeDirectory,  // the same
    kLink,           // the same, of a file that has names already
    kRemove,         // `name` of `inode` from `directory`
    kRename,         // `name` in `directory` to `new_name` in `new_directory`
    kSync,           // `inode`, file or directory
    kSyncAll,        // all of them
  };
  Kind kind;
  uint64_t inode = 0;
  uint64_t offset = 0;
  uint64_t size = 0;
  std::string data = {};
  uint64_t directory = 0;
  std::string name = {};
  uint64_t new_directory = 0;
  std::string new_name = {};
  // Of a sync: the moment it began. What happened meanwhile it does not make safe.
  size_t begun = 0;

  [[nodiscard]] std::string describe() const;
};

using Log = std::vector<Operation>;

// What was done so far, in order. Operations that failed are not in it. Any thread may add to it.
class Recorder {
 public:
  // A sync takes up to `slowest_sync`, so that others have their turn meanwhile.
  explicit Recorder(std::chrono::microseconds slowest_sync) : slowest_sync_(slowest_sync) {}

  void add(Operation operation);
  // How many there are: what is done from now on has this index, or a larger one.
  [[nodiscard]] size_t moment() const;
  // Takes the time of a sync, and gives the moment at which it began.
  size_t begin_sync();
  // While nobody adds to it.
  [[nodiscard]] const Log& log() const { return log_; }

 private:
  const std::chrono::microseconds slowest_sync_;
  mutable std::mutex mutex_;
  Log log_;
};

// Files may be synced in other threads while it is used.
class RecordingFileSystem : public ForwardingFileSystem {
 public:
  explicit RecordingFileSystem(std::shared_ptr<vfs::FileSystem> inner,
                               std::chrono::microseconds slowest_sync = {});

  // What was done so far; while nothing is done.
  [[nodiscard]] const Log& log() const { return recorder_->log(); }
  [[nodiscard]] size_t moment() const { return recorder_->moment(); }

  Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                          uint32_t permissions) override;
  Result<void> make_directory(std::string_view path, uint32_t permissions) override;
  Result<void> remove_file(std::string_view path) override;
  Result<void> remove_directory(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
  Result<void> make_symbolic_link(std::string_view target, std::string_view path) override;
  Result<void> make_hard_link(std::string_view from, std::string_view to) override;
  Result<void> truncate(std::string_view path, uint64_t size) override;
  Result<void> sync_all() override;

 private:
  uint64_t inode(std::string_view path);
  // `operation` with directory and name of `path`.
  Operation at(Operation::Kind kind, std::string_view path);

  std::shared_ptr<Recorder> recorder_;  // shared with opened files
};

enum class EntryModel { kWithFile, kStrict };

// What the disk did with all that was not safe.
struct Choice {
  enum class Mode {
    kNothing,   // none of it
    kAll,       // all of it: as if only the process had been killed
    kInOrder,   // all up to a moment
    kByFile,    // of each file all up to a moment, names in order of each directory
    kBySector,  // of each sector all up to a moment, any names
  };
  Mode mode = Mode::kNothing;
  uint64_t seed = 0;
  uint32_t sector = 512;  // bytes
  EntryModel entries = EntryModel::kWithFile;

  // A mode and sector size by the seed.
  static Choice from_seed(uint64_t seed, EntryModel entries);
  [[nodiscard]] std::string describe() const;
};

// Applies to `filesystem` what a power cut leaves of the first `cut` operations of `log`.
// `filesystem` is as the recorded one was in the beginning, inode numbers included.
void replay(const Log& log, size_t cut, const Choice& choice, vfs::MemoryFileSystem& filesystem);

// For the message of a failed test: where the cut was, what the disk did, and what was done last.
std::string describe_cut(const Log& log, size_t cut, const Choice& choice);

// A well mixed 64-bit number for each input (SplitMix64).
uint64_t mix(uint64_t value);

}  // namespace pglite::durability

#endif  // PGLITE_TESTS_DURABILITY_RECORDING_FILESYSTEM_H_
