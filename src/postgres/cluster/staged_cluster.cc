#include "postgres/cluster/staged_cluster.h"

#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <system_error>
#include <vector>

#include "postgres/version.h"
#include "vfs/tree.h"

namespace pglite::postgres {
namespace {

bool is_zero(std::span<const std::byte> block) {
  return std::ranges::all_of(block, [](std::byte b) { return b == std::byte{0}; });
}

vfs::Result<void> write_all(vfs::File& file, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const auto count = file.write(bytes, offset);
    if (!count) return vfs::error(count.error());
    if (*count == 0) return vfs::error(std::errc::no_space_on_device);
    bytes = bytes.subspan(*count);
    offset += *count;
  }
  return {};
}

// `piece` at `offset`, without its blocks of zeros.
vfs::Result<void> write_with_holes(vfs::File& file, std::span<const std::byte> piece,
                                   uint64_t offset) {
  for (size_t at = 0; at < piece.size(); at += kBlockSize) {
    const auto block = piece.subspan(at, std::min(kBlockSize, piece.size() - at));
    if (is_zero(block)) continue;
    if (auto written = write_all(file, block, offset + at); !written) return written;
  }
  return {};
}

// `piece` at `offset`, and space for all of it.
vfs::Result<void> write_allocated(vfs::File& file, std::span<const std::byte> piece,
                                  uint64_t offset) {
  const auto allocated = file.allocate(offset, piece.size());
  if (allocated) return write_with_holes(file, piece, offset);
  if (allocated.error() != std::errc::operation_not_supported) return allocated;
  return write_all(file, piece, offset);
}

}  // namespace

Status StagedCluster::failed(std::string_view name, const char* what, std::errc error) const {
  return Status::io_error("data directory \"" + shown_path_ + "/" + std::string(name) + "\" " +
                          what + ": " + std::make_error_code(error).message());
}

Status StagedCluster::make_directory(const std::string& name, uint32_t permissions) {
  const auto made = files_.make_directory(vfs::child_path(path_, name), permissions);
  return made ? Status() : failed(name, "cannot be made", made.error());
}

Status StagedCluster::make_directories(const std::string& name, uint32_t permissions) {
  for (size_t slash = 0; slash != std::string::npos;) {
    slash = name.find('/', slash + 1);
    const std::string_view parent = std::string_view(name).substr(0, slash);
    if (made_.contains(parent)) continue;
    const std::string path = vfs::child_path(path_, parent);
    auto made = files_.make_directory(path, permissions);
    if (!made && made.error() == std::errc::file_exists) {
      const auto there = files_.metadata(path, false);
      if (!there) return failed(parent, "cannot be made", there.error());
      made = S_ISDIR(there->mode) ? vfs::Result<void>() : vfs::error(std::errc::not_a_directory);
    }
    if (!made) return failed(parent, "cannot be made", made.error());
    made_.emplace(parent);
  }
  return {};
}

Status StagedCluster::write_file(const std::string& name, uint32_t permissions, uint64_t size,
                                 const Content& content) {
  auto file = files_.open(vfs::child_path(path_, name),
                          {.write = true, .create = true, .exclusive = true, .no_follow = true},
                          permissions);
  if (!file && file.error() == std::errc::file_exists) {
    return Status::incompatible("\"" + name + "\" is there twice");
  }
  if (!file) return failed(name, "cannot be made", file.error());
  const bool is_wal = name.starts_with(std::string(names::kWal) + "/");
  std::vector<std::byte> buffer(std::min<uint64_t>(size, uint64_t{1} << 20));
  bool ends_in_hole = false;
  for (uint64_t offset = 0; offset < size;) {
    // Whole blocks, however small the pieces are that the content comes in.
    const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), size - offset));
    for (size_t have = 0; have < piece.size();) {
      size_t count = 0;
      Status status = content(piece.subspan(have), &count);
      if (!status.ok()) return status;
      if (count == 0) return failed(name, "cannot be filled", std::errc::io_error);
      have += count;
    }
    const auto written =
        is_wal ? write_allocated(**file, piece, offset) : write_with_holes(**file, piece, offset);
    if (!written) return failed(name, "cannot be written", written.error());
    offset += piece.size();
    const size_t last_block = (piece.size() - 1) / kBlockSize * kBlockSize;
    ends_in_hole = !is_wal && is_zero(piece.subspan(last_block));
  }
  if (!ends_in_hole) return {};
  const auto extended = (*file)->truncate(size);
  return extended ? Status() : failed(name, "cannot be written", extended.error());
}

Status copy_tree(vfs::FileSystem& source, const std::string& directory, StagedCluster& target) {
  const auto unreadable = [](const std::string& name, std::errc error) {
    return Status::io_error("\"" + name.substr(1) + "\" in the data directory cannot be read: " +
                            std::make_error_code(error).message());
  };
  auto opened = source.open(directory, {.read = true, .directory = true}, 0);
  if (!opened) return unreadable(directory, opened.error());
  const auto entries = (*opened)->entries();
  if (!entries) return unreadable(directory, entries.error());
  const std::string prefix = directory == "/" ? directory : directory + "/";
  for (const vfs::DirectoryEntry& entry : *entries) {
    const std::string name = prefix + entry.name;
    const auto metadata = source.metadata(name, false);
    if (!metadata) return unreadable(name, metadata.error());
    Status status;
    if (S_ISDIR(metadata->mode)) {
      status = target.make_directory(name.substr(1), metadata->mode & 0777);
      if (status.ok()) status = copy_tree(source, name, target);
    } else if (S_ISREG(metadata->mode)) {
      auto file = source.open(name, {.read = true}, 0);
      if (!file) return unreadable(name, file.error());
      uint64_t offset = 0;
      status = target.write_file(name.substr(1), metadata->mode & 0777, metadata->size,
                                 [&](std::span<std::byte> buffer, size_t* count) {
                                   const auto read = (*file)->read(buffer, offset);
                                   if (!read) return unreadable(name, read.error());
                                   *count = *read;
                                   offset += *read;
                                   return Status();
                                 });
    } else {
      status = Status::incompatible("\"" + name.substr(1) +
                                    "\" in the data directory is neither a file nor a directory");
    }
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace pglite::postgres
