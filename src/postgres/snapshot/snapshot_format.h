// The bytes of a snapshot file, and the one place where they become values.
//
//   header     magic, format version, build identity, sizes, a checksum of everything before
//              the pages
//   state      emscripten/process_state.h
//   tables     runs of pages, places to patch, removed files
//   pages      the non-zero pages of linear memory, in runs, aligned for mmap on any system
//   tree       a file tree image (vfs/image.h), aligned to its pages
//
// A snapshot of files only has no state, no tables and no pages.
//
// A snapshot is a file that anybody may have written; its checksum finds damage and stops nobody.
// read_snapshot() refuses what no snapshot can be (docs/security.md).
#ifndef PGLITE_POSTGRES_SNAPSHOT_SNAPSHOT_FORMAT_H_
#define PGLITE_POSTGRES_SNAPSHOT_SNAPSHOT_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pglite/status.h"

namespace pglite::postgres {

// Runs are made of these: the pages of WebAssembly. No system has larger ones, so that each can map
// what another has written.
inline constexpr uint64_t kSnapshotPage = 65536;

// Pages of linear memory and where they lie in the snapshot. All three are bytes and multiples of
// kSnapshotPage.
struct PageRun {
  uint64_t guest_offset = 0;
  uint64_t size = 0;  // not 0
  uint64_t file_offset = 0;
};

// Something that no two instances may share, as it stands in a snapshot's memory.
struct Patch {
  enum class Kind : uint32_t { kSystemIdentifier, kNonce, kStartTime };
  Kind kind;
  uint32_t address;
};
// How many bytes of memory a patch overwrites.
constexpr uint32_t patch_size(Patch::Kind kind) {
  return kind == Patch::Kind::kNonce ? 32 : 8;
}

enum class SnapshotKind : uint32_t {
  kProcess,  // a session at rest, and the whole tree
  kOverlay,  // a session at rest; the tree is to be laid over the template data directory
  kFiles,    // the whole tree of a cluster that was shut down
};

struct SnapshotHeader {
  std::array<char, 8> magic;
  uint32_t format;
  SnapshotKind kind;
  std::array<char, 32> build;
  uint64_t file_size;
  uint64_t state_size;   // directly behind the header
  uint64_t tables_size;  // behind the state
  uint64_t tree_offset;
  uint64_t tree_size;
  std::array<char, 64> sha256;  // of header (with this field zero), state and tables
};
static_assert(sizeof(SnapshotHeader) == 152);

// What is found out about a snapshot before it is written.
struct SnapshotTables {
  // Ascending in memory and in the file, within both, and not overlapping in either.
  std::vector<PageRun> runs;
  std::vector<Patch> patches;  // within memory
  // What an overlay takes away: normalised paths below the data directory.
  std::vector<std::string> removed;
};

// A snapshot that has been read. What it refers to are parts of the bytes that it was read from.
struct SnapshotContents {
  SnapshotTables tables;
  std::string_view state;
  std::span<const std::byte> tree;
  SnapshotKind kind = SnapshotKind::kProcess;
};

enum class SnapshotOrigin {
  kFile,     // anybody's
  kProgram,  // linked in: not hashed, and it may be an overlay; validated all the same
};

std::string encode_tables(const SnapshotTables& tables);

// Where the pages begin behind state and tables of these sizes.
uint64_t pages_offset(uint64_t state_size, uint64_t tables_size);

// The header of a snapshot of this build with the given parts; `tree_offset` is where its last page
// ends at the earliest.
SnapshotHeader make_header(SnapshotKind kind, std::string_view state, std::string_view tables,
                           uint64_t pages_end, uint64_t tree_size);

// The checksum that belongs into `header`; `rest` is state and tables.
std::string snapshot_checksum(SnapshotHeader header, std::string_view rest);

// Reads and validates all but the pages' and the files' contents. `name` is for messages.
// kIncompatible: it is no snapshot, damaged, or another build's. May throw std::bad_alloc.
Status read_snapshot(std::span<const std::byte> bytes, const std::string& name,
                     SnapshotOrigin origin, SnapshotContents* out);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SNAPSHOT_SNAPSHOT_FORMAT_H_
