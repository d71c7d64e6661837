#include "postgres/data_directory.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "postgres/guest_tree.h"
#include "postgres/identity.h"
#include "vfs/image.h"
#include "vfs/memory_filesystem.h"

namespace pglite::postgres {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMajorVersion = "18";
// Where a cluster is made before it is moved into its place, entry by entry, PG_VERSION last. If we
// die on the way, the next open() finds this directory and finishes or starts over.
constexpr std::string_view kStaging = ".pglite-port-new";
constexpr std::string_view kVersionFile = "PG_VERSION";
constexpr std::string_view kPidFile = "postmaster.pid";
constexpr size_t kBlock = 8192;  // BLCKSZ

Status io_error(const std::string& path, std::string_view what, int error) {
  return Status::io_error("data directory \"" + path + "\" " + std::string(what) + ": " +
                          std::strerror(error));
}

// The process that holds an flock on the file, from /proc/locks; 0 if it does not say.
int lock_owner(const struct stat& file) {
  std::ifstream locks("/proc/locks");
  char wanted[64];
  std::snprintf(wanted, sizeof wanted, "%02x:%02x:%llu", major(file.st_dev), minor(file.st_dev),
                static_cast<unsigned long long>(file.st_ino));
  for (std::string line; std::getline(locks, line);) {
    // "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"
    std::istringstream fields(line);
    std::string number, kind, mode, access, owner, file_id;
    fields >> number >> kind >> mode >> access >> owner >> file_id;
    int pid = 0;
    std::from_chars(owner.data(), owner.data() + owner.size(), pid);
    if (kind == "FLOCK" && file_id == wanted) return pid;
  }
  return 0;
}

// Who wrote postmaster.pid. Its first line is a process, negative for a single-user backend; its
// second the data directory as that process sees it (PostgreSQL: CreateLockFile).
struct PidFile {
  bool exists = false;
  bool of_a_guest = false;  // whose process number means nothing here
  int process = 0;
};
PidFile read_pid_file(const fs::path& directory) {
  std::ifstream file(directory / kPidFile);
  PidFile found;
  found.exists = file.is_open();
  std::string data_directory;
  if (file >> found.process && std::getline(file >> std::ws, data_directory)) {
    found.process = std::abs(found.process);
    found.of_a_guest = data_directory == kDataDirectory;
  }
  return found;
}

void sync_directory(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

// Moves what is in the staging directory to its parent, PG_VERSION last, and removes it.
Status finish_staging(const fs::path& directory) {
  const fs::path staging = directory / kStaging;
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator at(staging, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename() != kVersionFile) entries.push_back(at->path().filename());
  }
  entries.emplace_back(kVersionFile);
  for (const fs::path& name : entries) {
    if (error) break;
    if (name == kVersionFile) sync_directory(directory);
    fs::rename(staging / name, directory / name, error);
  }
  if (!error) fs::remove(staging, error);
  if (error) return io_error(directory.string(), "cannot be filled", error.value());
  sync_directory(directory);
  return {};
}

// Copies the tree below `directory` into the existing host directory `target`. Holes stay holes,
// except in WAL segments: PostgreSQL allocates those in advance so that a commit never finds the
// disk full.
Status copy_to_host(vfs::MemoryFileSystem& source, const std::string& directory,
                    const fs::path& target) {
  const auto guest_error = [&](std::errc error) {
    return io_error(target.string(), "cannot be filled", static_cast<int>(error));
  };
  auto opened = source.open(directory, {.read = true, .directory = true}, 0);
  if (!opened) return guest_error(opened.error());
  const auto entries = (*opened)->entries();
  if (!entries) return guest_error(entries.error());
  const std::string prefix = directory == "/" ? directory : directory + "/";
  std::vector<std::byte> buffer(size_t{1} << 20);
  for (const vfs::DirectoryEntry& entry : *entries) {
    const std::string name = prefix + entry.name;
    const fs::path path = target / entry.name;
    const auto metadata = source.metadata(name, false);
    if (!metadata) return guest_error(metadata.error());
    if (S_ISDIR(metadata->mode)) {
      if (mkdir(path.c_str(), metadata->mode & 0777) != 0) {
        return io_error(path.string(), "cannot be made", errno);
      }
      if (Status status = copy_to_host(source, name, path); !status.ok()) return status;
      continue;
    }
    auto file = source.open(name, {.read = true}, 0);
    if (!file) return guest_error(file.error());
    const vfs::UniqueFd out(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, metadata->mode & 0777));
    const auto size = static_cast<off_t>(metadata->size);
    const bool is_wal = directory == "/pg_wal";
    int error = out ? 0 : errno;
    if (error == 0 && size > 0) {
      error = is_wal ? posix_fallocate(out.get(), 0, size)
                     : (ftruncate(out.get(), size) == 0 ? 0 : errno);
    }
    for (uint64_t offset = 0; error == 0 && offset < metadata->size;) {
      const auto count = (*file)->read(buffer, offset);
      if (!count) return guest_error(count.error());
      for (size_t at = 0; at < *count && error == 0; at += kBlock) {
        const size_t length = std::min(kBlock, *count - at);
        const auto block = std::span(buffer).subspan(at, length);
        if (std::ranges::all_of(block, [](std::byte b) { return b == std::byte{0}; })) continue;
        if (pwrite(out.get(), block.data(), length, static_cast<off_t>(offset + at)) !=
            static_cast<ssize_t>(length)) {
          error = errno != 0 ? errno : ENOSPC;
        }
      }
      offset += *count;
    }
    if (error != 0) return io_error(path.string(), "cannot be written", error);
  }
  return {};
}

}  // namespace

DataDirectory::~DataDirectory() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

Status DataDirectory::lock(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return io_error(path, "cannot be made", errno);
  }
  lock_fd_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_fd_ < 0) return io_error(path, "cannot be opened", errno);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return io_error(path, "cannot be locked", errno);
    struct stat file{};
    fstat(lock_fd_, &file);
    const int owner = lock_owner(file);
    return Status::in_use("data directory \"" + path + "\" is in use by " +
                          (owner > 0 ? "process " + std::to_string(owner) : "another process"));
  }
  if (faccessat(lock_fd_, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    return io_error(path, "is not writable", errno);
  }
  return {};
}

Status DataDirectory::check(const std::string& path, bool* has_cluster) {
  const fs::path directory(path);
  std::error_code error;
  *has_cluster = fs::exists(directory / kVersionFile, error);
  if (*has_cluster) {
    std::ifstream file(directory / kVersionFile);
    std::string version;
    std::getline(file, version);
    if (version != kMajorVersion) {
      return Status::incompatible(
          "data directory \"" + path + "\" was made by PostgreSQL " +
          (version.empty() ? std::string("of an unreadable version") : version) +
          ", this is PostgreSQL " + std::string(kMajorVersion) +
          ": dump it with the old version and restore the dump here");
    }
    // A server on the host does not know our lock, and would shut down without its own.
    const PidFile server = read_pid_file(directory);
    if (server.exists && !server.of_a_guest && server.process != 0 &&
        (kill(server.process, 0) == 0 || errno == EPERM)) {
      return Status::in_use("data directory \"" + path + "\" is in use by process " +
                            std::to_string(server.process) + " (" + std::string(kPidFile) + ")");
    }
    // What is left when the very last step of a move into place was interrupted.
    fs::remove(directory / kStaging, error);
    return {};
  }
  bool has_staging = false;
  bool has_other = false;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    (at->path().filename() == kStaging ? has_staging : has_other) = true;
  }
  if (error) return io_error(path, "cannot be read", error.value());
  if (has_staging && has_other) {
    // A move into place was interrupted: the cluster is complete, in two places, and as new as if
    // it had not been.
    *has_cluster = true;
    is_new_ = true;
    return finish_staging(directory);
  }
  if (has_staging) {
    fs::remove_all(directory / kStaging, error);
    if (error) return io_error(path, "cannot be cleaned", error.value());
  }
  if (has_other) {
    return Status::incompatible("directory \"" + path +
                                "\" is neither empty nor a PostgreSQL data directory: it has no " +
                                std::string(kVersionFile));
  }
  return {};
}

Status DataDirectory::make_cluster(const std::string& path, vfs::Durability durability,
                                   std::span<const std::byte> cluster_image) {
  const fs::path staging = fs::path(path) / kStaging;
  if (mkdir(staging.c_str(), 0700) != 0) return io_error(path, "is not writable", errno);
  Status status;
  {
    vfs::MemoryFileSystem cluster;
    if (!vfs::load_image(cluster_image, cluster, "/")) {
      return Status::engine_gone("the template data directory is damaged");
    }
    status = write_identity(cluster, "", make_identity());
    if (status.ok()) status = copy_to_host(cluster, "/", staging);
    // One call for a thousand files. PostgreSQL syncs what it writes from here on by itself.
    if (status.ok() && durability == vfs::Durability::kSync && syncfs(lock_fd_) != 0) {
      status = io_error(path, "cannot be made durable", errno);
    }
  }
  if (!status.ok()) {
    std::error_code ignored;
    fs::remove_all(staging, ignored);
    return status;
  }
  is_new_ = true;
  return finish_staging(path);
}

Status DataDirectory::open(const std::string& path, vfs::Durability durability,
                           std::span<const std::byte> cluster_image,
                           std::unique_ptr<DataDirectory>* out) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory);
  Status status = directory->lock(path);
  bool has_cluster = false;
  if (status.ok()) status = directory->check(path, &has_cluster);
  if (status.ok() && !has_cluster) {
    status = directory->make_cluster(path, durability, cluster_image);
  }
  if (!status.ok()) return status;
  auto host = vfs::HostFileSystem::open(path, durability);
  if (!host) return io_error(path, "cannot be opened", static_cast<int>(host.error()));
  directory->filesystem_ = std::move(*host);
  // A guest's lock file names a process of the guest's, which says nothing on the host. The
  // directory is ours, so whoever wrote it is gone.
  if (read_pid_file(path).of_a_guest) {
    (void)directory->filesystem_->remove_file("/" + std::string(kPidFile));
  }
  *out = std::move(directory);
  return {};
}

}  // namespace pglite::postgres
