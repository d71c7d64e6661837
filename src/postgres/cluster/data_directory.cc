#include "postgres/cluster/data_directory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
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

#include "os/unique_fd.h"
#include "postgres/cluster/identity.h"
#include "postgres/guest/guest_tree.h"
#include "vfs/image.h"
#include "vfs/memory_filesystem.h"

namespace pglite::postgres {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMajorVersion = "18";
// Where a cluster is made. When it is complete, the directory gets the second name, and what is in
// it is moved into its place, entry by entry, PG_VERSION last. If we die on the way, the next
// open() finds a directory of the first name and starts over, or one of the second and finishes.
// The names tell a copy of the template, whose role and database may still be to be made, from a
// cluster of its own.
constexpr std::string_view kTemplateStaging = ".pglite-port-new";
constexpr std::string_view kRestoreStaging = ".pglite-port-restore";
constexpr std::string_view kComplete = "-complete";
constexpr std::string_view kVersionFile = "PG_VERSION";
constexpr std::string_view kPidFile = "postmaster.pid";

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

// The beginning of a file that lies in the directory itself. EPERM when it is no file: a FIFO would
// keep us waiting, and a link leads elsewhere.
vfs::Result<std::string> read_own_file(const fs::path& directory, std::string_view name) {
  const os::UniqueFd file(
      ::open((directory / name).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status{};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) {
    return vfs::error(errno == ELOOP ? std::errc::operation_not_permitted
                                     : static_cast<std::errc>(errno));
  }
  if (!S_ISREG(status.st_mode)) return vfs::error(std::errc::operation_not_permitted);
  std::string content(4096, '\0');
  const ssize_t size = ::read(file.get(), content.data(), content.size());
  if (size < 0) return vfs::error(static_cast<std::errc>(errno));
  content.resize(static_cast<size_t>(size));
  return content;
}

// Who wrote postmaster.pid. Its first line is a process, negative for a single-user backend; its
// second the data directory as that process sees it (PostgreSQL: CreateLockFile).
struct PidFile {
  bool exists = false;
  bool of_a_guest = false;  // whose process number means nothing here
  int process = 0;
};
PidFile read_pid_file(const fs::path& directory) {
  const auto content = read_own_file(directory, kPidFile);
  PidFile found;
  found.exists = content.has_value();
  std::istringstream file(content.value_or(""));
  std::string data_directory;
  if (file >> found.process && std::getline(file >> std::ws, data_directory)) {
    found.process = std::abs(found.process);
    found.of_a_guest = data_directory == kDataDirectory;
  } else if (!file) {
    found.process = 0;  // no number, or one too large for a process
  }
  return found;
}

void sync_directory(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

// Whether syncfs(2) is what fsync of every file is: it reaches the disk, and failures of earlier
// writes are reported (since Linux 5.8). Network and user-space file systems leave out either.
bool syncfs_is_as_good(int fd) {
  constexpr long kFileSystems[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
                                   F2FS_SUPER_MAGIC, TMPFS_MAGIC};
  struct statfs type{};
  utsname kernel{};
  if (fstatfs(fd, &type) != 0 || uname(&kernel) != 0) return false;
  std::istringstream release(kernel.release);
  int major_number = 0;
  int minor_number = 0;
  char dot = 0;
  release >> major_number >> dot >> minor_number;
  const bool reports = major_number > 5 || (major_number == 5 && minor_number >= 8);
  return reports && std::ranges::find(kFileSystems, type.f_type) != std::end(kFileSystems);
}

Status fill_from_image(std::span<const std::byte> cluster_image, StagedCluster& target) {
  vfs::MemoryFileSystem cluster;
  if (!vfs::load_image(cluster_image, cluster, "/")) {
    return Status::engine_gone("the template data directory is damaged");
  }
  Status status = write_identity(cluster, "", make_identity());
  return status.ok() ? copy_tree(cluster, "/", target) : status;
}

// The way out for a cluster of another version: only its own PostgreSQL can read it.
Status check_version(const fs::path& directory, const std::string& what) {
  const auto content = read_own_file(directory, kVersionFile);
  if (!content && content.error() != std::errc::operation_not_permitted) {
    return Status::io_error(what + " cannot be read: " + std::string(kVersionFile) + ": " +
                            std::strerror(static_cast<int>(content.error())));
  }
  std::string version = content.value_or("");
  version.resize(std::min(version.find('\n'), version.size()));
  if (version == kMajorVersion) return {};
  const bool readable = !version.empty() && version.size() < 20 &&
                        std::ranges::all_of(version, [](char c) { return c > ' ' && c < 127; });
  if (!readable) {
    return Status::incompatible(what + " has an unreadable version in its " +
                                std::string(kVersionFile) + ", where PostgreSQL " +
                                std::string(kMajorVersion) + " has \"" +
                                std::string(kMajorVersion) + "\": restore a backup");
  }
  const std::string known = version == "16" ? " (0.2)" : version == "17" ? " (0.3 and 0.4)" : "";
  return Status::incompatible(
      what + " was made by PostgreSQL " + version + ", this is PostgreSQL " +
      std::string(kMajorVersion) + ": open it with a PGlite of its own version" + known +
      ", dump it to SQL there (pgDump of @electric-sql/pglite-tools) and run the SQL here, in a " +
      "new directory");
}

// Whether what was made can be opened.
Status check_cluster(const std::string& path) {
  std::error_code error;
  if (!fs::exists(fs::path(path) / kVersionFile, error)) {
    return Status::incompatible("the archive is not one of a data directory: it has no " +
                                std::string(kVersionFile));
  }
  Status status = check_version(path, "the archive");
  if (!status.ok()) return status;
  auto files = vfs::HostFileSystem::open(path, vfs::SyncPolicy::kIgnore);
  if (!files) return io_error(path, "cannot be opened", static_cast<int>(files.error()));
  bool shut_down = false;
  status = read_shut_down(**files, "", &shut_down);
  if (status.ok()) return {};
  return Status::incompatible("the archive has no usable cluster: " + status.message());
}

}  // namespace

Status host_path(std::string_view data_dir, std::string* path) {
  constexpr std::string_view kFileScheme = "file://";
  const bool is_file = data_dir.starts_with(kFileScheme);
  *path = data_dir.substr(is_file ? kFileScheme.size() : 0);
  if (!path->empty() && path->find("://") == std::string::npos) return {};
  return Status::invalid_argument("'" + std::string(data_dir) +
                                  "' is no directory; accepted are a path and file://PATH");
}

vfs::SyncPolicy sync_policy_of(Durability durability) {
  const bool relaxed = durability == Durability::kRelaxed || durability == Durability::kOff;
  return relaxed ? vfs::SyncPolicy::kIgnore : vfs::SyncPolicy::kSync;
}

DataDirectory::~DataDirectory() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

Status DataDirectory::make() {
  was_made_ = mkdir(path_.c_str(), 0700) == 0;
  if (!was_made_ && errno != EEXIST) return io_error(path_, "cannot be made", errno);
  return {};
}

Status DataDirectory::lock() {
  lock_fd_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_fd_ < 0) return io_error(path_, "cannot be opened", errno);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return io_error(path_, "cannot be locked", errno);
    struct stat file{};
    fstat(lock_fd_, &file);
    const int owner = lock_owner(file);
    return Status::in_use("data directory \"" + path_ + "\" is in use by " +
                          (owner > 0 ? "process " + std::to_string(owner) : "another process"));
  }
  if (faccessat(lock_fd_, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    return io_error(path_, "is not writable", errno);
  }
  return {};
}

Status DataDirectory::check(Content* content) {
  const fs::path directory(path_);
  std::error_code error;
  *content = Content::kNothing;
  if (fs::exists(directory / kVersionFile, error)) {
    *content = Content::kCluster;
    Status status = check_version(directory, "data directory \"" + path_ + "\"");
    if (!status.ok()) return status;
    // A server on the host does not know our lock, and would shut down without its own.
    const PidFile server = read_pid_file(directory);
    if (server.exists && !server.of_a_guest && server.process != 0 &&
        (kill(server.process, 0) == 0 || errno == EPERM)) {
      return Status::in_use("data directory \"" + path_ + "\" is in use by process " +
                            std::to_string(server.process) + " (" + std::string(kPidFile) + ")");
    }
    // What is left when the very last step of a move into place was interrupted.
    for (const std::string_view staging : {kTemplateStaging, kRestoreStaging}) {
      fs::remove(directory / (std::string(staging) + std::string(kComplete)), error);
    }
    is_new_ = fs::exists(directory / kUnfinishedFile, error);
    return {};
  }
  bool has_other = false;
  std::vector<std::string_view> incomplete;
  std::string_view complete;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    bool is_staging = false;
    for (const std::string_view staging : {kTemplateStaging, kRestoreStaging}) {
      if (!name.starts_with(staging)) continue;
      is_staging = name == staging || name.substr(staging.size()) == kComplete;
      if (name == staging) incomplete.push_back(staging);
      if (is_staging && name != staging) complete = staging;
    }
    has_other = has_other || !is_staging;
  }
  if (error) return io_error(path_, "cannot be read", error.value());
  for (const std::string_view staging : incomplete) {
    fs::remove_all(directory / staging, error);
    if (error) return io_error(path_, "cannot be cleaned", error.value());
  }
  if (!complete.empty()) {
    // A move into place was interrupted: the cluster is there, in two places, and as new as if it
    // had not been.
    *content = Content::kCluster;
    is_new_ = complete == kTemplateStaging;
    return finish_staging(complete);
  }
  if (has_other) {
    return Status::incompatible("directory \"" + path_ +
                                "\" is neither empty nor a PostgreSQL data directory: it has no " +
                                std::string(kVersionFile));
  }
  return {};
}

Status DataDirectory::finish_staging(std::string_view staging_name) {
  const fs::path directory(path_);
  const fs::path staging = directory / (std::string(staging_name) + std::string(kComplete));
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
  if (error) return io_error(path_, "cannot be filled", error.value());
  sync_directory(directory);
  return {};
}

Status DataDirectory::make_cluster(std::string_view staging_name, vfs::SyncPolicy durability,
                                   const Fill& fill) {
  const fs::path staging = fs::path(path_) / staging_name;
  if (mkdir(staging.c_str(), 0700) != 0) return io_error(path_, "is not writable", errno);
  StagedCluster cluster(staging.string(), path_);
  Status status = fill(cluster);
  // One call for a thousand files. PostgreSQL syncs what it writes from here on by itself.
  if (status.ok() && durability == vfs::SyncPolicy::kSync && syncfs(lock_fd_) != 0) {
    status = io_error(path_, "cannot be made durable", errno);
  }
  if (status.ok() &&
      ::rename(staging.c_str(), (staging.string() + std::string(kComplete)).c_str()) != 0) {
    status = io_error(path_, "cannot be filled", errno);
  }
  if (status.ok() && durability == vfs::SyncPolicy::kSync) sync_directory(path_);
  if (status.ok()) return finish_staging(staging_name);
  std::error_code ignored;
  fs::remove_all(staging, ignored);
  return status;
}

Status DataDirectory::sync_before_recovery(bool* synced) {
  *synced = false;
  bool shut_down = false;
  // A damaged control file is PostgreSQL's to report.
  const Status status = read_shut_down(*filesystem_, "", &shut_down);
  if (!status.ok() || shut_down || durability_ != vfs::SyncPolicy::kSync) return {};
  if (!syncfs_is_as_good(lock_fd_)) return {};
  if (syncfs(lock_fd_) != 0) return io_error(path_, "cannot be made durable", errno);
  *synced = true;
  return {};
}

Status DataDirectory::finish() {
  is_new_ = false;
  const auto failed = [&](std::errc error) {
    return io_error(path_, "cannot be finished", static_cast<int>(error));
  };
  const auto removed = filesystem_->remove_file("/" + std::string(kUnfinishedFile));
  if (!removed && removed.error() == std::errc::no_such_file_or_directory) return {};
  if (!removed) return failed(removed.error());
  auto root = filesystem_->open("/", {.read = true, .directory = true}, 0);
  if (!root) return failed(root.error());
  const auto synced = (*root)->sync();
  return synced ? Status() : failed(synced.error());
}

Status DataDirectory::open_files(vfs::SyncPolicy durability) {
  auto host = vfs::HostFileSystem::open(path_, durability);
  if (!host) return io_error(path_, "cannot be opened", static_cast<int>(host.error()));
  filesystem_ = std::move(*host);
  durability_ = durability;
  // A guest's lock file names a process of the guest's, which says nothing on the host. The
  // directory is ours, so whoever wrote it is gone. One that names nobody is what a power cut may
  // leave (the file's name, not its contents); PostgreSQL would refuse to start over it.
  const PidFile lock_file = read_pid_file(path_);
  if (lock_file.of_a_guest || (lock_file.exists && lock_file.process == 0)) {
    (void)filesystem_->remove_file("/" + std::string(kPidFile));
  }
  return {};
}

Status DataDirectory::open(const std::string& path, vfs::SyncPolicy durability,
                           std::span<const std::byte> cluster_image, bool unfinished,
                           std::unique_ptr<DataDirectory>* out) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path));
  Content content = Content::kNothing;
  Status status = directory->make();
  if (status.ok()) status = directory->lock();
  if (status.ok()) status = directory->check(&content);
  if (status.ok() && content == Content::kNothing) {
    status = directory->make_cluster(kTemplateStaging, durability, [&](StagedCluster& cluster) {
      Status filled = fill_from_image(cluster_image, cluster);
      if (!filled.ok() || !unfinished) return filled;
      const auto nothing = [](std::span<std::byte>, size_t*) { return Status(); };
      return cluster.write_file(std::string(kUnfinishedFile), 0600, 0, nothing);
    });
    directory->is_new_ = true;
  }
  if (status.ok()) status = directory->open_files(durability);
  if (status.ok()) *out = std::move(directory);
  return status;
}

Status DataDirectory::open_existing(const std::string& path, vfs::SyncPolicy durability,
                                    std::unique_ptr<DataDirectory>* out) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path));
  Content content = Content::kNothing;
  Status status = directory->lock();
  if (status.ok()) status = directory->check(&content);
  if (status.ok() && content == Content::kNothing) {
    status = Status::incompatible("data directory \"" + path + "\" is empty");
  }
  if (status.ok()) status = directory->open_files(durability);
  if (status.ok()) *out = std::move(directory);
  return status;
}

Status DataDirectory::create(const std::string& path, vfs::SyncPolicy durability, const Fill& fill,
                             std::unique_ptr<DataDirectory>* out) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path));
  Status status = directory->make();
  if (status.ok()) status = directory->lock();
  if (status.ok() && fs::exists(fs::path(path) / kVersionFile)) {
    status = Status::incompatible("data directory \"" + path + "\" holds a cluster already");
  }
  Content content = Content::kNothing;
  if (status.ok()) status = directory->check(&content);
  if (status.ok() && content == Content::kCluster) {
    status = Status::incompatible("data directory \"" + path +
                                  "\" holds a cluster, whose making was finished now");
  }
  if (status.ok()) {
    status = directory->make_cluster(kRestoreStaging, durability, [&](StagedCluster& cluster) {
      Status filled = fill(cluster);
      return filled.ok() ? check_cluster(cluster.path()) : filled;
    });
  }
  if (status.ok()) status = directory->open_files(durability);
  if (status.ok()) {
    *out = std::move(directory);
  } else if (directory->was_made_) {
    rmdir(path.c_str());
  }
  return status;
}

}  // namespace pglite::postgres
