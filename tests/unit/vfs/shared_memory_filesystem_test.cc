#include "vfs/shared_memory_filesystem.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "vfs/memory_filesystem.h"
#include "vfs/mount_table.h"
#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

constexpr uint64_t kPage = SharedMemoryFileSystem::kPageSize;
constexpr OpenFlags kExclusive{.read = true, .write = true, .create = true, .exclusive = true};

class SharedMemoryTest : public testing::Test {
 protected:
  std::unique_ptr<File> open(std::string_view path, OpenFlags flags = kCreate,
                             uint32_t permissions = 0600) {
    auto file = fs.open(path, flags, permissions);
    EXPECT_OK(file);
    return file ? std::move(*file) : nullptr;
  }

  SharedMemoryFileSystem fs;
};

// A shared map of a file, as a process has one.
class Map {
 public:
  Map(const File& file, uint64_t size)
      : size_(size),
        start_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.mappable_descriptor(),
                      0)) {
    EXPECT_NE(start_, MAP_FAILED);
  }
  ~Map() { ::munmap(start_, size_); }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  [[nodiscard]] char& operator[](uint64_t at) const { return static_cast<char*>(start_)[at]; }

 private:
  uint64_t size_;
  void* start_;
};

// What the system holds for a file, in bytes.
uint64_t memory_of(const File& file) {
  struct stat status{};
  EXPECT_EQ(::fstat(file.mappable_descriptor(), &status), 0);
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

TEST_F(SharedMemoryTest, IsAnEmptyDirectoryAtFirst) {
  const auto root = fs.metadata("/", true);
  ASSERT_OK(root);
  EXPECT_EQ(root->mode, uint32_t{S_IFDIR | 0777});
  EXPECT_EQ(names(fs, "/"), Names{});
}

TEST_F(SharedMemoryTest, FilesAreMadeOpenedAndRemoved) {
  EXPECT_ERROR(fs.open("/one", kReadWrite, 0), std::errc::no_such_file_or_directory);
  const auto file = open("/one", kExclusive);
  open("/two");
  EXPECT_EQ(names(fs, "/"), (Names{"one", "two"}));
  EXPECT_ERROR(fs.open("/one", kExclusive, 0600), std::errc::file_exists);
  EXPECT_OK(file->write(bytes_of("hello"), 0));
  EXPECT_EQ(contents(*open("/one", kRead)), "hello");

  const auto metadata = fs.metadata("/one", true);
  ASSERT_OK(metadata);
  EXPECT_EQ(metadata->mode, uint32_t{S_IFREG | 0600});
  EXPECT_EQ(metadata->size, 5U);
  EXPECT_EQ(metadata->blocks, kPage / 512);
  EXPECT_EQ(metadata->link_count, 1U);
  EXPECT_EQ(metadata->inode, file->metadata()->inode);
  EXPECT_NE(metadata->inode, fs.metadata("/two", true)->inode);

  EXPECT_OK(fs.remove_file("/one"));
  EXPECT_ERROR(fs.remove_file("/one"), std::errc::no_such_file_or_directory);
  EXPECT_EQ(names(fs, "/"), Names{"two"});
  EXPECT_EQ(file->metadata()->link_count, 0U);
  EXPECT_EQ(contents(*file), "hello");
  open("/one", kExclusive);
  EXPECT_EQ(contents(fs, "/one"), "");
  EXPECT_OK(file->write(bytes_of("J"), 0));
  EXPECT_EQ(contents(*file), "Jello");
}

TEST_F(SharedMemoryTest, FilesHaveWholePages) {
  const auto file = open("/file");
  for (const uint64_t size : {uint64_t{1}, kPage - 1, kPage, kPage + 1, 20 * kPage + 17}) {
    EXPECT_OK(file->truncate(size));
    EXPECT_EQ(file->metadata()->size, size);
    struct stat status{};
    ASSERT_EQ(::fstat(file->mappable_descriptor(), &status), 0);
    EXPECT_EQ(static_cast<uint64_t>(status.st_size), (size + kPage - 1) / kPage * kPage);
    EXPECT_EQ(contents(*file, 0, size_t{2} << 20), std::string(size, '\0'));
  }
}

TEST_F(SharedMemoryTest, ReadsAndWritesAcrossPages) {
  const auto file = open("/file");
  std::string expected;
  for (size_t i = 0; i < 50'000; ++i) expected += static_cast<char>('a' + i * 7 % 23);
  EXPECT_EQ(*file->write(bytes_of(expected), 0), expected.size());
  const std::string patch(10'000, '#');
  EXPECT_OK(file->write(bytes_of(patch), 12'345));
  expected.replace(12'345, patch.size(), patch);
  EXPECT_EQ(contents(*file), expected);
  EXPECT_EQ(contents(*file, 49'990), expected.substr(49'990));
  EXPECT_EQ(contents(*file, 50'000), "");
  EXPECT_OK(file->write(bytes_of("end"), 60'000));
  expected.resize(60'000, '\0');
  EXPECT_EQ(contents(*file), expected + "end");
  EXPECT_EQ(*file->write({}, 100'000), 0U);
  EXPECT_EQ(file->metadata()->size, 60'003U);
}

TEST_F(SharedMemoryTest, MapsAndFilesSeeEachOther) {
  const auto file = open("/file");
  EXPECT_OK(file->truncate(3 * kPage));
  const Map one(*file, 3 * kPage);
  const Map two(*open("/file", kReadWrite), 3 * kPage);
  one[kPage] = 'x';
  EXPECT_EQ(two[kPage], 'x');
  EXPECT_EQ(contents(*file, kPage, 1), "x");
  EXPECT_OK(file->write(bytes_of("y"), 2 * kPage));
  EXPECT_EQ(one[2 * kPage], 'y');
}

TEST_F(SharedMemoryTest, AMapOutlivesItsFile) {
  auto file = open("/file");
  EXPECT_OK(file->truncate(kPage));
  const Map map(*file, kPage);
  EXPECT_OK(fs.remove_file("/file"));
  file.reset();
  map[0] = 'x';
  EXPECT_EQ(map[0], 'x');
}

// The system would kill a process by SIGBUS.
TEST_F(SharedMemoryTest, AFileThatIsCutLeavesMapsTheirPages) {
  const auto file = open("/file");
  EXPECT_OK(file->write(bytes_of(std::string(4 * kPage, 'x')), 0));
  const Map map(*file, 4 * kPage);
  EXPECT_OK(file->truncate(kPage + 10));
  EXPECT_EQ(map[kPage + 9], 'x');
  EXPECT_EQ(map[kPage + 10], '\0');
  EXPECT_LE(memory_of(*file), 2 * kPage);
  EXPECT_EQ(map[3 * kPage], '\0');
  map[3 * kPage] = 'y';
  EXPECT_EQ(contents(*file), std::string(kPage + 10, 'x'));
  // What was written behind the end does not come back with the file's growth.
  map[kPage + 11] = 'z';
  EXPECT_OK(file->truncate(4 * kPage));
  EXPECT_EQ(contents(*file), std::string(kPage + 10, 'x') + std::string(3 * kPage - 10, '\0'));
  EXPECT_EQ(memory_of(*file), 4 * kPage);
  map[3 * kPage] = 'y';
  EXPECT_EQ(contents(*file, 3 * kPage, 1), "y");

  EXPECT_OK(fs.truncate("/file", 0));
  EXPECT_EQ(memory_of(*file), 0U);
  EXPECT_EQ(map[0], '\0');
  EXPECT_OK(file->write(bytes_of("again"), 0));
  EXPECT_EQ(map[4], 'n');
  open("/file", {.write = true, .truncate = true});
  EXPECT_EQ(file->metadata()->size, 0U);
  EXPECT_EQ(map[4], '\0');
}

#ifndef PGLITE_PORTABLE_OS  // where it is a file on a disk, which has blocks of its own
TEST_F(SharedMemoryTest, ReservesTheMemoryOfAllThatFilesAreLong) {
  const auto file = open("/file");
  constexpr uint64_t kSize = (uint64_t{5} << 20) + 100;
  EXPECT_OK(file->truncate(kSize));
  EXPECT_EQ(memory_of(*file), (uint64_t{5} << 20) + kPage);
  EXPECT_OK(file->allocate(0, kSize));
  EXPECT_OK(file->allocate(100, 3 * kSize));
  EXPECT_EQ(file->metadata()->size, 100 + 3 * kSize);
  EXPECT_GE(memory_of(*file), 100 + 3 * kSize);
  EXPECT_OK(file->write(bytes_of("x"), 6 * kSize));
  EXPECT_GE(memory_of(*file), 6 * kSize);
}
#endif

// The system refuses to make the file longer, as it does where it has no memory.
TEST_F(SharedMemoryTest, AFailureToGrowIsAnErrorAndChangesNothing) {
  const auto file = open("/file");
  EXPECT_OK(file->write(bytes_of("hello"), 0));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{.rlim_cur = rlim_t{3} << 20, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_ERROR(file->truncate(uint64_t{8} << 20), std::errc::file_too_large);
  EXPECT_ERROR(file->allocate(0, uint64_t{8} << 20), std::errc::file_too_large);
  EXPECT_ERROR(file->write(bytes_of("x"), uint64_t{8} << 20), std::errc::file_too_large);
  EXPECT_EQ(file->metadata()->size, 5U);
  EXPECT_EQ(contents(*file), "hello");
  EXPECT_EQ(memory_of(*file), kPage);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_OK(file->truncate(uint64_t{8} << 20));
}

TEST_F(SharedMemoryTest, RefusesSizesNoFileCanHave) {
  const auto file = open("/file");
  constexpr uint64_t kMaximum = SharedMemoryFileSystem::kMaximumSize;
  EXPECT_ERROR(file->truncate(kMaximum + 1), std::errc::file_too_large);
  EXPECT_ERROR(file->allocate(kMaximum, 1), std::errc::file_too_large);
  EXPECT_ERROR(file->write(bytes_of("x"), kMaximum), std::errc::file_too_large);
  EXPECT_ERROR(file->write(bytes_of("x"), INT64_MAX), std::errc::file_too_large);
  const uint64_t none = uint64_t{INT64_MAX} + 1;
  std::byte byte{};
  EXPECT_ERROR(file->truncate(none), std::errc::invalid_argument);
  EXPECT_ERROR(file->write(bytes_of("x"), none), std::errc::invalid_argument);
  EXPECT_ERROR(file->read({&byte, 1}, none), std::errc::invalid_argument);
  EXPECT_ERROR(file->allocate(INT64_MAX, INT64_MAX), std::errc::invalid_argument);
  EXPECT_ERROR(file->allocate(0, 0), std::errc::invalid_argument);
  EXPECT_EQ(file->metadata()->size, 0U);
}

TEST_F(SharedMemoryTest, HandlesDoWhatTheyWereOpenedFor) {
  open("/file");
  const auto reader = open("/file", kRead);
  EXPECT_ERROR(reader->write(bytes_of("x"), 0), std::errc::bad_file_descriptor);
  EXPECT_ERROR(reader->truncate(1), std::errc::invalid_argument);
  EXPECT_ERROR(reader->allocate(0, 1), std::errc::bad_file_descriptor);
  EXPECT_ERROR(reader->entries(), std::errc::not_a_directory);
  std::byte byte{};
  EXPECT_ERROR(open("/file", {.write = true})->read({&byte, 1}, 0), std::errc::bad_file_descriptor);
  const auto root = open("/", {.read = true, .directory = true});
  EXPECT_ERROR(root->read({&byte, 1}, 0), std::errc::is_a_directory);
  EXPECT_ERROR(root->write(bytes_of("x"), 0), std::errc::bad_file_descriptor);
  EXPECT_EQ(root->mappable_descriptor(), -1);
  EXPECT_OK(root->sync());
  EXPECT_OK(reader->sync());
  EXPECT_OK(reader->sync_data());
  EXPECT_OK(fs.sync_all());
}

TEST_F(SharedMemoryTest, ModesAndTimesCanBeSet) {
  const auto file = open("/file");
  EXPECT_OK(file->change_mode(0644));
  EXPECT_EQ(fs.metadata("/file", true)->mode, uint32_t{S_IFREG | 0644});
  EXPECT_OK(fs.change_mode("/file", 0100, true));
  EXPECT_EQ(file->metadata()->mode, uint32_t{S_IFREG | 0100});
  EXPECT_OK(fs.change_mode("/", 0700, true));
  EXPECT_EQ(fs.metadata("/", true)->mode, uint32_t{S_IFDIR | 0700});
  EXPECT_OK(fs.set_times("/file", timespec{5, 0}, timespec{6, 0}, true));
  EXPECT_EQ(file->metadata()->access_time.tv_sec, 5);
  EXPECT_EQ(file->metadata()->modification_time.tv_sec, 6);
  EXPECT_ERROR(fs.set_times("/file", timespec{0, 1'000'000'000}, std::nullopt, true),
               std::errc::invalid_argument);
  const auto statistics = fs.statistics("/file");
  ASSERT_OK(statistics);
  EXPECT_EQ(statistics->block_size, kPage);
  EXPECT_GT(statistics->blocks_free, 0U);
}

TEST_F(SharedMemoryTest, HasNothingButFiles) {
  open("/file");
  EXPECT_ERROR(fs.make_directory("/directory", 0755), std::errc::operation_not_permitted);
  EXPECT_ERROR(fs.make_directory("/file", 0755), std::errc::file_exists);
  EXPECT_ERROR(fs.make_directory("/", 0755), std::errc::file_exists);
  EXPECT_ERROR(fs.make_symbolic_link("file", "/link"), std::errc::operation_not_permitted);
  EXPECT_ERROR(fs.make_symbolic_link("file", "/file"), std::errc::file_exists);
  EXPECT_ERROR(fs.make_symbolic_link("", "/link"), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs.make_hard_link("/file", "/link"), std::errc::operation_not_permitted);
  EXPECT_ERROR(fs.make_hard_link("/none", "/link"), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs.read_symbolic_link("/file"), std::errc::invalid_argument);
  EXPECT_ERROR(fs.read_symbolic_link("/none"), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs.rename("/file", "/other"), std::errc::operation_not_permitted);
  EXPECT_ERROR(fs.rename("/none", "/other"), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(fs.rename("/file", "/"), std::errc::device_or_resource_busy);
  EXPECT_ERROR(fs.remove_directory("/"), std::errc::device_or_resource_busy);
  EXPECT_ERROR(fs.remove_directory("/file"), std::errc::not_a_directory);
  EXPECT_ERROR(fs.remove_file("/"), std::errc::is_a_directory);
  EXPECT_ERROR(fs.truncate("/", 0), std::errc::is_a_directory);
  EXPECT_ERROR(fs.open("/", kReadWrite, 0), std::errc::is_a_directory);
  EXPECT_ERROR(fs.open("/", kExclusive, 0), std::errc::file_exists);
  EXPECT_ERROR(fs.open("/file", {.read = true, .directory = true}, 0), std::errc::not_a_directory);
  EXPECT_ERROR(fs.open("/new", {.create = true, .directory = true}, 0),
               std::errc::invalid_argument);
  EXPECT_EQ(names(fs, "/"), Names{"file"});
}

TEST_F(SharedMemoryTest, PathsLeadNowhereElse) {
  open("/file");
  const std::string long_name = "/" + std::string(256, 'x');
  const std::string long_path = "/" + std::string(4095, 'x');
  const std::pair<std::string, std::errc> paths[] = {
      {"", std::errc::no_such_file_or_directory},
      {"/none", std::errc::no_such_file_or_directory},
      {"/none/file", std::errc::no_such_file_or_directory},
      {"/file/file", std::errc::not_a_directory},
      {long_name, std::errc::filename_too_long},
      {long_path, std::errc::filename_too_long}};
  for (const auto& [path, code] : paths) {
    EXPECT_ERROR(fs.metadata(path, true), code);
    EXPECT_ERROR(fs.remove_file(path), code);
    EXPECT_ERROR(fs.truncate(path, 0), code);
    EXPECT_ERROR(fs.change_mode(path, 0, true), code);
    EXPECT_ERROR(fs.statistics(path), code);
    if (path != "/none") {
      EXPECT_ERROR(fs.open(path, kCreate, 0600), code);
      EXPECT_ERROR(fs.make_directory(path, 0700), code);
    }
  }
  open("/" + std::string(255, 'x'));
}

TEST_F(SharedMemoryTest, CanBeMounted) {
  MountTable table(std::make_shared<MemoryFileSystem>());
  ASSERT_OK(table.mount("/dev/shm", std::make_shared<SharedMemoryFileSystem>()));
  put(table, "/dev/shm/file", "hello");
  EXPECT_EQ(names(table, "/dev/shm"), Names{"file"});
  EXPECT_EQ(contents(table, "/dev/shm/file"), "hello");
  EXPECT_ERROR(table.remove_directory("/dev/shm"), std::errc::device_or_resource_busy);
  EXPECT_ERROR(table.rename("/dev/shm/file", "/file"), std::errc::cross_device_link);
}

}  // namespace
}  // namespace pglite::vfs
