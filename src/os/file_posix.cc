#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "os/file.h"

namespace pglite::os {

namespace {

std::errc last_error() {
  return static_cast<std::errc>(errno);
}

std::errc write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return last_error();
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

std::errc sync_directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd && fsync(fd.get()) == 0 ? std::errc() : last_error();
}

}  // namespace

std::errc open_regular_file(const std::string& path, UniqueFd* out) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return last_error();
  if (!S_ISREG(file.st_mode)) return std::errc::invalid_argument;
  // It may have become another by now: O_NONBLOCK does not wait for a FIFO's writer.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd || fstat(fd.get(), &file) != 0) return last_error();
  if (!S_ISREG(file.st_mode)) return std::errc::invalid_argument;
  *out = std::move(fd);
  return {};
}

std::errc write_whole_file(const std::string& path, std::span<const std::byte> bytes) {
  const std::string temporary = path + ".new-" + std::to_string(getpid());
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return last_error();
  std::errc error = write_all(fd.get(), bytes);
  if (error == std::errc() && fsync(fd.get()) != 0) error = last_error();
  // Some file systems say only here that something was not written.
  if (::close(fd.release()) != 0 && error == std::errc()) error = last_error();
  if (error == std::errc() && rename(temporary.c_str(), path.c_str()) != 0) error = last_error();
  if (error == std::errc()) return sync_directory_of(path);
  unlink(temporary.c_str());
  return error;
}

}  // namespace pglite::os
