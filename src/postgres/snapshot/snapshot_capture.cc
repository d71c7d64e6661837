// SnapshotFile::capture: a running instance at rest, as a snapshot.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>

#include "os/file.h"
#include "os/touched_pages.h"
#include "postgres/cluster/identity.h"
#include "postgres/snapshot/snapshot_file.h"
#include "vfs/image.h"

namespace pglite::postgres {

namespace {

// What is looked at: smaller than what runs are made of, so that little is read.
constexpr uint64_t kPage = os::TouchedPages::kPage;
static_assert(kSnapshotPage % kPage == 0 && WASM_DEFAULT_PAGE_SIZE % kSnapshotPage == 0);
// Zeros up to this long are kept within a run: each run costs a mapping at every start.
constexpr uint64_t kLargestGap = kSnapshotPage;

bool write_all(int fd, std::string_view bytes, uint64_t offset) {
  return os::write_all_at(fd, std::as_bytes(std::span(bytes)), offset).has_value();
}

// ---- Files ----

vfs::Result<std::map<std::string, uint32_t>> list(vfs::FileSystem& filesystem,
                                                  const std::string& path) {
  auto opened = filesystem.open(path, {.read = true, .directory = true}, 0);
  if (!opened) return vfs::error(opened.error());
  auto entries = (*opened)->entries();
  if (!entries) return vfs::error(entries.error());
  std::map<std::string, uint32_t> names;
  for (const vfs::DirectoryEntry& entry : *entries) names[entry.name] = entry.mode;
  return names;
}

vfs::Result<std::string> content(vfs::FileSystem& filesystem, const std::string& path) {
  auto file = filesystem.open(path, {.read = true}, 0);
  if (!file) return vfs::error(file.error());
  auto metadata = (*file)->metadata();
  if (!metadata) return vfs::error(metadata.error());
  std::string bytes(metadata->size, '\0');
  auto size = (*file)->read(std::as_writable_bytes(std::span(bytes)), 0);
  if (!size) return vfs::error(size.error());
  return bytes;
}

// Puts what `tree` has below the data directory and `base` has not, or has otherwise, into
// `overlay`; names what only `base` has.
vfs::Result<void> make_overlay(vfs::MemoryFileSystem& tree, vfs::MemoryFileSystem& base,
                               const std::string& directory, vfs::MemoryFileSystem& overlay,
                               std::vector<std::string>* removed) {
  const auto here = list(tree, directory);
  if (!here) return vfs::error(here.error());
  const auto before = list(base, directory).value_or(std::map<std::string, uint32_t>());
  if (auto made = overlay.make_directories(directory, 0700); !made) return made;
  const std::string prefix = directory + '/';
  for (const auto& [name, mode] : before) {
    if (!here->contains(name)) removed->push_back(prefix + name);
  }
  for (const auto& [name, mode] : *here) {
    const std::string path = prefix + name;
    if ((mode & S_IFMT) == S_IFDIR) {
      if (auto done = make_overlay(tree, base, path, overlay, removed); !done) return done;
      continue;
    }
    if ((mode & S_IFMT) != S_IFREG) return vfs::error(std::errc::operation_not_supported);
    const auto bytes = content(tree, path);
    if (!bytes) return vfs::error(bytes.error());
    if (const auto old = content(base, path); old && *old == *bytes) continue;
    auto metadata = tree.metadata(path, false);
    auto file = overlay.open(path, {.write = true, .create = true}, metadata->mode & 07777);
    if (!file) return vfs::error(file.error());
    if (auto sized = (*file)->truncate(bytes->size()); !sized) return sized;
    auto written = (*file)->write(std::as_bytes(std::span(*bytes)), 0);
    if (!written) return vfs::error(written.error());
  }
  return {};
}

Status cannot_keep_tree(std::errc error) {
  return Status::io_error("the file tree cannot be kept: " + std::make_error_code(error).message());
}

// The image of the data directory in `tree`, or of what differs from `base`, where one is given.
Status make_tree_image(vfs::MemoryFileSystem& tree, const vfs::MemoryFileSystem* base,
                       std::string* image, std::vector<std::string>* removed) {
  const std::string data_directory(kDataDirectory);
  vfs::MemoryFileSystem overlay;
  vfs::MemoryFileSystem* source = &tree;
  if (base != nullptr) {
    auto& readable = const_cast<vfs::MemoryFileSystem&>(*base);  // opened for reading only
    if (auto made = make_overlay(tree, readable, data_directory, overlay, removed); !made) {
      return cannot_keep_tree(made.error());
    }
    source = &overlay;
  }
  auto written = vfs::write_image(*source, data_directory);
  if (!written) return cannot_keep_tree(written.error());
  *image = std::move(*written);
  return {};
}

// ---- Memory ----

// One pass over a memory: runs of pages that are not zero, and the places of what must not be
// shared.
class MemoryScan {
 public:
  MemoryScan(const wasm_rt_memory_t& memory, const CaptureOptions& options,
             const ClusterIdentity& identity, SnapshotTables* tables)
      : memory_(memory),
        options_(options),
        identity_(identity),
        touched_pages_(memory.data),
        tables_(tables) {}

  void scan() {
    constexpr size_t kBatch = 512;
    std::array<bool, kBatch> flags{};
    for (uint64_t begin = 0; begin < memory_.size; begin += kBatch * kPage) {
      const size_t count = std::min<uint64_t>(kBatch, (memory_.size - begin) / kPage);
      const auto touched = std::span(flags).first(count);
      touched_pages_.read(begin / kPage, touched);
      add_mapped(begin, touched);
      for (size_t i = 0; i < count; ++i) {
        const uint64_t offset = begin + i * kPage;
        if (!touched[i] || os::TouchedPages::is_zero(memory_.data + offset)) continue;
        add_to_runs(offset);
        find_words(offset);
        find_nonce(offset);
      }
    }
  }

 private:
  // Pages that were mapped from a snapshot and never touched hold something all the same.
  void add_mapped(uint64_t begin, std::span<bool> touched) const {
    if (options_.origin == nullptr) return;
    for (const PageRun& run : options_.origin->runs()) {
      const uint64_t first = std::max(run.guest_offset, begin);
      const uint64_t end = std::min(run.guest_offset + run.size, begin + touched.size() * kPage);
      for (uint64_t at = first; at < end; at += kPage) touched[(at - begin) / kPage] = true;
    }
  }

  void add_to_runs(uint64_t offset) {
    std::vector<PageRun>& runs = tables_->runs;
    const uint64_t begin = offset / kSnapshotPage * kSnapshotPage;
    const uint64_t end = begin + kSnapshotPage;
    const uint64_t run_end = runs.empty() ? 0 : runs.back().guest_offset + runs.back().size;
    if (!runs.empty() && begin <= run_end + kLargestGap) {
      runs.back().size = end - runs.back().guest_offset;
    } else {
      runs.push_back({.guest_offset = begin, .size = kSnapshotPage, .file_offset = 0});
    }
  }

  void find_words(uint64_t offset) {
    for (uint64_t at = offset; at < offset + kPage; at += 8) {
      uint64_t value = 0;
      std::memcpy(&value, memory_.data + at, sizeof value);
      if (value == 0) continue;
      const auto address = static_cast<uint32_t>(at);
      if (value == identity_.system_identifier) {
        tables_->patches.push_back({Patch::Kind::kSystemIdentifier, address});
      } else if (std::ranges::find(options_.start_times, static_cast<int64_t>(value)) !=
                 options_.start_times.end()) {
        tables_->patches.push_back({Patch::Kind::kStartTime, address});
      }
    }
  }

  // The nonce is not aligned; it may cross into the next page.
  void find_nonce(uint64_t offset) {
    const std::string_view nonce(reinterpret_cast<const char*>(identity_.nonce.data()),
                                 identity_.nonce.size());
    const uint64_t limit = std::min<uint64_t>(memory_.size, offset + kPage + nonce.size());
    const std::string_view page(reinterpret_cast<const char*>(memory_.data) + offset,
                                limit - offset);
    for (size_t at = page.find(nonce); at < kPage; at = page.find(nonce, at + 1)) {
      tables_->patches.push_back({Patch::Kind::kNonce, static_cast<uint32_t>(offset + at)});
    }
  }

  const wasm_rt_memory_t& memory_;
  const CaptureOptions& options_;
  const ClusterIdentity& identity_;
  os::TouchedPages touched_pages_;
  SnapshotTables* tables_;
};

// ---- The file ----

// Gives each run its place behind state and tables; the end of the last one.
uint64_t place_runs(const std::string& state, SnapshotTables* tables) {
  // The tables' size does not depend on the places in them.
  uint64_t end = pages_offset(state.size(), encode_tables(*tables).size());
  for (PageRun& run : tables->runs) {
    run.file_offset = end;
    end += run.size;
  }
  return end;
}

// All but the runs.
bool write_parts(int fd, const SnapshotHeader& header, std::string_view state,
                 std::string_view tables, std::string_view image) {
  const std::string_view header_bytes(reinterpret_cast<const char*>(&header), sizeof header);
  return ftruncate(fd, static_cast<off_t>(header.file_size)) == 0 &&
         write_all(fd, header_bytes, 0) && write_all(fd, state, sizeof header) &&
         write_all(fd, tables, sizeof header + state.size()) &&
         write_all(fd, image, header.tree_offset);
}

Status cannot_write() {
  return Status::io_error(std::string("the snapshot cannot be written: ") + std::strerror(errno));
}

bool write_runs(int fd, const std::vector<PageRun>& runs, const wasm_rt_memory_t& memory) {
  return std::ranges::all_of(runs, [&](const PageRun& run) {
    const auto* pages = reinterpret_cast<const char*>(memory.data) + run.guest_offset;
    return write_all(fd, {pages, run.size}, run.file_offset);
  });
}

}  // namespace

Status SnapshotFile::capture(Backend& backend, vfs::MemoryFileSystem& tree,
                             const CaptureOptions& options, int fd) {
  std::string state;
  SnapshotTables tables;
  std::string image;
  ClusterIdentity identity;
  Status status = backend.save(&state);
  if (status.ok()) status = make_tree_image(tree, options.base, &image, &tables.removed);
  if (status.ok()) status = read_identity(tree, kDataDirectory, &identity);
  if (!status.ok()) return status;
  const wasm_rt_memory_t& memory = *backend.process().linear_memory();
  MemoryScan(memory, options, identity, &tables).scan();
  const uint64_t pages_end = place_runs(state, &tables);
  const std::string encoded = encode_tables(tables);
  const SnapshotKind kind =
      options.base != nullptr ? SnapshotKind::kOverlay : SnapshotKind::kProcess;
  const SnapshotHeader header = make_header(kind, state, encoded, pages_end, image.size());
  if (!write_parts(fd, header, state, encoded, image) || !write_runs(fd, tables.runs, memory)) {
    return cannot_write();
  }
  return {};
}

Status SnapshotFile::capture_files(vfs::MemoryFileSystem& tree, int fd) {
  std::string image;
  Status status = make_tree_image(tree, nullptr, &image, nullptr);
  if (!status.ok()) return status;
  const SnapshotHeader header =
      make_header(SnapshotKind::kFiles, {}, {}, pages_offset(0, 0), image.size());
  return write_parts(fd, header, {}, {}, image) ? Status() : cannot_write();
}

}  // namespace pglite::postgres
