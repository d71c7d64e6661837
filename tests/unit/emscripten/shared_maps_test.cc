// What processes map of /dev/shm, by the guest's own mmap() and munmap().
#include <algorithm>
#include <fstream>

#include "process_test_util.h"
#include "vfs/mount_table.h"
#include "vfs/shared_memory_filesystem.h"

namespace pglite::emscripten {
namespace {

constexpr uint32_t kRead = 1, kReadAndWrite = 3;  // PROT_...
constexpr uint32_t kShared = 1, kPrivate = 2, kFixed = 0x10;
constexpr uint32_t kFailed = UINT32_MAX;  // MAP_FAILED, and what calls say that fail

class SharedMapsTest : public ProcessTest {
 public:
  void SetUp() override {
    ProcessTest::SetUp();
    auto table = std::make_shared<vfs::MountTable>(filesystem);
    ASSERT_TRUE(table->mount("/dev/shm", std::make_shared<vfs::SharedMemoryFileSystem>()));
    tree = table;
    process = make_process();
    other = make_process();
    ASSERT_TRUE(process != nullptr && other != nullptr);
    scratch = allocate(65536);
  }

  // Runs `f` with the other process as `process`.
  template <class F>
  auto in_other(F&& f) {
    const uint32_t scratch_before = scratch;
    std::swap(process, other);
    scratch = allocate(65536);
    const auto result = f();
    scratch = scratch_before;
    std::swap(process, other);
    return result;
  }

  // The descriptor of a file of `size` zeros.
  uint32_t make_file(std::string_view path, uint64_t size) {
    const uint32_t fd = open(path, kReadWrite | kCreate | kExclusive);
    EXPECT_EQ(w2c_env_0x5F_syscall_ftruncate64(env(), fd, size), 0U);
    return fd;
  }
  // mmap() of the guest: an address or kFailed.
  uint32_t map(uint32_t fd, uint32_t length, uint32_t protection = kReadAndWrite,
               uint32_t flags = kShared, uint64_t offset = 0) {
    uint32_t address = 0;
    on_guest_stack([&] {
      address =
          process->function<uint32_t(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint64_t)>(
              "mmap")(0, length, protection, flags, fd, offset);
    });
    return address;
  }
  // As map(), and closes the file, as PostgreSQL does.
  uint32_t map_file(std::string_view path, uint32_t length) {
    const uint32_t fd = open(path, kReadWrite);
    const uint32_t address = map(fd, length);
    close(fd);
    return address;
  }
  uint32_t unmap(uint32_t address, uint32_t length) {
    uint32_t result = 0;
    on_guest_stack([&] {
      result = process->function<uint32_t(uint32_t, uint32_t)>("munmap")(address, length);
    });
    return result;
  }
  uint32_t error_of_last() {
    uint32_t error = 0;
    on_guest_stack([&] {
      const uint32_t at = process->function<uint32_t()>("__errno_location")();
      error = process->memory().load(wasm::GuestPtr<uint32_t>{at}).value_or(0);
    });
    return error;
  }
  uint8_t& byte(uint32_t address) {
    return reinterpret_cast<uint8_t&>((*process->memory().bytes(address, 1))[0]);
  }
  uint8_t other_byte(uint32_t address) {
    return static_cast<uint8_t>((*other->memory().bytes(address, 1))[0]);
  }
  size_t regions() { return process->memory_owner().shared_regions().size(); }

  std::unique_ptr<Process> other;
};

// What is mapped are pages of WebAssembly.
constexpr uint32_t kPage = 65536;

// The system's mappings of files of ours.
size_t mappings() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("pglite-port-shared") != std::string::npos) ++count;
  }
  return count;
}

TEST_F(SharedMapsTest, AreSeenByAllThatMapTheFile) {
  close(make_file("/dev/shm/a", 100'000));
  const uint32_t address = map_file("/dev/shm/a", 100'000);
  const uint32_t others = in_other([&] { return map_file("/dev/shm/a", 100'000); });
  ASSERT_NE(address, kFailed);
  ASSERT_NE(others, kFailed);
  EXPECT_EQ(address % 65536, 0U);
  byte(address + 99'999) = 42;
  EXPECT_EQ(other_byte(others + 99'999), 42);
  EXPECT_EQ(content("/dev/shm/a").size(), 32768U);
  const uint32_t fd = open("/dev/shm/a", kReadWrite);
  write(fd, "x");
  EXPECT_EQ(byte(address), 'x');
  EXPECT_EQ(other_byte(others), 'x');
  const auto region = process->memory_owner().shared_regions().front();
  EXPECT_EQ(region.begin, address);
  EXPECT_EQ(region.end, address + 2 * kPage);
}

TEST_F(SharedMapsTest, StayWhenTheFileIsRemovedAndCut) {
  const uint32_t fd = make_file("/dev/shm/a", 8192);
  const uint32_t address = map(fd, 8192);
  byte(address + 4096) = 7;
  EXPECT_EQ(w2c_env_0x5F_syscall_unlinkat(env(), kCwd, text("/dev/shm/a"), 0), 0U);
  EXPECT_EQ(byte(address + 4096), 7);
  EXPECT_EQ(w2c_env_0x5F_syscall_ftruncate64(env(), fd, 0), 0U);
  EXPECT_EQ(byte(address + 4096), 0);
  close(fd);
  byte(address + 4096) = 8;
  EXPECT_EQ(unmap(address, 8192), 0U);
}

// What libc gets back is memory of the guest's own again.
TEST_F(SharedMapsTest, LeavePrivateMemoryWhereTheyWere) {
  constexpr uint32_t kSize = 1 << 20;
  close(make_file("/dev/shm/a", kSize));
  const uint32_t address = map_file("/dev/shm/a", kSize);
  const uint32_t others = in_other([&] { return map_file("/dev/shm/a", kSize); });
  std::ranges::fill(*process->memory().bytes(address, kSize), std::byte{1});
  EXPECT_EQ(unmap(address, kSize), 0U);
  EXPECT_EQ(regions(), 0U);
  EXPECT_EQ(other_byte(others + 5000), 1);
  const uint32_t memory = allocate(2 * kSize);
  EXPECT_LT(memory, address);
  std::ranges::fill(*process->memory().bytes(memory, 2 * kSize), std::byte{2});
  for (uint32_t at = 0; at < kSize; ++at) ASSERT_EQ(other_byte(others + at), 1) << at;
  EXPECT_EQ(unmap(address, kSize), kFailed);

  in_other([&] { return unmap(others, kSize); });
  EXPECT_EQ(mappings(), 0U);
}

TEST_F(SharedMapsTest, ComeAndGoWithoutALoss) {
  close(make_file("/dev/shm/a", 300'000));
  uint32_t first = 0;
  for (int round = 0; round < 100; ++round) {
    const uint32_t address = map_file("/dev/shm/a", 300'000);
    ASSERT_NE(address, kFailed);
    if (round == 0) first = address;
    EXPECT_EQ(address, first);
    EXPECT_EQ(byte(address), round);
    byte(address) = static_cast<uint8_t>(round + 1);
    EXPECT_EQ(unmap(address, 300'000), 0U);
  }
  EXPECT_EQ(mappings(), 0U);
}

TEST_F(SharedMapsTest, EndWithTheProcess) {
  close(make_file("/dev/shm/a", 8192));
  EXPECT_NE(map_file("/dev/shm/a", 8192), kFailed);
  const uint32_t others = in_other([&] { return map_file("/dev/shm/a", 8192); });
  EXPECT_EQ(mappings(), 2U);
  process.reset();
  EXPECT_EQ(mappings(), 1U);
  EXPECT_EQ(other_byte(others), 0);
  other.reset();
  EXPECT_EQ(mappings(), 0U);
}

TEST_F(SharedMapsTest, MayBeOfTheBeginningOfAFile) {
  const uint32_t fd = make_file("/dev/shm/a", uint64_t{3} * kPage);
  const uint32_t address = map(fd, 100);
  ASSERT_NE(address, kFailed);
  EXPECT_EQ(process->memory_owner().shared_regions()[0].end, address + kPage);
  write(fd, "x");
  EXPECT_EQ(byte(address), 'x');
  EXPECT_EQ(unmap(address, 100), 0U);
}

TEST_F(SharedMapsTest, AreRefusedWhereTheyCannotBe) {
  const uint32_t fd = make_file("/dev/shm/a", 5000);
  const auto refused = [&](uint32_t address) {
    EXPECT_EQ(address, kFailed);
    EXPECT_EQ(regions(), 0U);
    return error_of_last();
  };
  EXPECT_EQ(refused(map(fd, kPage + 1)), kNoAddress);  // beyond the file's last page
  EXPECT_EQ(refused(map(fd, 4096, kReadAndWrite, kShared, 4096)), kInvalid);
  EXPECT_EQ(refused(map(fd, 4096, kReadAndWrite, kShared | kFixed)), kInvalid);
  EXPECT_EQ(refused(map(fd, 0)), kInvalid);
  EXPECT_EQ(refused(map(999, 4096)), kBadFile);
  EXPECT_EQ(refused(map(open("/dev/shm/a", kReadOnly), 4096)), kAccess);
  EXPECT_EQ(refused(map(open("/dev/shm/a", kReadOnly), 4096, kRead)), kAccess);
  EXPECT_EQ(refused(map(make_file("/dev/shm/empty", 0), 1)), kNoAddress);
  // There is less memory left than the file is long.
  on_guest_stack(
      [&] { EXPECT_NE(process->function<uint32_t(uint32_t)>("malloc")(0x7c000000), 0U); });
  EXPECT_EQ(refused(map(make_file("/dev/shm/large", 64 << 20), 64 << 20)), kNoMemory);
  EXPECT_EQ(mappings(), 0U);
}

TEST_F(SharedMapsTest, WithNowhereToSayWhereTheyAreAreNotMade) {
  const uint32_t fd = make_file("/dev/shm/a", 4096);
  for (const uint32_t nowhere : kBadAddresses) {
    on_guest_stack([&] {
      EXPECT_EQ(w2c_env_0x5Fmmap_js(env(), 4096, kReadAndWrite, kShared, fd, 0, nowhere, scratch),
                failed(kFault));
      EXPECT_EQ(w2c_env_0x5Fmmap_js(env(), 4096, kReadAndWrite, kShared, fd, 0, scratch, nowhere),
                failed(kFault));
    });
  }
  EXPECT_EQ(regions(), 0U);
}

TEST_F(SharedMapsTest, AreNotUnmappedInParts) {
  const uint32_t fd = make_file("/dev/shm/a", uint64_t{3} * kPage);
  const uint32_t address = map(fd, 3 * kPage);
  const auto refused = [&](uint32_t begin, uint32_t length) {
    return w2c_env_0x5Fmunmap_js(env(), begin, length, kReadAndWrite, kShared, fd, 0);
  };
  EXPECT_EQ(refused(address, kPage), failed(kInvalid));
  EXPECT_EQ(refused(address + kPage, kPage), failed(kInvalid));
  EXPECT_EQ(refused(address, 4 * kPage), failed(kInvalid));
  EXPECT_EQ(refused(address - kPage, 2 * kPage), failed(kInvalid));
  EXPECT_EQ(refused(address, 0), failed(kInvalid));
  EXPECT_EQ(unmap(address, kPage), kFailed);
  EXPECT_EQ(unmap(address + kPage, 2 * kPage), kFailed);
  EXPECT_EQ(regions(), 1U);
  EXPECT_EQ(unmap(address, 3 * kPage), 0U);
}

TEST_F(SharedMapsTest, APrivateMapIsACopy) {
  const uint32_t fd = make_file("/dev/shm/a", 4096);
  const uint32_t address = map(fd, 4096, kReadAndWrite, kPrivate);
  byte(address) = 1;
  EXPECT_EQ(regions(), 0U);
  EXPECT_EQ(unmap(address, 4096), 0U);
  EXPECT_EQ(byte(map(fd, 4096)), 0);
}

// One of many processes must not get a copy that it takes for shared memory.
TEST_F(SharedMapsTest, OfOtherFilesAreNotForOneOfManyProcesses) {
  const uint32_t fd = make_file("/tmp/a", 4096);
  EXPECT_NE(map(fd, 4096), kFailed);
  process->parks = true;
  EXPECT_EQ(map(fd, 4096), kFailed);
  EXPECT_EQ(error_of_last(), kNoDevice);
  EXPECT_NE(map(fd, 4096, kRead), kFailed);
  EXPECT_NE(map(fd, 4096, kReadAndWrite, kPrivate), kFailed);
  EXPECT_NE(map(make_file("/dev/shm/a", 4096), 4096), kFailed);
}

}  // namespace
}  // namespace pglite::emscripten
