#include "postgres/cluster/data_directory.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "os/directory_lock.h"
#include "postgres/cluster/identity.h"
#include "postgres/version.h"

namespace pglite::postgres {

namespace {

// Who wrote postmaster.pid. Its first line is a process, negative for a single-user backend; its
// second the data directory as that process sees it (PostgreSQL: CreateLockFile).
struct PidFile {
  bool exists = false;
  bool of_a_guest = false;  // whose process number means nothing here
  int process = 0;
};
PidFile read_pid_file(vfs::FileSystem& files) {
  const auto content = read_own_file(files, names::kPid);
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

}  // namespace

Status host_path(std::string_view data_dir, std::string* path) {
  constexpr std::string_view kFileScheme = "file://";
  const auto refused = [&](const std::string& why) {
    return Status::invalid_argument("'" + std::string(data_dir) + "' " + why +
                                    "; accepted are a path and file://PATH");
  };
  if (!data_dir.starts_with(kFileScheme)) {
    *path = data_dir;
    if (!path->empty() && path->find("://") == std::string::npos) return {};
    return refused("is no directory");
  }
  path->clear();
  for (std::string_view rest = data_dir.substr(kFileScheme.size()); !rest.empty();) {
    if (rest[0] != '%') {
      *path += rest[0];
      rest.remove_prefix(1);
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = rest.substr(1, 2);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || parsed.ptr != digits.data() + 2 || byte == 0) {
      return refused(
          "has a % that two hexadecimal digits of a byte must follow; a percent sign is "
          "written %25");
    }
    *path += static_cast<char>(byte);
    rest.remove_prefix(3);
  }
  return path->empty() ? refused("has no path") : Status();
}

vfs::SyncPolicy sync_policy_of(Durability durability) {
  const bool relaxed = durability == Durability::kRelaxed || durability == Durability::kOff;
  return relaxed ? vfs::SyncPolicy::kIgnore : vfs::SyncPolicy::kSync;
}

Status DataDirectory::failed(std::string_view what, int error) const {
  return Status::io_error("data directory \"" + path_ + "\" " + std::string(what) + ": " +
                          std::strerror(error));
}

Status DataDirectory::make() {
  was_made_ = mkdir(path_.c_str(), 0700) == 0;
  if (!was_made_ && errno != EEXIST) return failed("cannot be made", errno);
  return {};
}

void DataDirectory::unmake() {
  struct stat ours{};
  struct stat there{};
  if (!was_made_ || filesystem_ == nullptr || fstat(lock_.get(), &ours) != 0 ||
      lstat(path_.c_str(), &there) != 0) {
    return;
  }
  if (ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) rmdir(path_.c_str());
}

Status DataDirectory::lock() {
  constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  lock_ = os::UniqueFd(::open(path_.c_str(), kDirectory));
  if (!lock_ && errno == ENOTDIR) {
    return Status::incompatible("data directory \"" + path_ +
                                "\" is a file: 'restore' unpacks an archive into a directory, "
                                "--snapshot starts a snapshot, "
                                "'sql -f' runs a script");
  }
  if (!lock_) return failed("cannot be opened", errno);
  const auto locked = os::lock_directory(lock_.get());
  if (!locked && locked.error() == std::errc::operation_would_block) {
    const int owner = os::directory_lock_owner(lock_.get());
    return Status::in_use("data directory \"" + path_ + "\" is in use by " +
                          (owner > 0 ? "process " + std::to_string(owner) : "another process"));
  }
  if (!locked) return failed("cannot be locked", static_cast<int>(locked.error()));
  if (faccessat(lock_.get(), ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    return failed("is not writable", errno);
  }
  // By the descriptor, not by the path, which may lead elsewhere by now. Opened anew: a duplicate
  // would keep the lock for as long as somebody has the files.
  os::UniqueFd root(::openat(lock_.get(), ".", kDirectory));
  if (!root) return failed("cannot be opened", errno);
  auto files = vfs::HostFileSystem::open(std::move(root), durability_);
  if (!files) return failed("cannot be opened", static_cast<int>(files.error()));
  filesystem_ = std::move(*files);
  return {};
}

Status DataDirectory::check_server() {
  const PidFile lock_file = read_pid_file(*filesystem_);
  if (!lock_file.exists) return {};
  // A guest's lock file names a process of the guest's, which says nothing on the host. The
  // directory is ours, so whoever wrote it is gone. One that names nobody is what a power cut may
  // leave (the file's name, not its contents); PostgreSQL would refuse to start over it.
  if (lock_file.of_a_guest || lock_file.process == 0) {
    (void)filesystem_->remove_file("/" + std::string(names::kPid));
    return {};
  }
  // A server on the host would shut down without its lock file.
  if (kill(lock_file.process, 0) != 0 && errno != EPERM) return {};
  return Status::in_use("data directory \"" + path_ + "\" is in use by process " +
                        std::to_string(lock_file.process) + " (" + std::string(names::kPid) + ")");
}

Status DataDirectory::settle(Staging::Content* content) {
  Staging staging(*filesystem_, path_);
  Status status = staging.find(content);
  if (status.ok() && *content == Staging::Content::kCluster) {
    status = staging.check_version();
    if (status.ok()) status = staging.check_links();
    if (status.ok()) status = check_server();
  }
  return status.ok() ? staging.settle(content, &is_new_) : status;
}

Status DataDirectory::make_cluster(Staging::Kind kind, const Staging::Fill& fill) {
  Status status = Staging(*filesystem_, path_).make(kind, fill);
  if (!status.ok() || durability_ == vfs::SyncPolicy::kIgnore) return status;
  return sync_name();
}

Status DataDirectory::sync_name() const {
  const os::UniqueFd parent(::openat(lock_.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Of a directory that may not be read nothing can be synced.
  if (!parent) return errno == EACCES ? Status() : failed("cannot be made durable", errno);
  while (fsync(parent.get()) != 0) {
    // What syncs no directories needs none, as PostgreSQL sees it too.
    if (errno == EINVAL || errno == EBADF) return {};
    if (errno != EINTR) return failed("cannot be made durable", errno);
  }
  return {};
}

Status DataDirectory::open_parent(std::unique_ptr<vfs::HostFileSystem>* out) const {
  os::UniqueFd parent(::openat(lock_.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return failed("is in a directory that cannot be opened", errno);
  auto files = vfs::HostFileSystem::open(std::move(parent), durability_);
  if (!files) {
    return failed("is in a directory that cannot be opened", static_cast<int>(files.error()));
  }
  *out = std::move(*files);
  return {};
}

Status DataDirectory::sync_before_recovery(bool* synced) {
  *synced = false;
  bool shut_down = false;
  // A damaged control file is PostgreSQL's to report.
  const Status status = read_shut_down(*filesystem_, "", &shut_down);
  if (!status.ok() || shut_down || durability_ != vfs::SyncPolicy::kSync) return {};
  const auto done = filesystem_->sync_all();
  if (!done && done.error() != std::errc::operation_not_supported) {
    return failed("cannot be made durable", static_cast<int>(done.error()));
  }
  *synced = done.has_value();
  return {};
}

Status DataDirectory::finish() {
  is_new_ = false;
  return Staging(*filesystem_, path_).finish();
}

Status DataDirectory::open(const std::string& path, vfs::SyncPolicy durability,
                           std::span<const std::byte> cluster_image, bool unfinished,
                           std::unique_ptr<DataDirectory>* out) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path, durability));
  auto content = Staging::Content::kNothing;
  Status status = directory->make();
  if (status.ok()) status = directory->lock();
  if (status.ok()) status = directory->settle(&content);
  if (status.ok() && content == Staging::Content::kNothing) {
    status = directory->make_cluster(Staging::Kind::kTemplate, [&](StagedCluster& cluster) {
      return fill_from_template(cluster_image, unfinished, cluster);
    });
    directory->is_new_ = true;
  }
  if (status.ok()) *out = std::move(directory);
  return status;
}

Status DataDirectory::open_existing(const std::string& path, vfs::SyncPolicy durability,
                                    std::unique_ptr<DataDirectory>* out) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path, durability));
  auto content = Staging::Content::kNothing;
  Status status = directory->lock();
  if (status.ok()) status = directory->settle(&content);
  if (status.ok() && content == Staging::Content::kNothing) {
    status = Status::incompatible("data directory \"" + path + "\" is empty");
  }
  if (status.ok()) *out = std::move(directory);
  return status;
}

Status DataDirectory::create(const std::string& path, vfs::SyncPolicy durability,
                             const Staging::Fill& fill, std::unique_ptr<DataDirectory>* out) {
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path, durability));
  Status status = directory->make();
  if (status.ok()) status = directory->lock();
  if (status.ok()) {
    Staging staging(*directory->filesystem_, path);
    auto content = Staging::Content::kNothing;
    status = staging.find(&content);
    if (status.ok() && content == Staging::Content::kCluster) {
      status = Status::incompatible("data directory \"" + path + "\" holds a cluster already");
    }
    if (status.ok()) status = staging.settle(&content, &directory->is_new_);
    if (status.ok() && content == Staging::Content::kCluster) {
      status = Status::incompatible("data directory \"" + path +
                                    "\" holds a cluster, whose making was finished now");
    }
  }
  if (status.ok()) status = directory->make_cluster(Staging::Kind::kRestore, fill);
  if (status.ok()) {
    *out = std::move(directory);
  } else {
    directory->unmake();
  }
  return status;
}

}  // namespace pglite::postgres
