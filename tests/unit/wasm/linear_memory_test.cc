#include "wasm/linear_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <charconv>
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
  guest_large_fill(raw.data + kPage, 0, 512 * kPage);
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
