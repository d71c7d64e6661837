// load_image on images whose checksum is right and whose fields are not.
//
// Where the first byte is 0, the rest is an image as it is, but for the checksum. Else the header
// is made here, and the rest is what it stands for: three counts, the records, the page references,
// the tails, the names. So mutations reach the checks of records without first having to guess a
// layout.
#include "vfs/image.h"

#include <sys/stat.h>

#include <algorithm>
#include <span>

#include "../unit/vfs/image_seal.h"
#include "target.h"
#include "vfs/memory_filesystem.h"

namespace pglite::fuzz {
namespace {

constexpr size_t kHeader = 64;
constexpr size_t kRecord = 48;

struct Layout {
  uint32_t nodes, references, names;
  uint64_t tails_offset, tails_size, pages_offset, pages_count;
};

Layout layout_of(std::string_view image) {
  Layout layout{};
  std::memcpy(&layout.nodes, image.data() + 12, 12);
  std::memcpy(&layout.tails_offset, image.data() + 24, 32);
  return layout;
}

uint64_t index_end(const Layout& layout) {
  return kHeader + uint64_t{layout.nodes} * kRecord + uint64_t{layout.references} * 4 +
         layout.names;
}

std::string image_of(Input& input) {
  Layout layout{};
  layout.nodes = input.get<uint8_t>();
  layout.references = input.get<uint8_t>();
  layout.tails_size = uint64_t{input.get<uint8_t>()} * 8;
  layout.pages_count = 2;
  std::string index(input.take(layout.nodes * kRecord + size_t{layout.references} * 4));
  index.resize(layout.nodes * kRecord + size_t{layout.references} * 4);
  std::string tails(input.take(layout.tails_size));
  tails.resize(layout.tails_size);
  const std::string_view names = input.rest();
  index += names;
  layout.names = static_cast<uint32_t>(names.size());
  const auto round_up = [](uint64_t value, uint64_t to) { return (value + to - 1) / to * to; };
  layout.tails_offset = round_up(kHeader + index.size(), 8);
  layout.pages_offset = round_up(layout.tails_offset + tails.size(), vfs::kImageAlignment);

  std::string image("PGLTREE\n\1\0\0\0", 12);
  image.resize(kHeader);
  std::memcpy(image.data() + 12, &layout.nodes, 12);
  std::memcpy(image.data() + 24, &layout.tails_offset, 32);
  image += index;
  image.resize(layout.tails_offset);
  image += tails;
  image.resize(layout.pages_offset);
  image += std::string(layout.pages_count * vfs::kImageAlignment, 'p');
  return image;
}

// The other way round.
std::string input_of(std::string_view image) {
  const Layout layout = layout_of(image);
  FUZZ_CHECK(layout.nodes < 256 && layout.references < 256);
  const size_t records_end = kHeader + layout.nodes * kRecord + size_t{layout.references} * 4;
  const size_t tails = std::min<size_t>((layout.tails_size + 7) / 8, 255);
  std::string input{'\1', static_cast<char>(layout.nodes), static_cast<char>(layout.references),
                    static_cast<char>(tails)};
  input += image.substr(kHeader, records_end - kHeader);
  std::string tail(image.substr(layout.tails_offset, layout.tails_size));
  tail.resize(tails * 8);
  return input + tail + std::string(image.substr(records_end, layout.names));
}

void put(vfs::MemoryFileSystem& files, const std::string& path, std::string_view content) {
  auto file = files.open(path, {.write = true, .create = true}, 0600);
  FUZZ_CHECK(file && (*file)->write(std::as_bytes(std::span(content)), 0));
}

std::string good_image() {
  vfs::MemoryFileSystem files;
  FUZZ_CHECK(files.make_directories("/sub/empty", 0700));
  put(files, "/small", "small text");
  put(files, "/empty", "");
  put(files, "/page", std::string(vfs::kImageAlignment, 'p'));
  put(files, "/sub/pages", std::string(vfs::kImageAlignment, 'q') + "tail");
  FUZZ_CHECK(files.make_symbolic_link("../small", "/sub/link"));
  FUZZ_CHECK(files.make_hard_link("/small", "/sub/hard"));
  auto sparse = files.open("/sparse", {.write = true, .create = true}, 0600);
  FUZZ_CHECK(sparse && (*sparse)->truncate(uint64_t{1} << 40));
  auto image = vfs::write_image(files, "/");
  FUZZ_CHECK(image);
  return *image;
}

// Reads what can be read, at both ends of each file, and writes to some.
void use(vfs::MemoryFileSystem& files, const std::string& directory, int depth) {
  if (depth > 300) return;
  auto opened = files.open(directory, {.read = true, .directory = true}, 0);
  if (!opened) return;
  auto entries = (*opened)->entries();
  FUZZ_CHECK(entries);
  for (const vfs::DirectoryEntry& entry : *entries) {
    FUZZ_CHECK(!entry.name.empty() && entry.name.find('/') == std::string::npos);
    const std::string path = directory + "/" + entry.name;
    FUZZ_CHECK(files.metadata(path, false));
    (void)files.metadata(path, true);
    if (S_ISDIR(entry.mode)) {
      use(files, path, depth + 1);
    } else if (S_ISLNK(entry.mode)) {
      FUZZ_CHECK(files.read_symbolic_link(path));
    } else if (auto file = files.open(path, {.read = true, .write = true}, 0)) {
      const uint64_t size = (*file)->metadata()->size;
      std::vector<std::byte> buffer(3 * vfs::kImageAlignment);
      FUZZ_CHECK((*file)->read(buffer, 0) == std::min<uint64_t>(size, buffer.size()));
      (void)(*file)->read(buffer, size > buffer.size() ? size - buffer.size() / 2 : 1);
      (void)(*file)->write(std::as_bytes(std::span(std::string_view("changed"))), size / 2);
      (void)(*file)->truncate(size / 2 + 3);
    }
  }
}

}  // namespace

std::vector<std::string> seeds() {
  vfs::MemoryFileSystem empty;
  const std::string image = good_image();
  return {std::string(1, '\0') + image, input_of(image), input_of(*vfs::write_image(empty, "/"))};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite;
  using namespace pglite::fuzz;
  Input input(data, size);
  std::string image;
  if (input.get<uint8_t>() == 0) {
    image = input.rest();
    if (image.size() >= kHeader) {
      const uint64_t end = index_end(layout_of(image));
      if (end <= image.size()) vfs::seal_image(image, end);
    }
  } else {
    image = image_of(input);
    vfs::seal_image(image, index_end(layout_of(image)));
  }
  const std::vector<char> exact = exact_copy(image);
  const auto bytes = std::as_bytes(std::span(exact));
  vfs::MemoryFileSystem files;
  const auto loaded = vfs::load_image(bytes, files, "/m");
  if (!loaded) {
    FUZZ_CHECK(loaded.error() == std::errc::invalid_argument ||
               loaded.error() == std::errc::illegal_byte_sequence);
    FUZZ_CHECK(!files.metadata("/m", false));  // nothing was changed
    return 0;
  }
  // What was loaded can be written and loaded again; the second image is as the first.
  const auto written = vfs::write_image(files, "/m");
  FUZZ_CHECK(written);
  vfs::MemoryFileSystem again;
  FUZZ_CHECK(vfs::load_image(std::as_bytes(std::span(*written)), again, "/m"));
  FUZZ_CHECK(vfs::write_image(again, "/m") == written);
  // Over itself.
  FUZZ_CHECK(vfs::load_image(bytes, files, "/m"));
  use(files, "/m", 0);
  FUZZ_CHECK(std::equal(exact.begin(), exact.end(), image.begin(), image.end()));
  return 0;
}
