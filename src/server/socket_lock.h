// The name of a Unix socket, and the lock file beside it, as PostgreSQL has them: whoever finds a
// lock file of a process that lives leaves both alone.
#ifndef PGLITE_SERVER_SOCKET_LOCK_H_
#define PGLITE_SERVER_SOCKET_LOCK_H_

#include <pglite/status.h>

#include <cstdint>
#include <memory>
#include <string>

namespace pglite::server {

class SocketLock {
 public:
  // Takes DIRECTORY/.s.PGSQL.PORT and removes what a server that has died left there. kInUse: a
  // process has it. kIoError: the directory cannot be written to. kInvalidArgument: the name is too
  // long for a socket.
  static Status take(const std::string& directory, uint16_t port, std::unique_ptr<SocketLock>* out);
  // Removes the socket and the lock file.
  ~SocketLock();
  SocketLock(const SocketLock&) = delete;
  SocketLock& operator=(const SocketLock&) = delete;

  // Where to bind.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit SocketLock(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] std::string lock_path() const { return path_ + ".lock"; }

  std::string path_;
  bool is_ours_ = false;
};

}  // namespace pglite::server

#endif  // PGLITE_SERVER_SOCKET_LOCK_H_
