// The image format, version 1. Little-endian; offsets are from the image's first byte.
//
//   header     one Header
//   nodes      NodeRecord[node_count], a directory before what is in it, entries by name; the
//              first is the root
//   pages      uint32[reference_count]: what each file's pages are, see below
//   names      the names and link targets, one after the other
//   -- up to here is "the index", which the header's checksum covers with the header --
//   tails      the last, partial page of each file, packed at 8-byte boundaries, since a data
//              directory has hundreds of files that are smaller than a page
//   full pages from a multiple of kImageAlignment to the end
//
// A page reference is 0 for an absent page, kTail | n for the tail at 8 * n of the tails, and else
// n for the full page n - 1. References stop at the last page that is not absent.
//
// Loading checks the checksum and then every field all the same: the checksum finds damage, the
// checks make a wrong writer harmless.
#include "vfs/image.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>
#include <new>
#include <unordered_map>
#include <vector>

#include "os/clock.h"
#include "os/file.h"
#include "vfs/memory_node.h"

namespace pglite::vfs {

namespace {

static_assert(std::endian::native == std::endian::little);
static_assert(PagedContent::kPageSize == kImageAlignment);

constexpr size_t kPageSize = PagedContent::kPageSize;
constexpr char kMagic[8] = {'P', 'G', 'L', 'T', 'R', 'E', 'E', '\n'};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kTail = uint32_t{1} << 31;
constexpr size_t kTailAlignment = 8;
constexpr uint32_t kNoLink = std::numeric_limits<uint32_t>::max();

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t node_count;
  uint32_t reference_count;
  uint32_t names_size;
  uint64_t tails_offset;
  uint64_t tails_size;
  uint64_t pages_offset;
  uint64_t pages_count;
  uint64_t checksum;  // of the index, this field taken as 0
};
static_assert(sizeof(Header) == 64);

struct NodeRecord {
  uint32_t parent;       // index of its directory's record, lower than its own; 0 for the root
  uint32_t name_offset;  // in the names
  uint32_t name_size;
  uint32_t mode;
  int64_t modification_seconds;
  uint32_t modification_nanoseconds;
  uint32_t hard_link;   // kNoLink, or the index of an earlier record: this is another name of it
  uint64_t size;        // of a file
  uint32_t data_begin;  // file: its first reference; link: its target in the names
  uint32_t data_count;  // file: references; link: bytes
};
static_assert(sizeof(NodeRecord) == 48);

// Each step maps different words to different states, and different states to different states:
// damage to one word always shows. Of other damage, 1 in 2^64 does not show.
uint64_t checksum(std::span<const std::byte> bytes, uint64_t state) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  const size_t size = bytes.size();
  const auto step = [&](uint64_t word) { state = std::rotl((state ^ word) * kMultiplier, 29); };
  while (bytes.size() >= sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof(word));
    step(word);
    bytes = bytes.subspan(sizeof(word));
  }
  uint64_t word = 0;
  if (!bytes.empty()) std::memcpy(&word, bytes.data(), bytes.size());
  step(word);
  step(size);
  return state;
}

uint64_t index_checksum(Header header, std::span<const std::byte> after_header) {
  header.checksum = 0;
  const auto bytes = std::bit_cast<std::array<std::byte, sizeof(Header)>>(header);
  return checksum(after_header, checksum(bytes, 0));
}

// ---- writing ----

// Byte strings, each of them kept once.
class Pool {
 public:
  // The position of `bytes` in data(), a multiple of `alignment`. They are appended unless they are
  // there.
  size_t add(std::span<const std::byte> bytes, size_t alignment) {
    const uint64_t hash = checksum(bytes, bytes.size());
    const auto [begin, end] = places_.equal_range(hash);
    for (auto place = begin; place != end; ++place) {
      const auto [offset, size] = place->second;
      if (size == bytes.size() && std::memcmp(data_.data() + offset, bytes.data(), size) == 0) {
        return offset;
      }
    }
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    const size_t offset = data_.size();
    data_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    places_.emplace(hash, std::pair(offset, bytes.size()));
    return offset;
  }
  [[nodiscard]] const std::string& data() const { return data_; }

 private:
  std::string data_;
  std::unordered_multimap<uint64_t, std::pair<size_t, size_t>> places_;
};

bool all_zeros(std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) {
    if (byte != std::byte{0}) return false;
  }
  return true;
}

class Writer {
 public:
  // Adds `root` and all below it.
  void add_tree(MemoryNode& root) {
    struct Pending {
      MemoryNode* node;
      uint32_t parent;
      std::string_view name;
    };
    std::vector<Pending> pending{{&root, 0, {}}};
    while (!pending.empty()) {
      const Pending next = pending.back();
      pending.pop_back();
      if (next.node->device() != nullptr) continue;
      const uint32_t index = add(*next.node, next.parent, next.name);
      if (next.node->directory() == nullptr) continue;
      // Reversed, since the last of `pending` comes first.
      const MemoryEntries& entries = next.node->entries();
      for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
        pending.push_back({entry->second.get(), index, entry->first});
      }
    }
  }

  Result<std::string> finish() {
    const std::string& tails = tails_.data();
    const std::string& pages = pages_.data();
    constexpr uint64_t kMaximum = kTail;
    if (nodes_.size() >= kMaximum || references_.size() >= kMaximum || names_.size() >= kMaximum ||
        tails.size() / kTailAlignment >= kMaximum || pages.size() / kPageSize >= kMaximum - 1) {
      return error(std::errc::file_too_large);
    }
    std::string index;
    append(index, nodes_.data(), nodes_.size() * sizeof(NodeRecord));
    append(index, references_.data(), references_.size() * sizeof(uint32_t));
    index += names_;

    Header header{};
    std::memcpy(header.magic, kMagic, sizeof(kMagic));
    header.version = kVersion;
    header.node_count = static_cast<uint32_t>(nodes_.size());
    header.reference_count = static_cast<uint32_t>(references_.size());
    header.names_size = static_cast<uint32_t>(names_.size());
    header.tails_offset = align(sizeof(Header) + index.size(), kTailAlignment);
    header.tails_size = tails.size();
    header.pages_offset = align(header.tails_offset + tails.size(), kImageAlignment);
    header.pages_count = pages.size() / kPageSize;
    header.checksum = index_checksum(header, std::as_bytes(std::span(index)));

    std::string image;
    image.reserve(header.pages_offset + pages.size());
    append(image, &header, sizeof(header));
    image += index;
    image.resize(header.tails_offset);
    image += tails;
    image.resize(header.pages_offset);
    image += pages;
    return image;
  }

 private:
  static void append(std::string& to, const void* bytes, size_t size) {
    to.append(static_cast<const char*>(bytes), size);
  }
  static uint64_t align(uint64_t offset, uint64_t to) { return (offset + to - 1) / to * to; }

  uint32_t add(MemoryNode& node, uint32_t parent, std::string_view name) {
    const auto index = static_cast<uint32_t>(nodes_.size());
    NodeRecord record{};
    record.parent = parent;
    record.name_offset = static_cast<uint32_t>(names_.size());
    record.name_size = static_cast<uint32_t>(name.size());
    names_ += name;
    record.mode = node.mode;
    record.modification_seconds = node.modification_time.tv_sec;
    record.modification_nanoseconds = static_cast<uint32_t>(node.modification_time.tv_nsec);
    record.hard_link = kNoLink;
    if (node.directory() == nullptr && node.link_count > 1) {
      const auto [first, is_new] = names_of_.emplace(&node, index);
      if (!is_new) record.hard_link = first->second;
    }
    if (record.hard_link == kNoLink) {
      if (const MemorySymbolicLink* link = node.symbolic_link()) {
        record.data_begin = static_cast<uint32_t>(names_.size());
        record.data_count = static_cast<uint32_t>(link->target.size());
        names_ += link->target;
      } else if (const PagedContent* content = node.content()) {
        record.size = content->size();
        record.data_begin = static_cast<uint32_t>(references_.size());
        add_pages(*content);
        record.data_count = static_cast<uint32_t>(references_.size() - record.data_begin);
      }
    }
    nodes_.push_back(record);
    return index;
  }

  void add_pages(const PagedContent& content) {
    const size_t begin = references_.size();
    content.for_each_page([&](uint64_t page, std::span<const std::byte> bytes) {
      if (all_zeros(bytes)) return;
      const uint64_t rest = content.size() - page * kPageSize;
      references_.resize(begin + page);
      if (rest < kPageSize) {
        // A borrowed page may be shorter than the file.
        std::vector<std::byte> tail(
            bytes.begin(),
            bytes.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(rest, bytes.size())));
        tail.resize(rest);
        references_.push_back(
            static_cast<uint32_t>(kTail | (tails_.add(tail, kTailAlignment) / kTailAlignment)));
      } else {
        std::vector<std::byte> full(bytes.begin(), bytes.end());
        full.resize(kPageSize);
        references_.push_back(static_cast<uint32_t>(pages_.add(full, kPageSize) / kPageSize + 1));
      }
    });
  }

  std::vector<NodeRecord> nodes_;
  std::vector<uint32_t> references_;
  std::string names_;
  Pool tails_;
  Pool pages_;
  std::unordered_map<const MemoryNode*, uint32_t> names_of_;  // nodes with several names
};

// ---- loading ----

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// An image whose layout and checksum are right. Records are copied out one by one: nothing says
// that the image is aligned in memory.
class Reader {
 public:
  static Result<Reader> open(std::span<const std::byte> image) {
    Reader reader;
    Header& header = reader.header_;
    if (image.size() < sizeof(Header)) return error(std::errc::invalid_argument);
    std::memcpy(&header, image.data(), sizeof(Header));
    if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.version != kVersion) {
      return error(std::errc::invalid_argument);
    }
    // All counts are below 2^32 and records small: nothing here overflows 64 bits.
    const uint64_t references_offset =
        sizeof(Header) + uint64_t{header.node_count} * sizeof(NodeRecord);
    const uint64_t names_offset =
        references_offset + uint64_t{header.reference_count} * sizeof(uint32_t);
    const uint64_t index_end = names_offset + header.names_size;
    const uint64_t size = image.size();
    if (header.node_count == 0 || index_end > size || header.tails_offset < index_end ||
        header.tails_offset > size || header.tails_size > size - header.tails_offset ||
        header.pages_offset < header.tails_offset + header.tails_size ||
        header.pages_offset > size || header.pages_offset % kImageAlignment != 0 ||
        header.pages_count != (size - header.pages_offset) / kPageSize ||
        (size - header.pages_offset) % kPageSize != 0) {
      return error(std::errc::illegal_byte_sequence);
    }
    if (header.checksum !=
        index_checksum(header, image.subspan(sizeof(Header), index_end - sizeof(Header)))) {
      return error(std::errc::illegal_byte_sequence);
    }
    reader.nodes_ = image.subspan(sizeof(Header), references_offset - sizeof(Header));
    reader.references_ = image.subspan(references_offset, names_offset - references_offset);
    reader.names_ = {reinterpret_cast<const char*>(image.data()) + names_offset, header.names_size};
    reader.tails_ = image.subspan(header.tails_offset, header.tails_size);
    reader.pages_ = image.subspan(header.pages_offset);
    if (!reader.valid()) return error(std::errc::illegal_byte_sequence);
    return reader;
  }

  [[nodiscard]] uint32_t node_count() const { return header_.node_count; }
  // Whether what is below a directory follows it, and nothing has a name elsewhere.
  [[nodiscard]] bool is_nested() const { return is_nested_; }
  // Of an image that is nested: the first record after `directory` that is not below it.
  [[nodiscard]] uint32_t end_of(uint32_t directory) const {
    uint32_t end = directory + 1;
    while (end < node_count() && node(end).parent >= directory) ++end;
    return end;
  }
  [[nodiscard]] NodeRecord node(uint32_t index) const {
    NodeRecord record;
    std::memcpy(&record, nodes_.data() + index * sizeof(record), sizeof(record));
    return record;
  }
  [[nodiscard]] std::string_view name(const NodeRecord& record) const {
    return names_.substr(record.name_offset, record.name_size);
  }
  [[nodiscard]] std::string_view link_target(const NodeRecord& record) const {
    return names_.substr(record.data_begin, record.data_count);
  }
  // The contents of the file's page, empty for an absent one.
  [[nodiscard]] std::span<const std::byte> page(const NodeRecord& record, uint32_t index) const {
    uint32_t reference = 0;
    std::memcpy(&reference, references_.data() + (record.data_begin + index) * sizeof(reference),
                sizeof(reference));
    if (reference == 0) return {};
    const uint64_t rest = record.size - uint64_t{index} * kPageSize;
    if ((reference & kTail) != 0) {
      const uint64_t offset = uint64_t{reference & ~kTail} * kTailAlignment;
      return offset <= tails_.size() && rest < kPageSize && rest <= tails_.size() - offset
                 ? tails_.subspan(offset, rest)
                 : invalid_page();
    }
    const uint64_t offset = uint64_t{reference - 1} * kPageSize;
    return offset < pages_.size() ? pages_.subspan(offset, std::min<uint64_t>(rest, kPageSize))
                                  : invalid_page();
  }

 private:
  // What page() answers for a reference that leads out of the image; valid() looks for it.
  static std::span<const std::byte> invalid_page() {
    static constexpr std::byte kByte{0};
    return {&kByte, 0};
  }
  [[nodiscard]] bool in_names(uint64_t offset, uint64_t size) const {
    return offset + size <= names_.size();
  }

  bool valid() {
    // The last name in each directory so far: entries are in order, so that no name comes twice.
    std::vector<std::string_view> last_names(node_count());
    for (uint32_t i = 0; i < node_count(); ++i) {
      const NodeRecord record = node(i);
      if (!valid(record, i)) return false;
      if (i == 0) continue;
      if (name(record) <= last_names[record.parent]) return false;
      last_names[record.parent] = name(record);
      // From the record before it, upwards.
      uint32_t above = i - 1;
      while (above > record.parent) above = node(above).parent;
      if (above != record.parent || record.hard_link != kNoLink) is_nested_ = false;
    }
    return true;
  }

  [[nodiscard]] bool valid(const NodeRecord& record, uint32_t index) const {
    if (!in_names(record.name_offset, record.name_size)) return false;
    if (record.modification_nanoseconds >= 1'000'000'000) return false;
    if ((record.mode & ~uint32_t{S_IFMT | 07777}) != 0) return false;
    if (index == 0) {
      if (!S_ISDIR(record.mode)) return false;
    } else {
      if (!valid_name(name(record)) || record.parent >= index) return false;
      if (!S_ISDIR(node(record.parent).mode)) return false;
    }
    if (record.hard_link != kNoLink) {
      if (record.hard_link >= index) return false;
      const NodeRecord first = node(record.hard_link);
      return !S_ISDIR(record.mode) && first.mode == record.mode && first.hard_link == kNoLink;
    }
    if (S_ISDIR(record.mode)) return true;
    if (S_ISLNK(record.mode)) {
      return record.data_count > 0 && record.data_count <= 4095 &&
             in_names(record.data_begin, record.data_count);
    }
    if (!S_ISREG(record.mode) || record.size > PagedContent::kMaximumSize) return false;
    if (uint64_t{record.data_begin} + record.data_count > header_.reference_count) return false;
    if (record.data_count > (record.size + kPageSize - 1) / kPageSize) return false;
    for (uint32_t i = 0; i < record.data_count; ++i) {
      if (page(record, i).data() == invalid_page().data()) return false;
    }
    return true;
  }

  Header header_{};
  bool is_nested_ = true;
  std::span<const std::byte> nodes_;
  std::span<const std::byte> references_;
  std::string_view names_;
  std::span<const std::byte> tails_;
  std::span<const std::byte> pages_;
};

std::shared_ptr<MemoryNode> make(MemoryFileSystem& filesystem, const Reader& image,
                                 const NodeRecord& record) {
  std::shared_ptr<MemoryNode> node = filesystem.make_node(record.mode);
  if (PagedContent* content = node->content()) {
    (void)content->truncate(record.size);  // the size was checked
    content->reserve(record.data_count);
    for (uint32_t i = 0; i < record.data_count; ++i) {
      if (const auto bytes = image.page(record, i); !bytes.empty()) content->borrow(i, bytes);
    }
  } else if (MemorySymbolicLink* link = node->symbolic_link()) {
    link->target = image.link_target(record);
  }
  return node;
}

void set_mode_and_time(MemoryNode& node, const NodeRecord& record) {
  node.mode = record.mode;
  node.modification_time = {.tv_sec = record.modification_seconds,
                            .tv_nsec = record.modification_nanoseconds};
}

// Finds or makes the node of a record whose directory is there. Null when a directory meets
// something else.
std::shared_ptr<MemoryNode> enter(MemoryFileSystem& filesystem, MemoryNode& parent,
                                  const Reader& image, const NodeRecord& record,
                                  const std::shared_ptr<MemoryNode>& linked) {
  const std::string_view name = image.name(record);
  const MemoryEntries& entries = parent.entries();
  // In order, a new entry comes after all there are, and nothing needs to be searched.
  if (!entries.empty() && name <= entries.rbegin()->first) {
    if (const auto there = entries.find(name); there != entries.end()) {
      const bool is_directory = there->second->directory() != nullptr;
      if (is_directory != S_ISDIR(record.mode)) return nullptr;
      if (is_directory) return there->second;
      if (there->second == linked) return linked;
      parent.detach(name);
    }
  }
  std::shared_ptr<MemoryNode> node = linked ? linked : make(filesystem, image, record);
  parent.attach(name, node);
  return node;
}

// An image whose directories are read as they are used.
struct LateImage {
  Reader reader;
  MemoryFileSystem* filesystem;  // which owns the directories, so outlives what they have not read
  timespec loaded;
};

class EntriesInImage : public UnreadEntries {
 public:
  EntriesInImage(std::shared_ptr<const LateImage> image, uint32_t directory)
      : image_(std::move(image)), directory_(directory) {}

  // Gives `node`, which is new, the entries of the record `directory`.
  static void give(const std::shared_ptr<const LateImage>& image, uint32_t directory,
                   MemoryNode& node) {
    const Reader& reader = image->reader;
    const uint32_t end = reader.end_of(directory);
    if (end == directory + 1) return;
    node.directory()->unread = std::make_unique<EntriesInImage>(image, directory);
    for (uint32_t i = directory + 1; i < end; ++i) {
      const NodeRecord record = reader.node(i);
      if (record.parent == directory && S_ISDIR(record.mode)) ++node.link_count;
    }
  }

  void read_into(MemoryNode& directory) const override {
    const Reader& reader = image_->reader;
    for (uint32_t i = directory_ + 1; i < reader.node_count(); ++i) {
      const NodeRecord record = reader.node(i);
      if (record.parent < directory_) break;
      if (record.parent != directory_) continue;
      const std::shared_ptr<MemoryNode> node = make(*image_->filesystem, reader, record);
      directory.attach(reader.name(record), node);
      if (node->directory() != nullptr) give(image_, i, *node);
      set_mode_and_time(*node, record);
      node->access_time = node->change_time = image_->loaded;
    }
  }

 private:
  std::shared_ptr<const LateImage> image_;
  uint32_t directory_;
};

Result<void> load(const Reader& image, MemoryFileSystem& filesystem, std::string_view mount_path,
                  Unpacking unpacking) {
  if (auto made = filesystem.make_directories(mount_path, 0755); !made) return made;
  auto root = filesystem.node(mount_path);
  if (!root) return error(root.error());
  std::shared_ptr<LateImage> late;
  if (unpacking == Unpacking::kAsUsed && image.is_nested()) {
    late = std::make_shared<LateImage>(image, &filesystem, timespec{});
    late->loaded = os::wall_clock();
  }

  std::vector<std::shared_ptr<MemoryNode>> nodes(image.node_count());  // null: not read
  nodes[0] = *root;
  for (uint32_t i = 1; i < image.node_count(); ++i) {
    const NodeRecord record = image.node(i);
    const std::shared_ptr<MemoryNode> linked =
        record.hard_link == kNoLink ? nullptr : nodes[record.hard_link];
    nodes[i] = enter(filesystem, *nodes[record.parent], image, record, linked);
    if (!nodes[i]) return error(std::errc::file_exists);
    if (late != nullptr && S_ISDIR(record.mode) && nodes[i]->entries().empty()) {
      EntriesInImage::give(late, i, *nodes[i]);
      i = image.end_of(i) - 1;
    }
  }
  // Times come last: every entry that was made above changed those of its directory.
  for (uint32_t i = 0; i < image.node_count(); ++i) {
    if (nodes[i] != nullptr) set_mode_and_time(*nodes[i], image.node(i));
  }
  return {};
}

}  // namespace

Result<std::string> write_image(MemoryFileSystem& filesystem, std::string_view root_path) {
  auto root = filesystem.node(root_path);
  if (!root) return error(root.error());
  if ((*root)->directory() == nullptr) return error(std::errc::not_a_directory);
  try {
    Writer writer;
    writer.add_tree(**root);
    return writer.finish();
  } catch (const std::bad_alloc&) {
    return error(std::errc::no_space_on_device);
  }
}

Result<std::string> write_image_of_directory(const std::string& path) {
  namespace fs = std::filesystem;
  MemoryFileSystem tree;
  std::vector<std::string> directories{"/"};
  std::error_code failed;
  for (fs::recursive_directory_iterator entry(path, failed), end; entry != end && !failed;
       entry.increment(failed)) {
    const std::string name = "/" + fs::relative(entry->path(), path).string();
    // What the owner may do, whatever umask the others were left out by.
    const auto owner = static_cast<uint32_t>(entry->symlink_status().permissions()) & 0700;
    const uint32_t mode = owner | (owner & 0500) >> 3 | (owner & 0500) >> 6;
    if (entry->is_directory()) {
      if (auto made = tree.make_directories(name, mode); !made) return error(made.error());
      directories.push_back(name);
      continue;
    }
    const auto opened = os::open_regular_file(entry->path().string());
    if (!opened) return error(std::errc::operation_not_supported);
    const auto content = os::read_all(opened->get());
    if (!content) return error(content.error());
    auto made = tree.make_directories(fs::path(name).parent_path().string(), 0755);
    if (!made) return error(made.error());
    auto file = tree.open(name, {.write = true, .create = true}, mode);
    if (!file) return error(file.error());
    if (auto written = (*file)->write(std::as_bytes(std::span(*content)), 0); !written) {
      return error(written.error());
    }
    if (auto set = tree.set_times(name, timespec{}, timespec{}, false); !set) {
      return error(set.error());
    }
  }
  if (failed) return error(static_cast<std::errc>(failed.value()));
  // What was made in them has changed their times.
  for (const std::string& name : directories) {
    if (auto set = tree.set_times(name, timespec{}, timespec{}, false); !set) {
      return error(set.error());
    }
  }
  return write_image(tree, "/");
}

Result<void> load_image(std::span<const std::byte> image, MemoryFileSystem& filesystem,
                        std::string_view mount_path, Unpacking unpacking) {
  try {
    auto reader = Reader::open(image);
    if (!reader) return error(reader.error());
    return load(*reader, filesystem, mount_path, unpacking);
  } catch (const std::bad_alloc&) {
    return error(std::errc::no_space_on_device);
  }
}

}  // namespace pglite::vfs
