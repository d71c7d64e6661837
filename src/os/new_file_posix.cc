#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "os/file.h"
#include "os/new_file.h"
#include "os/unnamed_file.h"

namespace pglite::os {

namespace {

constexpr std::string_view kNew = ".new-";  // between the file's name and digits
constexpr uint32_t kForOwner = 0600;
constexpr int kMostAttempts = 100;

bool is_regular(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

// Names in `directory` that begin with `prefix` and go on with digits.
std::vector<std::string> numbered_names(int directory, const std::string& prefix) {
  std::vector<std::string> names;
  UniqueFd fd(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto close = [](DIR* stream) { ::closedir(stream); };
  const std::unique_ptr<DIR, decltype(close)> stream(fd ? ::fdopendir(fd.get()) : nullptr);
  if (stream == nullptr) return names;
  (void)fd.release();
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name.starts_with(prefix) &&
        name.find_first_not_of("0123456789", prefix.size()) == std::string::npos) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace

NewFile::NewFile(NewFile&& other) noexcept
    : directory_(std::move(other.directory_)),
      name_(std::move(other.name_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

std::string NewFile::temporary_name(int attempt) const {
  std::string name = name_ + std::string(kNew) + std::to_string(::getpid());
  if (attempt > 0) name += std::to_string(attempt);
  return name;
}

Result<NewFile> NewFile::create(const std::string& path) {
  const size_t slash = path.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  const std::string parent = begin == 0 ? "." : path.substr(0, begin);
  std::string name = path.substr(begin);
  if (name.empty()) {
    return error(path.empty() ? std::errc::no_such_file_or_directory : std::errc::is_a_directory);
  }
  auto directory =
      owned(retry([&] { return ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!directory) return error(directory.error());
  struct stat there{};
  if (::fstatat(directory->get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISDIR(there.st_mode)) {
    return error(std::errc::is_a_directory);
  }

  NewFile file(std::move(*directory), std::move(name));
  file.remove_leftovers();
  if (auto unnamed = open_unnamed_file(file.directory_.get(), kForOwner)) {
    file.fd_ = std::move(*unnamed);
    // commit() gives it a temporary name for a moment; the lock protects it then.
    (void)::flock(file.fd_.get(), LOCK_EX | LOCK_NB);
  } else if (auto named = file.open_with_name(); !named) {
    return error(named.error());
  }
  return file;
}

Result<void> NewFile::open_with_name() {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const std::string name = temporary_name(attempt);
    auto fd = owned(retry([&] {
      return ::openat(directory_.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                      kForOwner);
    }));
    if (!fd && fd.error() == std::errc::file_exists) continue;
    if (!fd) return error(fd.error());
    // Before it was locked, another writer may have taken it for a left-over.
    (void)::flock(fd->get(), LOCK_EX | LOCK_NB);
    struct stat status{};
    if (::fstat(fd->get(), &status) != 0 || status.st_nlink == 0) continue;
    fd_ = std::move(*fd);
    temporary_ = name;
    return {};
  }
  return error(std::errc::file_exists);
}

// Removes what killed writers of this file left.
void NewFile::remove_leftovers() const {
  for (const std::string& name : numbered_names(directory_.get(), name_ + std::string(kNew))) {
    const UniqueFd fd(::openat(directory_.get(), name.c_str(),
                               O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (fd && is_regular(fd.get()) && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
      ::unlinkat(directory_.get(), name.c_str(), 0);
    }
  }
}

Result<void> NewFile::commit() {
  if (auto synced = sync(fd_.get()); !synced) return synced;
  for (int attempt = 0; temporary_.empty(); ++attempt) {
    std::string name = temporary_name(attempt);
    const auto named = name_file(fd_.get(), directory_.get(), name);
    if (named) {
      temporary_ = std::move(name);
    } else if (named.error() != std::errc::file_exists || attempt == kMostAttempts) {
      return named;
    }
  }
  const auto renamed = done(retry([&] {
    return ::renameat(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str());
  }));
  if (!renamed) return renamed;
  temporary_.clear();
  auto synced = sync(directory_.get());
  // File systems that sync no directories at all say so.
  if (!synced && synced.error() == std::errc::invalid_argument) return {};
  return synced;
}

void NewFile::forget() noexcept {
  if (!temporary_.empty()) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
  temporary_.clear();
}

}  // namespace pglite::os
