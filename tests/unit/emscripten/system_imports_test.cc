#include <time.h>

#include <array>
#include <chrono>
#include <cmath>

#include "process_test_util.h"

namespace pglite::emscripten {
namespace {

using SystemImportsTest = ProcessTest;

// --- Memory ---

TEST_F(SystemImportsTest, TheHeapGrowsInPlaceUpToItsMaximum) {
  wasm_rt_memory_t* memory = process->linear_memory();
  EXPECT_EQ(w2c_env_emscripten_get_heap_max(env()), 0x80000000U);
  const uint8_t* const data = memory->data;
  const uint64_t before = memory->size;
  const auto wanted = static_cast<uint32_t>(before + 1);
  EXPECT_EQ(w2c_env_emscripten_resize_heap(env(), wanted), 1U);
  EXPECT_EQ(memory->data, data);
  EXPECT_GE(memory->size, wanted);
  EXPECT_LE(memory->size, before + before / 5 + WASM_DEFAULT_PAGE_SIZE);
  EXPECT_EQ(w2c_env_emscripten_resize_heap(env(), 0x80000000), 1U);
  EXPECT_EQ(memory->size, 0x80000000U);
  EXPECT_EQ(w2c_env_emscripten_resize_heap(env(), 0x80000000), 1U);
  EXPECT_EQ(w2c_env_emscripten_resize_heap(env(), 0x80000001), 0U);
}

TEST_F(SystemImportsTest, AllocatingTooMuchIsTheGuestsOwnError) {
  uint32_t address = 1;
  on_guest_stack([&] { address = process->function<uint32_t(uint32_t)>("malloc")(0xf0000000); });
  EXPECT_EQ(address, 0U);
  on_guest_stack([&] { address = process->function<uint32_t(uint32_t)>("malloc")(300u << 20); });
  EXPECT_NE(address, 0U);
}

// --- Clocks ---

TEST_F(SystemImportsTest, Clocks) {
  const double now = w2c_env_emscripten_date_now(env());
  EXPECT_EQ(now, std::floor(now));
  EXPECT_NEAR(now, static_cast<double>(time(nullptr)) * 1000, 5000);
  const double first = w2c_env_emscripten_get_now(env());
  EXPECT_GE(w2c_env_emscripten_get_now(env()), first);
  for (const uint32_t clock : {0u, 1u, 2u, 3u}) {
    EXPECT_EQ(w2c_wasi__snapshot__preview1_clock_time_get(wasi(), clock, 0, scratch), 0U);
    EXPECT_GT(get<uint64_t>(0), 0U);
  }
}

TEST_F(SystemImportsTest, LocalTimeIsUtc) {
  constexpr int64_t kTime = 1'709'210'096;  // 2024-02-29 12:34:56 UTC
  EXPECT_EQ(w2c_env_0x5Flocaltime_js(env(), kTime, scratch), 0U);
  EXPECT_EQ((get<std::array<int32_t, 10>>(0)),
            (std::array<int32_t, 10>{56, 34, 12, 29, 1, 124, 4, 59, 0, 0}));
  EXPECT_EQ(static_cast<int64_t>(w2c_env_0x5Fmktime_js(env(), scratch)), kTime);
  // Fields out of range are put right.
  put(int32_t{60 + 56}, 0);
  put(int32_t{33}, 4);
  EXPECT_EQ(static_cast<int64_t>(w2c_env_0x5Fmktime_js(env(), scratch)), kTime);
  EXPECT_EQ(get<int32_t>(0), 56);
  EXPECT_EQ(get<int32_t>(4), 34);
  EXPECT_EQ(w2c_env_0x5Fgmtime_js(env(), static_cast<uint64_t>(-1), scratch), 0U);
  EXPECT_EQ(get<int32_t>(20), 69);
  w2c_env_0x5Ftzset_js(env(), scratch, scratch + 4, scratch + 8, scratch + 32);
  EXPECT_EQ(bytes(8, 4), std::string("UTC\0", 4));
}

// --- Timers and waiting ---

TEST_F(SystemImportsTest, PollSaysWhatIsReady) {
  EXPECT_EQ(w2c_env_0x5F_syscall_pipe2(env(), scratch + 300, 0), 0U);
  const auto reader = get<int32_t>(300);
  const auto writer = get<int32_t>(304);
  const auto poll = [&](uint32_t timeout) {
    put(reader, 400);
    put(uint32_t{1}, 404);  // events = POLLIN, revents = 0
    uint32_t ready = 0;
    on_guest_stack([&] { ready = w2c_env_0x5F_syscall_poll(env(), scratch + 400, 1, timeout); });
    return ready;
  };
  EXPECT_EQ(poll(0), 0U);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(poll(30), 0U);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(29));
  write(static_cast<uint32_t>(writer), "x");
  EXPECT_EQ(poll(1000), 1U);
  EXPECT_EQ(get<int16_t>(406), 1);
  // A closed descriptor is POLLNVAL, a negative one is skipped.
  put(int32_t{999}, 400);
  put(uint32_t{1}, 404);
  put(int32_t{-5}, 408);
  put(uint32_t{0xffff0001}, 412);
  EXPECT_EQ(w2c_env_0x5F_syscall_poll(env(), scratch + 400, 2, 1000), 1U);
  EXPECT_EQ(get<int16_t>(406), 0x20);
  EXPECT_EQ(get<int16_t>(414), 0);
}

TEST_F(SystemImportsTest, AnEndlessPollComesBackToItsCaller) {
  EXPECT_EQ(w2c_env_0x5F_syscall_pipe2(env(), scratch + 300, 0), 0U);
  put(get<int32_t>(300), 400);
  put(uint32_t{1}, 404);
  uint32_t ready = 1;
  on_guest_stack([&] {
    ready = w2c_env_0x5F_syscall_poll(env(), scratch + 400, 1, static_cast<uint32_t>(-1));
  });
  EXPECT_EQ(ready, 0U);
}

TEST_F(SystemImportsTest, ATimerIsDueOnce) {
  EXPECT_EQ(w2c_env_0x5Fsetitimer_js(env(), 0, 5), 0U);
  EXPECT_TRUE(process->timers[0].has_value());
  EXPECT_EQ(w2c_env_0x5Fsetitimer_js(env(), 0, 0), 0U);
  EXPECT_FALSE(process->timers[0].has_value());
  EXPECT_EQ(w2c_env_0x5Fsetitimer_js(env(), 0, std::nan("")), 0U);
  EXPECT_FALSE(process->timers[0].has_value());
  EXPECT_EQ(w2c_env_0x5Fsetitimer_js(env(), 1, 1e300), 0U);
  EXPECT_TRUE(process->timers[1].has_value());
}

// A timer that is due while its process goes finds no memory to store into. The moment is a matter
// of luck, hence the many tries.
TEST_F(SystemImportsTest, ATimerMayBeDueWhileTheProcessGoes) {
  constexpr int kTries = 300;
  for (int i = 0; i < kTries; ++i) {
    auto other = make_process();
    ASSERT_NE(other, nullptr);
    // Touched memory takes its time to go.
    const wasm::GuestMemory memory = other->memory();
    for (uint32_t page = 0; page < 256; ++page) {
      ASSERT_TRUE(memory.store(wasm::GuestPtr<uint32_t>{(page + 16) * 65536}, 1));
    }
    EXPECT_EQ(w2c_env_0x5Fsetitimer_js(&other->env(), 0, i * 0.003), 0U);
  }
}

// --- Environment and users ---

TEST_F(SystemImportsTest, TheEnvironmentIsWhatItWasGiven) {
  EXPECT_EQ(w2c_wasi__snapshot__preview1_environ_sizes_get(wasi(), scratch, scratch + 4), 0U);
  EXPECT_EQ(get<uint32_t>(0), 2U);
  EXPECT_EQ(get<uint32_t>(4), 17U);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_environ_get(wasi(), scratch, scratch + 100), 0U);
  EXPECT_EQ(get<uint32_t>(0), scratch + 100);
  EXPECT_EQ(get<uint32_t>(4), scratch + 104);
  EXPECT_EQ(bytes(100, 17), std::string("A=1\0LONGER=value\0", 17));
}

TEST_F(SystemImportsTest, RandomBytesAreRandom) {
  EXPECT_EQ(w2c_wasi__snapshot__preview1_random_get(wasi(), scratch, 1000), 0U);
  const std::string first = bytes(0, 1000);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_random_get(wasi(), scratch, 1000), 0U);
  EXPECT_NE(bytes(0, 1000), first);
  EXPECT_EQ(w2c_wasi__snapshot__preview1_random_get(wasi(), scratch, 0), 0U);
}

// --- Addresses ---

class AddressTest : public ProcessTest {
 protected:
  static constexpr uint32_t kNoName = static_cast<uint32_t>(-2),
                            kService = static_cast<uint32_t>(-8),
                            kFamily = static_cast<uint32_t>(-6),
                            kOverflow = static_cast<uint32_t>(-12);

  uint32_t resolve(const char* node, const char* service, uint32_t flags = 0, uint32_t family = 0) {
    put(std::array<uint32_t, 4>{flags, family, 0, 0}, 600);
    const uint32_t node_at = node != nullptr ? text(node) : 0;
    const uint32_t service_at = service != nullptr ? text(service, 300) : 0;
    uint32_t result = 0;
    on_guest_stack([&] {
      result = w2c_env_getaddrinfo(env(), node_at, service_at, scratch + 600, scratch + 700);
    });
    return result;
  }
  template <class T>
  T at(uint32_t address) {
    return *process->memory().load(wasm::GuestPtr<T>{address});
  }
  // "family address port" of what resolve() found, by getnameinfo.
  std::string found() {
    const auto info = get<uint32_t>(700);
    const auto length = at<uint32_t>(info + 16);
    const auto address = at<uint32_t>(info + 20);
    EXPECT_EQ(at<uint32_t>(info + 28), 0U);  // no next one
    EXPECT_EQ(
        w2c_env_getnameinfo(env(), address, length, scratch + 1000, 100, scratch + 1200, 32, 3),
        0U);
    return std::to_string(at<uint32_t>(info + 4)) + " " + bytes(1000, 100).c_str() + " " +
           bytes(1200, 32).c_str();
  }
};

TEST_F(AddressTest, ResolvesNumbers) {
  EXPECT_EQ(resolve("127.0.0.1", "5432"), 0U);
  EXPECT_EQ(found(), "2 127.0.0.1 5432");
  EXPECT_EQ(resolve("2001:db8::5", "1", 0, 10), 0U);
  EXPECT_EQ(found(), "10 2001:db8::5 1");
  EXPECT_EQ(resolve("255.255.255.255", nullptr), 0U);
  EXPECT_EQ(found(), "2 255.255.255.255 0");
  EXPECT_EQ(resolve(nullptr, "80"), 0U);
  EXPECT_EQ(found(), "2 127.0.0.1 80");
  EXPECT_EQ(resolve(nullptr, "80", 1), 0U);
  EXPECT_EQ(found(), "2 0.0.0.0 80");
  EXPECT_EQ(resolve(nullptr, "80", 0, 10), 0U);
  EXPECT_EQ(found(), "10 ::1 80");
}

TEST_F(AddressTest, RefusesNamesAndNonsense) {
  EXPECT_EQ(resolve("localhost", nullptr), kNoName);
  EXPECT_EQ(resolve("", nullptr), kNoName);
  EXPECT_EQ(resolve("1.2.3", nullptr), kNoName);
  EXPECT_EQ(resolve("127.0.0.1", nullptr, 0, 10), kNoName);
  EXPECT_EQ(resolve(nullptr, nullptr), kNoName);
  EXPECT_EQ(resolve("127.0.0.1", "http"), kService);
  EXPECT_EQ(resolve("127.0.0.1", "65536"), kService);
  EXPECT_EQ(resolve("127.0.0.1", "-1"), kService);
  EXPECT_EQ(resolve("127.0.0.1", "80x"), kService);
}

TEST_F(AddressTest, NamesNeedRoom) {
  EXPECT_EQ(resolve("127.0.0.1", "80"), 0U);
  const auto address = at<uint32_t>(get<uint32_t>(700) + 20);
  EXPECT_EQ(w2c_env_getnameinfo(env(), address, 16, scratch, 9, 0, 0, 0), kOverflow);
  EXPECT_EQ(w2c_env_getnameinfo(env(), address, 16, scratch, 10, 0, 0, 0), 0U);
  EXPECT_EQ(w2c_env_getnameinfo(env(), address, 15, scratch, 10, 0, 0, 0), kFamily);
  EXPECT_EQ(w2c_env_getnameinfo(env(), address, 16, 0, 0, 0, 0, 0), 0U);
}

TEST_F(SystemImportsTest, ThereIsNoNetwork) {
  EXPECT_EQ(w2c_env_0x5F_syscall_socket(env(), 2, 1, 0, 0, 0, 0), failed(5));
  EXPECT_EQ(w2c_env_0x5F_syscall_connect(env(), 3, scratch, 16, 0, 0, 0), failed(57));
  EXPECT_EQ(w2c_env_0x5F_syscall_sendto(env(), 3, 0xfffffff0, 16, 0, 0, 0), failed(57));
  EXPECT_EQ(w2c_env_0x5F_syscall_recvfrom(env(), 3, 0xfffffff0, 16, 0, 0, 0), failed(57));
}

}  // namespace
}  // namespace pglite::emscripten
