#include "postgres/cluster/staged_cluster.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "os/unique_fd.h"

namespace pglite::postgres {
namespace {

constexpr size_t kBlock = 8192;  // BLCKSZ

// 0 or an errno.
int write_at(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno : ENOSPC;
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return 0;
}

int set_size(int fd, uint64_t size, bool allocate) {
  if (size == 0) return 0;
  const auto length = static_cast<off_t>(size);
  if (allocate) return posix_fallocate(fd, 0, length);
  return ftruncate(fd, length) == 0 ? 0 : errno;
}

}  // namespace

Status StagedCluster::failed(const std::string& name, const char* what, int error) const {
  return Status::io_error("data directory \"" + shown_path_ + "/" + name + "\" " + what + ": " +
                          std::strerror(error));
}

Status StagedCluster::make_directory(const std::string& name, uint32_t permissions) {
  if (mkdir((path_ + "/" + name).c_str(), permissions) == 0) return {};
  return failed(name, "cannot be made", errno);
}

Status StagedCluster::make_directories(const std::string& name, uint32_t permissions) {
  for (size_t slash = 0; slash != std::string::npos;) {
    slash = name.find('/', slash + 1);
    const std::string parent = name.substr(0, slash);
    const std::string path = path_ + "/" + parent;
    if (mkdir(path.c_str(), permissions) == 0) continue;
    int error = errno;
    struct stat there{};
    if (error == EEXIST && lstat(path.c_str(), &there) == 0) {
      error = S_ISDIR(there.st_mode) ? 0 : ENOTDIR;
    }
    if (error != 0) return failed(parent, "cannot be made", error);
  }
  return {};
}

Status StagedCluster::write_file(const std::string& name, uint32_t permissions, uint64_t size,
                                 const Content& content) {
  const os::UniqueFd file(::open((path_ + "/" + name).c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                                 permissions));
  if (!file && errno == EEXIST) {
    return Status::incompatible("\"" + name + "\" is there twice");
  }
  if (!file) return failed(name, "cannot be made", errno);
  const bool is_wal = name.starts_with("pg_wal/");
  int error = set_size(file.get(), size, is_wal);
  std::vector<std::byte> buffer(std::min<uint64_t>(size, uint64_t{1} << 20));
  for (uint64_t offset = 0; error == 0 && offset < size;) {
    // Whole blocks, however small the pieces are that the content comes in.
    const size_t wanted = std::min<uint64_t>(buffer.size(), size - offset);
    for (size_t have = 0; have < wanted;) {
      size_t count = 0;
      Status status = content(std::span(buffer).subspan(have, wanted - have), &count);
      if (!status.ok()) return status;
      if (count == 0) return failed(name, "cannot be filled", EIO);
      have += count;
    }
    for (size_t at = 0; at < wanted && error == 0; at += kBlock) {
      const auto block = std::span(buffer).subspan(at, std::min(kBlock, wanted - at));
      if (std::ranges::all_of(block, [](std::byte b) { return b == std::byte{0}; })) continue;
      error = write_at(file.get(), block, offset + at);
    }
    offset += wanted;
  }
  return error == 0 ? Status() : failed(name, "cannot be written", error);
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
