// pglite/archive.h: a data directory's files to and from a tar file.
#include "pglite/archive.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "archive/gzip.h"
#include "archive/tar.h"
#include "postgres/data_directory.h"
#include "postgres/identity.h"
#include "postgres/without_exceptions.h"
#include "vfs/host_filesystem.h"

namespace pglite {
namespace {

using postgres::DataDirectory;
using postgres::StagedCluster;

constexpr std::string_view kPidFile = "postmaster.pid";
// A restored cluster is its owner's: modes of PGlite's memory file system mean nothing here.
constexpr uint32_t kDirectoryMode = 0700;
constexpr uint32_t kFileMode = 0600;

// Takes the directory with a cluster that was shut down.
Status open_at_rest(const Options& options, const std::string& path,
                    std::unique_ptr<DataDirectory>* out) {
  bool recovered = false;
  while (true) {
    Status status =
        DataDirectory::open_existing(path, postgres::host_durability(options.durability), out);
    bool shut_down = false;
    if (status.ok()) status = postgres::read_shut_down(*(*out)->filesystem(), "", &shut_down);
    if (!status.ok() || shut_down) return status;
    out->reset();
    if (recovered) {
      return Status::engine_gone("data directory \"" + path + "\" cannot be shut down cleanly");
    }
    recovered = true;
    Options recovery = options;
    recovery.username = "postgres";   // the one that every cluster of PGlite's has
    recovery.database = "template1";  // there as long as CREATE DATABASE is to work
    std::unique_ptr<Instance> instance;
    status = Instance::open(recovery, &instance);
    if (status.ok()) status = instance->close();
    if (!status.ok()) return status;
  }
}

Status unreadable(const std::string& name, std::errc error) {
  return Status::io_error("\"" + name + "\" in the data directory cannot be read: " +
                          std::make_error_code(error).message());
}

Status dump_file(vfs::HostFileSystem& files, const std::string& name, uint64_t size,
                 archive::TarWriter& tar) {
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

Status dump_tree(vfs::HostFileSystem& files, const std::string& directory,
                 archive::TarWriter& tar) {
  auto opened = files.open(directory, {.read = true, .directory = true}, 0);
  if (!opened) return unreadable(directory, opened.error());
  auto entries = (*opened)->entries();
  if (!entries) return unreadable(directory, entries.error());
  std::ranges::sort(*entries, {}, &vfs::DirectoryEntry::name);
  for (const vfs::DirectoryEntry& entry : *entries) {
    const std::string name = (directory == "/" ? directory : directory + "/") + entry.name;
    // The archive is of a cluster that is there.
    if (directory == "/" && (entry.name == kPidFile || entry.name == postgres::kUnfinishedFile)) {
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
    Status status = tar.begin({.name = name.substr(1),
                               .is_directory = is_directory,
                               .mode = metadata->mode & 0777,
                               .size = size,
                               .mtime = metadata->modification_time.tv_sec});
    if (status.ok()) {
      status = is_directory ? dump_tree(files, name, tar) : dump_file(files, name, size, tar);
    }
    if (!status.ok()) return status;
  }
  return {};
}

Status dump(const Options& options, Compression compression, const ByteSink& sink) {
  std::string path;
  std::unique_ptr<DataDirectory> directory;
  Status status = postgres::host_path(options.data_dir, &path);
  if (status.ok()) status = open_at_rest(options, path, &directory);
  if (!status.ok()) return status;
  const auto write_tar = [&](const ByteSink& to) {
    archive::TarWriter tar(to);
    Status written = dump_tree(*directory->filesystem(), "/", tar);
    return written.ok() ? tar.finish() : written;
  };
  if (compression == Compression::kNone) return write_tar(sink);
  archive::GzipWriter gzip(sink);
  status = write_tar([&](std::string_view bytes) { return gzip.write(bytes); });
  return status.ok() ? gzip.finish() : status;
}

Status restore_entry(const archive::TarEntry& entry, archive::TarReader& tar,
                     StagedCluster& cluster) {
  if (entry.name.empty()) return {};
  if (entry.is_directory) return cluster.make_directories(entry.name, kDirectoryMode);
  if (entry.name == kPidFile) return {};  // of a process that is not this one
  if (const size_t slash = entry.name.rfind('/'); slash != std::string::npos) {
    Status status = cluster.make_directories(entry.name.substr(0, slash), kDirectoryMode);
    if (!status.ok()) return status;
  }
  return cluster.write_file(
      entry.name, kFileMode, entry.size, [&](std::span<std::byte> buffer, size_t* count) {
        return tar.read(reinterpret_cast<char*>(buffer.data()), buffer.size(), count);
      });
}

Status restore(const Options& options, const ByteSource& source) {
  std::string path;
  if (Status status = postgres::host_path(options.data_dir, &path); !status.ok()) return status;
  std::unique_ptr<DataDirectory> directory;
  return DataDirectory::create(
      path, postgres::host_durability(options.durability),
      [&](StagedCluster& cluster) {
        archive::GunzipReader gunzip(source);
        archive::TarReader tar([&](char* buffer, size_t size, size_t* count) {
          return gunzip.read(buffer, size, count);
        });
        while (true) {
          archive::TarEntry entry;
          bool end = false;
          Status status = tar.next(&entry, &end);
          if (!status.ok() || end) return status;
          status = restore_entry(entry, tar, cluster);
          if (!status.ok()) return status;
        }
      },
      &directory);
}

}  // namespace

Status dump_data_directory(const Options& options, Compression compression, const ByteSink& sink) {
  return postgres::without_exceptions([&] { return dump(options, compression, sink); });
}

Status restore_data_directory(const Options& options, const ByteSource& source) {
  return postgres::without_exceptions([&] { return restore(options, source); });
}

}  // namespace pglite
