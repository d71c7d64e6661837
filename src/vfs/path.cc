// Path arithmetic only: nothing here asks a file system.
#include "vfs/filesystem.h"

namespace pglite::vfs {

namespace {

// Appends the components of `path` to `result`, which is "" for the root or as "/a/b".
void append_components(std::string& result, std::string_view path) {
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (component.empty() || component == ".") continue;
    if (component == "..") {
      const size_t last = result.rfind('/');
      result.resize(last == std::string::npos ? 0 : last);
    } else {
      result += '/';
      result += component;
    }
  }
}

}  // namespace

std::string normalize_path(std::string_view base, std::string_view path) {
  std::string result;
  result.reserve(base.size() + path.size() + 2);
  if (!path.starts_with('/')) append_components(result, base);
  append_components(result, path);
  if (result.empty()) result = "/";
  return result;
}

}  // namespace pglite::vfs
