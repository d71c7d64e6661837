#include <sys/stat.h>

#include <map>
#include <set>

#include "process_test_util.h"

namespace pglite::emscripten {
namespace {

class FileImportsTest : public ProcessTest {
 protected:
  uint32_t pread(uint32_t fd, uint32_t size, uint64_t offset) {
    const uint32_t list = vector(scratch + 16384, size);
    return w2c_wasi__snapshot__preview1_fd_pread(wasi(), fd, list, 1, offset, scratch + 8200);
  }
  uint32_t pwrite(uint32_t fd, std::string_view data, uint64_t offset) {
    const uint32_t list = vector(text(data, 16384), static_cast<uint32_t>(data.size()));
    return w2c_wasi__snapshot__preview1_fd_pwrite(wasi(), fd, list, 1, offset, scratch + 8200);
  }
  uint32_t rename(std::string_view from, std::string_view to) {
    const uint32_t target = text(to, 1000);
    return w2c_env_0x5F_syscall_renameat(env(), kCwd, text(from), kCwd, target);
  }
  uint32_t unlink(std::string_view path, uint32_t flags = 0) {
    return w2c_env_0x5F_syscall_unlinkat(env(), kCwd, text(path), flags);
  }
  uint32_t mkdir(std::string_view path, uint32_t mode = 0755) {
    return w2c_env_0x5F_syscall_mkdirat(env(), kCwd, text(path), mode);
  }
  uint32_t fcntl(uint32_t fd, uint32_t command, uint32_t argument = 0) {
    return w2c_env_0x5F_syscall_fcntl64(env(), fd, command, put(argument, 4000));
  }
  // Fields of struct stat at scratch + 2000.
  uint32_t stat(std::string_view path) {
    return w2c_env_0x5F_syscall_stat64(env(), text(path), scratch + 2000);
  }
  uint32_t mode() { return get<uint32_t>(2004); }
  uint64_t size() { return get<uint64_t>(2024); }

  // The names that readdir would give, with records for `per_call` entries at a time.
  std::multiset<std::string> list(uint32_t fd, uint32_t per_call) {
    std::multiset<std::string> names;
    for (int calls = 0; calls < 1000; ++calls) {
      const uint32_t filled =
          w2c_env_0x5F_syscall_getdents64(env(), fd, scratch + 20000, per_call * 280 + 100);
      EXPECT_LE(filled, per_call * 280);
      EXPECT_EQ(filled % 280, 0U);
      if (filled == 0) return names;
      for (uint32_t at = 20000; at < 20000 + filled; at += 280) {
        EXPECT_EQ(get<uint16_t>(at + 16), 280);
        const std::string name = bytes(at + 19, 256).c_str();
        names.insert(name);
        types[name] = get<uint8_t>(at + 18);
        next_position[name] = get<uint64_t>(at + 8);
      }
    }
    ADD_FAILURE() << "the directory never ends";
    return names;
  }
  std::map<std::string, uint8_t> types;
  std::map<std::string, uint64_t> next_position;
};

TEST_F(FileImportsTest, OpensAsOpen2) {
  EXPECT_EQ(open("/tmp/a", kReadOnly), failed(kNoEntry));
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  EXPECT_EQ(fd, 3U);  // 0, 1, 2 are the standard ones
  EXPECT_EQ(write(fd, "hello"), 5U);
  EXPECT_EQ(open("/tmp/a", kReadWrite | kCreate | kExclusive), failed(kExists));
  EXPECT_EQ(open("/tmp", kReadWrite), failed(kIsDirectory));
  EXPECT_EQ(open("/tmp/a", kReadOnly | kDirectory), failed(kNotDirectory));
  EXPECT_EQ(open("/tmp/a/b", kReadOnly), failed(kNotDirectory));
  EXPECT_EQ(open("", kReadOnly), failed(kNoEntry));
  const uint32_t second = open("/tmp/a", kReadOnly);
  EXPECT_EQ(read(second, 100), "hello");
  EXPECT_EQ(read(second, 100), "");
  close(open("/tmp/a", kWriteOnly | kTruncate));
  EXPECT_EQ(content("/tmp/a"), "");
  EXPECT_EQ(close(second), 0U);
  EXPECT_EQ(close(second), kBadFile);
}

TEST_F(FileImportsTest, DescriptorsKeepTheirAccessMode) {
  const uint32_t reader = open("/tmp/a", kReadOnly | kCreate);
  const uint32_t writer = open("/tmp/a", kWriteOnly);
  const uint32_t list = vector(scratch, 4);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_write(wasi(), reader, list, 1, scratch + 100),
            kBadFile);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_read(wasi(), writer, list, 1, scratch + 100), kBadFile);
  EXPECT_EQ(w2c_env_0x5F_syscall_ftruncate64(env(), reader, 0), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), reader, 0, 0, 10), failed(kBadFile));
  EXPECT_EQ(fcntl(reader, 3), 0U);
  EXPECT_EQ(fcntl(writer, 3), kWriteOnly);
}

TEST_F(FileImportsTest, TheUmaskAppliesToWhatIsMade) {
  EXPECT_EQ(w2c_env_0x5F_syscall_umask(env(), 077), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_umask(env(), 01027), 077U);
  close(open("/tmp/a", kWriteOnly | kCreate, 0666));
  EXPECT_EQ(stat("/tmp/a"), 0U);
  EXPECT_EQ(mode(), S_IFREG | 0640U);
  EXPECT_EQ(mkdir("/tmp/d", 0777), 0U);
  EXPECT_EQ(stat("/tmp/d"), 0U);
  EXPECT_EQ(mode(), S_IFDIR | 0750U);
  // chmod is not masked.
  EXPECT_EQ(w2c_env_0x5F_syscall_chmod(env(), text("/tmp/a"), 0666), 0U);
  EXPECT_EQ(stat("/tmp/a"), 0U);
  EXPECT_EQ(mode(), S_IFREG | 0666U);
}

TEST_F(FileImportsTest, AppendGoesToTheEndWhereverThatIs) {
  const uint32_t one = open("/tmp/log", kWriteOnly | kCreate | kAppend);
  const uint32_t two = open("/tmp/log", kWriteOnly | kAppend);
  write(one, "a");
  write(two, "b");
  seek(one, 0);
  write(one, "c");
  EXPECT_EQ(content("/tmp/log"), "abc");
  EXPECT_EQ(seek(one, 0, 1), 3U);
  EXPECT_EQ(fcntl(one, 3), kWriteOnly | kAppend);
  EXPECT_EQ(fcntl(one, 4, 0), 0U);
  seek(one, 0);
  write(one, "X");
  EXPECT_EQ(content("/tmp/log"), "Xbc");
}

TEST_F(FileImportsTest, PositionedTransfersLeaveThePosition) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "0123456789");
  EXPECT_EQ(pread(fd, 4, 3), 0U);
  EXPECT_EQ(bytes(16384, get<uint32_t>(8200)), "3456");
  EXPECT_EQ(pread(fd, 4, 8), 0U);
  EXPECT_EQ(get<uint32_t>(8200), 2U);
  EXPECT_EQ(pread(fd, 4, 100), 0U);
  EXPECT_EQ(get<uint32_t>(8200), 0U);
  EXPECT_EQ(pwrite(fd, "ab", 12), 0U);
  EXPECT_EQ(seek(fd, 0, 1), 10U);
  EXPECT_EQ(content("/tmp/a"), std::string("0123456789\0\0ab", 14));
}

TEST_F(FileImportsTest, ReadsAndWritesSeveralBuffers) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  text("abcdefgh", 100);
  const uint32_t list = scratch + 200;
  put(std::array<uint32_t, 6>{scratch + 100, 3, 0xfffffff0, 0, scratch + 103, 5}, 200);
  // An empty buffer may lie anywhere that exists only.
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_write(wasi(), fd, list, 3, scratch), kFault);
  seek(fd, 0);
  put(std::array<uint32_t, 6>{scratch + 100, 3, scratch, 0, scratch + 103, 5}, 200);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_write(wasi(), fd, list, 3, scratch), 0U);
  EXPECT_EQ(get<uint32_t>(0), 8U);
  EXPECT_EQ(content("/tmp/a"), "abcdefgh");
  put(std::array<uint32_t, 4>{scratch + 300, 5, scratch + 400, 50}, 200);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_pread(wasi(), fd, list, 2, 1, scratch), 0U);
  EXPECT_EQ(get<uint32_t>(0), 7U);
  EXPECT_EQ(bytes(300, 5), "bcdef");
  EXPECT_EQ(bytes(400, 2), "gh");
}

TEST_F(FileImportsTest, SeeksAsLseek) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "0123456789");
  EXPECT_EQ(seek(fd, -3, 2), 7U);
  EXPECT_EQ(seek(fd, 1, 1), 8U);
  EXPECT_EQ(seek(fd, 100), 100U);
  write(fd, "x");
  EXPECT_EQ(seek(fd, 0, 2), 101U);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_seek(wasi(), fd, static_cast<uint64_t>(-1), 0, scratch),
            kInvalid);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_seek(wasi(), 0, 0, 0, scratch), kSeek);
}

TEST_F(FileImportsTest, TruncateCutsAndGrowsWithZeros) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "0123456789");
  EXPECT_EQ(w2c_env_0x5F_syscall_ftruncate64(env(), fd, 3), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_ftruncate64(env(), fd, 6), 0U);
  EXPECT_EQ(content("/tmp/a"), std::string("012\0\0\0", 6));
  EXPECT_EQ(seek(fd, 0, 1), 10U);
  EXPECT_EQ(w2c_env_0x5F_syscall_truncate64(env(), text("/tmp/a"), 2), 0U);
  EXPECT_EQ(content("/tmp/a"), "01");
  EXPECT_EQ(w2c_env_0x5F_syscall_truncate64(env(), text("/tmp"), 2), failed(kIsDirectory));
  EXPECT_EQ(w2c_env_0x5F_syscall_truncate64(env(), text("/tmp/none"), 2), failed(kNoEntry));
}

TEST_F(FileImportsTest, FallocateGrowsAndNeverShrinks) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "0123456789");
  EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), fd, 0, 0, 5), 0U);
  EXPECT_EQ(stat("/tmp/a"), 0U);
  EXPECT_EQ(size(), 10U);
  EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), fd, 0, 8192, 8192), 0U);
  EXPECT_EQ(stat("/tmp/a"), 0U);
  EXPECT_EQ(size(), 16384U);
  EXPECT_EQ(content("/tmp/a").substr(0, 10), "0123456789");
  EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), fd, 1, 0, 5), failed(kNotSupported));
}

TEST_F(FileImportsTest, DuplicatesShareOnePosition) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "0123456789");
  const uint32_t copy = w2c_env_0x5F_syscall_dup(env(), fd);
  seek(fd, 4);
  EXPECT_EQ(read(copy, 2), "45");
  EXPECT_EQ(seek(fd, 0, 1), 6U);
  close(fd);
  EXPECT_EQ(read(copy, 2), "67");
  EXPECT_EQ(w2c_env_0x5F_syscall_dup(env(), copy), fd);  // the lowest free one
}

TEST_F(FileImportsTest, Dup2ReplacesWhatIsThere) {
  const uint32_t a = open("/tmp/a", kReadWrite | kCreate);
  const uint32_t b = open("/tmp/b", kReadWrite | kCreate);
  EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), a, b, 0), b);
  write(b, "through b");
  EXPECT_EQ(content("/tmp/a"), "through b");
  EXPECT_EQ(content("/tmp/b"), "");
  EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), a, 100, 0), 100U);
  EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), a, a, 0), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), a, b, 1), failed(kInvalid));
  // A failed dup2 leaves the target open.
  EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), 200, b, 0), failed(kBadFile));
  EXPECT_EQ(fcntl(b, 3), kReadWrite);
  // The guest's own dup2 over it.
  const auto dup2 = process->function<uint32_t(uint32_t, uint32_t)>("dup2");
  if (dup2) on_guest_stack([&] { EXPECT_EQ(dup2(a, a), a); });
}

TEST_F(FileImportsTest, Fcntl) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate | kNonBlocking | 02000000);
  EXPECT_EQ(fcntl(fd, 1), 1U);
  EXPECT_EQ(fcntl(fd, 2, 0), 0U);
  EXPECT_EQ(fcntl(fd, 1), 0U);
  EXPECT_EQ(fcntl(fd, 3), kReadWrite | kNonBlocking);
  EXPECT_EQ(fcntl(fd, 0, 50), 50U);
  EXPECT_EQ(fcntl(fd, 1030, 50), 51U);
  EXPECT_EQ(fcntl(51, 1), 1U);
  EXPECT_EQ(fcntl(fd, 0, 5000), failed(kInvalid));
  put(uint16_t{1}, 600);  // l_type = F_WRLCK
  EXPECT_EQ(fcntl(fd, 12, scratch + 600), 0U);
  EXPECT_EQ(get<uint16_t>(600), 2U);  // F_UNLCK
  EXPECT_EQ(fcntl(fd, 13), 0U);
}

TEST_F(FileImportsTest, SomeFilesAreNeverReplaced) {
  const auto make = [&](std::string_view path) {
    ASSERT_TRUE(filesystem->open(path, {.write = true, .create = true}, 0644));
  };
  make("/tmp/a");
  EXPECT_EQ(rename("/tmp/a", "/tmp/kept"), 0U);  // nothing is there yet
  make("/tmp/a");
  EXPECT_EQ(rename("/tmp/a", "/tmp/../tmp/kept"), failed(kExists));
  EXPECT_TRUE(filesystem->metadata("/tmp/a", false));
  EXPECT_EQ(rename("/tmp/kept", "/tmp/b"), 0U);
  EXPECT_EQ(rename("/tmp/a", "/tmp/kept"), 0U);
}

TEST_F(FileImportsTest, ARenamedOrRemovedFileStaysOpen) {
  const uint32_t a = open("/tmp/a", kReadWrite | kCreate);
  write(a, "old a");
  const uint32_t b = open("/tmp/b", kReadWrite | kCreate);
  write(b, "old b");
  EXPECT_EQ(rename("/tmp/a", "/tmp/b"), 0U);
  EXPECT_EQ(content("/tmp/b"), "old a");
  EXPECT_EQ(open("/tmp/a", kReadOnly), failed(kNoEntry));
  seek(b, 0);
  EXPECT_EQ(read(b, 10), "old b");  // replaced, but open
  write(a, "!");
  EXPECT_EQ(content("/tmp/b"), "old a!");
  EXPECT_EQ(unlink("/tmp/b"), 0U);
  write(a, "!");
  seek(a, 0);
  EXPECT_EQ(read(a, 10), "old a!!");
  EXPECT_EQ(w2c_env_0x5F_syscall_fstat64(env(), a, scratch + 2000), 0U);
  EXPECT_EQ(size(), 7U);
  EXPECT_EQ(stat("/tmp/b"), failed(kNoEntry));
  // The name is free for another file.
  const uint32_t again = open("/tmp/b", kReadWrite | kCreate | kExclusive);
  EXPECT_EQ(read(again, 10), "");
}

TEST_F(FileImportsTest, DirectoriesAreMadeRemovedAndKept) {
  EXPECT_EQ(mkdir("/tmp/d"), 0U);
  EXPECT_EQ(mkdir("/tmp/d"), failed(kExists));
  EXPECT_EQ(mkdir("/none/d"), failed(kNoEntry));
  close(open("/tmp/d/f", kWriteOnly | kCreate));
  EXPECT_EQ(unlink("/tmp/d"), failed(kIsDirectory));
  EXPECT_EQ(unlink("/tmp/d", 0x200), failed(55));  // ENOTEMPTY
  EXPECT_EQ(w2c_env_0x5F_syscall_rmdir(env(), text("/tmp/d/f")), failed(kNotDirectory));
  EXPECT_EQ(unlink("/tmp/d/f", 4), failed(kInvalid));
  EXPECT_EQ(unlink("/tmp/d/f"), 0U);
  EXPECT_EQ(unlink("/tmp/d", 0x200), 0U);
}

TEST_F(FileImportsTest, PathsAreRelativeToTheWorkingDirectoryOrADescriptor) {
  EXPECT_EQ(mkdir("/tmp/d"), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_chdir(env(), text("/tmp/./x/../d/")), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_getcwd(env(), scratch + 500, 100), 7U);
  EXPECT_EQ(bytes(500, 7), std::string("/tmp/d\0", 7));
  EXPECT_EQ(w2c_env_0x5F_syscall_getcwd(env(), scratch + 500, 6), failed(kRange));
  close(open("f", kWriteOnly | kCreate));
  EXPECT_EQ(stat("/tmp/d/f"), 0U);
  EXPECT_EQ(stat("../d/f"), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_chdir(env(), text("f")), failed(kNotDirectory));
  EXPECT_EQ(w2c_env_0x5F_syscall_chdir(env(), text("none")), failed(kNoEntry));
  const uint32_t directory = open("/tmp/d", kReadOnly | kDirectory);
  EXPECT_EQ(w2c_env_0x5F_syscall_newfstatat(env(), directory, text("f"), scratch + 2000, 0), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_newfstatat(env(), directory, text(""), scratch + 2000, 0),
            failed(kNoEntry));
  EXPECT_EQ(w2c_env_0x5F_syscall_newfstatat(env(), directory, text(""), scratch + 2000, 0x1000),
            0U);
  EXPECT_EQ(mode() & S_IFMT, unsigned{S_IFDIR});
  // An absolute path does not look at the descriptor.
  EXPECT_EQ(w2c_env_0x5F_syscall_newfstatat(env(), 12345, text("/tmp"), scratch + 2000, 0), 0U);
}

TEST_F(FileImportsTest, LinksAndTimes) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "abc");
  EXPECT_EQ(w2c_env_0x5F_syscall_symlinkat(env(), text("a"), kCwd, text("/tmp/l", 100)), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_readlinkat(env(), kCwd, text("/tmp/l"), scratch + 500, 100), 1U);
  EXPECT_EQ(bytes(500, 1), "a");
  EXPECT_EQ(content("/tmp/l"), "abc");
  EXPECT_EQ(w2c_env_0x5F_syscall_lstat64(env(), text("/tmp/l"), scratch + 2000), 0U);
  EXPECT_EQ(mode() & S_IFMT, unsigned{S_IFLNK});
  EXPECT_EQ(w2c_env_0x5F_syscall_readlinkat(env(), kCwd, text("/tmp/a"), scratch + 500, 100),
            failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_symlinkat(env(), text("/tmp"), kCwd, text("/tmp/m", 100)),
            failed(kNotPermitted));
  EXPECT_EQ(w2c_env_0x5F_syscall_linkat(env(), kCwd, text("/tmp/a"), kCwd, text("/tmp/h", 100), 0),
            0U);
  EXPECT_EQ(stat("/tmp/h"), 0U);
  EXPECT_EQ(get<uint32_t>(2008), 2U);
  // Times: two of (i64 seconds, u32 nanoseconds, padding).
  put(int64_t{1000}, 600);
  put(uint32_t{5}, 608);
  put(int64_t{2000}, 616);
  put(uint32_t{0x3FFFFFFE}, 624);  // UTIME_OMIT
  EXPECT_EQ(w2c_env_0x5F_syscall_utimensat(env(), kCwd, text("/tmp/a"), scratch + 600, 0), 0U);
  EXPECT_EQ(stat("/tmp/a"), 0U);
  EXPECT_EQ(get<int64_t>(2040), 1000);
  EXPECT_EQ(get<uint32_t>(2048), 5U);
  EXPECT_GT(get<int64_t>(2056), 1'000'000);
  put(uint32_t{1'000'000'000}, 608);
  EXPECT_EQ(w2c_env_0x5F_syscall_utimensat(env(), kCwd, text("/tmp/a"), scratch + 600, 0),
            failed(kInvalid));
}

TEST_F(FileImportsTest, AccessLooksAtAllThreeTriples) {
  close(open("/tmp/a", kWriteOnly | kCreate, 0400));
  const auto access = [&](uint32_t wanted) {
    return w2c_env_0x5F_syscall_faccessat(env(), kCwd, text("/tmp/a"), wanted, 0);
  };
  EXPECT_EQ(access(0), 0U);
  EXPECT_EQ(access(4), 0U);
  EXPECT_EQ(access(2), failed(kAccess));
  EXPECT_EQ(access(8), failed(kInvalid));
}

TEST_F(FileImportsTest, ListsADirectoryPageByPage) {
  std::multiset<std::string> expected = {".", ".."};
  EXPECT_EQ(mkdir("/tmp/d"), 0U);
  for (int i = 0; i < 40; ++i) {
    const std::string name = "file" + std::to_string(i);
    close(open("/tmp/d/" + name, kWriteOnly | kCreate));
    expected.insert(name);
  }
  EXPECT_EQ(mkdir("/tmp/d/sub"), 0U);
  expected.insert("sub");
  for (const uint32_t per_call : {1u, 7u, 50u}) {
    const uint32_t fd = open("/tmp/d", kReadOnly | kDirectory);
    EXPECT_EQ(list(fd, per_call), expected) << per_call;
    EXPECT_EQ(list(fd, per_call).size(), 0U);
    seek(fd, 0);  // rewinddir
    EXPECT_EQ(list(fd, per_call), expected) << per_call;
    close(fd);
  }
  EXPECT_EQ(types["file3"], 8);
  EXPECT_EQ(types["sub"], 4);
  EXPECT_EQ(types["."], 4);
  const uint32_t file = open("/tmp/d/file1", kReadOnly);
  EXPECT_EQ(w2c_env_0x5F_syscall_getdents64(env(), file, scratch, 2048), failed(kNotDirectory));
}

// d_off is what telldir gives and seekdir hands to lseek.
TEST_F(FileImportsTest, AListingGoesOnFromAnEntrysOffset) {
  EXPECT_EQ(mkdir("/tmp/d"), 0U);
  for (const char* name : {"a", "b", "c", "d"}) {
    close(open(std::string("/tmp/d/") + name, kWriteOnly | kCreate));
  }
  const uint32_t fd = open("/tmp/d", kReadOnly | kDirectory);
  EXPECT_EQ(list(fd, 100).size(), 6U);
  seek(fd, static_cast<int64_t>(next_position["b"]));
  EXPECT_EQ(list(fd, 100), (std::multiset<std::string>{"c", "d"}));
}

// RemovePgTempFiles and the like remove while they list.
TEST_F(FileImportsTest, RemovingWhileListingMissesNothing) {
  EXPECT_EQ(mkdir("/tmp/d"), 0U);
  for (int i = 0; i < 30; ++i) {
    close(open("/tmp/d/f" + std::to_string(i), kWriteOnly | kCreate));
  }
  const uint32_t fd = open("/tmp/d", kReadOnly | kDirectory);
  int removed = 0;
  while (true) {
    const uint32_t filled = w2c_env_0x5F_syscall_getdents64(env(), fd, scratch + 20000, 3 * 280);
    if (filled == 0) break;
    std::vector<std::string> names;
    for (uint32_t at = 20000; at < 20000 + filled; at += 280) {
      names.emplace_back(bytes(at + 19, 256).c_str());
    }
    for (const std::string& name : names) {
      if (name[0] != '.' && unlink("/tmp/d/" + name) == 0) ++removed;
    }
  }
  EXPECT_EQ(removed, 30);
}

TEST_F(FileImportsTest, PipesThroughDescriptors) {
  EXPECT_EQ(w2c_env_0x5F_syscall_pipe2(env(), scratch + 300, kNonBlocking), 0U);
  const auto reader = get<uint32_t>(300);
  const auto writer = get<uint32_t>(304);
  const uint32_t list = vector(scratch + 400, 10);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_read(wasi(), reader, list, 1, scratch), kAgain);
  EXPECT_EQ(write(writer, "ping"), 4U);
  EXPECT_EQ(read(reader, 10), "ping");
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_seek(wasi(), reader, 0, 0, scratch), kSeek);
  EXPECT_EQ(pread(reader, 1, 0), kSeek);
  const uint32_t copy = w2c_env_0x5F_syscall_dup(env(), writer);
  close(writer);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_read(wasi(), reader, list, 1, scratch), kAgain);
  close(copy);
  EXPECT_EQ(read(reader, 10), "");
  EXPECT_EQ(w2c_env_0x5F_syscall_pipe2(env(), scratch + 300, 0), 0U);
  close(get<uint32_t>(300));
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_write(wasi(), get<uint32_t>(304), list, 1, scratch),
            kPipe);
}

TEST_F(FileImportsTest, APipeWithNowhereToSayItsNumbersLeavesNoneOpen) {
  const size_t before = process->descriptors().open_count();
  EXPECT_EQ(w2c_env_0x5F_syscall_pipe2(env(), 0xfffffff0, 0), failed(kFault));
  EXPECT_EQ(process->descriptors().open_count(), before);
}

TEST_F(FileImportsTest, WhatDescriptorsAre) {
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_fdstat_get(wasi(), 1, scratch), 0U);
  EXPECT_EQ(get<uint8_t>(0), 2);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_fdstat_get(wasi(), open("/tmp", 0), scratch + 500), 0U);
  EXPECT_EQ(get<uint8_t>(500), 3);
  EXPECT_EQ(w2c_env_0x5F_syscall_ioctl(env(), 1, 0x5401, scratch), failed(kNotTerminal));
  EXPECT_EQ(w2c_env_0x5F_syscall_fadvise64(env(), 1, 0, 0, 0), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_fdatasync(env(), open("/tmp/a", kReadWrite | kCreate)), 0U);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_sync(wasi(), 3), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_statfs64(env(), text("/tmp"), 88, scratch + 500), 0U);
  EXPECT_GE(get<uint32_t>(504), 4096U);
}

TEST_F(FileImportsTest, MapsAFileByCopy) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "0123456789");
  const auto map = [&](uint32_t flags) {
    on_guest_stack([&] {
      EXPECT_EQ(w2c_env_0x5Fmmap_js(env(), 4096, 3, flags, fd, 2, scratch + 600, scratch + 604),
                0U);
    });
    EXPECT_EQ(get<uint32_t>(600), 1U);
    const auto address = get<uint32_t>(604);
    EXPECT_EQ(address % 65536, 0U);
    auto mapped = process->memory().bytes(address, 4096);
    EXPECT_EQ(std::memcmp(mapped->data(), "23456789\0\0", 10), 0);
    std::memcpy(mapped->data(), "ab", 2);
    return address;
  };
  const uint32_t own = map(2);  // private
  EXPECT_EQ(w2c_env_0x5Fmunmap_js(env(), own, 4096, 3, 2, fd, 2), 0U);
  EXPECT_EQ(content("/tmp/a"), "0123456789");
  const uint32_t shared = map(1);
  EXPECT_EQ(w2c_env_0x5Fmunmap_js(env(), shared, 8, 3, 1, fd, 2), failed(kInvalid));
  EXPECT_EQ(content("/tmp/a"), "0123456789");
  EXPECT_EQ(w2c_env_0x5Fmunmap_js(env(), shared, 4096, 3, 1, fd, 2), 0U);
  EXPECT_EQ(content("/tmp/a"), "01ab456789");
  EXPECT_EQ(w2c_env_0x5Fmunmap_js(env(), shared, 4096, 3, 1, fd, 2), failed(kInvalid));
}

// The guest closes a file that it has mapped, and the C library still says its number.
TEST_F(FileImportsTest, AMapIsWrittenBackToItsOwnFile) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "0123456789");
  on_guest_stack([&] {
    EXPECT_EQ(w2c_env_0x5Fmmap_js(env(), 10, 3, 1, fd, 0, scratch + 600, scratch + 604), 0U);
  });
  const auto address = get<uint32_t>(604);
  std::memcpy(process->memory().bytes(address, 10)->data(), "abc", 3);
  close(fd);
  ASSERT_EQ(open("/tmp/b", kReadWrite | kCreate), fd);
  write(fd, "another file");
  EXPECT_EQ(w2c_env_0x5Fmunmap_js(env(), address, 10, 3, 1, fd, 0), 0U);
  EXPECT_EQ(content("/tmp/a"), "abc3456789");
  EXPECT_EQ(content("/tmp/b"), "another file");
}

TEST_F(FileImportsTest, RefusesMapsThatCannotBe) {
  const uint32_t fd = open("/tmp/a", kReadWrite | kCreate);
  write(fd, "0123456789");
  const auto map = [&](uint32_t length, uint32_t protection, uint32_t flags, uint32_t descriptor) {
    uint32_t result = 0;
    on_guest_stack([&] {
      result = w2c_env_0x5Fmmap_js(env(), length, protection, flags, descriptor, 0, scratch + 600,
                                   scratch + 604);
    });
    return result;
  };
  EXPECT_EQ(map(0, 3, 1, fd), failed(kInvalid));
  EXPECT_EQ(map(4096, 3, 2 | 0x10, fd), failed(kInvalid));  // at an address
  const uint32_t reader = open("/tmp/a", kReadOnly);
  EXPECT_EQ(map(4096, 3, 1, reader), failed(kAccess));
  EXPECT_EQ(map(4096, 1, 1, reader), 0U);
  EXPECT_EQ(map(4096, 3, 2, reader), 0U);
  EXPECT_EQ(map(4096, 1, 2, open("/tmp/a", kWriteOnly)), failed(kAccess));
}

}  // namespace
}  // namespace pglite::emscripten
