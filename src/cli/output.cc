#include "cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace pglite::cli {
namespace {

constexpr size_t kBufferSize = size_t{64} << 10;

}  // namespace

void Output::write(std::string_view text) {
  if (buffer_.size() + text.size() > kBufferSize) {
    static_cast<void>(flush());
    if (text.size() >= kBufferSize) return write_through(text);
  }
  buffer_ += text;
}

Status Output::flush() {
  write_through(buffer_);
  buffer_.clear();
  return status_;
}

Status Output::redirect(int fd, std::string name) {
  Status before = flush();
  fd_ = fd;
  name_ = std::move(name);
  status_ = {};
  return before;
}

void Output::write_through(std::string_view text) {
  while (status_.ok() && !text.empty()) {
    const ssize_t written = ::write(fd_, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd fd = {fd_, POLLOUT, 0};
      ::poll(&fd, 1, -1);
    } else if (errno != EINTR) {
      const std::string message = "cannot write to " + name_ + ": " + std::strerror(errno);
      status_ = errno == EPIPE ? Status::disconnected(message) : Status::io_error(message);
    }
  }
}

}  // namespace pglite::cli
