#include "cli/backup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/output.h"
#include "os/new_file.h"
#include "os/unique_fd.h"

namespace pglite::cli {
namespace {

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

Status dump_to_new_file(const WriteDump& dump, const BackupRequest& request) {
  const auto cannot_write_as = [&](std::errc error) {
    return cannot_write(request.file, static_cast<int>(error));
  };
  auto file = os::NewFile::create(request.file);
  if (!file) return cannot_write_as(file.error());
  Status status = dump_to(file->fd(), request.file, dump);
  if (!status.ok()) return status;
  const auto committed = file->commit();
  return committed ? Status() : cannot_write_as(committed.error());
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
    const os::UniqueFd fd(::open(request.file.c_str(), O_WRONLY | O_CLOEXEC));
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
  const os::UniqueFd file(standard ? -1 : ::open(request.file.c_str(), O_RDONLY | O_CLOEXEC));
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
