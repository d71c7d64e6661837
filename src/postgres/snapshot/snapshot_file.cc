#include "postgres/snapshot/snapshot_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "os/file.h"
#include "os/new_file.h"
#include "os/program_file.h"

namespace pglite::postgres {

namespace {

// A process may have some 65,000 mappings. What has more runs than this is copied.
constexpr size_t kMostMappedRuns = 16384;

std::string errno_message(std::string_view what, int error) {
  return std::string(what) + ": " + std::strerror(error);
}

}  // namespace

SnapshotFile::~SnapshotFile() {
  if (owns_mapping_) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
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
  Status status =
      read_snapshot(snapshot->bytes_, name, SnapshotOrigin::kFile, &snapshot->contents_);
  if (status.ok()) *out = std::move(snapshot);
  return status;
}

Status SnapshotFile::open_bytes(std::span<const std::byte> bytes, SnapshotOrigin origin,
                                std::shared_ptr<const SnapshotFile>* out) {
  std::shared_ptr<SnapshotFile> snapshot(new SnapshotFile);
  snapshot->bytes_ = bytes;
  Status status = read_snapshot(bytes, "(in memory)", origin, &snapshot->contents_);
  if (status.ok()) *out = std::move(snapshot);
  return status;
}

Status SnapshotFile::open_linked(std::span<const std::byte> bytes,
                                 std::shared_ptr<const SnapshotFile>* out) {
  std::shared_ptr<SnapshotFile> snapshot(new SnapshotFile);
  snapshot->bytes_ = bytes;
  auto place = os::find_loaded_file(bytes.data());
  // A program that was replaced on disk while it runs is not the file it was: compare the header.
  SnapshotHeader header{};
  if (place &&
      pread(place->fd.get(), &header, sizeof header, static_cast<off_t>(place->offset)) ==
          static_cast<ssize_t>(sizeof header) &&
      std::memcmp(&header, bytes.data(), sizeof header) == 0) {
    snapshot->fd_ = std::move(place->fd);
    snapshot->fd_offset_ = place->offset;
  }
  Status status = read_snapshot(bytes, "built-in", SnapshotOrigin::kProgram, &snapshot->contents_);
  if (status.ok()) *out = std::move(snapshot);
  return status;
}

bool SnapshotFile::fill(wasm::LinearMemory& memory) const {
  // Ascending: where the last one fits, all do.
  if (!runs().empty() && runs().back().guest_offset + runs().back().size > memory.size()) {
    return false;
  }
  const bool can_map = fd_ && fd_offset_ % kSnapshotPage == 0 && runs().size() <= kMostMappedRuns;
  for (const PageRun& run : runs()) {
    if (can_map &&
        memory.map_file(run.guest_offset, run.size, fd_.get(), fd_offset_ + run.file_offset)) {
      continue;
    }
    uint8_t* target = memory.get()->data + run.guest_offset;
    std::memcpy(target, bytes_.data() + run.file_offset, run.size);
  }
  return true;
}

Status SnapshotFile::save(const std::string& path) const try {
  auto file = os::NewFile::create(path);
  os::Result<void> done = file ? os::write_all(file->fd(), bytes_) : os::error(file.error());
  if (done) done = file->commit();
  if (done) return {};
  return Status::io_error("snapshot \"" + path +
                          "\" cannot be written: " + std::make_error_code(done.error()).message());
} catch (const std::exception& exception) {  // of the public API's: nothing may be thrown
  return Status::io_error(exception.what());
}

}  // namespace pglite::postgres
