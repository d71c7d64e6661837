#include "cli/prompt/history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>

#include "os/file.h"
#include "os/new_file.h"
#include "os/unique_fd.h"

namespace pglite::cli {
namespace {

std::string usual_path() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  const char* const home = std::getenv("HOME");
  std::string directory;
  if (state != nullptr && *state == '/') {
    directory = state;
  } else if (home != nullptr && *home == '/') {
    directory = std::string(home) + "/.local/state";
  } else {
    return {};
  }
  return directory + "/pglite-port/history";
}

std::string to_line(std::string_view entry) {
  std::string line;
  for (const char c : entry) {
    if (c == '\n') {
      line += "\\n";
    } else if (c == '\\') {
      line += "\\\\";
    } else {
      line += c;
    }
  }
  return line + "\n";
}

std::string from_line(std::string_view line) {
  std::string entry;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size()) {
      ++i;
      entry += line[i] == 'n' ? '\n' : line[i];
    } else {
      entry += line[i];
    }
  }
  return entry;
}

// Directories that only their owner sees.
void make_directories(const std::filesystem::path& directory) {
  std::error_code error;
  if (directory.empty() || std::filesystem::exists(directory, error)) return;
  make_directories(directory.parent_path());
  ::mkdir(directory.c_str(), 0700);
}

}  // namespace

HistoryFile::HistoryFile(const std::string& path) : path_(path.empty() ? usual_path() : path) {
  if (path_ == "none") path_.clear();
}

std::vector<std::string> HistoryFile::load() {
  std::vector<std::string> entries;
  if (path_.empty()) return entries;
  const auto file = os::open_regular_file(path_);
  if (!file) return entries;
  const auto content = os::read_all(file->get());
  if (!content) return entries;
  std::string_view rest = *content;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    if (end > 0) entries.push_back(from_line(rest.substr(0, end)));
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  if (entries.size() > kLimit) {
    const bool is_large = entries.size() > 2 * kLimit;
    entries.erase(entries.begin(), entries.end() - kLimit);
    auto shorter = is_large ? os::NewFile::create(path_)
                            : os::Result<os::NewFile>(tl::unexpect, std::errc::not_supported);
    std::string lines;
    for (const std::string& entry : entries) lines += to_line(entry);
    if (shorter && os::write_all(shorter->fd(), std::as_bytes(std::span(lines)))) {
      static_cast<void>(shorter->commit());
    }
  }
  return entries;
}

std::string HistoryFile::append(std::string_view entry) {
  if (path_.empty() || entry.empty() || entry.starts_with(' ')) return {};
  make_directories(std::filesystem::path(path_).parent_path());
  const os::UniqueFd file(
      ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  const std::string line = to_line(entry);
  // One write, so that lines of several prompts stay whole.
  if (file && ::fchmod(file.get(), 0600) == 0 &&
      ::write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size())) {
    return {};
  }
  std::string wrong = "no history is kept: " + path_ + ": " + std::strerror(errno);
  path_.clear();
  return wrong;
}

}  // namespace pglite::cli
