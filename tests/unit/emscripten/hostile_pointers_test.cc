// Every import that takes a pointer, a length, a count or a descriptor, given bad ones. They must
// answer with an error; whatever happens, nothing outside of guest memory may be touched (the
// sanitizer build watches).
#include <functional>

#include "process_test_util.h"

namespace pglite::emscripten {
namespace {

class HostilePointersTest : public ProcessTest {
 protected:
  void SetUp() override {
    ProcessTest::SetUp();
    const uint32_t made = open("/tmp/file", kReadWrite | kCreate);
    ASSERT_LT(made, 100U);
    write(made, "content");
    fd = made;
    directory = open("/tmp", kReadOnly | kDirectory);
    bad_addresses.assign(std::begin(kBadAddresses), std::end(kBadAddresses));
    bad_addresses.push_back(static_cast<uint32_t>(process->memory().size()));
  }

  uint32_t fd = 0;
  uint32_t directory = 0;
  std::vector<uint32_t> bad_addresses;
};

TEST_F(HostilePointersTest, Paths) {
  std::vector<uint32_t> paths = bad_addresses;
  paths.push_back(unterminated());
  using Call = std::function<uint32_t(uint32_t path)>;
  const uint32_t good = text("/tmp/other");
  const uint32_t out = scratch + 1000;
  const std::pair<const char*, Call> calls[] = {
      {"openat", [&](uint32_t p) { return w2c_env_0x5F_syscall_openat(env(), kCwd, p, 0, 0); }},
      {"stat", [&](uint32_t p) { return w2c_env_0x5F_syscall_stat64(env(), p, out); }},
      {"lstat", [&](uint32_t p) { return w2c_env_0x5F_syscall_lstat64(env(), p, out); }},
      {"newfstatat",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_newfstatat(env(), kCwd, p, out, 0); }},
      {"faccessat",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_faccessat(env(), kCwd, p, 0, 0); }},
      {"truncate", [&](uint32_t p) { return w2c_env_0x5F_syscall_truncate64(env(), p, 1); }},
      {"statfs", [&](uint32_t p) { return w2c_env_0x5F_syscall_statfs64(env(), p, 88, out); }},
      {"readlinkat",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_readlinkat(env(), kCwd, p, out, 10); }},
      {"mkdirat", [&](uint32_t p) { return w2c_env_0x5F_syscall_mkdirat(env(), kCwd, p, 0700); }},
      {"rmdir", [&](uint32_t p) { return w2c_env_0x5F_syscall_rmdir(env(), p); }},
      {"unlinkat", [&](uint32_t p) { return w2c_env_0x5F_syscall_unlinkat(env(), kCwd, p, 0); }},
      {"renameat from",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_renameat(env(), kCwd, p, kCwd, good); }},
      {"renameat to",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_renameat(env(), kCwd, good, kCwd, p); }},
      {"linkat from",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_linkat(env(), kCwd, p, kCwd, good, 0); }},
      {"linkat to",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_linkat(env(), kCwd, good, kCwd, p, 0); }},
      {"symlinkat target",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_symlinkat(env(), p, kCwd, good); }},
      {"symlinkat path",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_symlinkat(env(), good, kCwd, p); }},
      {"chmod", [&](uint32_t p) { return w2c_env_0x5F_syscall_chmod(env(), p, 0600); }},
      {"fchmodat2",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_fchmodat2(env(), kCwd, p, 0600, 0); }},
      {"fchownat",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_fchownat(env(), kCwd, p, 0, 0, 0); }},
      {"utimensat",
       [&](uint32_t p) { return w2c_env_0x5F_syscall_utimensat(env(), kCwd, p, 0, 0); }},
      {"chdir", [&](uint32_t p) { return w2c_env_0x5F_syscall_chdir(env(), p); }},
  };
  for (const auto& [name, call] : calls) {
    for (const uint32_t path : paths) {
      EXPECT_EQ(call(path), failed(kFault)) << name << " at " << path;
    }
  }
}

TEST_F(HostilePointersTest, Results) {
  using Call = std::function<uint32_t(uint32_t out)>;
  const uint32_t path = text("/tmp/file");
  put(uint64_t{0}, 4000);
  const std::pair<const char*, Call> syscalls[] = {
      {"stat", [&](uint32_t o) { return w2c_env_0x5F_syscall_stat64(env(), path, o); }},
      {"lstat", [&](uint32_t o) { return w2c_env_0x5F_syscall_lstat64(env(), path, o); }},
      {"fstat", [&](uint32_t o) { return w2c_env_0x5F_syscall_fstat64(env(), fd, o); }},
      {"newfstatat",
       [&](uint32_t o) { return w2c_env_0x5F_syscall_newfstatat(env(), kCwd, path, o, 0); }},
      {"statfs", [&](uint32_t o) { return w2c_env_0x5F_syscall_statfs64(env(), path, 88, o); }},
      {"getdents",
       [&](uint32_t o) { return w2c_env_0x5F_syscall_getdents64(env(), directory, o, 2048); }},
      {"getcwd", [&](uint32_t o) { return w2c_env_0x5F_syscall_getcwd(env(), o, 100); }},
      {"utimensat",
       [&](uint32_t o) { return w2c_env_0x5F_syscall_utimensat(env(), kCwd, path, o, 0); }},
      {"pipe", [&](uint32_t o) { return w2c_env_0x5F_syscall_pipe(env(), o); }},
      {"pipe2", [&](uint32_t o) { return w2c_env_0x5F_syscall_pipe2(env(), o, 0); }},
      {"poll", [&](uint32_t o) { return w2c_env_0x5F_syscall_poll(env(), o, 1, 0); }},
      {"fcntl dup", [&](uint32_t o) { return w2c_env_0x5F_syscall_fcntl64(env(), fd, 0, o); }},
      {"fcntl setfd", [&](uint32_t o) { return w2c_env_0x5F_syscall_fcntl64(env(), fd, 2, o); }},
      {"fcntl setfl", [&](uint32_t o) { return w2c_env_0x5F_syscall_fcntl64(env(), fd, 4, o); }},
      {"fcntl getlk",
       [&](uint32_t o) { return w2c_env_0x5F_syscall_fcntl64(env(), fd, 12, put(o, 4000)); }},
      {"openat mode",
       [&](uint32_t o) { return w2c_env_0x5F_syscall_openat(env(), kCwd, path, kCreate, o); }},
  };
  for (const auto& [name, call] : syscalls) {
    for (const uint32_t out : bad_addresses) {
      EXPECT_EQ(call(out), failed(kFault)) << name << " at " << out;
    }
  }
  const std::pair<const char*, Call> wasi_calls[] = {
      {"fd_fdstat_get",
       [&](uint32_t o) { return w2c_wasi__snapshot__preview1_fd_fdstat_get(wasi(), fd, o); }},
      {"fd_seek",
       [&](uint32_t o) { return w2c_wasi__snapshot__preview1_fd_seek(wasi(), fd, 0, 0, o); }},
      {"clock_time_get",
       [&](uint32_t o) { return w2c_wasi__snapshot__preview1_clock_time_get(wasi(), 0, 0, o); }},
      {"environ_sizes_get count",
       [&](uint32_t o) {
         return w2c_wasi__snapshot__preview1_environ_sizes_get(wasi(), o, scratch);
       }},
      {"environ_sizes_get size",
       [&](uint32_t o) {
         return w2c_wasi__snapshot__preview1_environ_sizes_get(wasi(), scratch, o);
       }},
      {"environ_get pointers",
       [&](uint32_t o) { return w2c_wasi__snapshot__preview1_environ_get(wasi(), o, scratch); }},
      {"environ_get buffer",
       [&](uint32_t o) { return w2c_wasi__snapshot__preview1_environ_get(wasi(), scratch, o); }},
      {"random_get",
       [&](uint32_t o) { return w2c_wasi__snapshot__preview1_random_get(wasi(), o, 16); }},
  };
  for (const auto& [name, call] : wasi_calls) {
    for (const uint32_t out : bad_addresses) {
      EXPECT_EQ(call(out), kFault) << name << " at " << out;
    }
  }
}

TEST_F(HostilePointersTest, Vectors) {
  using Call = std::function<uint32_t(uint32_t vector, uint32_t count, uint32_t moved)>;
  const std::pair<const char*, Call> calls[] = {
      {"fd_read",
       [&](auto v, auto n, auto m) {
         return w2c_wasi__snapshot__preview1_fd_read(wasi(), fd, v, n, m);
       }},
      {"fd_write",
       [&](auto v, auto n, auto m) {
         return w2c_wasi__snapshot__preview1_fd_write(wasi(), fd, v, n, m);
       }},
      {"fd_pread",
       [&](auto v, auto n, auto m) {
         return w2c_wasi__snapshot__preview1_fd_pread(wasi(), fd, v, n, 0, m);
       }},
      {"fd_pwrite",
       [&](auto v, auto n, auto m) {
         return w2c_wasi__snapshot__preview1_fd_pwrite(wasi(), fd, v, n, 0, m);
       }},
  };
  const uint32_t moved = scratch + 100;
  for (const auto& [name, call] : calls) {
    for (const uint32_t bad : bad_addresses) {
      EXPECT_EQ(call(bad, 1, moved), kFault) << name;
      EXPECT_EQ(call(vector(bad, 1), 1, moved), kFault) << name;
      EXPECT_EQ(call(vector(scratch, 4), 1, bad), kFault) << name;
    }
    EXPECT_EQ(call(vector(scratch, 0xffffffff), 1, moved), kFault) << name;
    EXPECT_EQ(call(vector(scratch, 0x80000000), 1, moved), kFault) << name;
    // A zeroed area is a long array of empty buffers.
    for (const uint32_t count : {1025u, 0x80000000u, 0x20000000u, 0xffffffffu}) {
      EXPECT_EQ(call(scratch + 32768, count, moved), kInvalid) << name << " of " << count;
    }
    EXPECT_EQ(call(scratch + 32768, 1024, moved), 0U) << name;
    EXPECT_EQ(get<uint32_t>(100), 0U);
    EXPECT_EQ(call(0xfffffff0, 0, moved), 0U) << name;
  }
}

// The same large buffer many times: the sum must not wrap around in the result.
TEST_F(HostilePointersTest, TheSumOfAllBuffersFitsTheResult) {
  const auto size = static_cast<uint32_t>(process->memory().size());
  constexpr uint32_t kCount = 256;
  for (uint32_t i = 0; i < kCount; ++i) vector(0, size, 32768 + i * 8);
  const uint32_t null = open("/dev/stdout", kWriteOnly);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_write(wasi(), null, scratch + 32768, kCount, scratch),
            0U);
  EXPECT_LE(get<uint32_t>(0), 0x7fffffffU);
  EXPECT_EQ(get<uint32_t>(0) % size, 0U);
  EXPECT_GT(get<uint32_t>(0), 0U);
}

TEST_F(HostilePointersTest, Descriptors) {
  for (const uint32_t bad : {999u, 4096u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    const uint32_t list = vector(scratch, 10);
    EXPECT_EQ(close(bad), kBadFile);
    EXPECT_EQ(w2c_env_0x5F_syscall_dup(env(), bad), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), bad, 5, 0), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), bad, bad, 0), failed(kInvalid));
    EXPECT_EQ(w2c_env_0x5F_syscall_fcntl64(env(), bad, 3, 0), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_fdatasync(env(), bad), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_ftruncate64(env(), bad, 0), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), bad, 0, 0, 1), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_fadvise64(env(), bad, 0, 0, 0), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_ioctl(env(), bad, 0, 0), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_fstat64(env(), bad, scratch), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_getdents64(env(), bad, scratch, 2048), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_fchmod(env(), bad, 0), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_fchown32(env(), bad, 0, 0), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5Fmmap_js(env(), 4096, 1, 2, bad, 0, scratch, scratch + 4),
              failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5Fmunmap_js(env(), scratch, 4, 3, 1, bad, 0), failed(kInvalid));
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_read(wasi(), bad, list, 1, scratch), kBadFile);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_write(wasi(), bad, list, 1, scratch), kBadFile);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_pread(wasi(), bad, list, 1, 0, scratch), kBadFile);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_pwrite(wasi(), bad, list, 1, 0, scratch), kBadFile);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_seek(wasi(), bad, 0, 0, scratch), kBadFile);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_sync(wasi(), bad), kBadFile);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_fdstat_get(wasi(), bad, scratch), kBadFile);
    if (bad == kCwd) continue;
    EXPECT_EQ(w2c_env_0x5F_syscall_openat(env(), bad, text("relative"), 0, 0), failed(kBadFile));
    EXPECT_EQ(w2c_env_0x5F_syscall_newfstatat(env(), bad, text("relative"), scratch, 0),
              failed(kBadFile));
  }
  EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), fd, 0xffffffff, 0), failed(kBadFile));
  EXPECT_EQ(w2c_env_0x5F_syscall_dup3(env(), fd, 4096, 0), failed(kBadFile));
  EXPECT_EQ(w2c_env_0x5F_syscall_fcntl64(env(), fd, 0, put(0xffffffffu, 4000)), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_fcntl64(env(), fd, 12345, scratch), failed(kInvalid));
}

TEST_F(HostilePointersTest, OffsetsAndSizes) {
  const uint32_t list = vector(scratch, 10);
  for (const uint64_t bad : {uint64_t{1} << 63, UINT64_MAX, UINT64_MAX - 4}) {
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_pread(wasi(), fd, list, 1, bad, scratch), kInvalid);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_pwrite(wasi(), fd, list, 1, bad, scratch), kInvalid);
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_seek(wasi(), fd, bad, 0, scratch), kInvalid);
    EXPECT_EQ(w2c_env_0x5F_syscall_ftruncate64(env(), fd, bad), failed(kInvalid));
    EXPECT_EQ(w2c_env_0x5F_syscall_truncate64(env(), text("/tmp/file"), bad), failed(kInvalid));
    EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), fd, 0, bad, 1), failed(kInvalid));
    EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), fd, 0, 1, bad), failed(kInvalid));
  }
  EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), fd, 0, INT64_MAX, INT64_MAX), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_fallocate(env(), fd, 0, INT64_MAX, 1), failed(kInvalid));
  for (const uint32_t whence : {3u, 0x80000000u, 0xffffffffu}) {
    EXPECT_EQ(w2c_wasi__snapshot__preview1_fd_seek(wasi(), fd, 0, whence, scratch), kInvalid);
  }
  // A huge file costs nothing until it is written.
  const uint32_t huge = w2c_env_0x5F_syscall_ftruncate64(env(), fd, INT64_MAX);
  EXPECT_GE(static_cast<int32_t>(huge), -100);
  EXPECT_LT(filesystem->owned_bytes(), uint64_t{1} << 20);
}

TEST_F(HostilePointersTest, Memory) {
  EXPECT_EQ(w2c_env_emscripten_resize_heap(env(), 0xffffffff), 0U);
  EXPECT_EQ(w2c_env_emscripten_resize_heap(env(), 0x80000001), 0U);
  EXPECT_EQ(w2c_env_emscripten_resize_heap(env(), 0), 1U);
  uint32_t mapped = 0;
  on_guest_stack(
      [&] { mapped = w2c_env_0x5Fmmap_js(env(), 0xfffffff0, 1, 2, fd, 0, scratch, scratch + 4); });
  EXPECT_EQ(mapped, failed(kNoMemory));
  on_guest_stack(
      [&] { mapped = w2c_env_0x5Fmmap_js(env(), 4096, 1, 2, fd, 0, 0xfffffff0, scratch + 4); });
  EXPECT_EQ(mapped, failed(kFault));
  for (const uint32_t nowhere : kBadAddresses) {
    EXPECT_EQ(w2c_env_0x5Fmunmap_js(env(), nowhere, 100, 3, 1, fd, 0), failed(kInvalid));
    EXPECT_EQ(w2c_env_0x5Fmunmap_js(env(), scratch, nowhere, 3, 1, fd, 0), failed(kInvalid));
  }
  EXPECT_EQ(w2c_wasi__snapshot__preview1_random_get(wasi(), scratch, 0xffffffff), kFault);
  EXPECT_EQ(w2c_env_0x5F_syscall_getdents64(env(), directory, scratch, 0xffffffff), failed(kFault));
  EXPECT_EQ(w2c_env_0x5F_syscall_getdents64(env(), directory, scratch, 279), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_readlinkat(env(), kCwd, text("/x"), scratch, 0), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_readlinkat(env(), kCwd, text("/x"), scratch, 0x80000000),
            failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_getcwd(env(), scratch, 0), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_statfs64(env(), text("/tmp"), 10, scratch + 200),
            failed(kInvalid));
}

TEST_F(HostilePointersTest, PollingMoreThanThereCanBe) {
  // Zeroed entries name descriptor 0, with no events asked for.
  EXPECT_EQ(w2c_env_0x5F_syscall_poll(env(), scratch + 32768, 0xffffffff, 0), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_poll(env(), scratch + 32768, 4097, 0), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5F_syscall_poll(env(), 0xfffffff0, 0, 0), 0U);
}

TEST_F(HostilePointersTest, TimesAndNames) {
  for (const uint32_t bad : bad_addresses) {
    EXPECT_NE(w2c_env_0x5Fgmtime_js(env(), 0, bad), 0U);
    EXPECT_NE(w2c_env_0x5Flocaltime_js(env(), 0, bad), 0U);
    EXPECT_EQ(w2c_env_0x5Fmktime_js(env(), bad), UINT64_MAX);
    w2c_env_0x5Ftzset_js(env(), bad, bad, bad, bad);
    EXPECT_NE(w2c_env_getaddrinfo(env(), bad, 0, 0, scratch), 0U);
    EXPECT_NE(w2c_env_getaddrinfo(env(), 0, bad, 0, scratch), 0U);
    EXPECT_NE(w2c_env_getaddrinfo(env(), text("1.2.3.4"), 0, bad, scratch), 0U);
    uint32_t result = 0;
    on_guest_stack([&] { result = w2c_env_getaddrinfo(env(), text("1.2.3.4"), 0, 0, bad); });
    EXPECT_NE(result, 0U);
    EXPECT_NE(w2c_env_getnameinfo(env(), bad, 16, scratch, 64, 0, 0, 0), 0U);
    EXPECT_NE(w2c_env_getnameinfo(env(), scratch, bad, scratch, 64, 0, 0, 0), 0U);
    put(uint16_t{2}, 0);
    EXPECT_NE(w2c_env_getnameinfo(env(), scratch, 16, bad, 64, 0, 0, 0), 0U);
    EXPECT_EQ(w2c_env_0x5Fdlopen_js(env(), bad), 0U);
    EXPECT_EQ(w2c_env_0x5Fdlsym_js(env(), 0, bad, scratch), 0U);
  }
  EXPECT_NE(w2c_env_0x5Fgmtime_js(env(), UINT64_MAX / 2, scratch), 0U);
  for (uint32_t i = 0; i < 6; ++i) put(INT32_MAX, 4 * i);
  w2c_env_0x5Fmktime_js(env(), scratch);
  for (uint32_t i = 0; i < 6; ++i) put(INT32_MIN, 4 * i);
  w2c_env_0x5Fmktime_js(env(), scratch);
  EXPECT_EQ(w2c_env_0x5Fsetitimer_js(env(), 3, 1), failed(kInvalid));
  EXPECT_EQ(w2c_env_0x5Fsetitimer_js(env(), 0xffffffff, 1), failed(kInvalid));
  EXPECT_EQ(w2c_wasi__snapshot__preview1_clock_time_get(wasi(), 4, 0, scratch), kInvalid);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_clock_time_get(wasi(), 0xffffffff, 0, scratch), kInvalid);
}

TEST_F(HostilePointersTest, ManyDescriptors) {
  uint32_t last = 0;
  for (int i = 0; i < 5000; ++i) {
    last = w2c_env_0x5F_syscall_dup(env(), fd);
    if (static_cast<int32_t>(last) < 0) break;
  }
  EXPECT_EQ(last, failed(kManyFiles));
  // A pipe that finds room for one end only gives it back.
  EXPECT_EQ(close(4000), 0U);
  EXPECT_EQ(w2c_env_0x5F_syscall_pipe2(env(), scratch, 0), failed(kManyFiles));
  EXPECT_EQ(w2c_env_0x5F_syscall_dup(env(), fd), 4000U);
}

}  // namespace
}  // namespace pglite::emscripten
