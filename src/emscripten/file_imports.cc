// The imports that work on files and descriptors.
//
// Paths are resolved against the process's working directory and normalised here; everything about
// the tree itself is the vfs floor's. Structures are laid out as Emscripten's musl has them
// (system/lib/libc/musl/arch/emscripten/bits).
#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

#include "emscripten/import_result.h"
#include "emscripten/pipe.h"
#include "emscripten/process.h"
#include "host_imports.h"
#include "os/clock.h"

namespace pglite::emscripten {

namespace {

using vfs::error;
using vfs::Result;
using wasm::GuestPtr;

// fcntl.h
constexpr uint32_t kWriteOnly = 1, kReadWrite = 2, kAccessMode = 3;
constexpr uint32_t kCreate = 0100, kExclusive = 0200, kTruncate = 01000, kAppend = 02000,
                   kNonBlocking = 04000, kDirectory = 0200000, kNoFollow = 0400000,
                   kCloseOnExec = 02000000;
constexpr uint32_t kAtCwd = static_cast<uint32_t>(-100);
constexpr uint32_t kAtSymlinkNoFollow = 0x100, kAtRemoveDirectory = 0x200, kAtEmptyPath = 0x1000;
// sys/stat.h
constexpr uint32_t kTypeMask = 0170000, kTypeDirectory = 0040000, kTypeCharacterDevice = 0020000;

// The absolute path that `path` in guest memory names, relative to `directory` (a descriptor or
// AT_FDCWD).
Result<std::string> guest_path(Process& process, uint32_t directory, uint32_t path,
                               bool allow_empty = false) {
  PGLITE_TRY(text, process.memory().c_string(path));
  if (text.empty() && !allow_empty) return error(std::errc::no_such_file_or_directory);
  if (!text.empty() && text.front() == '/') return vfs::normalize_path("/", text);
  if (directory == kAtCwd) return vfs::normalize_path(process.working_directory, text);
  PGLITE_TRY(open, process.descriptors().get(static_cast<int>(directory)));
  return vfs::normalize_path(open->path, text);
}

Result<std::string> guest_path(Process& process, uint32_t path) {
  return guest_path(process, kAtCwd, path);
}

template <class T>
void put(std::span<std::byte> target, size_t offset, T value) {
  std::memcpy(target.data() + offset, &value, sizeof(T));
}

Result<uint32_t> store_metadata(Process& process, uint32_t address, const vfs::Metadata& m) {
  PGLITE_TRY(out, process.memory().bytes(address, 96));
  std::memset(out.data(), 0, out.size());
  put(out, 0, static_cast<uint32_t>(m.device));
  put(out, 4, m.mode);
  put(out, 8, m.link_count);
  // uid@12, gid@16: the guest is user 0 and owns every file it can see, whoever we are outside.
  put(out, 20, static_cast<uint32_t>(m.device_type));
  put(out, 24, m.size);
  put(out, 32, m.block_size);
  put(out, 36, static_cast<uint32_t>(m.blocks));
  const std::pair<size_t, timespec> times[] = {
      {40, m.access_time}, {56, m.modification_time}, {72, m.change_time}};
  for (const auto& [offset, time] : times) {
    put(out, offset, static_cast<int64_t>(time.tv_sec));
    put(out, offset + 8, static_cast<uint32_t>(time.tv_nsec));
  }
  put(out, 88, m.inode);
  return 0u;
}

Result<uint32_t> store_metadata_of(Process& process, uint32_t path, uint32_t address, bool follow) {
  PGLITE_TRY(name, guest_path(process, path));
  PGLITE_TRY(metadata, process.filesystem().metadata(name, follow));
  return store_metadata(process, address, metadata);
}

// limits.h
constexpr uint32_t kMaximumBuffers = 1024;  // IOV_MAX

// Calls `transfer(buffer, offset within the transfer)` for each buffer of a guest iovec array and
// stores the number of bytes moved. A failure after the first bytes ends the transfer short. EINVAL
// as readv(2) has it: too many buffers, or more bytes in all than the result can say.
template <class F>
Result<void> for_each_buffer(Process& process, uint32_t vector, uint32_t count, uint32_t moved_out,
                             F&& transfer) {
  const wasm::GuestMemory memory = process.memory();
  if (count > kMaximumBuffers) return error(std::errc::invalid_argument);
  uint64_t moved = 0;
  for (uint32_t i = 0; i < count; ++i) {
    PGLITE_TRY(entry, memory.load(GuestPtr<std::array<uint32_t, 2>>{vector + i * 8}));
    PGLITE_TRY(buffer, memory.bytes(entry[0], entry[1]));
    if (buffer.empty()) continue;
    if (moved + buffer.size() > INT32_MAX) {
      if (moved > 0) break;
      return error(std::errc::invalid_argument);
    }
    const Result<size_t> done = transfer(buffer, moved);
    if (!done) {
      if (moved > 0) break;
      return error(done.error());
    }
    moved += *done;
    if (*done < buffer.size()) break;
  }
  return memory.store(GuestPtr<uint32_t>{moved_out}, static_cast<uint32_t>(moved));
}

template <class F>
Result<uint32_t> done_as_zero(F&& result) {
  if (!result) return error(result.error());
  return 0u;
}

}  // namespace

}  // namespace pglite::emscripten

using namespace pglite;              // NOLINT: the imports below are this file's only content
using namespace pglite::emscripten;  // NOLINT
using pglite::vfs::error;
using pglite::vfs::Result;
using pglite::wasm::GuestPtr;

extern "C" {

// --- Opening and closing ---

uint32_t w2c_env_0x5F_syscall_openat(w2c_env* env, uint32_t directory, uint32_t path,
                                     uint32_t flags, uint32_t arguments) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, directory, path));
    uint32_t mode = 0;
    if (flags & kCreate) {
      PGLITE_TRY(given, process.memory().load(GuestPtr<uint32_t>{arguments}));
      mode = given & ~process.umask & 07777;
    }
    vfs::OpenFlags open_flags;
    const uint32_t access = flags & kAccessMode;
    open_flags.read = access != kWriteOnly;
    open_flags.write = access == kWriteOnly || access == kReadWrite;
    open_flags.create = flags & kCreate;
    open_flags.exclusive = flags & kExclusive;
    open_flags.truncate = flags & kTruncate;
    open_flags.directory = flags & kDirectory;
    open_flags.no_follow = flags & kNoFollow;
    auto open = std::make_shared<vfs::OpenFile>();
    PGLITE_TRY(file, process.filesystem().open(name, open_flags, mode));
    open->file = std::move(file);
    open->path = std::move(name);
    open->readable = open_flags.read;
    open->writable = open_flags.write;
    open->append = flags & kAppend;
    open->non_blocking = flags & kNonBlocking;
    PGLITE_TRY(fd, process.descriptors().open(std::move(open), 0, flags & kCloseOnExec));
    return static_cast<uint32_t>(fd);
  });
}

uint32_t w2c_wasi__snapshot__preview1_fd_close(w2c_wasi__snapshot__preview1* env, uint32_t fd) {
  return wasi_result([&] { return Process::of(env).descriptors().close(static_cast<int>(fd)); });
}

uint32_t w2c_env_0x5F_syscall_dup(w2c_env* env, uint32_t fd) {
  return syscall_result([&]() -> Result<uint32_t> {
    PGLITE_TRY(copy, Process::of(env).descriptors().dup(static_cast<int>(fd)));
    return static_cast<uint32_t>(copy);
  });
}

uint32_t w2c_env_0x5F_syscall_dup3(w2c_env* env, uint32_t from, uint32_t to, uint32_t flags) {
  return syscall_result([&]() -> Result<uint32_t> {
    if (from == to || (flags & ~kCloseOnExec)) return error(std::errc::invalid_argument);
    PGLITE_TRY(copy, Process::of(env).descriptors().dup_to(
                         static_cast<int>(from), static_cast<int>(to), flags & kCloseOnExec));
    return static_cast<uint32_t>(copy);
  });
}

uint32_t w2c_env_0x5F_syscall_fcntl64(w2c_env* env, uint32_t fd, uint32_t command,
                                      uint32_t arguments) {
  enum : uint32_t {
    kDupFd = 0,
    kGetFd = 1,
    kSetFd = 2,
    kGetFl = 3,
    kSetFl = 4,
    kGetLk = 12,
    kSetLk = 13,
    kSetLkW = 14,
    kDupFdCloexec = 1030
  };
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    vfs::DescriptorTable& table = process.descriptors();
    const int descriptor = static_cast<int>(fd);
    PGLITE_TRY(open, table.get(descriptor));
    const auto argument = [&] { return process.memory().load(GuestPtr<uint32_t>{arguments}); };
    switch (command) {
      case kDupFd:
      case kDupFdCloexec: {
        PGLITE_TRY(minimum, argument());
        PGLITE_TRY(copy,
                   table.dup(descriptor, static_cast<int>(minimum), command == kDupFdCloexec));
        return static_cast<uint32_t>(copy);
      }
      case kGetFd: {
        PGLITE_TRY(set, table.close_on_exec(descriptor));
        return set ? 1u : 0u;
      }
      case kSetFd: {
        PGLITE_TRY(value, argument());
        return done_as_zero(table.set_close_on_exec(descriptor, value & 1));
      }
      case kGetFl:
        return (open->readable ? (open->writable ? kReadWrite : 0u) : kWriteOnly) |
               (open->append ? kAppend : 0u) | (open->non_blocking ? kNonBlocking : 0u);
      case kSetFl: {
        PGLITE_TRY(value, argument());
        open->append = value & kAppend;
        open->non_blocking = value & kNonBlocking;
        return 0u;
      }
      case kGetLk: {
        // Nobody else is there to hold a lock: l_type = F_UNLCK.
        PGLITE_TRY(lock, argument());
        return done_as_zero(process.memory().store(GuestPtr<int16_t>{lock}, 2));
      }
      case kSetLk:
      case kSetLkW:
        return 0u;
      default:
        return error(std::errc::invalid_argument);
    }
  });
}

uint32_t w2c_env_0x5F_syscall_pipe2(w2c_env* env, uint32_t descriptors_out, uint32_t flags) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_CHECK(process.memory().bytes(descriptors_out, 8));
    auto [reader, writer] = make_pipe();
    const auto open = [&](std::unique_ptr<vfs::File> file, bool readable) {
      auto description = std::make_shared<vfs::OpenFile>();
      description->file = std::move(file);
      description->path = "pipe:";
      description->readable = readable;
      description->writable = !readable;
      description->non_blocking = flags & kNonBlocking;
      return process.descriptors().open(std::move(description), 0, flags & kCloseOnExec);
    };
    PGLITE_TRY(read_end, open(std::move(reader), true));
    const auto write_end = open(std::move(writer), false);
    if (!write_end) {
      (void)process.descriptors().close(read_end);
      return error(write_end.error());
    }
    return done_as_zero(process.memory().store(GuestPtr<std::array<int, 2>>{descriptors_out},
                                               {read_end, *write_end}));
  });
}

uint32_t w2c_env_0x5F_syscall_pipe(w2c_env* env, uint32_t descriptors_out) {
  return w2c_env_0x5F_syscall_pipe2(env, descriptors_out, 0);
}

// --- Reading and writing ---

uint32_t w2c_wasi__snapshot__preview1_fd_read(w2c_wasi__snapshot__preview1* env, uint32_t fd,
                                              uint32_t vector, uint32_t count, uint32_t moved) {
  return wasi_result([&] {
    Process& process = Process::of(env);
    return for_each_buffer(process, vector, count, moved, [&](auto buffer, uint64_t) {
      return process.descriptors().read(static_cast<int>(fd), buffer);
    });
  });
}

uint32_t w2c_wasi__snapshot__preview1_fd_write(w2c_wasi__snapshot__preview1* env, uint32_t fd,
                                               uint32_t vector, uint32_t count, uint32_t moved) {
  return wasi_result([&] {
    Process& process = Process::of(env);
    return for_each_buffer(process, vector, count, moved, [&](auto buffer, uint64_t) {
      return process.descriptors().write(static_cast<int>(fd), buffer);
    });
  });
}

uint32_t w2c_wasi__snapshot__preview1_fd_pread(w2c_wasi__snapshot__preview1* env, uint32_t fd,
                                               uint32_t vector, uint32_t count, uint64_t offset,
                                               uint32_t moved) {
  return wasi_result([&] {
    Process& process = Process::of(env);
    return for_each_buffer(process, vector, count, moved, [&](auto buffer, uint64_t done) {
      return process.kernel().pread(process, static_cast<int>(fd), buffer,
                                    static_cast<int64_t>(offset + done));
    });
  });
}

uint32_t w2c_wasi__snapshot__preview1_fd_pwrite(w2c_wasi__snapshot__preview1* env, uint32_t fd,
                                                uint32_t vector, uint32_t count, uint64_t offset,
                                                uint32_t moved) {
  return wasi_result([&] {
    Process& process = Process::of(env);
    return for_each_buffer(process, vector, count, moved, [&](auto buffer, uint64_t done) {
      return process.descriptors().pwrite(static_cast<int>(fd), buffer,
                                          static_cast<int64_t>(offset + done));
    });
  });
}

uint32_t w2c_wasi__snapshot__preview1_fd_seek(w2c_wasi__snapshot__preview1* env, uint32_t fd,
                                              uint64_t offset, uint32_t whence, uint32_t out) {
  return wasi_result([&]() -> Result<void> {
    Process& process = Process::of(env);
    if (whence > 2) return error(std::errc::invalid_argument);
    PGLITE_TRY(position,
               process.descriptors().seek(static_cast<int>(fd), static_cast<int64_t>(offset),
                                          static_cast<vfs::Whence>(whence)));
    return process.memory().store(GuestPtr<uint64_t>{out}, position);
  });
}

uint32_t w2c_wasi__snapshot__preview1_fd_sync(w2c_wasi__snapshot__preview1* env, uint32_t fd) {
  return wasi_result([&]() -> Result<void> {
    Process& process = Process::of(env);
    return process.kernel().sync(process, static_cast<int>(fd), false);
  });
}

uint32_t w2c_env_0x5F_syscall_fdatasync(w2c_env* env, uint32_t fd) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    return done_as_zero(process.kernel().sync(process, static_cast<int>(fd), true));
  });
}

uint32_t w2c_env_0x5F_syscall_ftruncate64(w2c_env* env, uint32_t fd, uint64_t size) {
  return syscall_result([&]() -> Result<uint32_t> {
    PGLITE_TRY(open, Process::of(env).descriptors().get(static_cast<int>(fd)));
    if (!open->writable || static_cast<int64_t>(size) < 0) {
      return error(std::errc::invalid_argument);
    }
    return done_as_zero(open->file->truncate(size));
  });
}

uint32_t w2c_env_0x5F_syscall_truncate64(w2c_env* env, uint32_t path, uint64_t size) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    if (static_cast<int64_t>(size) < 0) return error(std::errc::invalid_argument);
    PGLITE_TRY(name, guest_path(process, path));
    return done_as_zero(process.filesystem().truncate(name, size));
  });
}

uint32_t w2c_env_0x5F_syscall_fallocate(w2c_env* env, uint32_t fd, uint32_t mode, uint64_t offset,
                                        uint64_t length) {
  return syscall_result([&]() -> Result<uint32_t> {
    PGLITE_TRY(open, Process::of(env).descriptors().get(static_cast<int>(fd)));
    if (mode != 0) return error(std::errc::operation_not_supported);
    if (static_cast<int64_t>(offset) < 0 || static_cast<int64_t>(length) <= 0 ||
        static_cast<int64_t>(offset + length) < 0) {
      return error(std::errc::invalid_argument);
    }
    if (!open->writable) return error(std::errc::bad_file_descriptor);
    return done_as_zero(open->file->allocate(offset, length));
  });
}

uint32_t w2c_env_0x5F_syscall_fadvise64(w2c_env* env, uint32_t fd, uint64_t, uint64_t, uint32_t) {
  return syscall_result([&]() -> Result<uint32_t> {
    PGLITE_TRY(open, Process::of(env).descriptors().get(static_cast<int>(fd)));
    if (!open->file->seekable()) return error(std::errc::invalid_seek);
    return 0u;
  });
}

uint32_t w2c_env_0x5F_syscall_ioctl(w2c_env* env, uint32_t fd, uint32_t, uint32_t) {
  // No descriptor of ours is a terminal.
  return syscall_result([&]() -> Result<uint32_t> {
    PGLITE_TRY(open, Process::of(env).descriptors().get(static_cast<int>(fd)));
    (void)open;
    return error(std::errc::inappropriate_io_control_operation);
  });
}

// --- What a name or descriptor is ---

uint32_t w2c_env_0x5F_syscall_stat64(w2c_env* env, uint32_t path, uint32_t out) {
  return syscall_result([&] { return store_metadata_of(Process::of(env), path, out, true); });
}

uint32_t w2c_env_0x5F_syscall_lstat64(w2c_env* env, uint32_t path, uint32_t out) {
  return syscall_result([&] { return store_metadata_of(Process::of(env), path, out, false); });
}

uint32_t w2c_env_0x5F_syscall_fstat64(w2c_env* env, uint32_t fd, uint32_t out) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(open, process.descriptors().get(static_cast<int>(fd)));
    PGLITE_TRY(metadata, open->file->metadata());
    return store_metadata(process, out, metadata);
  });
}

uint32_t w2c_env_0x5F_syscall_newfstatat(w2c_env* env, uint32_t directory, uint32_t path,
                                         uint32_t out, uint32_t flags) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, directory, path, flags & kAtEmptyPath));
    PGLITE_TRY(metadata, process.filesystem().metadata(name, !(flags & kAtSymlinkNoFollow)));
    return store_metadata(process, out, metadata);
  });
}

uint32_t w2c_env_0x5F_syscall_faccessat(w2c_env* env, uint32_t directory, uint32_t path,
                                        uint32_t mode, uint32_t) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    if (mode & ~7u) return error(std::errc::invalid_argument);
    PGLITE_TRY(name, guest_path(process, directory, path));
    PGLITE_TRY(metadata, process.filesystem().metadata(name, true));
    // The guest owns its files: any of the three permission triples will do, as in Emscripten.
    const uint32_t permitted = (metadata.mode | metadata.mode >> 3 | metadata.mode >> 6) & 7;
    if ((mode & permitted) != mode) return error(std::errc::permission_denied);
    return 0u;
  });
}

uint32_t w2c_wasi__snapshot__preview1_fd_fdstat_get(w2c_wasi__snapshot__preview1* env, uint32_t fd,
                                                    uint32_t out) {
  return wasi_result([&]() -> Result<void> {
    Process& process = Process::of(env);
    PGLITE_TRY(open, process.descriptors().get(static_cast<int>(fd)));
    PGLITE_TRY(metadata, open->file->metadata());
    PGLITE_TRY(target, process.memory().bytes(out, 24));
    std::memset(target.data(), 0, target.size());
    const uint32_t type = metadata.mode & kTypeMask;
    const uint8_t wasi_type = type == kTypeCharacterDevice ? 2 : type == kTypeDirectory ? 3 : 4;
    put(target, 0, wasi_type);
    return {};
  });
}

uint32_t w2c_env_0x5F_syscall_statfs64(w2c_env* env, uint32_t path, uint32_t size, uint32_t out) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, path));
    PGLITE_TRY(statistics, process.filesystem().statistics(name));
    // struct statfs: type@0 bsize@4 blocks@8 bfree@16 bavail@24 files@32 ffree@40 fsid@48
    // namelen@56 frsize@60 flags@64.
    if (size < 88) return error(std::errc::invalid_argument);
    PGLITE_TRY(target, process.memory().bytes(out, 88));
    std::memset(target.data(), 0, target.size());
    put(target, 4, statistics.block_size);
    put(target, 8, statistics.blocks);
    put(target, 16, statistics.blocks_free);
    put(target, 24, statistics.blocks_free);
    put(target, 32, statistics.files);
    put(target, 40, statistics.files_free);
    put(target, 56, uint32_t{255});
    put(target, 60, statistics.block_size);
    return 0u;
  });
}

uint32_t w2c_env_0x5F_syscall_getdents64(w2c_env* env, uint32_t fd, uint32_t out, uint32_t size) {
  // Emscripten writes records of a fixed 280 bytes: ino@0 off@8 reclen@16 type@18 name@19 (256).
  constexpr uint32_t kRecord = 280;
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(open, process.descriptors().get(static_cast<int>(fd)));
    PGLITE_TRY(entries, open->listing());
    PGLITE_TRY(target, process.memory().bytes(out, size));
    if (size < kRecord) return error(std::errc::invalid_argument);
    uint32_t written = 0;
    // Positions 0 and 1 are "." and "..".
    while (written + kRecord <= size && open->position < entries.size() + 2) {
      const uint64_t position = open->position++;
      vfs::DirectoryEntry self{position == 0 ? "." : "..", 1, kTypeDirectory};
      const vfs::DirectoryEntry& entry = position < 2 ? self : entries[position - 2];
      if (entry.name.size() > 255) continue;
      const auto record = target.subspan(written, kRecord);
      std::memset(record.data(), 0, record.size());
      put(record, 0, entry.inode);
      put(record, 8, open->position);  // seekdir gives it to lseek
      put(record, 16, static_cast<uint16_t>(kRecord));
      const uint32_t type = entry.mode & kTypeMask;
      put(record, 18, static_cast<uint8_t>(type >> 12));  // DT_* are the mode's type bits
      std::memcpy(record.data() + 19, entry.name.data(), entry.name.size());
      written += kRecord;
    }
    return written;
  });
}

uint32_t w2c_env_0x5F_syscall_readlinkat(w2c_env* env, uint32_t directory, uint32_t path,
                                         uint32_t out, uint32_t size) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    if (static_cast<int32_t>(size) <= 0) return error(std::errc::invalid_argument);
    PGLITE_TRY(name, guest_path(process, directory, path));
    PGLITE_TRY(target, process.filesystem().read_symbolic_link(name));
    const auto length = std::min<uint32_t>(size, static_cast<uint32_t>(target.size()));
    PGLITE_TRY(buffer, process.memory().bytes(out, length));
    std::memcpy(buffer.data(), target.data(), length);
    return length;
  });
}

// --- Changing the tree ---

uint32_t w2c_env_0x5F_syscall_mkdirat(w2c_env* env, uint32_t directory, uint32_t path,
                                      uint32_t mode) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, directory, path));
    return done_as_zero(process.filesystem().make_directory(name, mode & ~process.umask & 07777));
  });
}

uint32_t w2c_env_0x5F_syscall_rmdir(w2c_env* env, uint32_t path) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, path));
    return done_as_zero(process.filesystem().remove_directory(name));
  });
}

uint32_t w2c_env_0x5F_syscall_unlinkat(w2c_env* env, uint32_t directory, uint32_t path,
                                       uint32_t flags) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    if (flags & ~kAtRemoveDirectory) return error(std::errc::invalid_argument);
    PGLITE_TRY(name, guest_path(process, directory, path));
    return done_as_zero(flags & kAtRemoveDirectory ? process.filesystem().remove_directory(name)
                                                   : process.filesystem().remove_file(name));
  });
}

uint32_t w2c_env_0x5F_syscall_renameat(w2c_env* env, uint32_t from_directory, uint32_t from,
                                       uint32_t to_directory, uint32_t to) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(old_name, guest_path(process, from_directory, from));
    PGLITE_TRY(new_name, guest_path(process, to_directory, to));
    if (process.is_never_replaced(new_name)) {
      const auto there = process.filesystem().metadata(new_name, false);
      if (there) return error(std::errc::file_exists);
      if (there.error() != std::errc::no_such_file_or_directory) return error(there.error());
    }
    return done_as_zero(process.filesystem().rename(old_name, new_name));
  });
}

uint32_t w2c_env_0x5F_syscall_linkat(w2c_env* env, uint32_t from_directory, uint32_t from,
                                     uint32_t to_directory, uint32_t to, uint32_t) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(old_name, guest_path(process, from_directory, from));
    PGLITE_TRY(new_name, guest_path(process, to_directory, to));
    return done_as_zero(process.filesystem().make_hard_link(old_name, new_name));
  });
}

uint32_t w2c_env_0x5F_syscall_symlinkat(w2c_env* env, uint32_t target, uint32_t directory,
                                        uint32_t path) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(text, process.memory().c_string(target));
    PGLITE_TRY(name, guest_path(process, directory, path));
    // It could lead out of what is kept of the tree: a directory on the host cannot have one, and
    // in memory a snapshot would be without what it leads to.
    if (text.starts_with('/')) return error(std::errc::operation_not_permitted);
    return done_as_zero(process.filesystem().make_symbolic_link(text, name));
  });
}

uint32_t w2c_env_0x5F_syscall_chmod(w2c_env* env, uint32_t path, uint32_t mode) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, path));
    return done_as_zero(process.filesystem().change_mode(name, mode & 07777, true));
  });
}

uint32_t w2c_env_0x5F_syscall_fchmod(w2c_env* env, uint32_t fd, uint32_t mode) {
  return syscall_result([&]() -> Result<uint32_t> {
    PGLITE_TRY(open, Process::of(env).descriptors().get(static_cast<int>(fd)));
    return done_as_zero(open->file->change_mode(mode & 07777));
  });
}

uint32_t w2c_env_0x5F_syscall_fchmodat2(w2c_env* env, uint32_t directory, uint32_t path,
                                        uint32_t mode, uint32_t flags) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, directory, path));
    return done_as_zero(
        process.filesystem().change_mode(name, mode & 07777, !(flags & kAtSymlinkNoFollow)));
  });
}

// The guest has one user, who owns every file: changing the owner succeeds and does nothing.
uint32_t w2c_env_0x5F_syscall_fchown32(w2c_env* env, uint32_t fd, uint32_t, uint32_t) {
  return syscall_result([&]() -> Result<uint32_t> {
    return done_as_zero(Process::of(env).descriptors().get(static_cast<int>(fd)));
  });
}

uint32_t w2c_env_0x5F_syscall_fchownat(w2c_env* env, uint32_t directory, uint32_t path, uint32_t,
                                       uint32_t, uint32_t flags) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, directory, path, flags & kAtEmptyPath));
    return done_as_zero(process.filesystem().metadata(name, !(flags & kAtSymlinkNoFollow)));
  });
}

uint32_t w2c_env_0x5F_syscall_utimensat(w2c_env* env, uint32_t directory, uint32_t path,
                                        uint32_t times, uint32_t flags) {
  constexpr uint32_t kNow = 0x3FFFFFFF, kOmit = 0x3FFFFFFE;
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, directory, path, true));
    const timespec now = os::wall_clock();
    const auto read_time = [&](uint32_t address) -> Result<std::optional<timespec>> {
      if (times == 0) return now;
      PGLITE_TRY(seconds, process.memory().load(GuestPtr<int64_t>{address}));
      PGLITE_TRY(nanoseconds, process.memory().load(GuestPtr<uint32_t>{address + 8}));
      if (nanoseconds == kNow) return now;
      if (nanoseconds == kOmit) return std::nullopt;
      if (nanoseconds >= 1'000'000'000) return error(std::errc::invalid_argument);
      return timespec{.tv_sec = seconds, .tv_nsec = static_cast<long>(nanoseconds)};
    };
    PGLITE_TRY(access, read_time(times));
    PGLITE_TRY(modification, read_time(times + 16));
    return done_as_zero(
        process.filesystem().set_times(name, access, modification, !(flags & kAtSymlinkNoFollow)));
  });
}

// --- Working directory and umask ---

uint32_t w2c_env_0x5F_syscall_chdir(w2c_env* env, uint32_t path) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    PGLITE_TRY(name, guest_path(process, path));
    PGLITE_TRY(metadata, process.filesystem().metadata(name, true));
    if ((metadata.mode & kTypeMask) != kTypeDirectory) return error(std::errc::not_a_directory);
    process.working_directory = std::move(name);
    return 0u;
  });
}

uint32_t w2c_env_0x5F_syscall_getcwd(w2c_env* env, uint32_t out, uint32_t size) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    const std::string& path = process.working_directory;
    if (size == 0) return error(std::errc::invalid_argument);
    if (size < path.size() + 1) return error(std::errc::result_out_of_range);
    const auto length = static_cast<uint32_t>(path.size() + 1);
    PGLITE_TRY(target, process.memory().bytes(out, length));
    std::memcpy(target.data(), path.c_str(), length);
    return length;
  });
}

uint32_t w2c_env_0x5F_syscall_umask(w2c_env* env, uint32_t mask) {
  Process& process = Process::of(env);
  const uint32_t before = process.umask;
  process.umask = mask & 0777;
  return before;
}

}  // extern "C"
