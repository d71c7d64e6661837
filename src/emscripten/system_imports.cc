// The imports that are not about files: leaving, memory, clocks, timers and waiting, environment,
// users, randomness, addresses.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>

#include "emscripten/import_result.h"
#include "emscripten/invoke.h"
#include "emscripten/pipe.h"
#include "emscripten/process.h"
#include "host_imports.h"
#include "os/clock.h"
#include "os/random.h"

extern "C" {
extern const char wasm_func_type_i_v[];
}

namespace pglite::emscripten {

namespace {

using vfs::error;
using vfs::Result;
using wasm::GuestPtr;

double milliseconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

void set_guest_errno(Process& process, std::errc error) {
  const uint32_t address = process.function<uint32_t()>("__errno_location")();
  (void)process.memory().store(GuestPtr<uint32_t>{address}, guest_errno(error));
}

// struct tm: sec, min, hour, mday, mon, year, wday, yday, isdst, gmtoff (4 bytes each), zone.
uint32_t store_utc(Process& process, uint64_t seconds, uint32_t out) {
  const auto time = static_cast<time_t>(seconds);
  std::tm utc{};
  if (gmtime_r(&time, &utc) == nullptr) return 1;
  const std::array<int32_t, 10> fields = {
      utc.tm_sec,  utc.tm_min,  utc.tm_hour, utc.tm_mday, utc.tm_mon,
      utc.tm_year, utc.tm_wday, utc.tm_yday, 0,           0};
  return process.memory().store(GuestPtr<std::array<int32_t, 10>>{out}, fields) ? 0 : 1;
}

struct Address {
  uint16_t family = 0;  // the guest's: AF_INET 2, AF_INET6 10, as on Linux
  std::array<uint8_t, 16> bytes{};
};

constexpr uint16_t kInet = 2, kInet6 = 10;
// netdb.h
constexpr uint32_t kAddressPassive = 1;
constexpr int32_t kNoName = -2, kBadFlagsOrFamily = -6, kBadService = -8, kNoMemory = -10,
                  kOverflow = -12;

bool parse_address(const std::string& text, Address* address) {
  if (inet_pton(AF_INET, text.c_str(), address->bytes.data()) == 1) {
    address->family = kInet;
    return true;
  }
  if (inet_pton(AF_INET6, text.c_str(), address->bytes.data()) == 1) {
    address->family = kInet6;
    return true;
  }
  return false;
}

// Numeric addresses only: there is no network behind a guest, but pg_hba.conf names addresses.
int32_t resolve(Process& process, uint32_t node, uint32_t service, uint32_t hints, uint32_t out) {
  const wasm::GuestMemory memory = process.memory();
  std::array<uint32_t, 4> hint{};  // flags, family, socktype, protocol
  if (hints != 0) {
    const auto given = memory.load(GuestPtr<std::array<uint32_t, 4>>{hints});
    if (!given) return kNoName;
    hint = *given;
  }
  if (node == 0 && service == 0) return kNoName;
  uint16_t port = 0;
  if (service != 0) {
    const auto text = memory.c_string(service);
    if (!text) return kBadService;
    const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), port);
    if (status != std::errc() || end != text->data() + text->size()) return kBadService;
  }
  Address address;
  if (node != 0) {
    const auto text = memory.c_string(node);
    if (!text || !parse_address(std::string(*text), &address)) return kNoName;
    if (hint[1] != 0 && hint[1] != address.family) return kNoName;
  } else {
    address.family = hint[1] == kInet6 ? kInet6 : kInet;
    const bool passive = hint[0] & kAddressPassive;
    if (address.family == kInet && !passive) address.bytes = {127, 0, 0, 1};
    if (address.family == kInet6 && !passive) address.bytes[15] = 1;
  }
  if (address.family != kInet && address.family != kInet6) return kBadFlagsOrFamily;
  const uint32_t type = hint[2] != 0 ? hint[2] : 1;
  const uint32_t protocol = hint[3] != 0 ? hint[3] : (type == 2 ? 17 : 6);
  const uint32_t length = address.family == kInet ? 16 : 28;
  const auto allocate = process.function<uint32_t(uint32_t)>("malloc");
  const uint32_t socket_address = allocate(length);
  const uint32_t info = allocate(32);
  const auto socket_bytes = memory.bytes(socket_address, length);
  const auto info_bytes = memory.bytes(info, 32);
  if (socket_address == 0 || info == 0 || !socket_bytes || !info_bytes) return kNoMemory;
  std::memset(socket_bytes->data(), 0, length);
  std::memcpy(socket_bytes->data(), &address.family, 2);
  const uint16_t network_port = htons(port);
  std::memcpy(socket_bytes->data() + 2, &network_port, 2);
  if (address.family == kInet) {
    std::memcpy(socket_bytes->data() + 4, address.bytes.data(), 4);
  } else {
    std::memcpy(socket_bytes->data() + 8, address.bytes.data(), 16);
  }
  const std::array<uint32_t, 8> fields = {0,      address.family, type, protocol,
                                          length, socket_address, 0,    0};
  std::memcpy(info_bytes->data(), fields.data(), 32);
  return memory.store(GuestPtr<uint32_t>{out}, info) ? 0 : kNoMemory;
}

// sys/mman.h
constexpr uint32_t kProtectionWrite = 2;
constexpr uint32_t kMapShared = 1, kMapFixed = 0x10;

struct MapRequest {
  uint32_t length = 0;
  uint64_t whole = 0;  // in whole pages
  uint32_t protection = 0;
  uint32_t flags = 0;
  int descriptor = 0;
  uint64_t offset = 0;
};

constexpr uint64_t whole_pages(uint64_t length) {
  // Of WebAssembly, which are no smaller than any system's.
  constexpr uint64_t kPage = WASM_DEFAULT_PAGE_SIZE;
  return (length + kPage - 1) / kPage * kPage;
}

// Whether the file is to be shared, or else copied; what can be neither is refused.
Result<bool> judge_map(Process& process, const MapRequest& request) {
  PGLITE_TRY(open, process.descriptors().get(request.descriptor));
  if (request.length == 0 || (request.flags & kMapFixed)) {
    return error(std::errc::invalid_argument);
  }
  if (request.whole > UINT32_MAX) return error(std::errc::not_enough_memory);
  const bool is_shared = request.flags & kMapShared;
  const bool is_written = is_shared && (request.protection & kProtectionWrite);
  const bool is_mapped = is_shared && open->file->mappable_descriptor() >= 0;
  // Linear memory has no pages that can only be read.
  if (!open->readable || ((is_written || is_mapped) && !open->writable)) {
    return error(std::errc::permission_denied);
  }
  if (is_mapped) {
    if (request.offset != 0) return error(std::errc::invalid_argument);
    PGLITE_TRY(metadata, open->file->metadata());
    if (request.whole > whole_pages(metadata.size)) {
      return error(std::errc::no_such_device_or_address);
    }
  } else if (is_written && process.shares_maps()) {
    return error(std::errc::no_such_device);
  }
  return is_mapped;
}

// Puts the file in the place of guest memory at `address`.
Result<void> share_file(Process& process, const MapRequest& request, uint32_t address) {
  PGLITE_TRY(open, process.descriptors().get(request.descriptor));
  const int fd = open->file->mappable_descriptor();
  if (process.memory_owner().map_shared(address, request.whole, fd, 0)) return {};
  return error(std::errc::not_enough_memory);
}

// Reads the file to guest memory at `address`.
Result<void> copy_file(Process& process, const MapRequest& request, uint32_t address) {
  PGLITE_TRY(file, process.descriptors().share(request.descriptor));
  PGLITE_TRY(target, process.memory().bytes(address, static_cast<uint32_t>(request.whole)));
  PGLITE_TRY(size, process.descriptors().pread(request.descriptor, target,
                                               static_cast<int64_t>(request.offset)));
  std::memset(target.data() + size, 0, target.size() - size);
  if ((request.flags & kMapShared) && (request.protection & kProtectionWrite)) {
    process.copied_maps.push_back({.address = address,
                                   .length = request.length,
                                   .offset = request.offset,
                                   .file = std::move(file)});
  }
  return {};
}

// Unmaps what copy_file() has mapped. By now the guest may have closed the file, and its descriptor
// may be another one's.
Result<uint32_t> write_back(Process& process, uint32_t address, uint32_t length) {
  const auto map = std::ranges::find_if(process.copied_maps, [&](const Process::CopiedMap& copied) {
    return copied.address == address && copied.length == length;
  });
  if (map == process.copied_maps.end()) return error(std::errc::invalid_argument);
  const Process::CopiedMap copied = std::move(*map);
  process.copied_maps.erase(map);
  PGLITE_TRY(metadata, copied.file->file->metadata());
  if (copied.offset >= metadata.size) return 0u;
  PGLITE_TRY(source, process.memory().bytes(address, length));
  const uint64_t size = std::min<uint64_t>(length, metadata.size - copied.offset);
  PGLITE_TRY(written, copied.file->file->write(source.first(size), copied.offset));
  (void)written;
  return 0u;
}

}  // namespace

void note_throw(w2c_env* env) {
  Process::of(env).function<void(uint32_t, uint32_t)>("setThrew")(1, 0);
}

}  // namespace pglite::emscripten

using namespace pglite;              // NOLINT: the imports below are this file's only content
using namespace pglite::emscripten;  // NOLINT
using pglite::vfs::error;
using pglite::vfs::Result;
using pglite::wasm::GuestPtr;

extern "C" {

// --- What a module instance imports besides functions ---

wasm_rt_memory_t* w2c_env_memory(w2c_env* env) {
  return env->memory;
}
wasm_rt_funcref_table_t* w2c_env_0x5F_indirect_function_table(w2c_env* env) {
  return env->table;
}
uint32_t* w2c_env_0x5F_stack_pointer(w2c_env* env) {
  return env->stack_pointer;
}
uint32_t* w2c_env_0x5F_memory_base(w2c_env* env) {
  return &env->memory_base;
}
uint32_t* w2c_env_0x5F_table_base(w2c_env* env) {
  return &env->table_base;
}

void guest_missing_function(w2c_env* env, const char* name) {
  Process::of(env).missing_function(name);
}

guest_function guest_find_function(w2c_env* env, const char* name, wasm_rt_func_type_t type) {
  Process& process = Process::of(env);
  if (const auto found = process.library_function(name, type)) return *found;
  process.missing_function(name);
}

void guest_invoke(w2c_env* env, wasm_rt_func_type_t type, uint32_t index,
                  void (*call)(void* frame, guest_function function), void* frame) {
  using namespace pglite;
  const wasm_rt_funcref_t entry = emscripten::invoked_entry(env, type, index);
  const uint32_t stack_pointer = *env->stack_pointer;
  wasm::JumpTarget target;
  void** const innermost = env->invoke_target;
  void* const outer = *innermost;
  *innermost = &target;
  const bool comes_back = PGLITE_SET_JUMP_TARGET(target) != 0;
  if (!comes_back) call(frame, {entry.func, entry.module_instance});
  *innermost = outer;
  if (!comes_back) return;
  *env->stack_pointer = stack_pointer;
  emscripten::note_throw(env);
}

// --- Leaving ---

void w2c_env_exit(w2c_env* env, uint32_t status) {
  Process::of(env).execution().exit(static_cast<int>(status));
}

void w2c_wasi__snapshot__preview1_proc_exit(w2c_wasi__snapshot__preview1* env, uint32_t status) {
  Process::of(env).execution().exit(static_cast<int>(status));
}

void w2c_env_0x5Femscripten_throw_longjmp(w2c_env* env) {
  wasm::Execution& execution = Process::of(env).execution();
  if (execution.invoke_target == nullptr) execution.trap("longjmp without a setjmp");
  PGLITE_JUMP(*static_cast<wasm::JumpTarget*>(execution.invoke_target));
}

void w2c_env_0x5Fabort_js(w2c_env* env) {
  Process::of(env).execution().trap("abort() was called");
}

void w2c_env_0x5F_assert_fail(w2c_env* env, uint32_t condition, uint32_t file, uint32_t line,
                              uint32_t function) {
  Process& process = Process::of(env);
  guarded(0, [&] {
    const auto text = [&](uint32_t address) {
      const auto string = process.memory().c_string(address);
      return std::string(address != 0 && string ? *string : "?");
    };
    process.log("assertion failed in the guest: " + text(condition) + " at " + text(file) + ":" +
                std::to_string(line) + " in " + text(function));
    return 0;
  });
  process.execution().trap("an assertion failed");
}

// PGlite's C library calls it in a longjmp to where its host called it from, which pg_dump never
// has.
void w2c_env_emscripten_exit_with_live_runtime(w2c_env* env) {
  Process::of(env).execution().trap("a longjmp out of a program that its host did not expect");
}

// We keep a process alive or not by what we call, not by Emscripten's counter.
void w2c_env_0x5Femscripten_runtime_keepalive_clear(w2c_env*) {}

// --- Memory ---

uint32_t w2c_env_emscripten_get_heap_max(w2c_env* env) {
  const uint64_t max = Process::of(env).linear_memory()->max_pages * WASM_DEFAULT_PAGE_SIZE;
  return static_cast<uint32_t>(std::min<uint64_t>(max, UINT32_MAX));
}

// Emscripten grows by a fifth more than asked for, so that malloc need not ask often; here that
// costs neither memory nor a copy.
uint32_t w2c_env_emscripten_resize_heap(w2c_env* env, uint32_t size) {
  constexpr uint64_t kPage = WASM_DEFAULT_PAGE_SIZE;
  wasm_rt_memory_t* memory = Process::of(env).linear_memory();
  const uint64_t limit = memory->max_pages * kPage;
  if (size > limit) return 0;
  if (size <= memory->size) return 1;
  if (!Process::of(env).memory_may_grow) return 0;
  const uint64_t generous =
      std::min<uint64_t>(memory->size + memory->size / 5, size + (uint64_t{96} << 20));
  for (const uint64_t target :
       {std::min(limit, std::max<uint64_t>(size, generous)), uint64_t{size}}) {
    const uint64_t pages = (target - memory->size + kPage - 1) / kPage;
    if (wasm_rt_grow_memory(memory, pages) != UINT64_MAX) return 1;
  }
  return 0;
}

// Anonymous maps never get here: this is a file. It is shared, or read into memory of the guest's
// own. The guest's C library keeps a list of its maps, and frees their memory after _munmap_js,
// whatever that says.
uint32_t w2c_env_0x5Fmmap_js(w2c_env* env, uint32_t length, uint32_t protection, uint32_t flags,
                             uint32_t fd, uint64_t offset, uint32_t allocated_out,
                             uint32_t address_out) {
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    const MapRequest request{.length = length,
                             .whole = whole_pages(length),
                             .protection = protection,
                             .flags = flags,
                             .descriptor = static_cast<int>(fd),
                             .offset = offset};
    PGLITE_TRY(is_shared, judge_map(process, request));
    PGLITE_CHECK(process.memory().bytes(allocated_out, sizeof(uint32_t)));
    PGLITE_CHECK(process.memory().bytes(address_out, sizeof(uint32_t)));
    const uint32_t address =
        process.function<uint32_t(uint32_t, uint32_t)>("emscripten_builtin_memalign")(
            WASM_DEFAULT_PAGE_SIZE, static_cast<uint32_t>(request.whole));
    if (address == 0) return error(std::errc::not_enough_memory);
    const auto mapped = guarded(Result<void>(error(std::errc::not_enough_memory)), [&] {
      return is_shared ? share_file(process, request, address)
                       : copy_file(process, request, address);
    });
    if (!mapped) {
      process.function<void(uint32_t)>("free")(address);
      return error(mapped.error());
    }
    (void)process.memory().store(GuestPtr<uint32_t>{allocated_out}, 1);
    (void)process.memory().store(GuestPtr<uint32_t>{address_out}, address);
    return 0u;
  });
}

uint32_t w2c_env_0x5Fmunmap_js(w2c_env* env, uint32_t address, uint32_t length, uint32_t protection,
                               uint32_t flags, uint32_t, uint64_t) {
  Process& process = Process::of(env);
  bool is_stuck = false;
  const uint32_t result = syscall_result([&]() -> Result<uint32_t> {
    if (!(flags & kMapShared)) return 0u;
    wasm::LinearMemory& memory = process.memory_owner();
    const wasm::SharedRegion range{.begin = address, .end = address + whole_pages(length)};
    for (const wasm::SharedRegion& region : memory.shared_regions()) {
      if (region.end <= range.begin || range.end <= region.begin) continue;
      if (region.begin != range.begin || region.end != range.end) {
        return error(std::errc::invalid_argument);
      }
      is_stuck = !memory.unmap_shared(range.begin, range.end - range.begin);
      return 0u;
    }
    return protection & kProtectionWrite ? write_back(process, address, length) : 0u;
  });
  // The guest would use for itself what others still see.
  if (is_stuck) process.execution().trap("shared memory cannot be unmapped");
  return result;
}

// --- Clocks ---

double w2c_env_emscripten_date_now(w2c_env*) {
  return std::floor(milliseconds(os::wall_clock()));
}

double w2c_env_emscripten_get_now(w2c_env*) {
  return milliseconds(os::monotonic_clock());
}

uint32_t w2c_wasi__snapshot__preview1_clock_time_get(w2c_wasi__snapshot__preview1* env,
                                                     uint32_t clock, uint64_t, uint32_t out) {
  return wasi_result([&]() -> Result<void> {
    timespec now{};
    switch (clock) {
      case 0:
        now = os::wall_clock();
        break;
      case 1:
        now = os::monotonic_clock();
        break;
      case 2:
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        break;
      case 3:
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        break;
      default:
        return error(std::errc::invalid_argument);
    }
    return Process::of(env).memory().store(
        GuestPtr<uint64_t>{out},
        static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec));
  });
}

// The guest's environment says TZ=UTC; PostgreSQL has time zones of its own.
uint32_t w2c_env_0x5Flocaltime_js(w2c_env* env, uint64_t seconds, uint32_t out) {
  return store_utc(Process::of(env), seconds, out);
}

uint32_t w2c_env_0x5Fgmtime_js(w2c_env* env, uint64_t seconds, uint32_t out) {
  return store_utc(Process::of(env), seconds, out);
}

uint64_t w2c_env_0x5Fmktime_js(w2c_env* env, uint32_t address) {
  Process& process = Process::of(env);
  const auto fields = process.memory().load(GuestPtr<std::array<int32_t, 6>>{address});
  if (!fields) return UINT64_MAX;
  std::tm time{};
  time.tm_sec = (*fields)[0];
  time.tm_min = (*fields)[1];
  time.tm_hour = (*fields)[2];
  time.tm_mday = (*fields)[3];
  time.tm_mon = (*fields)[4];
  time.tm_year = (*fields)[5];
  const time_t seconds = timegm(&time);
  store_utc(process, static_cast<uint64_t>(seconds), address);
  return static_cast<uint64_t>(seconds);
}

void w2c_env_0x5Ftzset_js(w2c_env* env, uint32_t offset, uint32_t has_summer, uint32_t standard,
                          uint32_t summer) {
  const wasm::GuestMemory memory = Process::of(env).memory();
  (void)memory.store(GuestPtr<uint32_t>{offset}, 0);
  (void)memory.store(GuestPtr<uint32_t>{has_summer}, 0);
  const std::array<char, 4> name = {'U', 'T', 'C', '\0'};
  (void)memory.store(GuestPtr<std::array<char, 4>>{standard}, name);
  (void)memory.store(GuestPtr<std::array<char, 4>>{summer}, name);
}

// --- Timers, signals, waiting ---

uint32_t w2c_env_0x5Fsetitimer_js(w2c_env* env, uint32_t which, double duration) {
  if (which >= 3) return 0u - guest_errno(std::errc::invalid_argument);
  Process& process = Process::of(env);
  const double now = monotonic_milliseconds();
  process.timers[which].reset();
  if (duration > 0) process.timers[which] = now + duration;
  const auto next = process.next_timer();
  if (next && process.interrupt_flag() != nullptr) {
    // What the guest says may be more than fits. Where the system has no timer left, the guest is
    // interrupted when it next waits.
    const std::chrono::duration<double, std::milli> wait(std::min(*next - now, 1e12));
    process.interrupt_timer.arm(std::chrono::duration_cast<std::chrono::nanoseconds>(wait));
  } else {
    process.interrupt_timer.disarm();
  }
  return 0;
}

void guest_before_interrupts(w2c_env* env) {
  Process& process = Process::of(env);
  process.kernel().look_up(process);
  process.deliver_signals();
}

uint32_t guest_stack_depth(w2c_env* env, uint32_t depth) {
  // A level of recursion takes twice as much in translated code as in a natively compiled
  // PostgreSQL: recursive SQL functions 1,045 bytes for 481, with most of it here and 64 bytes in
  // linear memory. So the limit ends a recursion about where it does elsewhere.
  constexpr size_t kRatio = 2;
  // Whatever the limit is, an error must come before the guard region does.
  constexpr size_t kLeast = size_t{2} << 20;
  const wasm::Execution& execution = Process::of(env).execution();
  const size_t left = execution.stack_left();
  if (left < kLeast) return INT32_MAX;
  return std::max(depth, static_cast<uint32_t>((wasm::Execution::kStackSize - left) / kRatio));
}

// --- Many processes ---

uint32_t guest_getpid(w2c_env* env) {
  return static_cast<uint32_t>(Process::of(env).pid());
}

uint32_t guest_kill(w2c_env* env, uint32_t pid, uint32_t signal) {
  Process& process = Process::of(env);
  process.execution().need_host_stack();
  const auto receiver = static_cast<int32_t>(pid);
  if (signal > SignalSet::kHighest) {
    set_guest_errno(process, std::errc::invalid_argument);
    return UINT32_MAX;
  }
  // A process group has one process, its leader.
  if (receiver == process.pid() || receiver == -process.pid()) {
    if (signal != 0) {
      // Its handler has run when kill() returns.
      process.signals.add(static_cast<int>(signal));
      process.deliver_signals();
    }
    return 0;
  }
  if (process.kernel().kill(process, receiver, static_cast<int>(signal))) return 0;
  // One that is alone gets Emscripten's own answer.
  set_guest_errno(process, process.hooks() == nullptr ? std::errc::operation_not_permitted
                                                      : std::errc::no_such_process);
  return UINT32_MAX;
}

void guest_wait_byte(w2c_env* env, uint32_t address) {
  Process& process = Process::of(env);
  process.wait({.what = WaitFor::What::kByte, .byte = {address}});
}

uint32_t guest_wait_event_set(w2c_env* env, uint32_t set, uint32_t timeout, uint32_t occurred,
                              uint32_t count, uint32_t activity) {
  Process& process = Process::of(env);
  if (process.hooks() == nullptr) return UINT32_MAX;
  process.execution().need_host_stack();
  return process.hooks()->wait_event_set(process, set, static_cast<int32_t>(timeout), occurred,
                                         count, activity);
}

uint32_t guest_request_checkpoint(w2c_env* env, uint32_t flags) {
  Process& process = Process::of(env);
  if (process.hooks() == nullptr) return 0;
  process.execution().need_host_stack();
  return process.hooks()->request_checkpoint(process, flags) ? 1 : 0;
}

uint32_t guest_park(w2c_env* env) {
  Process& process = Process::of(env);
  if (!process.parks) return 0;
  process.parks = false;
  process.execution().exit(Process::kExitParked);
}

uint64_t guest_wall_clock() {
  const timespec now = os::wall_clock();
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

uint32_t guest_nanosleep(w2c_env* env, uint32_t request, uint32_t remaining) {
  Process& process = Process::of(env);
  const auto seconds = process.memory().load(GuestPtr<int64_t>{request});
  const auto nanoseconds = process.memory().load(GuestPtr<int32_t>{request + 8});
  if (!seconds || !nanoseconds || *seconds < 0 || *nanoseconds < 0 ||
      *nanoseconds >= 1'000'000'000) {
    set_guest_errno(process, std::errc::invalid_argument);
    return UINT32_MAX;
  }
  const double due = monotonic_milliseconds() + static_cast<double>(*seconds) * 1e3 +
                     static_cast<double>(*nanoseconds) / 1e6;
  for (;;) {
    const double left = due - monotonic_milliseconds();
    if (left <= 0) return 0;
    process.wait({.what = WaitFor::What::kTime, .due = due});
    if (!process.deliver_signals()) continue;
    if (remaining != 0) {
      const double rest = std::max(due - monotonic_milliseconds(), 0.0);
      const auto whole = static_cast<int64_t>(rest / 1e3);
      (void)process.memory().store(GuestPtr<int64_t>{remaining}, whole);
      (void)process.memory().store(
          GuestPtr<int32_t>{remaining + 8},
          static_cast<int32_t>((rest - static_cast<double>(whole) * 1e3) * 1e6));
    }
    set_guest_errno(process, std::errc::interrupted);
    return UINT32_MAX;
  }
}

uint32_t guest_wait_latch(w2c_env* env, uint32_t latch, uint32_t events, uint32_t timeout) {
  constexpr uint32_t kLatchSet = 1, kTimeout = 8;  // WL_LATCH_SET, WL_TIMEOUT
  Process& process = Process::of(env);
  // It ends in WaitEventSetWait, which asks the hooks.
  if (process.hooks() != nullptr) return timeout;
  const auto is_set = [&] {  // struct Latch begins with is_set
    if (!(events & kLatchSet) || latch == 0) return false;
    return process.memory().load(GuestPtr<uint32_t>{latch}).value_or(1) != 0;
  };
  const bool endless = !(events & kTimeout) || static_cast<int32_t>(timeout) < 0;
  const double due = monotonic_milliseconds() + timeout;
  while (!is_set()) {
    if (!endless && monotonic_milliseconds() >= due) return 0;
    process.wait({.what = WaitFor::What::kLatch,
                  .due = endless ? WaitFor::kNoEnd : due,
                  .latch = {(events & kLatchSet) ? latch : 0}});
    process.deliver_signals();
  }
  return timeout;
}

void w2c_env_0x5F_call_sighandler(w2c_env* env, uint32_t handler, uint32_t signal) {
  const wasm_rt_funcref_t* entry = Process::of(env).table_entry(handler, wasm_func_type_i_v);
  if (entry == nullptr) wasm_rt_trap(WASM_RT_TRAP_CALL_INDIRECT);
  reinterpret_cast<void (*)(void*, uint32_t)>(entry->func)(entry->module_instance, signal);
}

// Descriptors here never become ready by themselves: only the self-pipe does, written by a signal
// handler that a timer runs. So waiting is sleeping until the next timer.
uint32_t w2c_env_0x5F_syscall_poll(w2c_env* env, uint32_t entries, uint32_t count,
                                   uint32_t timeout) {
  constexpr int16_t kIn = 1, kOut = 4, kInvalid = 0x20;
  // With nothing to wait for, an endless wait is cut into pieces that the caller repeats.
  constexpr double kLongestWait = 10;
  struct PollEntry {
    int32_t fd;
    int16_t events;
    int16_t revents;
  };
  Process& process = Process::of(env);
  const double start = monotonic_milliseconds();
  for (;;) {
    const uint32_t ready = syscall_result([&]() -> Result<uint32_t> {
      if (count > static_cast<uint32_t>(process.descriptors().limit())) {
        return error(std::errc::invalid_argument);
      }
      uint32_t found = 0;
      for (uint32_t i = 0; i < count; ++i) {
        const GuestPtr<PollEntry> at{entries + i * 8};
        PGLITE_TRY(entry, process.memory().load(at));
        entry.revents = 0;
        if (entry.fd >= 0) {
          const auto open = process.descriptors().get(entry.fd);
          if (!open) {
            entry.revents = kInvalid;
          } else if (const auto* pipe = dynamic_cast<PipeFile*>((*open)->file.get())) {
            entry.revents = static_cast<int16_t>(entry.events & (pipe->ready() ? kIn : kOut));
          } else {
            entry.revents = static_cast<int16_t>(entry.events & (kIn | kOut));
          }
        }
        if (entry.revents != 0) ++found;
        PGLITE_CHECK(process.memory().store(at, entry));
      }
      return found;
    });
    if (ready != 0 || timeout == 0) return ready;
    const double now = monotonic_milliseconds();
    const bool endless = static_cast<int32_t>(timeout) < 0;
    const double wait = endless ? kLongestWait : start + timeout - now;
    if (wait <= 0) return 0;
    process.wait({.what = WaitFor::What::kFiles, .due = now + wait});
    process.deliver_signals();
    if (endless && monotonic_milliseconds() - start >= kLongestWait) return 0;
  }
}

// pg_dump has it, to wait for its worker processes, of which there are none.
uint32_t w2c_env_0x5F_syscall_0x5Fnewselect(w2c_env*, uint32_t, uint32_t, uint32_t, uint32_t,
                                            uint32_t) {
  return 0u - guest_errno(std::errc::function_not_supported);
}

// --- Environment, users, randomness ---

uint32_t w2c_wasi__snapshot__preview1_environ_sizes_get(w2c_wasi__snapshot__preview1* env,
                                                        uint32_t count, uint32_t size) {
  return wasi_result([&]() -> Result<void> {
    Process& process = Process::of(env);
    uint32_t bytes = 0;
    for (const std::string& variable : process.environment()) {
      bytes += static_cast<uint32_t>(variable.size() + 1);
    }
    PGLITE_CHECK(process.memory().store(GuestPtr<uint32_t>{count},
                                        static_cast<uint32_t>(process.environment().size())));
    return process.memory().store(GuestPtr<uint32_t>{size}, bytes);
  });
}

uint32_t w2c_wasi__snapshot__preview1_environ_get(w2c_wasi__snapshot__preview1* env,
                                                  uint32_t pointers, uint32_t buffer) {
  return wasi_result([&]() -> Result<void> {
    Process& process = Process::of(env);
    for (const std::string& variable : process.environment()) {
      const auto length = static_cast<uint32_t>(variable.size() + 1);
      PGLITE_TRY(target, process.memory().bytes(buffer, length));
      std::memcpy(target.data(), variable.c_str(), length);
      PGLITE_CHECK(process.memory().store(GuestPtr<uint32_t>{pointers}, buffer));
      pointers += 4;
      buffer += length;
    }
    return {};
  });
}

// One user, "web_user" to Emscripten, 0 to getuid; PostgreSQL asks through pgl_geteuid instead.
uint32_t w2c_env_0x5F_syscall_getuid32(w2c_env*) {
  return 0;
}
uint32_t w2c_env_0x5F_syscall_geteuid32(w2c_env*) {
  return 0;
}
uint32_t w2c_env_0x5F_syscall_getgid32(w2c_env*) {
  return 0;
}
uint32_t w2c_env_0x5F_syscall_getegid32(w2c_env*) {
  return 0;
}

uint32_t w2c_wasi__snapshot__preview1_random_get(w2c_wasi__snapshot__preview1* env, uint32_t out,
                                                 uint32_t size) {
  return wasi_result([&]() -> Result<void> {
    PGLITE_TRY(target, Process::of(env).memory().bytes(out, size));
    return os::fill_random(std::as_writable_bytes(target));
  });
}

// --- Addresses and sockets ---

uint32_t w2c_env_getaddrinfo(w2c_env* env, uint32_t node, uint32_t service, uint32_t hints,
                             uint32_t out) {
  return guarded(static_cast<uint32_t>(kNoMemory), [&] {
    return static_cast<uint32_t>(resolve(Process::of(env), node, service, hints, out));
  });
}

uint32_t w2c_env_getnameinfo(w2c_env* env, uint32_t address, uint32_t length, uint32_t host,
                             uint32_t host_size, uint32_t service, uint32_t service_size,
                             uint32_t) {
  return guarded(static_cast<uint32_t>(kNoMemory), [&]() -> uint32_t {
    const wasm::GuestMemory memory = Process::of(env).memory();
    const auto bytes = memory.bytes(address, length);
    if (!bytes || length < 16) return static_cast<uint32_t>(kBadFlagsOrFamily);
    uint16_t family = 0;
    uint16_t port = 0;
    std::memcpy(&family, bytes->data(), 2);
    std::memcpy(&port, bytes->data() + 2, 2);
    if (family != kInet && (family != kInet6 || length < 28)) {
      return static_cast<uint32_t>(kBadFlagsOrFamily);
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(family == kInet ? AF_INET : AF_INET6, bytes->data() + (family == kInet ? 4 : 8),
              text.data(), text.size());
    const auto put_text = [&](uint32_t out, uint32_t size, std::string_view value) {
      if (out == 0 || size == 0) return true;
      const auto target = memory.bytes(out, size);
      if (!target || value.size() >= size) return false;
      std::memcpy(target->data(), value.data(), value.size());
      (*target)[value.size()] = std::byte{0};
      return true;
    };
    if (!put_text(host, host_size, text.data()) ||
        !put_text(service, service_size, std::to_string(ntohs(port)))) {
      return static_cast<uint32_t>(kOverflow);
    }
    return 0;
  });
}

// A guest has no network. What a socket is given out for goes through callbacks, so all that its
// descriptor can do is to be open.
uint32_t w2c_env_0x5F_syscall_socket(w2c_env* env, uint32_t family, uint32_t, uint32_t, uint32_t,
                                     uint32_t, uint32_t) {
  constexpr uint32_t kUnix = 1;
  return syscall_result([&]() -> Result<uint32_t> {
    Process& process = Process::of(env);
    if (family != kUnix || !process.has_sockets()) {
      process.log("a network connection was asked for, and there is no network");
      return error(std::errc::address_family_not_supported);
    }
    auto description = std::make_shared<vfs::OpenFile>();
    description->file = make_pipe().first;  // nobody writes into it
    description->path = "socket:";
    description->readable = true;
    PGLITE_TRY(descriptor, process.descriptors().open(std::move(description)));
    return static_cast<uint32_t>(descriptor);
  });
}

// Every other call has a bad descriptor.

#define PGLITE_NO_SOCKET(name)                                                                     \
  uint32_t w2c_env_0x5F_syscall_##name(w2c_env*, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, \
                                       uint32_t) {                                                 \
    return 0u - guest_errno(std::errc::not_a_socket);                                              \
  }
PGLITE_NO_SOCKET(accept4)
PGLITE_NO_SOCKET(bind)
PGLITE_NO_SOCKET(connect)
PGLITE_NO_SOCKET(listen)
PGLITE_NO_SOCKET(recvfrom)
PGLITE_NO_SOCKET(sendto)
#undef PGLITE_NO_SOCKET

}  // extern "C"
