#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "os/file.h"

namespace pglite::os {

namespace {

std::string message_of(std::errc error) {
  return std::make_error_code(error).message();
}

// Empty for a regular file.
std::string why_not_regular(const struct stat& status) {
  if (S_ISREG(status.st_mode)) return {};
  if (S_ISDIR(status.st_mode)) return "it is a directory, not a regular file";
  if (S_ISFIFO(status.st_mode)) return "it is a FIFO, not a regular file";
  if (S_ISSOCK(status.st_mode)) return "it is a socket, not a regular file";
  return "it is a device, not a regular file";
}

}  // namespace

tl::expected<UniqueFd, OpenFailure> open_regular_file(const std::string& path) {
  const auto failure = [](std::errc code) {
    return tl::unexpected(OpenFailure{.code = code, .reason = message_of(code)});
  };
  struct stat status{};
  // The file is looked at before it is opened, because opening some devices has an effect.
  if (::stat(path.c_str(), &status) != 0) return failure(static_cast<std::errc>(errno));
  std::string reason = why_not_regular(status);
  UniqueFd fd;
  if (reason.empty()) {
    auto opened = owned(
        retry([&] { return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }));
    if (!opened) return failure(opened.error());
    fd = std::move(*opened);
    // It is looked at again, because it may have been replaced.
    if (::fstat(fd.get(), &status) != 0) return failure(static_cast<std::errc>(errno));
    reason = why_not_regular(status);
  }
  if (reason.empty()) return fd;
  return tl::unexpected(
      OpenFailure{.code = std::errc::invalid_argument, .reason = std::move(reason)});
}

Result<std::string> read_all(int fd) {
  std::string content;
  std::array<char, 65536> buffer{};
  while (true) {
    const auto count = retry([&] { return ::read(fd, buffer.data(), buffer.size()); });
    if (!count) return error(count.error());
    if (*count == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(*count));
  }
}

Result<void> write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto count = retry([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (!count) return error(count.error());
    if (*count == 0) return error(std::errc::io_error);
    bytes = bytes.subspan(static_cast<size_t>(*count));
  }
  return {};
}

Result<void> write_all_at(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const auto count =
        retry([&] { return ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (!count) return error(count.error());
    if (*count == 0) return error(std::errc::io_error);
    bytes = bytes.subspan(static_cast<size_t>(*count));
    offset += static_cast<uint64_t>(*count);
  }
  return {};
}

Result<std::string> read_symbolic_link(int directory, const char* name) {
  std::string target(256, '\0');
  while (true) {
    const auto size =
        retry([&] { return ::readlinkat(directory, name, target.data(), target.size()); });
    if (!size) return error(size.error());
    const auto length = static_cast<size_t>(*size);
    if (length < target.size()) {
      target.resize(length);
      return target;
    }
    target.resize(target.size() * 2);
  }
}

}  // namespace pglite::os
