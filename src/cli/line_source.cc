#include "cli/line_source.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace pglite::cli {

bool LineSource::read_more() {
  constexpr size_t kPiece = size_t{64} << 10;
  while (fd_ >= 0) {
    const size_t size = buffer_.size();
    buffer_.resize(size + kPiece);
    const ssize_t got = ::read(fd_, buffer_.data() + size, kPiece);
    const int error = errno;
    buffer_.resize(size + static_cast<size_t>(got > 0 ? got : 0));
    if (got > 0) return true;
    if (got < 0 && error == EINTR) continue;
    if (got < 0 && error == EAGAIN) {
      pollfd fd = {fd_, POLLIN, 0};
      ::poll(&fd, 1, -1);
      continue;
    }
    if (got < 0) {
      status_ = Status::io_error("cannot read " + name_ + ": " + std::strerror(error));
    }
    fd_ = -1;
  }
  return false;
}

bool LineSource::next(std::string* line) {
  if (!(ask_ ? ask_(line) : find_line(line))) return false;
  bytes_ += line->size();
  return true;
}

bool LineSource::find_line(std::string* line) {
  size_t searched = begin_;
  while (true) {
    const size_t newline = buffer_.find('\n', searched);
    if (newline != std::string::npos) {
      line->assign(buffer_, begin_, newline + 1 - begin_);
      begin_ = newline + 1;
      return true;
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched = buffer_.size();
    if (read_more()) continue;
    if (!status_.ok() || buffer_.empty()) return false;
    line->swap(buffer_);
    buffer_.clear();
    return true;
  }
}

}  // namespace pglite::cli
