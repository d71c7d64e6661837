// What is refused: snapshots that have a right checksum and could not have been written here.
#include "postgres/snapshot/snapshot_format.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>

#include "postgres/build/images.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/snapshot/snapshot_file.h"
#include "vfs/image.h"
#include "wasm/linear_memory.h"

namespace pglite::postgres {
namespace {

constexpr uint64_t kPage = kSnapshotPage;
constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

// A small snapshot with the boot snapshot's process, of which parts can be changed.
struct Parts {
  std::string state;
  SnapshotTables tables;
  std::string tree;
  SnapshotKind kind = SnapshotKind::kProcess;
};

Parts good_parts() {
  std::shared_ptr<const SnapshotFile> boot;
  const Status status = SnapshotFile::open_linked(boot_snapshot(), &boot);
  EXPECT_TRUE(status.ok()) << status.message();
  Parts parts;
  parts.state = boot->state();
  parts.tables.patches = {{Patch::Kind::kSystemIdentifier, 8192},
                          {Patch::Kind::kNonce, 8200},
                          {Patch::Kind::kStartTime, 12280}};
  vfs::MemoryFileSystem tree;
  EXPECT_TRUE(tree.make_directories(kDataDirectory, 0700));
  parts.tree = vfs::write_image(tree, kDataDirectory).value();
  // Sizes are known only once the runs are there, and places only once sizes are.
  parts.tables.runs = {{kPage, 2 * kPage, 0}, {20 * kPage, kPage, 0}};
  uint64_t at = pages_offset(parts.state.size(), encode_tables(parts.tables).size());
  for (PageRun& run : parts.tables.runs) {
    run.file_offset = at;
    at += run.size;
  }
  return parts;
}

// The bytes of a snapshot, its checksum right.
std::string assemble(const Parts& parts) {
  const std::string tables = encode_tables(parts.tables);
  const uint64_t pages = pages_offset(parts.state.size(), tables.size());
  const SnapshotHeader header =
      make_header(parts.kind, parts.state, tables, pages + 3 * kPage, parts.tree.size());
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += parts.state;
  bytes += tables;
  bytes.resize(header.tree_offset, 'p');
  return bytes + parts.tree;
}

Status read(std::string_view bytes, SnapshotOrigin origin = SnapshotOrigin::kFile) {
  // In a block of its own, so that the sanitizer sees reads beyond it.
  const std::vector<std::byte> copy(std::as_bytes(std::span(bytes)).begin(),
                                    std::as_bytes(std::span(bytes)).end());
  SnapshotContents contents;
  return read_snapshot(copy, "test", origin, &contents);
}

template <class Change>
Status read_changed(Change&& change) {
  Parts parts = good_parts();
  change(parts);
  return read(assemble(parts));
}

// The snapshot with one change in its header, which is sealed again.
template <class Change>
Status read_with_header(Change&& change) {
  std::string bytes = assemble(good_parts());
  SnapshotHeader header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  const uint64_t rest = header.state_size + header.tables_size;
  change(header);
  const std::string sha256 =
      snapshot_checksum(header, std::string_view(bytes).substr(sizeof header, rest));
  std::memcpy(header.sha256.data(), sha256.data(), header.sha256.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  return read(bytes);
}

void expect_refused(const Status& status, const std::string& what) {
  EXPECT_EQ(status.code(), StatusCode::kIncompatible) << what << ": " << status.message();
}

TEST(SnapshotFormat, ReadsWhatWasWritten) {
  const Parts parts = good_parts();
  const std::string bytes = assemble(parts);
  SnapshotContents contents;
  const Status status =
      read_snapshot(std::as_bytes(std::span(bytes)), "test", SnapshotOrigin::kFile, &contents);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(contents.state, parts.state);
  EXPECT_EQ(encode_tables(contents.tables), encode_tables(parts.tables));
  EXPECT_EQ(contents.tree.size(), parts.tree.size());
  EXPECT_EQ(contents.kind, SnapshotKind::kProcess);
}

TEST(SnapshotFormat, RefusesPagesThatAreOutOfPlace) {
  using Change = void (*)(PageRun&);
  const std::pair<const char*, Change> changes[] = {
      {"no page", [](PageRun& run) { run.size = 0; }},
      {"half a page", [](PageRun& run) { run.size = kPage / 2; }},
      {"between pages of memory", [](PageRun& run) { run.guest_offset += 8; }},
      {"between pages of the file", [](PageRun& run) { run.file_offset += 8; }},
      {"over the run before it", [](PageRun& run) { run.guest_offset = 2 * kPage; }},
      {"in front of the run before it", [](PageRun& run) { run.guest_offset = 0; }},
      {"beyond the memory", [](PageRun& run) { run.guest_offset = uint64_t{1} << 31; }},
      {"at the end of numbers", [](PageRun& run) { run.guest_offset = kMost - kPage + 1; }},
      {"larger than numbers", [](PageRun& run) { run.size = kMost - kPage + 1; }},
      {"from the header", [](PageRun& run) { run.file_offset = 0; }},
      {"from the pages before it", [](PageRun& run) { run.file_offset -= kPage; }},
      {"from the tree", [](PageRun& run) { run.file_offset += 2 * kPage; }},
      {"beyond the file", [](PageRun& run) { run.file_offset = uint64_t{1} << 40; }},
      {"beyond all files", [](PageRun& run) { run.file_offset = kMost - kPage + 1; }}};
  for (const auto& [what, change] : changes) {
    expect_refused(read_changed([&](Parts& parts) { change(parts.tables.runs[1]); }), what);
  }
}

TEST(SnapshotFormat, RefusesPatchesThatAreOutOfPlace) {
  expect_refused(read_changed([](Parts& parts) { parts.tables.patches[0].address = 0x7ffffffc; }),
                 "beyond the memory");
  expect_refused(read_changed([](Parts& parts) { parts.tables.patches[1].address = UINT32_MAX; }),
                 "at the end of addresses");
  expect_refused(read_changed([](Parts& parts) {
                   parts.tables.patches[2].kind = static_cast<Patch::Kind>(3);
                 }),
                 "of no kind");
}

TEST(SnapshotFormat, OnlyTheLinkedOneIsAnOverlay) {
  Parts parts = good_parts();
  parts.kind = SnapshotKind::kOverlay;
  expect_refused(read(assemble(parts)), "a file");
  EXPECT_TRUE(read(assemble(parts), SnapshotOrigin::kProgram).ok());
  // Tables of this size leave the pages where they are.
  const std::string below = std::string(kDataDirectory) + '/';
  parts.tables.removed = {below + "base/1/2"};
  EXPECT_TRUE(read(assemble(parts), SnapshotOrigin::kProgram).ok());
  for (const std::string& path :
       {std::string(kDataDirectory), std::string("/pglite/bin"), below + "../bin", below + "a/",
        below + std::string("a\0b", 3), std::string(), std::string("base")}) {
    parts.tables.removed = {path};
    expect_refused(read(assemble(parts), SnapshotOrigin::kProgram), path);
  }
  parts.kind = SnapshotKind::kProcess;
  parts.tables.removed = {below + "base/1/2"};
  expect_refused(read(assemble(parts)), "removes files from nothing");
}

TEST(SnapshotFormat, OfFilesOnly) {
  Parts parts;
  parts.kind = SnapshotKind::kFiles;
  parts.tree = good_parts().tree;
  const SnapshotHeader header =
      make_header(parts.kind, {}, {}, pages_offset(0, 0), parts.tree.size());
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.resize(header.tree_offset);
  bytes += parts.tree;
  SnapshotContents contents;
  const Status status =
      read_snapshot(std::as_bytes(std::span(bytes)), "test", SnapshotOrigin::kFile, &contents);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(contents.kind, SnapshotKind::kFiles);
  EXPECT_EQ(contents.tree.size(), parts.tree.size());
  EXPECT_TRUE(contents.state.empty());
  EXPECT_TRUE(contents.tables.runs.empty());
  // Tables that say that there is nothing are some all the same.
  expect_refused(read(assemble(parts)), "tables");
}

TEST(SnapshotFormat, RefusesSizesThatAreWrong) {
  using Change = void (*)(SnapshotHeader&);
  const std::pair<const char*, Change> changes[] = {
      {"another length", [](SnapshotHeader& header) { ++header.file_size; }},
      {"no state", [](SnapshotHeader& header) { header.state_size = 0; }},
      {"a state of everything", [](SnapshotHeader& header) { header.state_size = kMost; }},
      {"tables of everything", [](SnapshotHeader& header) { header.tables_size = kMost; }},
      {"a sum that is small", [](SnapshotHeader& header) { header.tables_size = -sizeof header; }},
      {"a tree in the pages", [](SnapshotHeader& header) { header.tree_offset -= 8192; }},
      {"a tree out of line", [](SnapshotHeader& header) { ++header.tree_offset; }},
      {"a tree beyond the file", [](SnapshotHeader& header) { header.tree_offset = kMost; }},
      {"a smaller tree", [](SnapshotHeader& header) { --header.tree_size; }},
      {"files and a session", [](SnapshotHeader& header) { header.kind = SnapshotKind::kFiles; }},
      {"an unknown kind", [](SnapshotHeader& header) { header.kind = SnapshotKind{3}; }}};
  for (const auto& [what, change] : changes) {
    SCOPED_TRACE(what);
    std::string bytes = assemble(good_parts());
    SnapshotHeader header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    change(header);
    std::memcpy(bytes.data(), &header, sizeof header);
    // As the linked one, whose checksum is not looked at.
    expect_refused(read(bytes, SnapshotOrigin::kProgram), what);
  }
}

TEST(SnapshotFormat, TheChecksumCoversTheHeader) {
  expect_refused(read(assemble(good_parts()).replace(16 + 32 + 8, 1, "\x7f")), "not sealed again");
  EXPECT_TRUE(read_with_header([](SnapshotHeader&) {}).ok());
}

// Each word of header, state and tables in turn is made what it is not, as in the linked snapshot,
// whose checksum is not looked at. What is accepted must be safe to map.
TEST(SnapshotFormat, NoChangeOfAWordHarmsTheHost) {
  const Parts parts = good_parts();
  const std::string good = assemble(parts);
  const size_t covered =
      sizeof(SnapshotHeader) + parts.state.size() + encode_tables(parts.tables).size();
  wasm::LinearMemory memory(32768, 32768);
  int refused = 0;
  for (size_t at = 0; at + sizeof(uint32_t) <= covered; at += sizeof(uint32_t)) {
    uint32_t word = 0;
    std::memcpy(&word, good.data() + at, sizeof word);
    for (const uint32_t value : {0U, word - 1, word + 1, 0x7fffffffU, 0xffffffffU}) {
      std::vector<std::byte> changed(std::as_bytes(std::span(good)).begin(),
                                     std::as_bytes(std::span(good)).end());
      std::memcpy(changed.data() + at, &value, sizeof value);
      std::shared_ptr<const SnapshotFile> snapshot;
      if (!SnapshotFile::open_bytes(changed, SnapshotOrigin::kProgram, &snapshot).ok()) {
        ++refused;
        continue;
      }
      EXPECT_TRUE(snapshot->fill(memory));
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace pglite::postgres
