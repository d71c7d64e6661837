#include "client/password_file.h"

#include <sys/stat.h>

#include "os/file.h"

namespace pglite::client {
namespace {

// The next field of a line, without its backslashes; takes the colon behind it away. No field:
// there is no colon.
std::optional<std::string> take_field(std::string_view* line) {
  std::string field;
  for (size_t i = 0; i < line->size(); ++i) {
    char c = (*line)[i];
    if (c == ':') {
      line->remove_prefix(i + 1);
      return field;
    }
    if (c == '\\' && i + 1 < line->size()) c = (*line)[++i];
    field += c;
  }
  return std::nullopt;
}

// `*` fits all, but not where the star has a backslash in front.
bool take_matching_field(std::string_view* line, std::string_view wanted) {
  const bool all = line->starts_with("*:");
  const auto field = take_field(line);
  return field && (all || *field == wanted);
}

std::string without_backslashes(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    plain += text[i];
  }
  return plain;
}

}  // namespace

std::optional<std::string> find_password(std::string_view content, const PasswordKey& key) {
  while (!content.empty()) {
    std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(content.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with('#')) continue;
    if (take_matching_field(&line, key.host) && take_matching_field(&line, key.port) &&
        take_matching_field(&line, key.database) && take_matching_field(&line, key.user)) {
      return without_backslashes(line);
    }
  }
  return std::nullopt;
}

std::optional<std::string> find_password_in(const std::string& path, const PasswordKey& key,
                                            const std::function<void(std::string_view)>& warn) {
  const auto ignored = [&](const std::string& why) {
    warn("the password file " + path + " is ignored: " + why);
    return std::nullopt;
  };
  const auto file = os::open_regular_file(path);
  if (!file) {
    if (file.error().code == std::errc::no_such_file_or_directory ||
        file.error().code == std::errc::not_a_directory) {
      return std::nullopt;
    }
    return ignored(file.error().reason);
  }
  struct stat status{};
  if (::fstat(file->get(), &status) != 0 || (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return ignored("others than its owner have access to it; its mode should be 0600 or less");
  }
  const auto content = os::read_all(file->get());
  if (!content) return ignored(std::make_error_code(content.error()).message());
  return find_password(*content, key);
}

}  // namespace pglite::client
