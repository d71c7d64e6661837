// Lines of a script, from a descriptor, from memory, or from a person. Holds one line at a time.
#ifndef PGLITE_CLI_LINE_SOURCE_H_
#define PGLITE_CLI_LINE_SOURCE_H_

#include <pglite/status.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace pglite::cli {

class LineSource {
 public:
  // `fd` is not owned; `name` is what messages call it.
  LineSource(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  explicit LineSource(std::string text) : buffer_(std::move(text)) {}
  // `ask` has the next line, with its newline; false: there is none.
  using Ask = std::function<bool(std::string* line)>;
  explicit LineSource(Ask ask) : ask_(std::move(ask)) {}

  // The next line with its newline, which the last one may lack. False at the end, or where reading
  // failed: then status() says why.
  bool next(std::string* line);
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  // How many bytes were handed out.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  bool find_line(std::string* line);
  bool read_more();

  Ask ask_;
  uint64_t bytes_ = 0;
  int fd_ = -1;
  std::string name_;
  std::string buffer_;
  size_t begin_ = 0;  // of what is not yet handed out
  Status status_;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_LINE_SOURCE_H_
