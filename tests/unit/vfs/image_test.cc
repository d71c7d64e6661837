#include "vfs/image.h"

#include <sys/stat.h>

#include <bit>
#include <chrono>
#include <cstdio>

#include "image_seal.h"
#include "vfs/memory_node.h"
#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

constexpr size_t kPage = kImageAlignment;

std::string page_of(char c) {
  return std::string(kPage, c);
}

// A tree with one of everything.
void fill(MemoryFileSystem& fs) {
  ASSERT_OK(fs.make_directories("/tree/sub/empty", 0700));
  put(fs, "/tree/small", "small text", 0600);
  put(fs, "/tree/empty", "");
  put(fs, "/tree/page", page_of('p'), 0755);
  put(fs, "/tree/pages", page_of('p') + page_of('\0') + page_of('q') + "tail");
  put(fs, "/tree/sub/copy", page_of('q') + page_of('p') + "tail");
  put(fs, "/tree/zeros", std::string(3 * kPage + 5, '\0'));
  ASSERT_OK(fs.make_symbolic_link("../small", "/tree/sub/link"));
  ASSERT_OK(fs.make_hard_link("/tree/small", "/tree/sub/hard"));
  ASSERT_OK(fs.add_device("/tree/null", make_null_device()));
  const auto sparse = fs.open("/tree/sparse", kCreate, 0644);
  ASSERT_OK((*sparse)->write(bytes_of("s"), 100 * kPage + 1));
  ASSERT_OK((*sparse)->truncate(uint64_t{1} << 40));
  const timespec time{.tv_sec = 1'234'567'890, .tv_nsec = 123'456'789};
  for (const char* path : {"/tree", "/tree/small", "/tree/sub", "/tree/sub/link"}) {
    ASSERT_OK(fs.set_times(path, std::nullopt, time, false));
  }
}

std::string filled_image() {
  MemoryFileSystem fs;
  fill(fs);
  auto image = write_image(fs, "/tree");
  EXPECT_OK(image);
  return std::move(*image);
}

TEST(Image, RoundTrips) {
  const std::string image = filled_image();
  MemoryFileSystem fs;
  ASSERT_OK(load_image(bytes_of(image), fs, "/a/b"));
  EXPECT_EQ(fs.owned_bytes(), 0U);
  EXPECT_EQ(names(fs, "/a/b"),
            (Names{"empty", "page", "pages", "small", "sparse", "sub", "zeros"}));
  EXPECT_EQ(names(fs, "/a/b/sub"), (Names{"copy", "empty", "hard", "link"}));
  EXPECT_EQ(contents(fs, "/a/b/small"), "small text");
  EXPECT_EQ(contents(fs, "/a/b/empty"), "");
  EXPECT_EQ(contents(fs, "/a/b/page"), page_of('p'));
  EXPECT_EQ(contents(fs, "/a/b/pages"), page_of('p') + page_of('\0') + page_of('q') + "tail");
  EXPECT_EQ(contents(fs, "/a/b/sub/copy"), page_of('q') + page_of('p') + "tail");
  EXPECT_EQ(contents(fs, "/a/b/zeros"), std::string(3 * kPage + 5, '\0'));
  EXPECT_EQ(contents(fs, "/a/b/sub/link"), "small text");
  EXPECT_EQ(*fs.read_symbolic_link("/a/b/sub/link"), "../small");
  EXPECT_EQ(fs.metadata("/a/b/small", true)->inode, fs.metadata("/a/b/sub/hard", true)->inode);
  EXPECT_EQ(fs.metadata("/a/b/small", true)->link_count, 2U);
  EXPECT_EQ(fs.metadata("/a/b/small", true)->mode, uint32_t{S_IFREG | 0600});
  EXPECT_EQ(fs.metadata("/a/b/page", true)->mode, uint32_t{S_IFREG | 0755});
  EXPECT_EQ(fs.metadata("/a/b/sub", true)->mode, uint32_t{S_IFDIR | 0700});
  EXPECT_EQ(fs.metadata("/a/b/sub", true)->link_count, 3U);
  for (const char* path : {"/a/b", "/a/b/small", "/a/b/sub", "/a/b/sub/link"}) {
    EXPECT_EQ(fs.metadata(path, false)->modification_time.tv_sec, 1'234'567'890) << path;
    EXPECT_EQ(fs.metadata(path, false)->modification_time.tv_nsec, 123'456'789) << path;
  }
  const auto sparse = std::move(*fs.open("/a/b/sparse", kRead, 0));
  EXPECT_EQ(sparse->metadata()->size, uint64_t{1} << 40);
  EXPECT_EQ(contents(*sparse, 100 * kPage, 3), std::string("\0s\0", 3));
}

TEST(Image, IsTheSameWrittenAgain) {
  const std::string image = filled_image();
  MemoryFileSystem fs;
  ASSERT_OK(load_image(bytes_of(image), fs, "/"));
  EXPECT_EQ(*write_image(fs, "/"), image);
}

TEST(Image, StoresEqualPagesOnceAndPacksTails) {
  MemoryFileSystem fs;
  for (int i = 0; i < 100; ++i) {
    put(fs, "/big" + std::to_string(i), page_of('x') + page_of('y'));
    put(fs, "/small" + std::to_string(i), "text " + std::to_string(i));
  }
  const auto image = write_image(fs, "/");
  ASSERT_OK(image);
  EXPECT_LT(image->size(), 6 * kPage);
  EXPECT_EQ(image->size() % kPage, 0U);
  EXPECT_EQ(image->find(page_of('x')) % kPage, 0U);
  EXPECT_EQ(image->find(page_of('y')) % kPage, 0U);
}

TEST(Image, IsNotWrittenTo) {
  const std::string image = filled_image();
  const std::string copy = image;
  MemoryFileSystem fs;
  ASSERT_OK(load_image(bytes_of(image), fs, "/"));
  for (const char* path : {"/small", "/page", "/pages", "/sub/copy", "/zeros", "/sparse"}) {
    const auto file = std::move(*fs.open(path, kReadWrite, 0));
    EXPECT_OK(file->write(bytes_of("changed"), 3));
    EXPECT_OK(file->write(bytes_of("appended"), file->metadata()->size));
    EXPECT_OK(file->truncate(5));
    EXPECT_OK(file->truncate(kPage));
  }
  EXPECT_EQ(contents(fs, "/small").substr(0, 5), "smach");
  EXPECT_EQ(image, copy);
}

TEST(Image, LaysOverWhatIsThere) {
  const std::string image = filled_image();
  MemoryFileSystem fs;
  ASSERT_OK(fs.make_directories("/m/sub", 0755));
  put(fs, "/m/kept", "kept");
  put(fs, "/m/sub/kept", "kept");
  put(fs, "/m/small", "replaced");
  put(fs, "/m/sub/link", "replaced");
  const auto open_before = std::move(*fs.open("/m/small", kRead, 0));
  ASSERT_OK(load_image(bytes_of(image), fs, "/m"));
  EXPECT_EQ(contents(fs, "/m/kept"), "kept");
  EXPECT_EQ(contents(fs, "/m/sub/kept"), "kept");
  EXPECT_EQ(contents(fs, "/m/small"), "small text");
  EXPECT_EQ(contents(*open_before), "replaced");
  EXPECT_EQ(*fs.read_symbolic_link("/m/sub/link"), "../small");
  EXPECT_EQ(fs.metadata("/m/sub", true)->mode, uint32_t{S_IFDIR | 0700});
  // And over itself.
  ASSERT_OK(load_image(bytes_of(image), fs, "/m"));
  EXPECT_EQ(contents(fs, "/m/sub/hard"), "small text");
  EXPECT_EQ(fs.metadata("/m/small", true)->link_count, 2U);

  MemoryFileSystem other;
  put(other, "/sub", "a file where a directory should go");
  EXPECT_ERROR(load_image(bytes_of(image), other, "/"), std::errc::file_exists);
  EXPECT_ERROR(load_image(bytes_of(image), other, "/sub"), std::errc::not_a_directory);
}

TEST(Image, HoldsAnEmptyDirectory) {
  MemoryFileSystem fs;
  const auto image = write_image(fs, "/");
  ASSERT_OK(image);
  MemoryFileSystem other;
  ASSERT_OK(load_image(bytes_of(*image), other, "/new"));
  EXPECT_EQ(names(other, "/new"), Names{});
}

// Nothing in it has two names, so directories can wait.
std::string nested_image() {
  MemoryFileSystem fs;
  for (const char* directory : {"/a/deep/er", "/a/empty", "/b", "/c/d"}) {
    EXPECT_OK(fs.make_directories(directory, 0750));
  }
  for (const char* file : {"/a/1", "/a/2", "/a/deep/3", "/a/deep/er/4", "/b/5", "/z"}) {
    put(fs, file, file, 0640);
  }
  EXPECT_OK(fs.make_symbolic_link("../b/5", "/a/link"));
  const timespec time{.tv_sec = 1'234'567'890, .tv_nsec = 5};
  for (const char* path : {"/a", "/a/1", "/a/deep", "/a/deep/er", "/a/deep/er/4", "/c/d"}) {
    EXPECT_OK(fs.set_times(path, std::nullopt, time, false));
  }
  auto image = write_image(fs, "/");
  EXPECT_OK(image);
  return std::move(*image);
}

TEST(Image, IsTheSameTreeWhereDirectoriesWait) {
  for (const std::string& image : {nested_image(), filled_image()}) {
    MemoryFileSystem fs;
    ASSERT_OK(load_image(bytes_of(image), fs, "/", Unpacking::kAsUsed));
    EXPECT_EQ(*write_image(fs, "/"), image);
  }
}

TEST(Image, ADirectoryThatWaitsIsAsOneThatWasRead) {
  const std::string image = nested_image();
  MemoryFileSystem now;
  MemoryFileSystem late;
  ASSERT_OK(load_image(bytes_of(image), now, "/", Unpacking::kAtOnce));
  ASSERT_OK(load_image(bytes_of(image), late, "/", Unpacking::kAsUsed));
  const auto times_of = [&](const char* path) {
    const Metadata metadata = *late.metadata(path, false);
    return std::pair(metadata.modification_time.tv_sec, metadata.change_time.tv_nsec);
  };
  for (const char* path : {"/a", "/a/deep", "/a/deep/er", "/a/empty", "/c", "/c/d"}) {
    const auto before = times_of(path);
    EXPECT_EQ(late.metadata(path, true)->link_count, now.metadata(path, true)->link_count) << path;
    EXPECT_EQ(late.metadata(path, true)->mode, now.metadata(path, true)->mode) << path;
    EXPECT_EQ(names(late, path), names(now, path)) << path;
    EXPECT_EQ(late.metadata(path, true)->link_count, now.metadata(path, true)->link_count) << path;
    EXPECT_EQ(times_of(path), before) << path;
  }
  EXPECT_EQ(late.metadata("/a/1", true)->modification_time.tv_sec, 1'234'567'890);
  EXPECT_EQ(contents(late, "/a/deep/../../a/link"), "/b/5");
}

TEST(Image, ADirectoryThatWaitsCanBeChanged) {
  const std::string image = nested_image();
  MemoryFileSystem fs;
  ASSERT_OK(load_image(bytes_of(image), fs, "/m", Unpacking::kAsUsed));
  EXPECT_ERROR(fs.remove_directory("/m/a"), std::errc::directory_not_empty);
  EXPECT_ERROR(fs.rename("/m/c", "/m/b"), std::errc::directory_not_empty);
  ASSERT_OK(fs.rename("/m/c", "/moved"));
  EXPECT_EQ(names(fs, "/moved"), Names{"d"});
  ASSERT_OK(fs.rename("/m/a/deep", "/deep"));
  EXPECT_EQ(contents(fs, "/deep/er/../3"), "/a/deep/3");
  EXPECT_ERROR(fs.rename("/deep", "/deep/er/below"), std::errc::invalid_argument);
  put(fs, "/m/b/new", "new");
  EXPECT_EQ(names(fs, "/m/b"), (Names{"5", "new"}));
  EXPECT_EQ(names(fs, "/m/a"), (Names{"1", "2", "empty", "link"}));
  // Another image over one that was not read.
  MemoryFileSystem twice;
  ASSERT_OK(load_image(bytes_of(image), twice, "/", Unpacking::kAsUsed));
  put(twice, "/a/deep/own", "own");
  ASSERT_OK(load_image(bytes_of(image), twice, "/", Unpacking::kAsUsed));
  EXPECT_EQ(names(twice, "/a/deep"), (Names{"3", "er", "own"}));
  EXPECT_EQ(twice.metadata("/a", true)->link_count, 4U);
}

TEST(Image, ADirectoryThatWaitsIsEmptyWhenItsFileSystemIsGone) {
  const std::string image = nested_image();
  std::unique_ptr<File> directory;
  {
    MemoryFileSystem fs;
    ASSERT_OK(load_image(bytes_of(image), fs, "/", Unpacking::kAsUsed));
    directory = std::move(*fs.open("/a/deep", kRead, 0));
  }
  EXPECT_EQ(directory->entries()->size(), 0U);
}

// Records in another order than write_image() gives are valid, and read at once.
TEST(Image, DirectoriesThatAreNotNestedDoNotWait) {
  MemoryFileSystem fs;
  ASSERT_OK(fs.make_directories("/a", 0700));
  put(fs, "/a/x", "below");
  put(fs, "/c", "beside");
  std::string image = *write_image(fs, "/");
  constexpr size_t kHeader = 64;
  constexpr size_t kRecord = 48;
  std::swap_ranges(image.begin() + kHeader + 2 * kRecord, image.begin() + kHeader + 3 * kRecord,
                   image.begin() + kHeader + 3 * kRecord);
  uint32_t counts[3];  // nodes, references, bytes of names
  std::memcpy(counts, image.data() + 12, sizeof(counts));
  ASSERT_EQ(counts[0], 4U);
  seal_image(image, kHeader + counts[0] * kRecord + size_t{counts[1]} * 4 + counts[2]);
  for (const Unpacking unpacking : {Unpacking::kAtOnce, Unpacking::kAsUsed}) {
    MemoryFileSystem loaded;
    ASSERT_OK(load_image(bytes_of(image), loaded, "/", unpacking));
    EXPECT_EQ(names(loaded, "/"), (Names{"a", "c"}));
    EXPECT_EQ(contents(loaded, "/a/x"), "below");
    EXPECT_EQ(contents(loaded, "/c"), "beside");
  }
}

TEST(Image, RefusesWrongRoots) {
  MemoryFileSystem fs;
  put(fs, "/file", "");
  EXPECT_ERROR(write_image(fs, "/none"), std::errc::no_such_file_or_directory);
  EXPECT_ERROR(write_image(fs, "/file"), std::errc::not_a_directory);
}

void read_everything(MemoryFileSystem& fs, const std::string& path) {
  const auto directory = std::move(*fs.open(path, kRead, 0));
  const auto entries = std::move(*directory->entries());
  for (const DirectoryEntry& entry : entries) {
    const std::string below = path + "/" + entry.name;
    if (S_ISDIR(entry.mode)) {
      read_everything(fs, below);
    } else if (S_ISREG(entry.mode)) {
      (void)contents(fs, below);
    }
  }
}

// Loads a copy of exactly the image's size, so that the address sanitizer sees any byte beyond.
Result<void> load_copy(std::string_view image) {
  const std::vector<char> exact(image.begin(), image.end());
  MemoryFileSystem fs;
  auto loaded = load_image(std::as_bytes(std::span(exact)), fs, "/m");
  if (loaded) {
    read_everything(fs, "/m");
  } else {
    EXPECT_TRUE(loaded.error() == std::errc::invalid_argument ||
                loaded.error() == std::errc::illegal_byte_sequence)
        << outcome(loaded);
    EXPECT_EQ(names(fs, "/"), Names{});  // nothing was changed
  }
  return loaded;
}

// The first byte after header, records, references and names: nothing else is before the tails,
// whose place the header says.
size_t index_size(const std::string& image) {
  uint64_t tails_offset = 0;
  std::memcpy(&tails_offset, image.data() + 24, sizeof(tails_offset));
  return tails_offset;
}

TEST(Image, RefusesEveryFlippedBitOfTheIndex) {
  std::string image = filled_image();
  uint32_t names_size = 0;
  std::memcpy(&names_size, image.data() + 20, sizeof(names_size));
  uint32_t counts[2];
  std::memcpy(counts, image.data() + 12, sizeof(counts));
  const size_t index_end = 64 + counts[0] * 48 + counts[1] * 4 + names_size;
  ASSERT_LE(index_end, index_size(image));
  ASSERT_GT(index_end + 8, index_size(image));
  for (size_t i = 0; i < index_end; ++i) {
    for (const int bit : {0x01, 0x10, 0x80, 0xff}) {
      image[i] = static_cast<char>(image[i] ^ bit);
      ASSERT_FALSE(load_copy(image).has_value()) << "byte " << i << " bits " << bit;
      image[i] = static_cast<char>(image[i] ^ bit);
    }
  }
  EXPECT_OK(load_copy(image));
}

TEST(Image, LoadsWithDamagedContents) {
  std::string image = filled_image();
  for (size_t i = index_size(image); i < image.size(); i += 97) {
    image[i] = static_cast<char>(image[i] ^ 0xff);
    ASSERT_OK(load_copy(image));
  }
}

TEST(Image, RefusesOtherSizes) {
  const std::string image = filled_image();
  for (size_t size = 0; size < image.size(); size += size < 200 ? 1 : 509) {
    ASSERT_FALSE(load_copy(image.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(load_copy(image + "x").has_value());
  EXPECT_FALSE(load_copy(image + page_of('x')).has_value());
  EXPECT_ERROR(load_copy(""), std::errc::invalid_argument);
  EXPECT_ERROR(load_copy(std::string(10'000, 'x')), std::errc::invalid_argument);
}

// The checksum keeps damage away from the checks behind it; here it is made right again, so that
// they must hold alone. Mutations that make another valid image are fine, reading out of bounds
// (which the sanitizer sees) is not.
TEST(Image, ChecksFieldsWhoseChecksumIsRight) {
  const std::string original = filled_image();
  std::string image = original;
  const size_t end = index_size(image);
  size_t sealed_end = 0;
  for (size_t size = end - 7; size <= end; ++size) {  // the padding before the tails is not sealed
    seal_image(image, size);
    if (image == original) sealed_end = size;
  }
  ASSERT_NE(sealed_end, 0U);
  uint64_t random = 42;
  int refused = 0;
  const auto next = [&] {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return random;
  };
  for (int round = 0; round < 3'000; ++round) {
    image.replace(0, end, original, 0, end);
    const size_t field = 12 + next() % (end - 16) / 4 * 4;
    constexpr uint32_t kValues[] = {0, 1, 7, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff, 8192};
    const uint32_t value =
        next() % 2 == 0 ? kValues[next() % 8] : static_cast<uint32_t>(next() % 4096);
    std::memcpy(image.data() + field, &value, sizeof(value));
    seal_image(image, sealed_end);
    const std::vector<char> exact(image.begin(), image.end());
    MemoryFileSystem fs;
    const Unpacking unpacking = round % 2 == 0 ? Unpacking::kAtOnce : Unpacking::kAsUsed;
    if (load_image(std::as_bytes(std::span(exact)), fs, "/m", unpacking)) {
      read_everything(fs, "/m");
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1'000);
}

// It would be found only when the file is to become a directory, with half the tree changed.
TEST(Image, RefusesANameThatComesTwice) {
  MemoryFileSystem fs;
  put(fs, "/twin1", "a file");
  ASSERT_OK(fs.make_directories("/twin2/below", 0700));
  std::string image = *write_image(fs, "/");
  image[image.find("twin2") + 4] = '1';
  uint32_t counts[3];  // nodes, references, bytes of names
  std::memcpy(counts, image.data() + 12, sizeof(counts));
  seal_image(image, 64 + size_t{counts[0]} * 48 + size_t{counts[1]} * 4 + counts[2]);
  EXPECT_ERROR(load_copy(image), std::errc::illegal_byte_sequence);
}

// Not a check but a number to look at: RecordProperty puts it into the XML report.
TEST(Image, LoadsQuickly) {
  MemoryFileSystem fs;
  for (int d = 0; d < 20; ++d) {
    const std::string directory = "/directory" + std::to_string(d);
    ASSERT_OK(fs.make_directory(directory, 0755));
    for (int i = 0; i < 100; ++i) {
      put(fs, directory + "/file" + std::to_string(i),
          std::string(kPage * (i % 4) + 100, static_cast<char>('a' + i % 26)));
    }
  }
  const auto image = write_image(fs, "/");
  ASSERT_OK(image);
  auto best = std::chrono::steady_clock::duration::max();
  for (int round = 0; round < 20; ++round) {
    MemoryFileSystem target;
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_OK(load_image(bytes_of(*image), target, "/"));
    best = std::min(best, std::chrono::steady_clock::now() - begin);
  }
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(best).count();
  RecordProperty("microseconds", std::to_string(microseconds));
  std::printf("2,000 files loaded in %lld us\n", static_cast<long long>(microseconds));
}

}  // namespace
}  // namespace pglite::vfs
