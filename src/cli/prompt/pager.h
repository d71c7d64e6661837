// Results that do not fit the screen, a page at a time.
#ifndef PGLITE_CLI_PROMPT_PAGER_H_
#define PGLITE_CLI_PROMPT_PAGER_H_

#include <functional>
#include <string>

#include "cli/output.h"
#include "cli/result_writer.h"

namespace pglite::cli {

// Lines and columns of a terminal; zeros: not known.
Extent screen_of(int fd);

class Pager {
 public:
  // `command`: for the shell. "none": pages are off. Empty: PAGER, or less without folded lines, or
  // more.
  explicit Pager(const std::string& command);

  void set_on(bool on) { on_ = on; }
  [[nodiscard]] bool is_on() const { return on_; }

  // Where `extent` is more than the screen of `out`: has what `print` writes to `out` shown by the
  // pager, waits until that has ended, and returns true.
  bool show(const Extent& extent, Output& out, const std::function<void()>& print) const;
  // The same for a text.
  void show(const std::string& text, Output& out) const;

 private:
  std::string command_;
  bool on_ = true;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_PAGER_H_
