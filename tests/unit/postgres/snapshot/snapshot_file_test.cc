#include "postgres/snapshot/snapshot_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "os/program_file.h"
#include "postgres/build/images.h"
#include "wasm/linear_memory.h"

namespace pglite::postgres {
namespace {

constexpr uint64_t kPages = 4096;  // 256 MiB, more than any snapshot here has

std::shared_ptr<const SnapshotFile> open_linked(std::span<const std::byte> bytes) {
  std::shared_ptr<const SnapshotFile> snapshot;
  const Status status = SnapshotFile::open_linked(bytes, &snapshot);
  EXPECT_TRUE(status.ok()) << status.message();
  return snapshot;
}

// Where pages cannot be mapped (no /proc, other page sizes, a program replaced on disk) they are
// copied: slower, and the same memory.
TEST(SnapshotFile, CopiesPagesThatCannotBeMapped) {
  const std::span<const std::byte> linked = boot_snapshot();
  // Memory of the heap is not mapped from a file.
  const std::vector<std::byte> elsewhere(linked.begin(), linked.end());
  wasm::LinearMemory mapped(kPages, kPages);
  wasm::LinearMemory copied(kPages, kPages);
  ASSERT_TRUE(open_linked(linked)->fill(mapped));
  ASSERT_TRUE(open_linked(elsewhere)->fill(copied));
  EXPECT_EQ(std::memcmp(mapped.get()->data, copied.get()->data, mapped.get()->size), 0);
}

// Whatever pages a system has.
TEST(SnapshotFile, RunsAreAlignedForTheLargestPages) {
  const auto snapshot = open_linked(boot_snapshot());
  ASSERT_FALSE(snapshot->runs().empty());
  for (const PageRun& run : snapshot->runs()) {
    EXPECT_EQ(run.guest_offset % 65536, 0U);
    EXPECT_EQ(run.file_offset % 65536, 0U);
    EXPECT_EQ(run.size % 65536, 0U);
  }
}

// In the program, too: at least so much is then mapped.
TEST(SnapshotFile, MapsWhatIsLinkedIn) {
  const auto place = os::find_loaded_file(boot_snapshot().data());
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->offset % 65536, 0U);
  wasm::LinearMemory memory(kPages, kPages);
  const auto snapshot = open_linked(boot_snapshot());
  ASSERT_TRUE(snapshot->fill(memory));
  const auto begin = reinterpret_cast<uintptr_t>(memory.get()->data);
  std::ifstream maps("/proc/self/maps");
  size_t mapped = 0;
  for (std::string line; std::getline(maps, line);) {
    const uintptr_t address = std::stoull(line, nullptr, 16);
    const bool is_ours = address >= begin && address < begin + memory.size();
    if (is_ours && line.find("postgres_test") != std::string::npos) ++mapped;
  }
  EXPECT_EQ(mapped, snapshot->runs().size());
}

TEST(SnapshotFile, RefusesMemoryThatIsTooSmall) {
  wasm::LinearMemory small(1, kPages);
  EXPECT_FALSE(open_linked(boot_snapshot())->fill(small));
}

TEST(SnapshotFile, NamesWhatMustNotBeShared) {
  const auto snapshot = open_linked(boot_snapshot());
  for (const auto kind :
       {Patch::Kind::kSystemIdentifier, Patch::Kind::kNonce, Patch::Kind::kStartTime}) {
    EXPECT_TRUE(std::ranges::any_of(snapshot->patches(), [&](const Patch& patch) {
      return patch.kind == kind;
    })) << static_cast<uint32_t>(kind);
  }
}

}  // namespace
}  // namespace pglite::postgres
