#include "wasm/linear_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "wasm/execution.h"
#include "wasm/guest_module.h"

namespace pglite::wasm {
namespace {

constexpr uint64_t kPage = WASM_DEFAULT_PAGE_SIZE;

TEST(LinearMemory, StartsZeroedAtItsFirstSize) {
  LinearMemory memory(3, 10);
  const wasm_rt_memory_t& raw = *memory.get();
  EXPECT_EQ(raw.size, 3 * kPage);
  EXPECT_EQ(raw.pages, 3U);
  for (uint64_t i = 0; i < raw.size; ++i) ASSERT_EQ(raw.data[i], 0) << i;
}

TEST(LinearMemory, MayStartEmpty) {
  LinearMemory memory(0, 1);
  EXPECT_EQ(memory.get()->size, 0U);
  EXPECT_EQ(wasm_rt_grow_memory(memory.get(), 1), 0U);
  memory.get()->data[kPage - 1] = 1;
}

TEST(LinearMemory, GrowsInPlace) {
  LinearMemory memory(1, 1000);
  wasm_rt_memory_t& raw = *memory.get();
  uint8_t* const start = raw.data;
  raw.data[0] = 42;
  EXPECT_EQ(wasm_rt_grow_memory(&raw, 999), 1U);
  EXPECT_EQ(raw.data, start);
  EXPECT_EQ(raw.size, 1000 * kPage);
  EXPECT_EQ(raw.data[0], 42);
  EXPECT_EQ(raw.data[raw.size - 1], 0);
  raw.data[raw.size - 1] = 1;
}

TEST(LinearMemory, DoesNotGrowBeyondItsMaximum) {
  LinearMemory memory(1, 3);
  wasm_rt_memory_t& raw = *memory.get();
  for (const uint64_t delta : {uint64_t{3}, uint64_t{65536}, UINT64_MAX, UINT64_MAX - 1}) {
    EXPECT_EQ(wasm_rt_grow_memory(&raw, delta), UINT64_MAX) << delta;
  }
  EXPECT_EQ(raw.pages, 1U);
  EXPECT_EQ(wasm_rt_grow_memory(&raw, 0), 1U);
  EXPECT_EQ(wasm_rt_grow_memory(&raw, 2), 1U);
  EXPECT_EQ(wasm_rt_grow_memory(&raw, 1), UINT64_MAX);
  EXPECT_EQ(wasm_rt_grow_memory(&raw, 0), 3U);
}

// The flags of the mapping that `address` lies in, as /proc/self/smaps has them.
std::string mapping_flags(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    // A mapping's line begins with its two addresses, its properties' lines with a name.
    uintptr_t begin = 0;
    uintptr_t end = 0;
    const char* const last = line.data() + line.size();
    const auto dash = std::from_chars(line.data(), last, begin, 16);
    if (dash.ec == std::errc() && dash.ptr != last && *dash.ptr == '-' &&
        std::from_chars(dash.ptr + 1, last, end, 16).ec == std::errc()) {
      inside = begin <= wanted && wanted < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      return line;
    }
  }
  return {};
}

TEST(LinearMemory, HasNoHugePagesWhateverTheSystemDoes) {
  if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0) GTEST_SKIP() << "there are none";
  constexpr uint64_t kMany = 1024;  // 64 MB
  LinearMemory memory(1, 1 + kMany);
  wasm_rt_memory_t& raw = *memory.get();
  ASSERT_EQ(wasm_rt_grow_memory(&raw, kMany), 1U);
  EXPECT_NE(mapping_flags(raw.data).find(" nh"), std::string::npos);
  EXPECT_NE(mapping_flags(raw.data + raw.size - 1).find(" nh"), std::string::npos);
  memory.clear(kPage, 512 * kPage);
  EXPECT_NE(mapping_flags(raw.data + 256 * kPage).find(" nh"), std::string::npos);
}

// Where the guard region begins moves with the size.
TEST(LinearMemory, FaultsBeyondItsEnd) {
  LinearMemory memory(1, 2);
  Execution execution;
  execution.memory = &memory;
  const auto touch = [&](uint64_t address) {
    Outcome outcome;
    execution.run([&] {
      outcome = execution.protect(
          [&] { *static_cast<volatile uint8_t*>(memory.get()->data + address) = 1; });
    });
    return outcome;
  };
  EXPECT_TRUE(touch(kPage - 1).returned());
  for (const uint64_t address : {kPage, uint64_t{1} << 32, LinearMemory::kReservation - 1}) {
    const Outcome outcome = touch(address);
    EXPECT_EQ(outcome.kind, Outcome::Kind::kTrapped);
    EXPECT_STREQ(outcome.trap, "out of bounds memory access");
    EXPECT_EQ(outcome.trap_address, address);
  }
  wasm_rt_grow_memory(memory.get(), 1);
  EXPECT_TRUE(touch(kPage).returned());
  EXPECT_FALSE(touch(2 * kPage).returned());
}

// --- Shared regions ---

// An unnamed file of `size` bytes, all of them `fill`.
class SharedFile {
 public:
  explicit SharedFile(size_t size, uint8_t fill = 0) : file_(std::tmpfile()) {
    const std::string content(size, static_cast<char>(fill));
    EXPECT_EQ(pwrite(fd(), content.data(), size, 0), static_cast<ssize_t>(size));
  }
  ~SharedFile() { (void)std::fclose(file_); }
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  [[nodiscard]] int fd() const { return fileno(file_); }
  [[nodiscard]] uint8_t at(uint64_t offset) const {
    uint8_t byte = 0;
    EXPECT_EQ(pread(fd(), &byte, 1, static_cast<off_t>(offset)), 1);
    return byte;
  }

 private:
  std::FILE* file_;
};

// As guest code does it: memory.fill of a large range.
void fill_as_guest(LinearMemory& memory, uint64_t address, uint32_t value, uint64_t size) {
  Execution execution;
  execution.memory = &memory;
  execution.run([&] { guest_large_fill(memory.get()->data + address, value, size); });
}

TEST(SharedRegions, AreSeenByAllWhoMapThem) {
  const SharedFile file(4 * kPage, 7);
  LinearMemory one(10, 10);
  LinearMemory two(10, 10);
  for (LinearMemory* memory : {&one, &two}) {
    ASSERT_TRUE(memory->map_shared(2 * kPage, 4 * kPage, file.fd(), 0));
  }
  EXPECT_EQ(one.get()->data[2 * kPage], 7);
  one.get()->data[3 * kPage] = 42;
  EXPECT_EQ(two.get()->data[3 * kPage], 42);
  EXPECT_EQ(file.at(kPage), 42);
  EXPECT_EQ(one.get()->data[2 * kPage - 1], 0);
  EXPECT_EQ(one.get()->data[6 * kPage], 0);
}

// The whole of it, more than it, less than it, and a range over two of them: whatever is filled,
// the other memory sees it, and goes on seeing what is written.
TEST(SharedRegions, AFillAcrossThemLeavesThemShared) {
  struct Range {
    uint64_t begin, end;
  };
  const Range ranges[] = {{0, 16 * kPage},
                          {2 * kPage, 6 * kPage},
                          {2 * kPage - 4096, 4 * kPage + 100},
                          {3 * kPage + 1, 5 * kPage - 1},
                          {5 * kPage, 12 * kPage},
                          {kPage, 9 * kPage + 4096}};
  for (const Range& range : ranges) {
    const SharedFile first(4 * kPage, 7);
    const SharedFile second(2 * kPage, 7);
    LinearMemory one(16, 16);
    LinearMemory two(16, 16);
    for (LinearMemory* memory : {&one, &two}) {
      std::memset(memory->get()->data, 9, memory->size());
      // A region need not be whole pages of WebAssembly.
      ASSERT_TRUE(memory->map_shared(9 * kPage + 4096, 2 * kPage, second.fd(), 0));
      ASSERT_TRUE(memory->map_shared(2 * kPage, 4 * kPage, first.fd(), 0));
    }
    const auto is_shared = [](uint64_t at) {
      return (at >= 2 * kPage && at < 6 * kPage) ||
             (at >= 9 * kPage + 4096 && at < 11 * kPage + 4096);
    };
    fill_as_guest(one, range.begin, 0, range.end - range.begin);
    for (uint64_t at = 0; at < 16 * kPage; at += 1) {
      const uint8_t before = is_shared(at) ? 7 : 9;
      const uint8_t after = at >= range.begin && at < range.end ? 0 : before;
      ASSERT_EQ(one.get()->data[at], after) << at;
      ASSERT_EQ(two.get()->data[at], is_shared(at) ? after : before) << at;
    }
    for (uint64_t at = 0; at < 16 * kPage; at += 4096) {
      one.get()->data[at] = 55;
      ASSERT_EQ(two.get()->data[at] == 55, is_shared(at)) << at;
    }
    EXPECT_EQ(first.at(kPage), 55);
  }
}

// Outside of guest code nobody knows whose memory it is: no page is replaced.
TEST(SharedRegions, AFillFromOutsideLeavesThemShared) {
  const SharedFile file(4 * kPage, 7);
  LinearMemory one(8, 8);
  LinearMemory other(8, 8);
  ASSERT_TRUE(one.map_shared(2 * kPage, 4 * kPage, file.fd(), 0));
  guest_large_fill(one.get()->data, 0, 8 * kPage);
  EXPECT_EQ(file.at(kPage), 0);
  one.get()->data[2 * kPage] = 1;
  Execution execution;
  execution.memory = &other;
  execution.run([&] { guest_large_fill(one.get()->data, 0, 8 * kPage); });
  EXPECT_EQ(file.at(0), 0);
  one.get()->data[2 * kPage] = 2;
  EXPECT_EQ(file.at(0), 2);
}

TEST(SharedRegions, OtherValuesAreWritten) {
  const SharedFile file(kPage);
  LinearMemory memory(4, 4);
  ASSERT_TRUE(memory.map_shared(kPage, kPage, file.fd(), 0));
  fill_as_guest(memory, 0, 0x1ff, 4 * kPage);
  EXPECT_EQ(file.at(17), 0xff);
  EXPECT_EQ(memory.get()->data[4 * kPage - 1], 0xff);
}

TEST(SharedRegions, AreRecordedInOrderAndNeverMappedOver) {
  const SharedFile file(4 * kPage, 7);
  LinearMemory memory(10, 20);
  ASSERT_TRUE(memory.map_shared(6 * kPage, kPage, file.fd(), 0));
  ASSERT_TRUE(memory.map_shared(2 * kPage, 2 * kPage, file.fd(), 0));
  ASSERT_EQ(memory.shared_regions().size(), 2U);
  EXPECT_EQ(memory.shared_regions()[0].begin, 2 * kPage);
  EXPECT_EQ(memory.shared_regions()[0].end, 4 * kPage);
  EXPECT_EQ(memory.shared_regions()[1].begin, 6 * kPage);
  // Over one, beyond the end, empty, not whole pages, no file.
  EXPECT_FALSE(memory.map_file(3 * kPage, kPage, file.fd(), 0));
  EXPECT_FALSE(memory.map_shared(kPage, 2 * kPage, file.fd(), 0));
  EXPECT_FALSE(memory.map_shared(9 * kPage, 2 * kPage, file.fd(), 0));
  EXPECT_FALSE(memory.map_shared(UINT64_MAX - 4095, 8192, file.fd(), 0));
  EXPECT_FALSE(memory.map_shared(0, 0, file.fd(), 0));
  EXPECT_FALSE(memory.map_shared(100, kPage, file.fd(), 0));
  EXPECT_FALSE(memory.map_file(0, 100, file.fd(), 0));
  EXPECT_FALSE(memory.map_file(0, kPage, file.fd(), 100));
  EXPECT_FALSE(memory.map_file(0, kPage, -1, 0));
  EXPECT_EQ(memory.shared_regions().size(), 2U);
  EXPECT_EQ(memory.get()->data[3 * kPage], 7);
  EXPECT_FALSE(LinearMemory().map_shared(0, kPage, file.fd(), 0));
}

TEST(SharedRegions, StayWhenTheMemoryGrows) {
  const SharedFile file(kPage);
  LinearMemory memory(2, 100);
  ASSERT_TRUE(memory.map_shared(kPage, kPage, file.fd(), 0));
  EXPECT_EQ(wasm_rt_grow_memory(memory.get(), 98), 2U);
  fill_as_guest(memory, 0, 0, 100 * kPage);
  memory.get()->data[kPage + 5] = 3;
  EXPECT_EQ(file.at(5), 3);
}

TEST(SharedRegions, AreUnmappedWithTheMemoryAndTheFileStays) {
  const SharedFile file(kPage);
  uint8_t* data = nullptr;
  {
    LinearMemory memory(2, 2);
    ASSERT_TRUE(memory.map_shared(kPage, kPage, file.fd(), 0));
    data = memory.get()->data;
    data[kPage] = 9;
  }
  EXPECT_EQ(file.at(0), 9);
  EXPECT_EQ(mapping_flags(data + kPage), "");
}

TEST(SharedRegions, AreReplacedByFreshPagesWhenTheyAreUnmapped) {
  const SharedFile file(4 * kPage, 7);
  LinearMemory one(10, 10);
  LinearMemory two(10, 10);
  for (LinearMemory* memory : {&one, &two}) {
    std::memset(memory->get()->data, 9, memory->size());
    ASSERT_TRUE(memory->map_shared(2 * kPage, 2 * kPage, file.fd(), 0));
    ASSERT_TRUE(memory->map_shared(6 * kPage, 4096, file.fd(), 2 * kPage));
  }
  // Not just a region.
  EXPECT_FALSE(one.unmap_shared(2 * kPage, kPage));
  EXPECT_FALSE(one.unmap_shared(3 * kPage, kPage));
  EXPECT_FALSE(one.unmap_shared(2 * kPage, 4 * kPage));
  EXPECT_FALSE(one.unmap_shared(kPage, kPage));
  EXPECT_FALSE(one.unmap_shared(6 * kPage, 0));
  EXPECT_FALSE(one.unmap_shared(UINT64_MAX, 1));
  EXPECT_FALSE(LinearMemory().unmap_shared(0, kPage));
  EXPECT_EQ(one.shared_regions().size(), 2U);

  ASSERT_TRUE(one.unmap_shared(2 * kPage, 2 * kPage));
  ASSERT_EQ(one.shared_regions().size(), 1U);
  EXPECT_EQ(one.shared_regions()[0].begin, 6 * kPage);
  const uint8_t* const data = one.get()->data;
  EXPECT_EQ(data[2 * kPage - 1], 9);
  for (uint64_t at = 2 * kPage; at < 4 * kPage; at += 512) ASSERT_EQ(data[at], 0);
  EXPECT_EQ(data[4 * kPage], 9);
  one.get()->data[2 * kPage] = 1;
  EXPECT_EQ(file.at(0), 7);
  EXPECT_EQ(two.get()->data[2 * kPage], 7);
  EXPECT_FALSE(one.unmap_shared(2 * kPage, 2 * kPage));

  // Something else may be mapped there, and the other region is still shared.
  ASSERT_TRUE(one.map_shared(3 * kPage, 2 * kPage, file.fd(), 0));
  EXPECT_EQ(data[3 * kPage], 7);
  ASSERT_TRUE(one.unmap_shared(6 * kPage, 4096));
  EXPECT_EQ(data[6 * kPage + 4095], 0);
  EXPECT_EQ(data[6 * kPage + 4096], 9);
}

// A fill that comes later clears the pages as private ones.
TEST(SharedRegions, ArePrivateOnceTheyAreUnmapped) {
  const SharedFile file(2 * kPage, 7);
  LinearMemory memory(4, 4);
  ASSERT_TRUE(memory.map_shared(kPage, 2 * kPage, file.fd(), 0));
  ASSERT_TRUE(memory.unmap_shared(kPage, 2 * kPage));
  fill_as_guest(memory, 0, 0, 4 * kPage);
  EXPECT_EQ(file.at(0), 7);
  EXPECT_TRUE(memory.shared_regions().empty());
}

TEST(FileMaps, AreCopiedWhenTheyAreWritten) {
  const SharedFile file(3 * kPage, 7);
  LinearMemory memory(4, 4);
  ASSERT_TRUE(memory.map_file(kPage, 2 * kPage, file.fd(), kPage));
  EXPECT_TRUE(memory.shared_regions().empty());
  EXPECT_EQ(memory.get()->data[kPage], 7);
  memory.get()->data[kPage] = 1;
  EXPECT_EQ(file.at(kPage), 7);
  // Cleared, it does not come back with what the file has.
  fill_as_guest(memory, 0, 0, 4 * kPage);
  for (uint64_t at = 0; at < 4 * kPage; at += 512) ASSERT_EQ(memory.get()->data[at], 0);
}

// A module that owns its memory gets the one of its execution.
TEST(LinearMemory, IsGivenToAModuleThatOwnsItsMemory) {
  LinearMemory memory;
  EXPECT_EQ(memory.get(), nullptr);
  EXPECT_EQ(memory.size(), 0U);
  EXPECT_FALSE(memory.contains(&memory, 0));
  Execution execution;
  execution.memory = &memory;
  wasm_rt_memory_t place{};
  Outcome outcome;
  const auto allocate = [&] {
    execution.run([&] {
      outcome = execution.protect(
          [&] { wasm_rt_allocate_memory(&place, 2, 3, false, WASM_DEFAULT_PAGE_SIZE); });
    });
  };
  allocate();
  ASSERT_TRUE(outcome.returned());
  EXPECT_EQ(memory.get(), &place);
  EXPECT_EQ(memory.size(), 2 * kPage);
  place.data[2 * kPage - 1] = 1;
  // One execution has one memory.
  allocate();
  EXPECT_STREQ(outcome.trap, "no memory for the module");
}

// A fused module's parts, where translated code computes them to be.
TEST(LinearMemory, HasAPlaceForTableAndInstanceInFront) {
  LinearMemory memory(1, 1);
  uint8_t* const base = memory.get()->data;
  const auto* instance = reinterpret_cast<const uint64_t*>(base - GUEST_INSTANCE_SIZE);
  for (size_t i = 0; i < GUEST_INSTANCE_SIZE / sizeof(uint64_t); ++i) ASSERT_EQ(instance[i], 0U);

  wasm_rt_funcref_table_t table{};
  guest_place_table(base, &table, 3, UINT32_MAX);
  EXPECT_EQ(table.size, 3U);
  EXPECT_EQ(reinterpret_cast<uint8_t*>(table.data + GUEST_TABLE_CAPACITY) + GUEST_INSTANCE_SIZE,
            base);
  wasm_rt_funcref_t entry{};
  entry.module_instance = base;
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, GUEST_TABLE_CAPACITY, entry), UINT32_MAX);
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, GUEST_TABLE_CAPACITY - 3, entry), 3U);
  EXPECT_EQ(table.data[GUEST_TABLE_CAPACITY - 1].module_instance, base);
  EXPECT_EQ(instance[0], 0U);
}

class Table : public testing::Test {
 protected:
  void SetUp() override { wasm_rt_allocate_funcref_table(&table, 3, 5000); }
  void TearDown() override { wasm_rt_free_funcref_table(&table); }

  wasm_rt_funcref_table_t table{};
};

TEST_F(Table, StartsWithNullReferences) {
  EXPECT_EQ(table.size, 3U);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(table.data[i].func, nullptr);
}

TEST_F(Table, GrowsInPlaceAndFills) {
  const wasm_rt_funcref_t* const start = table.data;
  wasm_rt_funcref_t entry{};
  entry.module_instance = this;
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, 1, entry), 3U);
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, 4000, entry), 4U);
  EXPECT_EQ(table.data, start);
  EXPECT_EQ(table.size, 4004U);
  EXPECT_EQ(table.data[2].module_instance, nullptr);
  for (uint32_t i = 3; i < 4004; ++i) ASSERT_EQ(table.data[i].module_instance, this);
}

TEST_F(Table, DoesNotGrowBeyondItsMaximum) {
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, 4998, {}), UINT32_MAX);
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, UINT32_MAX, {}), UINT32_MAX);
  EXPECT_EQ(table.size, 3U);
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, 4997, {}), 3U);
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, 0, {}), 5000U);
}

TEST(UnboundedTable, HasALimitOfItsOwn) {
  wasm_rt_funcref_table_t table{};
  wasm_rt_allocate_funcref_table(&table, 0, UINT32_MAX);
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, UINT32_MAX, {}), UINT32_MAX);
  EXPECT_EQ(wasm_rt_grow_funcref_table(&table, 100'000, {}), 0U);
  wasm_rt_free_funcref_table(&table);
}

TEST(Trap, EveryCodeHasAMessage) {
  for (int code = WASM_RT_TRAP_NONE; code <= WASM_RT_TRAP_EXHAUSTION; ++code) {
    EXPECT_STRNE(wasm_rt_strerror(static_cast<wasm_rt_trap_t>(code)), "unknown trap") << code;
  }
}

}  // namespace
}  // namespace pglite::wasm
