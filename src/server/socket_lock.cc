#include "server/socket_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <system_error>

#include "os/file.h"
#include "os/unique_fd.h"

namespace pglite::server {

namespace {

std::string why(int error) {
  return std::make_error_code(static_cast<std::errc>(error)).message();
}

// The process that a lock file names, if it lives; 0: none does.
pid_t owner_of(const std::string& lock_path) {
  const os::UniqueFd file(open(lock_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return 0;
  const auto content = os::read_all(file.get());
  pid_t pid = 0;
  if (!content) return 0;
  std::from_chars(content->data(), content->data() + content->size(), pid);
  if (pid <= 0 || pid == getpid()) return 0;
  return kill(pid, 0) == 0 || errno == EPERM ? pid : 0;
}

}  // namespace

Status SocketLock::take(const std::string& directory, uint16_t port,
                        std::unique_ptr<SocketLock>* out) {
  std::unique_ptr<SocketLock> lock(new SocketLock(directory + "/.s.PGSQL." + std::to_string(port)));
  if (lock->path_.size() >= sizeof sockaddr_un{}.sun_path) {
    return Status::invalid_argument("the socket's name \"" + lock->path_ + "\" is longer than " +
                                    std::to_string(sizeof sockaddr_un{}.sun_path - 1) + " bytes");
  }
  const std::string lock_path = lock->lock_path();
  for (int tries = 0; tries < 100; ++tries) {
    const os::UniqueFd file(
        open(lock_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file) {
      lock->is_ours_ = true;
      // PostgreSQL's own has more lines; its number is what matters to others.
      const std::string line = std::to_string(getpid()) + "\n";
      if (write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        return Status::io_error("the lock file \"" + lock_path +
                                "\" cannot be written: " + why(errno));
      }
      if (unlink(lock->path_.c_str()) != 0 && errno != ENOENT) {
        return Status::io_error("the old socket \"" + lock->path_ +
                                "\" cannot be removed: " + why(errno));
      }
      *out = std::move(lock);
      return {};
    }
    if (errno != EEXIST) {
      return Status::io_error("the lock file \"" + lock_path + "\" cannot be made: " + why(errno));
    }
    if (const pid_t owner = owner_of(lock_path); owner != 0) {
      return Status::in_use("the socket \"" + lock->path_ + "\" belongs to process " +
                            std::to_string(owner) + "; choose another port or directory");
    }
    if (unlink(lock_path.c_str()) != 0 && errno != ENOENT) {
      return Status::io_error("the lock file \"" + lock_path +
                              "\" of a process that has ended cannot be removed: " + why(errno));
    }
  }
  return Status::in_use("the lock file \"" + lock_path + "\" is made again and again");
}

SocketLock::~SocketLock() {
  if (!is_ours_) return;
  unlink(path_.c_str());
  unlink(lock_path().c_str());
}

}  // namespace pglite::server
