// The result of every operation of the public library that can fail.
//
// A Status is a value: it can be copied, moved and compared with ok(). It never prints; the caller
// decides what to do with the message. A message is one line, starts with a lower-case letter and
// says what was wrong, where, and, where there is one, the way out.
#ifndef PGLITE_STATUS_H_
#define PGLITE_STATUS_H_

#include <string>
#include <utility>

namespace pglite {

// What kind of failure it was. The program's exit code follows from it (exit_code below).
enum class StatusCode {
  kOk,
  // The caller's mistake: an option, a path, a message that does not follow the protocol.
  kInvalidArgument,
  // A file or directory that cannot be read or written.
  kIoError,
  // The data directory is another process's at the moment.
  kInUse,
  // The directory or module is not one that this build can run (another major version, not ours).
  kIncompatible,
  // PostgreSQL refused to go on (FATAL at start, PANIC) or the guest trapped. The instance is gone.
  kEngineGone,
  // PostgreSQL has ended the session and said why in an ErrorResponse of severity FATAL (a timeout
  // of the session's, say), which the caller got. It has shut down in order. The instance is gone.
  kSessionEnded,
  // The peer (a pipe, a socket) went away.
  kDisconnected,
  // A program of PostgreSQL's that was run (pg_dump) refused its arguments or failed, and has said
  // why in the log.
  kToolFailed,
  // A program of the system's that is needed, such as a compiler, is not there.
  kUnavailable,
  // A session waits for something that another session's client has to bring about first, such as a
  // lock. Its request goes on with Session::resume().
  kWaiting,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status invalid_argument(std::string m) {
    return {StatusCode::kInvalidArgument, std::move(m)};
  }
  static Status io_error(std::string m) { return {StatusCode::kIoError, std::move(m)}; }
  static Status in_use(std::string m) { return {StatusCode::kInUse, std::move(m)}; }
  static Status incompatible(std::string m) { return {StatusCode::kIncompatible, std::move(m)}; }
  static Status engine_gone(std::string m) { return {StatusCode::kEngineGone, std::move(m)}; }
  static Status session_ended(std::string m) { return {StatusCode::kSessionEnded, std::move(m)}; }
  static Status disconnected(std::string m) { return {StatusCode::kDisconnected, std::move(m)}; }

  static Status unavailable(std::string m) { return {StatusCode::kUnavailable, std::move(m)}; }
  static Status waiting(std::string m) { return {StatusCode::kWaiting, std::move(m)}; }

  [[nodiscard]] bool ok() const { return code_ == StatusCode::kOk; }
  [[nodiscard]] StatusCode code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }

  // The exit code of the program for this status, after sysexits.h: 0 ok, 64 usage, 65 data
  // (incompatible), 69 unavailable, 70 engine gone or session ended, 74 I/O, 75 in use; 1 a tool failed.
  [[nodiscard]] int exit_code() const {
    switch (code_) {
      case StatusCode::kOk:
        return 0;
      case StatusCode::kInvalidArgument:
        return 64;
      case StatusCode::kIncompatible:
        return 65;
      case StatusCode::kEngineGone:
      case StatusCode::kSessionEnded:
        return 70;
      case StatusCode::kIoError:
        return 74;
      case StatusCode::kInUse:
        return 75;
      case StatusCode::kDisconnected:
        return 74;
      case StatusCode::kUnavailable:
        return 69;
      case StatusCode::kToolFailed:
      case StatusCode::kWaiting:
        return 1;
    }
    return 70;
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

}  // namespace pglite

#endif  // PGLITE_STATUS_H_
