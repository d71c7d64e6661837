// Buffered text to a descriptor, for programs that must notice when it does not arrive.
#ifndef PGLITE_CLI_OUTPUT_H_
#define PGLITE_CLI_OUTPUT_H_

#include <pglite/status.h>

#include <string>
#include <string_view>
#include <utility>

#include "os/unique_fd.h"

namespace pglite::cli {

class Output {
 public:
  // `fd` is not owned; `name` is what error messages call it.
  Output(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  // The same, with a descriptor that is closed with this.
  Output(os::UniqueFd fd, std::string name)
      : fd_(fd.get()), owned_(std::move(fd)), name_(std::move(name)) {}
  // Flushes, ignoring the result.
  ~Output() { static_cast<void>(flush()); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Keeps the text until there is enough of it; failures show in status(). After the first one,
  // everything is dropped.
  void write(std::string_view text);
  Status flush();
  // kDisconnected: the reader is gone. kIoError: anything else.
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] int fd() const { return fd_; }
  // From here on the text goes to another descriptor, and status() begins anew. Returns what became
  // of the text until here.
  Status redirect(int fd, std::string name);

 private:
  void write_through(std::string_view text);

  int fd_;
  os::UniqueFd owned_;
  std::string name_;
  std::string buffer_;
  Status status_;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_OUTPUT_H_
