#include "cli/prompt/pager.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "cli/prompt/child.h"
#include "os/unique_fd.h"

namespace pglite::cli {

Extent screen_of(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_row, size.ws_col};
}

Pager::Pager(const std::string& command) : command_(command) {
  if (command_ == "none") {
    on_ = false;
    command_.clear();
  }
  if (!command_.empty()) return;
  const char* const usual = std::getenv("PAGER");
  if (usual != nullptr && *usual != '\0') {
    command_ = usual;
  } else {
    command_ = has_program("less") ? "less -S" : "more";
  }
}

bool Pager::show(const Extent& extent, Output& out, const std::function<void()>& print) const {
  if (!on_ || ::isatty(out.fd()) != 1) return false;
  const Extent screen = screen_of(out.fd());
  // The next prompt needs a line, too.
  if (extent.lines + 1 <= std::max<size_t>(screen.lines, 2) && extent.width <= screen.width) {
    return false;
  }
  if (screen.lines == 0) return false;
  int ends[2];
  if (::pipe(ends) != 0) return false;
  os::UniqueFd reader(ends[0]);
  os::UniqueFd writer(ends[1]);
  for (const int end : ends) static_cast<void>(::fcntl(end, F_SETFD, FD_CLOEXEC));
  const int pid = start_shell(command_, reader.get());
  // Only the pager has it: where that ends, writing fails.
  reader = os::UniqueFd();
  if (pid < 0) return false;
  const int terminal = out.fd();
  static_cast<void>(out.redirect(writer.get(), "the pager"));
  print();
  // A pager that was left early has seen enough.
  static_cast<void>(out.redirect(terminal, "stdout"));
  writer = os::UniqueFd();
  wait_for_child(pid);
  return true;
}

void Pager::show(const std::string& text, Output& out) const {
  const Extent extent{static_cast<size_t>(std::ranges::count(text, '\n')), 0};
  if (!show(extent, out, [&] { out.write(text); })) out.write(text);
}

}  // namespace pglite::cli
