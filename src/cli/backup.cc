#include "cli/backup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "cli/output.h"

namespace pglite::cli {
namespace {

constexpr const char* kNewFile = ".new-";  // behind the file's name, before the process's number

bool is_standard(const std::string& file) {
  return file.empty() || file == "-";
}

Status dump_to(int fd, const std::string& name, const WriteDump& dump) {
  Output output(fd, name);
  const Status status = dump([&](std::string_view bytes) {
    output.write(bytes);
    return output.status();
  });
  return status.ok() ? output.flush() : status;
}

Status cannot_write(const std::string& file, int error) {
  return Status::io_error("cannot write to " + file + ": " + std::strerror(error));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

// What killed dumps into `file` left; a dump that runs has a lock on its file.
void remove_leftovers(const std::filesystem::path& file) {
  const std::string prefix = file.filename().string() + kNewFile;
  std::error_code error;
  const std::filesystem::path parent = file.has_parent_path() ? file.parent_path() : ".";
  std::vector<std::filesystem::path> left;
  for (std::filesystem::directory_iterator at(parent, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with(prefix) &&
        name.find_first_not_of("0123456789", prefix.size()) == std::string::npos) {
      left.push_back(at->path());
    }
  }
  for (const auto& path : left) {
    const Descriptor fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (fd.get() >= 0 && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  }
}

// Without a name until it is complete, where the file system has that: then a kill leaves nothing.
Status dump_to_new_file(const WriteDump& dump, const BackupRequest& request) {
  const std::filesystem::path file(request.file);
  remove_leftovers(file);
  const std::string temporary = request.file + kNewFile + std::to_string(getpid());
  const std::string parent = file.has_parent_path() ? file.parent_path().string() : ".";
  // Giving it a name goes by way of /proc.
  const bool can_name = ::access("/proc/self/fd", X_OK) == 0;
  int opened = can_name ? ::open(parent.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600) : -1;
  bool has_name = opened < 0;
  if (has_name) {
    opened = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  }
  const Descriptor fd(opened);
  if (fd.get() < 0) return cannot_write(request.file, errno);
  (void)::flock(fd.get(), LOCK_EX | LOCK_NB);
  Status status = dump_to(fd.get(), request.file, dump);
  if (status.ok() && ::fsync(fd.get()) != 0) status = cannot_write(request.file, errno);
  if (status.ok() && !has_name) {
    const std::string unnamed = "/proc/self/fd/" + std::to_string(fd.get());
    has_name =
        ::linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, temporary.c_str(), AT_SYMLINK_FOLLOW) == 0;
    if (!has_name) status = cannot_write(request.file, errno);
  }
  if (status.ok() && ::rename(temporary.c_str(), request.file.c_str()) != 0) {
    status = cannot_write(request.file, errno);
  }
  if (!status.ok() && has_name) ::unlink(temporary.c_str());
  return status;
}

}  // namespace

Status run_dump(const WriteDump& dump, const BackupRequest& request, int out) {
  if (is_standard(request.file)) {
    const bool is_text = request.sql && request.compression == Compression::kNone;
    if (!is_text && ::isatty(out) == 1) {
      return Status::invalid_argument(
          "dump does not write an archive to a terminal; accepted are -o FILE and a pipe");
    }
    return dump_to(out, "stdout", dump);
  }
  struct stat there{};
  if (::stat(request.file.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
    const Descriptor fd(::open(request.file.c_str(), O_WRONLY | O_CLOEXEC));
    if (fd.get() < 0) return cannot_write(request.file, errno);
    return dump_to(fd.get(), request.file, dump);
  }
  return dump_to_new_file(dump, request);
}

Status run_restore(const RestoreFunction& restore, const Options& options,
                   const BackupRequest& request, int in) {
  const bool standard = is_standard(request.file);
  const std::string name = standard ? "stdin" : request.file;
  if (standard && ::isatty(in) == 1) {
    return Status::invalid_argument(
        "restore reads an archive, not a terminal; accepted are -f FILE and a pipe");
  }
  const Descriptor file(standard ? -1 : ::open(request.file.c_str(), O_RDONLY | O_CLOEXEC));
  const auto cannot_read = [&](int error) {
    return Status::io_error("cannot read " + name + ": " + std::strerror(error));
  };
  if (!standard && file.get() < 0) return cannot_read(errno);
  const int fd = standard ? in : file.get();
  return restore(options, [&](char* buffer, size_t size, size_t* count) {
    *count = 0;
    while (true) {
      const ssize_t got = ::read(fd, buffer, size);
      if (got >= 0) {
        *count = static_cast<size_t>(got);
        return Status();
      }
      if (errno == EAGAIN) {
        pollfd ready = {fd, POLLIN, 0};
        ::poll(&ready, 1, -1);
      } else if (errno != EINTR) {
        return cannot_read(errno);
      }
    }
  });
}

}  // namespace pglite::cli
