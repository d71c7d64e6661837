#include "postgres/cluster/cluster_archive.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "postgres/cluster/staging.h"
#include "postgres/version.h"
#include "tarball/gzip.h"
#include "tarball/tar.h"

namespace pglite::postgres {
namespace {

// A restored cluster is its owner's: modes of PGlite's memory file system mean nothing here.
constexpr uint32_t kDirectoryMode = 0700;
constexpr uint32_t kFileMode = 0600;

// What is empty in a cluster that was shut down, and left out by archives of files only. PostgreSQL
// does not start without them.
constexpr const char* kMayBeEmpty[] = {"pg_commit_ts",
                                       "pg_dynshmem",
                                       "pg_logical/mappings",
                                       "pg_logical/snapshots",
                                       "pg_multixact/members",
                                       "pg_multixact/offsets",
                                       "pg_notify",
                                       "pg_replslot",
                                       "pg_serial",
                                       "pg_snapshots",
                                       "pg_stat",
                                       "pg_stat_tmp",
                                       "pg_subtrans",
                                       "pg_tblspc",
                                       "pg_twophase",
                                       "pg_wal/archive_status",
                                       "pg_wal/summaries"};

Status unreadable(const std::string& name, std::errc error) {
  return Status::io_error("\"" + name + "\" in the data directory cannot be read: " +
                          std::make_error_code(error).message());
}

Status dump_file(vfs::FileSystem& files, const std::string& name, uint64_t size,
                 tarball::TarWriter& tar) {
  auto file = files.open(name, {.read = true}, 0);
  if (!file) return unreadable(name, file.error());
  std::vector<std::byte> buffer(std::min<uint64_t>(size, uint64_t{1} << 20));
  for (uint64_t offset = 0; offset < size;) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), size - offset);
    const auto count = (*file)->read(std::span(buffer).first(wanted), offset);
    if (!count) return unreadable(name, count.error());
    if (*count == 0) return Status::io_error("\"" + name + "\" became shorter while it was read");
    Status status = tar.write({reinterpret_cast<const char*>(buffer.data()), *count});
    if (!status.ok()) return status;
    offset += *count;
  }
  return {};
}

Status dump_tree(vfs::FileSystem& files, const std::string& root, const std::string& directory,
                 tarball::TarWriter& tar) {
  const std::string path = root + directory;
  auto opened = files.open(path.empty() ? "/" : path, {.read = true, .directory = true}, 0);
  if (!opened) return unreadable(path, opened.error());
  auto entries = (*opened)->entries();
  if (!entries) return unreadable(path, entries.error());
  std::ranges::sort(*entries, {}, &vfs::DirectoryEntry::name);
  for (const vfs::DirectoryEntry& entry : *entries) {
    const std::string name = path + "/" + entry.name;
    // The archive is of a cluster that is there, and has nothing of ours.
    if (directory.empty() &&
        (entry.name == names::kPid || entry.name.starts_with(names::kOwnPrefix))) {
      continue;
    }
    const auto metadata = files.metadata(name, false);
    if (!metadata) return unreadable(name, metadata.error());
    const bool is_directory = S_ISDIR(metadata->mode);
    if (!is_directory && !S_ISREG(metadata->mode)) {
      return Status::incompatible("\"" + name +
                                  "\" in the data directory is neither a file nor a directory");
    }
    const uint64_t size = is_directory ? 0 : metadata->size;
    Status status = tar.begin({.name = name.substr(root.size() + 1),
                               .is_directory = is_directory,
                               .mode = metadata->mode & 0777,
                               .size = size,
                               .mtime = metadata->modification_time.tv_sec});
    if (status.ok()) {
      status = is_directory ? dump_tree(files, root, directory + "/" + entry.name, tar)
                            : dump_file(files, name, size, tar);
    }
    if (!status.ok()) return status;
  }
  return {};
}

Status restore_entry(const tarball::TarEntry& entry, tarball::TarReader& tar,
                     StagedCluster& cluster) {
  if (entry.name.empty()) return {};
  if (entry.name.starts_with(names::kOwnPrefix)) {
    return Status::incompatible(
        "the archive has an entry with a name that pglite-port keeps for "
        "its own marks in a data directory: \"" +
        entry.name + "\"");
  }
  if (entry.is_directory) return cluster.make_directories(entry.name, kDirectoryMode);
  if (entry.name == names::kPid) return {};  // of a process that is not this one
  if (const size_t slash = entry.name.rfind('/'); slash != std::string::npos) {
    Status status = cluster.make_directories(entry.name.substr(0, slash), kDirectoryMode);
    if (!status.ok()) return status;
  }
  return cluster.write_file(
      entry.name, kFileMode, entry.size, [&](std::span<std::byte> buffer, size_t* count) {
        return tar.read(reinterpret_cast<char*>(buffer.data()), buffer.size(), count);
      });
}

}  // namespace

Status read_archive(const ByteSource& source, StagedCluster& cluster) {
  tarball::GunzipReader gunzip(source);
  tarball::TarReader tar(
      [&](char* buffer, size_t size, size_t* count) { return gunzip.read(buffer, size, count); });
  while (true) {
    tarball::TarEntry entry;
    bool end = false;
    Status status = tar.next(&entry, &end);
    if (status.ok() && !end) status = restore_entry(entry, tar, cluster);
    if (!status.ok()) return status;
    if (end) break;
  }
  for (const char* directory : kMayBeEmpty) {
    if (Status status = cluster.make_directories(directory, kDirectoryMode); !status.ok()) {
      return status;
    }
  }
  return {};
}

Status write_archive(vfs::FileSystem& files, const std::string& root, Compression compression,
                     const ByteSink& sink) {
  const auto write_tar = [&](const ByteSink& to) {
    tarball::TarWriter tar(to);
    Status written = dump_tree(files, root, "", tar);
    return written.ok() ? tar.finish() : written;
  };
  if (compression == Compression::kNone) return write_tar(sink);
  tarball::GzipWriter gzip(sink);
  Status status = write_tar([&](std::string_view bytes) { return gzip.write(bytes); });
  return status.ok() ? gzip.finish() : status;
}

}  // namespace pglite::postgres
