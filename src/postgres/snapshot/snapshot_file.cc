#include "postgres/snapshot/snapshot_file.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>

#include "postgres/cluster/identity.h"
#include "postgres/snapshot/build_identity.h"
#include "vfs/image.h"
#include "wasm/byte_stream.h"
#include "wasm/module_registry.h"

namespace pglite::postgres {

namespace {

constexpr std::array<char, 8> kMagic = {'P', 'G', 'L', 'P', 'S', 'N', 'A', 'P'};
constexpr uint32_t kFormat = 1;
// Runs are made of these. A system with larger pages copies instead of mapping.
constexpr uint64_t kPage = 4096;
// Zeros up to this long are kept within a run: each run costs a mapping at every start.
constexpr uint64_t kLargestGap = 16 * kPage;
// How much stands before the tables at most; a header that says more is damaged.
constexpr uint64_t kLargestTables = uint64_t{256} << 20;

struct Header {
  std::array<char, 8> magic;
  uint32_t format;
  uint32_t is_overlay;
  std::array<char, 32> build;
  uint64_t file_size;
  uint64_t state_size;   // directly behind the header
  uint64_t tables_size;  // behind the state
  uint64_t tree_offset;
  uint64_t tree_size;
  std::array<char, 64> sha256;  // of header (with this field zero), state and tables
};

uint64_t round_up(uint64_t value, uint64_t to) {
  return (value + to - 1) / to * to;
}

std::string checksum(Header header, std::string_view rest) {
  header.sha256 = {};
  std::string covered(reinterpret_cast<const char*>(&header), sizeof header);
  covered += rest;
  return wasm::sha256(std::as_bytes(std::span(covered)));
}

bool write_all(int fd, std::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return true;
}

// Which pages of a memory have ever been touched, so that reading the others does not touch them.
// Without /proc all count as touched.
class TouchedPages {
 public:
  explicit TouchedPages(const uint8_t* memory)
      : first_(reinterpret_cast<uintptr_t>(memory) / kPage) {
    if (sysconf(_SC_PAGESIZE) == kPage) {
      map_ = os::UniqueFd(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    }
  }
  // The state of `count` pages from the page with this index.
  void read(uint64_t index, std::span<bool> touched) const {
    std::array<uint64_t, 512> entries{};
    const size_t size = touched.size() * sizeof(uint64_t);
    if (!map_ || touched.size() > entries.size() ||
        pread(map_.get(), entries.data(), size,
              static_cast<off_t>((first_ + index) * sizeof(uint64_t))) !=
            static_cast<ssize_t>(size)) {
      std::ranges::fill(touched, true);
      return;
    }
    constexpr uint64_t kPresentOrSwapped = uint64_t{3} << 62;
    for (size_t i = 0; i < touched.size(); ++i) touched[i] = entries[i] & kPresentOrSwapped;
  }

 private:
  uint64_t first_;
  os::UniqueFd map_;
};

bool is_zero(const uint8_t* page) {
  return page[0] == 0 && std::memcmp(page, page + 1, kPage - 1) == 0;
}

std::string errno_message(std::string_view what, int error) {
  return std::string(what) + ": " + std::strerror(error);
}

// Puts what `tree` has below the data directory and `base` has not, or has otherwise, into
// `overlay`; names what only `base` has.
vfs::Result<void> make_overlay(vfs::MemoryFileSystem& tree, vfs::MemoryFileSystem& base,
                               const std::string& directory, vfs::MemoryFileSystem& overlay,
                               std::vector<std::string>* removed) {
  const auto list = [](vfs::FileSystem& filesystem,
                       const std::string& path) -> vfs::Result<std::map<std::string, uint32_t>> {
    auto opened = filesystem.open(path, {.read = true, .directory = true}, 0);
    if (!opened) return vfs::error(opened.error());
    auto entries = (*opened)->entries();
    if (!entries) return vfs::error(entries.error());
    std::map<std::string, uint32_t> names;
    for (const vfs::DirectoryEntry& entry : *entries) names[entry.name] = entry.mode;
    return names;
  };
  const auto content = [](vfs::FileSystem& filesystem,
                          const std::string& path) -> vfs::Result<std::string> {
    auto file = filesystem.open(path, {.read = true}, 0);
    if (!file) return vfs::error(file.error());
    auto metadata = (*file)->metadata();
    if (!metadata) return vfs::error(metadata.error());
    std::string bytes(metadata->size, '\0');
    auto size = (*file)->read(std::as_writable_bytes(std::span(bytes)), 0);
    if (!size) return vfs::error(size.error());
    return bytes;
  };
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

}  // namespace

SnapshotFile::~SnapshotFile() {
  if (owns_mapping_) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Status SnapshotFile::capture(Backend& backend, vfs::MemoryFileSystem& tree,
                             const CaptureOptions& options, int fd) {
  std::string state;
  Status status = backend.save(&state);
  if (!status.ok()) return status;

  std::vector<std::string> removed;
  const std::string data_directory(kDataDirectory);
  vfs::Result<std::string> image = vfs::error(std::errc::invalid_argument);
  if (options.base != nullptr) {
    vfs::MemoryFileSystem overlay;
    auto& base = const_cast<vfs::MemoryFileSystem&>(*options.base);  // opened for reading only
    if (auto made = make_overlay(tree, base, data_directory, overlay, &removed); !made) {
      return Status::io_error("the file tree cannot be kept: " +
                              std::make_error_code(made.error()).message());
    }
    image = vfs::write_image(overlay, data_directory);
  } else {
    image = vfs::write_image(tree, data_directory);
  }
  if (!image) {
    return Status::io_error("the file tree cannot be kept: " +
                            std::make_error_code(image.error()).message());
  }

  ClusterIdentity identity;
  status = read_identity(tree, kDataDirectory, &identity);
  if (!status.ok()) return status;

  // One pass over the memory: runs of non-zero pages, and the places of what must not be shared.
  const wasm_rt_memory_t& memory = *backend.process().linear_memory();
  const TouchedPages touched(memory.data);
  std::vector<Run> runs;
  std::vector<Patch> patches;
  constexpr size_t kBatch = 512;
  for (uint64_t batch = 0; batch < memory.size; batch += kBatch * kPage) {
    std::array<bool, kBatch> flags{};
    const size_t count = std::min<uint64_t>(kBatch, (memory.size - batch) / kPage);
    touched.read(batch / kPage, std::span(flags).first(count));
    if (options.origin != nullptr) {
      // Mapped pages that were never touched here are not present and hold something all the same.
      for (const Run& run : options.origin->runs_) {
        const uint64_t first = std::max(run.guest_offset, batch);
        const uint64_t end = std::min(run.guest_offset + run.size, batch + count * kPage);
        for (uint64_t at = first; at < end; at += kPage) flags[(at - batch) / kPage] = true;
      }
    }
    for (size_t i = 0; i < count; ++i) {
      const uint64_t offset = batch + i * kPage;
      const uint8_t* page = memory.data + offset;
      if (!flags[i] || is_zero(page)) continue;
      if (!runs.empty() && offset - (runs.back().guest_offset + runs.back().size) <= kLargestGap) {
        runs.back().size = offset + kPage - runs.back().guest_offset;
      } else {
        runs.push_back({.guest_offset = offset, .size = kPage, .file_offset = 0});
      }
      for (uint64_t at = 0; at < kPage; at += 8) {
        uint64_t value = 0;
        std::memcpy(&value, page + at, sizeof value);
        if (value == 0) continue;
        const auto address = static_cast<uint32_t>(offset + at);
        if (value == identity.system_identifier) {
          patches.push_back({Patch::Kind::kSystemIdentifier, address});
        } else if (std::ranges::find(options.start_times, static_cast<int64_t>(value)) !=
                   options.start_times.end()) {
          patches.push_back({Patch::Kind::kStartTime, address});
        }
      }
      // The nonce is not aligned; it may cross into the next page.
      const uint64_t limit =
          std::min<uint64_t>(memory.size, offset + kPage + identity.nonce.size());
      const std::string_view text(reinterpret_cast<const char*>(page), limit - offset);
      const std::string_view nonce(reinterpret_cast<const char*>(identity.nonce.data()),
                                   identity.nonce.size());
      for (size_t at = text.find(nonce); at < kPage; at = text.find(nonce, at + 1)) {
        patches.push_back({Patch::Kind::kNonce, static_cast<uint32_t>(offset + at)});
      }
    }
  }

  // Sizes first: the tables say where the pages lie, and the pages lie behind the tables.
  const auto write_tables = [&] {
    wasm::ByteWriter out;
    out.put(static_cast<uint32_t>(runs.size()));
    for (const Run& run : runs) {
      out.put(run.guest_offset);
      out.put(run.size);
      out.put(run.file_offset);
    }
    out.put(static_cast<uint32_t>(patches.size()));
    for (const Patch& patch : patches) {
      out.put(patch.kind);
      out.put(patch.address);
    }
    out.put(static_cast<uint32_t>(removed.size()));
    for (const std::string& path : removed) out.put_string(path);
    return out.take();
  };
  Header header{};
  header.magic = kMagic;
  header.format = kFormat;
  header.is_overlay = options.base != nullptr ? 1 : 0;
  std::memcpy(header.build.data(), build_identity().data(), header.build.size());
  header.state_size = state.size();
  header.tables_size = write_tables().size();
  uint64_t end = round_up(sizeof header + header.state_size + header.tables_size, kPage);
  for (Run& run : runs) {
    run.file_offset = end;
    end += run.size;
  }
  header.tree_offset = round_up(end, vfs::kImageAlignment);
  header.tree_size = image->size();
  header.file_size = header.tree_offset + header.tree_size;
  const std::string rest = state + write_tables();
  const std::string sha256 = checksum(header, rest);
  std::memcpy(header.sha256.data(), sha256.data(), header.sha256.size());

  bool written = ftruncate(fd, static_cast<off_t>(header.file_size)) == 0 &&
                 write_all(fd, {reinterpret_cast<const char*>(&header), sizeof header}, 0) &&
                 write_all(fd, rest, sizeof header) && write_all(fd, *image, header.tree_offset);
  for (const Run& run : runs) {
    written =
        written &&
        write_all(fd, {reinterpret_cast<const char*>(memory.data) + run.guest_offset, run.size},
                  run.file_offset);
  }
  if (!written) return Status::io_error(errno_message("the snapshot cannot be written", errno));
  return {};
}

Status SnapshotFile::parse(const std::string& name, bool linked) {
  const auto damaged = [&](std::string_view what) {
    return Status::incompatible("snapshot \"" + name + "\" is damaged: " + std::string(what));
  };
  Header header{};
  if (bytes_.size() < sizeof header) return damaged("it is too short");
  std::memcpy(&header, bytes_.data(), sizeof header);
  if (header.magic != kMagic) {
    return Status::incompatible("\"" + name + "\" is not a snapshot of pglite-port");
  }
  if (header.format != kFormat ||
      std::string_view(header.build.data(), header.build.size()) != build_identity()) {
    return Status::incompatible("snapshot \"" + name +
                                "\" was made by another build of pglite-port: make it again");
  }
  if (header.file_size != bytes_.size()) {
    return damaged("it has " + std::to_string(bytes_.size()) + " bytes, not " +
                   std::to_string(header.file_size));
  }
  if (header.state_size > kLargestTables || header.tables_size > kLargestTables ||
      sizeof header + header.state_size + header.tables_size > bytes_.size() ||
      header.tree_offset > bytes_.size() ||
      header.tree_size != bytes_.size() - header.tree_offset) {
    return damaged("its header is wrong");
  }
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + sizeof header,
                              header.state_size + header.tables_size);
  if (!linked &&
      checksum(header, rest) != std::string_view(header.sha256.data(), header.sha256.size())) {
    return damaged("its checksum is wrong");
  }
  state_ = rest.substr(0, header.state_size);
  wasm::ByteReader in(rest.substr(header.state_size));
  runs_.resize(in.get_count(24));
  for (Run& run : runs_) {
    run.guest_offset = in.get<uint64_t>();
    run.size = in.get<uint64_t>();
    run.file_offset = in.get<uint64_t>();
    if (run.file_offset > bytes_.size() || run.size > bytes_.size() - run.file_offset ||
        run.guest_offset % kPage != 0 || run.size % kPage != 0) {
      return damaged("its pages are out of place");
    }
  }
  patches_.resize(in.get_count(8));
  for (Patch& patch : patches_) {
    patch.kind = in.get<Patch::Kind>();
    patch.address = in.get<uint32_t>();
  }
  removed_.resize(in.get_count(4));
  for (std::string& path : removed_) path = in.get_string();
  if (!in.at_end()) return damaged("its tables are wrong");
  tree_ = bytes_.subspan(header.tree_offset, header.tree_size);
  is_overlay_ = header.is_overlay != 0;
  return {};
}

Status SnapshotFile::open(os::UniqueFd fd, const std::string& name,
                          std::shared_ptr<const SnapshotFile>* out) {
  struct stat file{};
  if (fstat(fd.get(), &file) != 0) {
    return Status::io_error(errno_message("snapshot \"" + name + "\"", errno));
  }
  if (!S_ISREG(file.st_mode) || file.st_size == 0) {
    return Status::incompatible("\"" + name + "\" is not a snapshot of pglite-port");
  }
  const auto size = static_cast<size_t>(file.st_size);
  void* mapping = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (mapping == MAP_FAILED) {
    return Status::io_error(errno_message("snapshot \"" + name + "\" cannot be mapped", errno));
  }
  std::shared_ptr<SnapshotFile> snapshot(new SnapshotFile);
  snapshot->bytes_ = {static_cast<const std::byte*>(mapping), size};
  snapshot->owns_mapping_ = true;
  snapshot->fd_ = std::move(fd);
  Status status = snapshot->parse(name, false);
  if (status.ok()) *out = std::move(snapshot);
  return status;
}

namespace {

// The file and offset that the executable's memory at `address` is mapped from.
struct MappedFrom {
  os::UniqueFd fd;
  uint64_t offset = 0;
};

// The loaded object that contains `address`, and where in its file that is. Empty where the system
// does not tell: pages are copied then.
MappedFrom find_mapping(const std::byte* address) {
  struct Search {
    uintptr_t address;
    std::string path;
    uint64_t offset = 0;
    bool found = false;
  } search{reinterpret_cast<uintptr_t>(address), {}, 0, false};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& header = info->dlpi_phdr[i];
          const uintptr_t start = info->dlpi_addr + header.p_vaddr;
          if (header.p_type != PT_LOAD || wanted.address < start ||
              wanted.address >= start + header.p_filesz) {
            continue;
          }
          wanted.path = info->dlpi_name != nullptr && *info->dlpi_name != '\0' ? info->dlpi_name
                                                                               : "/proc/self/exe";
          wanted.offset = header.p_offset + (wanted.address - start);
          wanted.found = true;
          return 1;
        }
        return 0;
      },
      &search);
  MappedFrom result;
  if (!search.found) return result;
  result.fd = os::UniqueFd(::open(search.path.c_str(), O_RDONLY | O_CLOEXEC));
  result.offset = search.offset;
  return result;
}

}  // namespace

Status SnapshotFile::open_linked(std::span<const std::byte> bytes,
                                 std::shared_ptr<const SnapshotFile>* out) {
  std::shared_ptr<SnapshotFile> snapshot(new SnapshotFile);
  snapshot->bytes_ = bytes;
  MappedFrom file = find_mapping(bytes.data());
  // A program that was replaced on disk while it runs is not the file it was: compare the header.
  Header header{};
  if (file.fd &&
      pread(file.fd.get(), &header, sizeof header, static_cast<off_t>(file.offset)) ==
          static_cast<ssize_t>(sizeof header) &&
      std::memcmp(&header, bytes.data(), sizeof header) == 0) {
    snapshot->fd_ = std::move(file.fd);
    snapshot->fd_offset_ = file.offset;
  }
  Status status = snapshot->parse("built-in", true);
  if (status.ok()) *out = std::move(snapshot);
  return status;
}

bool SnapshotFile::fill(wasm_rt_memory_t& memory) const {
  const bool can_map = fd_ && sysconf(_SC_PAGESIZE) == kPage && fd_offset_ % kPage == 0;
  for (const Run& run : runs_) {
    if (run.guest_offset > memory.size || run.size > memory.size - run.guest_offset) return false;
    uint8_t* target = memory.data + run.guest_offset;
    if (can_map &&
        mmap(target, run.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
             fd_.get(), static_cast<off_t>(fd_offset_ + run.file_offset)) != MAP_FAILED) {
      continue;
    }
    std::memcpy(target, bytes_.data() + run.file_offset, run.size);
  }
  return true;
}

Status SnapshotFile::save(const std::string& path) const {
  const std::string temporary = path + ".new-" + std::to_string(getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return Status::io_error(errno_message("snapshot \"" + path + "\" cannot be written", errno));
  }
  const bool written =
      write_all(fd, {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}, 0) &&
      fsync(fd) == 0;
  int error = written ? 0 : errno;
  close(fd);
  if (error == 0 && rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return {};
  unlink(temporary.c_str());
  return Status::io_error(errno_message("snapshot \"" + path + "\" cannot be written", error));
}

}  // namespace pglite::postgres
