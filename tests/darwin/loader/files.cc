#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "darwin.h"

namespace pglite::loader {

namespace {

constexpr auto kOpenFlags = std::to_array<std::pair<int, int>>({
    {O_NONBLOCK, 0x4},
    {O_APPEND, 0x8},
    {O_NOFOLLOW, 0x100},
    {O_CREAT, 0x200},
    {O_TRUNC, 0x400},
    {O_EXCL, 0x800},
    {O_NOCTTY, 0x20000},
    {O_DIRECTORY, 0x100000},
    {O_SYNC, 0x80},
    {O_DSYNC, 0x400000},
    {O_CLOEXEC, 0x1000000},
    {O_PATH, 0x40000000},  // O_EXEC, of which O_SEARCH is one
});

constexpr auto kAtFlags = std::to_array<std::pair<int, int>>({
    {AT_EACCESS, 0x10},
    {AT_SYMLINK_NOFOLLOW, 0x20},
    {AT_SYMLINK_FOLLOW, 0x40},
});

int directory(int fd) {
  return fd == darwin::kAtCurrentDirectory ? AT_FDCWD : fd;
}

// Flags of calls that are not about directories' removal: AT_EACCESS and AT_REMOVEDIR are one
// number here.
int at_flags(int flags) {
  int here = 0;
  for (const auto& [linux, there] : kAtFlags) {
    if ((flags & there) != 0) here |= linux;
    flags &= ~there;
  }
  return flags == 0 ? here : -1;
}

int failed(int error) {
  program_errno() = to_darwin_error(error);
  return -1;
}

int open_at(int at, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = (flags & 0x200) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
  va_end(arguments);
  const int fd = openat(directory(at), path, from_darwin_open_flags(flags), mode);
  // Linux sees first that a symbolic link is no directory.
  if (fd < 0 && errno == ENOTDIR && (flags & 0x100) != 0) {
    struct stat status{};
    if (fstatat(directory(at), path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(status.st_mode)) {
      return failed(ELOOP);
    }
    return failed(ENOTDIR);
  }
  return noted(fd);
}

int open_path(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const int mode = (flags & 0x200) != 0 ? va_arg(arguments, int) : 0;
  va_end(arguments);
  return open_at(darwin::kAtCurrentDirectory, path, flags, mode);
}

int set_lock(int fd, int command, darwin::FileLock* wanted) {
  constexpr std::array<short, 4> kTypes = {F_UNLCK, F_RDLCK, F_UNLCK, F_WRLCK};
  struct flock here{};
  if (wanted->type < 1 || wanted->type > 3) return failed(EINVAL);
  here.l_type = kTypes[static_cast<size_t>(wanted->type)];
  here.l_whence = wanted->whence;
  here.l_start = wanted->start;
  here.l_len = wanted->length;
  if (fcntl(fd, command, &here) != 0) return noted(-1);
  if (command == F_GETLK || command == F_OFD_GETLK) {
    const auto* const type = std::ranges::find(std::span(kTypes).subspan(1), here.l_type).base();
    *wanted = {.start = here.l_start,
               .length = here.l_len,
               .process = here.l_pid,
               .type = static_cast<int16_t>(type - kTypes.data()),
               .whence = here.l_whence};
  }
  return 0;
}

// Behind the end of what the file has in space, which its size does not tell.
int preallocate(int fd, darwin::Preallocation* wanted) {
  constexpr int kBehindTheEnd = 3;  // F_PEOFPOSMODE
  struct stat status{};
  if (fstat(fd, &status) != 0) return noted(-1);
  if (wanted->position_mode != kBehindTheEnd || wanted->offset != 0) return failed(EINVAL);
  if (fallocate(fd, FALLOC_FL_KEEP_SIZE, status.st_size, wanted->length) != 0) return noted(-1);
  wanted->allocated = wanted->length;
  return 0;
}

int control_file(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* const pointer = va_arg(arguments, void*);
  va_end(arguments);
  const auto number = static_cast<int>(reinterpret_cast<intptr_t>(pointer));
  switch (command) {
    case 0:
      return noted(fcntl(fd, F_DUPFD, number));
    case 1:
      return noted(fcntl(fd, F_GETFD));
    case 2:
      return noted(fcntl(fd, F_SETFD, number));
    case 3: {
      const int flags = fcntl(fd, F_GETFL);
      return flags < 0 ? noted(-1) : to_darwin_open_flags(flags);
    }
    case 4:
      return noted(fcntl(fd, F_SETFL, from_darwin_open_flags(number)));
    case 7:
      return set_lock(fd, F_GETLK, static_cast<darwin::FileLock*>(pointer));
    case 8:
      return set_lock(fd, F_SETLK, static_cast<darwin::FileLock*>(pointer));
    case 9:
      return set_lock(fd, F_SETLKW, static_cast<darwin::FileLock*>(pointer));
    case 42:
      return preallocate(fd, static_cast<darwin::Preallocation*>(pointer));
    case 51:  // F_FULLFSYNC
      return noted(fsync(fd));
    case 67:
      return noted(fcntl(fd, F_DUPFD_CLOEXEC, number));
    default:
      std::fprintf(stderr, "loader: fcntl %d is not known\n", command);
      return failed(EINVAL);
  }
}

int control_device(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* const pointer = va_arg(arguments, void*);
  va_end(arguments);
  constexpr auto kRequests = std::to_array<std::pair<unsigned long, unsigned long>>({
      {0x40087468, TIOCGWINSZ},
      {0x8004667e, FIONBIO},
      {0x4004667f, FIONREAD},
      {0x20006601, FIOCLEX},
  });
  for (const auto& [there, here] : kRequests) {
    if (there == (request & 0xffffffff)) return noted(ioctl(fd, here, pointer));
  }
  std::fprintf(stderr, "loader: ioctl %#lx is not known\n", request);
  return failed(EINVAL);
}

darwin::Stat translated(const struct stat& status) {
  return {.device = static_cast<int32_t>(status.st_dev),
          .mode = static_cast<uint16_t>(status.st_mode),
          .links = static_cast<uint16_t>(status.st_nlink),
          .inode = status.st_ino,
          .user = status.st_uid,
          .group = status.st_gid,
          .special_device = static_cast<int32_t>(status.st_rdev),
          .access = status.st_atim,
          .modification = status.st_mtim,
          .change = status.st_ctim,
          .birth = status.st_mtim,
          .size = status.st_size,
          .blocks = status.st_blocks,
          .block_size = static_cast<int32_t>(status.st_blksize),
          .flags = 0,
          .generation = 0,
          .spare = 0,
          .spares = {}};
}

int stat_at(int at, const char* path, darwin::Stat* result, int flags) {
  struct stat status{};
  if (fstatat(directory(at), path, &status, at_flags(flags)) != 0) return noted(-1);
  *result = translated(status);
  return 0;
}
int stat_path(const char* path, darwin::Stat* result) {
  return stat_at(darwin::kAtCurrentDirectory, path, result, 0);
}
int stat_link(const char* path, darwin::Stat* result) {
  return stat_at(darwin::kAtCurrentDirectory, path, result, 0x20);
}
int stat_open(int fd, darwin::Stat* result) {
  struct stat status{};
  if (fstat(fd, &status) != 0) return noted(-1);
  *result = translated(status);
  return 0;
}

int file_system(int fd, darwin::FileSystem* result) {
  struct statvfs status{};
  if (fstatvfs(fd, &status) != 0) return noted(-1);
  const auto count = [](uint64_t value) {
    return static_cast<uint32_t>(std::min<uint64_t>(value, UINT32_MAX));
  };
  *result = {.block_size = status.f_bsize,
             .fragment_size = status.f_frsize,
             .blocks = count(status.f_blocks),
             .blocks_free = count(status.f_bfree),
             .blocks_available = count(status.f_bavail),
             .files = count(status.f_files),
             .files_free = count(status.f_ffree),
             .files_available = count(status.f_favail),
             .identifier = status.f_fsid,
             .flags = status.f_flag & (ST_RDONLY | ST_NOSUID),
             .name_most = status.f_namemax};
  return 0;
}

// What the program has for a DIR*.
struct Directory {
  DIR* stream;
  darwin::DirectoryEntry entry;
};

Directory* directory_of(DIR* stream) {
  if (stream == nullptr) {
    note_error();
    return nullptr;
  }
  return std::make_unique<Directory>(Directory{.stream = stream, .entry = {}}).release();
}
Directory* open_directory(const char* path) {
  return directory_of(opendir(path));
}
Directory* open_directory_fd(int fd) {
  return directory_of(fdopendir(fd));
}
darwin::DirectoryEntry* read_directory(Directory* from) {
  errno = 0;
  const dirent* const found = readdir(from->stream);
  if (found == nullptr) {
    if (errno != 0) note_error();
    return nullptr;
  }
  const size_t length = std::strlen(found->d_name);
  from->entry = {.inode = found->d_ino,
                 .seek_offset = static_cast<uint64_t>(found->d_off),
                 .length = sizeof from->entry,
                 .name_length = static_cast<uint16_t>(length),
                 .type = found->d_type,
                 .name = {}};
  std::memcpy(from->entry.name, found->d_name, length + 1);
  return &from->entry;
}
int close_directory(Directory* given) {
  const std::unique_ptr<Directory> closed(given);
  return noted(closedir(closed->stream));
}
int directory_fd(Directory* of) {
  return noted(dirfd(of->stream));
}

int access_at(int at, const char* path, int mode, int flags) {
  return noted(faccessat(directory(at), path, mode, at_flags(flags)));
}
int change_mode_at(int at, const char* path, uint16_t mode, int flags) {
  return noted(fchmodat(directory(at), path, mode, at_flags(flags)));
}
int change_mode(const char* path, uint16_t mode) {
  return noted(chmod(path, mode));
}
int change_mode_open(int fd, uint16_t mode) {
  return noted(fchmod(fd, mode));
}
int make_directory(const char* path, uint16_t mode) {
  return noted(mkdir(path, mode));
}
int make_directory_at(int at, const char* path, uint16_t mode) {
  return noted(mkdirat(directory(at), path, mode));
}
int link_at(int from, const char* old_path, int to, const char* new_path, int flags) {
  return noted(linkat(directory(from), old_path, directory(to), new_path, at_flags(flags)));
}
ssize_t read_link_at(int at, const char* path, char* buffer, size_t size) {
  return noted(readlinkat(directory(at), path, buffer, size));
}
int rename_at(int from, const char* old_path, int to, const char* new_path) {
  return noted(renameat(directory(from), old_path, directory(to), new_path));
}
int make_link_at(const char* target, int at, const char* path) {
  return noted(symlinkat(target, directory(at), path));
}
int unlink_at(int at, const char* path, int flags) {
  const bool is_directory = (flags & 0x80) != 0;
  if ((flags & ~0x80) != 0) return failed(EINVAL);
  const int result = unlinkat(directory(at), path, is_directory ? AT_REMOVEDIR : 0);
  // POSIX's number, and macOS's, where Linux has its own.
  if (result != 0 && errno == EISDIR) return failed(EPERM);
  return noted(result);
}
int unlink_path(const char* path) {
  return unlink_at(darwin::kAtCurrentDirectory, path, 0);
}
int set_times_at(int at, const char* path, const timespec* times, int flags) {
  std::array<timespec, 2> here{};
  for (size_t i = 0; times != nullptr && i < here.size(); ++i) {
    here[i] = times[i];
    if (times[i].tv_nsec == -1) here[i].tv_nsec = UTIME_NOW;
    if (times[i].tv_nsec == -2) here[i].tv_nsec = UTIME_OMIT;
  }
  return noted(
      utimensat(directory(at), path, times == nullptr ? nullptr : here.data(), at_flags(flags)));
}

// A call of macOS reads or writes no more; Linux does less than was asked.
constexpr size_t kMostBytes = INT_MAX;

ssize_t read_some(int fd, void* buffer, size_t size) {
  return size > kMostBytes ? failed(EINVAL) : noted(read(fd, buffer, size));
}
ssize_t write_some(int fd, const void* buffer, size_t size) {
  return size > kMostBytes ? failed(EINVAL) : noted(write(fd, buffer, size));
}
ssize_t read_at(int fd, void* buffer, size_t size, off_t offset) {
  return size > kMostBytes ? failed(EINVAL) : noted(pread(fd, buffer, size, offset));
}
ssize_t write_at(int fd, const void* buffer, size_t size, off_t offset) {
  return size > kMostBytes ? failed(EINVAL) : noted(pwrite(fd, buffer, size, offset));
}
ssize_t write_parts(int fd, const iovec* parts, int count) {
  size_t size = 0;
  for (int i = 0; i < count; ++i) size += parts[i].iov_len;
  return size > kMostBytes ? failed(EINVAL) : noted(writev(fd, parts, count));
}

int make_temporary(char* pattern, int suffix, int flags) {
  return noted(mkostemps(pattern, suffix, from_darwin_open_flags(flags)));
}

int wait_for(pollfd* descriptors, unsigned count, int timeout) {
  return noted(poll(descriptors, count, timeout));
}

int select_from(int count, fd_set* reads, fd_set* writes, fd_set* others,
                const darwin::TimeValue* time) {
  timeval here{};
  if (time != nullptr) here = {.tv_sec = time->seconds, .tv_usec = time->microseconds};
  return noted(select(count, reads, writes, others, time == nullptr ? nullptr : &here));
}
int check_set(int fd, const void* /*set*/, int /*unlimited*/) {
  return fd >= 0 && fd < FD_SETSIZE ? 1 : 0;
}

}  // namespace

int from_darwin_open_flags(int flags) {
  int here = flags & O_ACCMODE;
  for (const auto& [linux, there] : kOpenFlags) {
    if ((flags & there) != 0) here |= linux;
    flags &= ~there;
  }
  if ((flags & ~O_ACCMODE) != 0) {
    std::fprintf(stderr, "loader: flags %#x of open are not known\n", flags & ~O_ACCMODE);
    std::abort();
  }
  return here;
}

int to_darwin_open_flags(int flags) {
  int there = flags & O_ACCMODE;
  for (const auto& [linux, other] : kOpenFlags) {
    if ((flags & linux) == linux) there |= other;
  }
  return there;
}

Exports file_exports() {
  static const auto exports = std::to_array<Export>({
      {"open", reinterpret_cast<const void*>(&open_path)},
      {"openat", reinterpret_cast<const void*>(&open_at)},
      {"close", wrapped<&close>()},
      {"fcntl", reinterpret_cast<const void*>(&control_file)},
      {"ioctl", reinterpret_cast<const void*>(&control_device)},
      {"flock", wrapped<&flock>()},
      {"stat$INODE64", code(stat_path)},
      {"lstat$INODE64", code(stat_link)},
      {"fstat$INODE64", code(stat_open)},
      {"fstatat$INODE64", code(stat_at)},
      {"fstatvfs", code(file_system)},
      {"opendir$INODE64", code(open_directory)},
      {"fdopendir$INODE64", code(open_directory_fd)},
      {"readdir$INODE64", code(read_directory)},
      {"closedir", code(close_directory)},
      {"dirfd", code(directory_fd)},
      {"access", wrapped<&access>()},
      {"faccessat", code(access_at)},
      {"chmod", code(change_mode)},
      {"fchmod", code(change_mode_open)},
      {"fchmodat", code(change_mode_at)},
      {"mkdir", code(make_directory)},
      {"mkdirat", code(make_directory_at)},
      {"rmdir", wrapped<&rmdir>()},
      {"linkat", code(link_at)},
      {"readlinkat", code(read_link_at)},
      {"renameat", code(rename_at)},
      {"symlinkat", code(make_link_at)},
      {"unlink", code(unlink_path)},
      {"unlinkat", code(unlink_at)},
      {"remove", wrapped<&remove>()},
      {"utimensat", code(set_times_at)},
      {"read", code(read_some)},
      {"write", code(write_some)},
      {"pread", code(read_at)},
      {"pwrite", code(write_at)},
      {"writev", code(write_parts)},
      {"lseek", wrapped<&lseek>()},
      {"fsync", wrapped<&fsync>()},
      {"ftruncate", wrapped<&ftruncate>()},
      {"mkdtemp", wrapped<&mkdtemp>()},
      {"mkstemp", wrapped<&mkstemp>()},
      {"mkostemps", code(make_temporary)},
      {"realpath$DARWIN_EXTSN", wrapped<&realpath>()},
      {"getcwd", wrapped<&getcwd>()},
      {"isatty", wrapped<&isatty>()},
      {"pipe", wrapped<&pipe>()},
      {"poll", code(wait_for)},
      {"select$1050", code(select_from)},
      {"select$DARWIN_EXTSN", code(select_from)},
      {"__darwin_check_fd_set_overflow", code(check_set)},
  });
  return exports;
}

}  // namespace pglite::loader
