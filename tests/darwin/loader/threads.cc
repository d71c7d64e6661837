// Objects of macOS's threads begin with a signature that static initialisers set, and have zeros
// behind it: Linux's own objects of the same kind, unlocked, where they fit in.
#include "threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "darwin.h"

extern "C" {
extern void* __dso_handle;
int __cxa_thread_atexit_impl(void (*function)(void*), void* argument, void* object);

// In the thread's own block of Linux, so that nothing has to be allocated when a variable is first
// looked at, which may be in a signal handler.
alignas(64)
    [[gnu::tls_model("initial-exec")]] thread_local std::byte pglite_loader_thread_variables[4096];
}

namespace pglite::loader {

namespace {

std::span<const std::byte>& thread_template() {
  static std::span<const std::byte> bytes;
  return bytes;
}

// No register but the result's may change: callers keep what they like in all others.
asm(R"(
    .text
    .globl find_thread_variable
    .type find_thread_variable, @function
find_thread_variable:
    movq pglite_loader_thread_variables@GOTTPOFF(%rip), %rax
    addq %fs:0, %rax
    addq 16(%rdi), %rax
    ret
    .size find_thread_variable, . - find_thread_variable
)");

struct Start {
  void* (*function)(void*);
  void* argument;
};

void* begin(void* given) {
  const std::unique_ptr<Start> start(static_cast<Start*>(given));
  begin_thread_variables();
  const Start copy = *start;
  return copy.function(copy.argument);
}

struct Attributes {
  // What threads have on macOS that do not ask for more, and what Linux puts there as well.
  static constexpr size_t kStackSize = (size_t{512} << 10) + (size_t{16} << 10);
  Attributes() {
    pthread_attr_init(&value);
    pthread_attr_setstacksize(&value, kStackSize);
  }
  ~Attributes() { pthread_attr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  pthread_attr_t value{};
};

int create(pthread_t* thread, const void* attributes, void* (*function)(void*), void* argument) {
  if (attributes != nullptr) return EINVAL;
  auto start = std::make_unique<Start>(Start{function, argument});
  const Attributes stack;
  // The thread frees its copy.
  const int error = pthread_create(thread, &stack.value, begin, start.get());
  if (error == 0) [[maybe_unused]]
    const Start* const its_own = start.release();
  return to_darwin_error(error);
}

int at_exit(void (*function)(void*), void* argument) {
  return __cxa_thread_atexit_impl(function, argument, static_cast<void*>(&__dso_handle));
}

template <class Object>
struct Signed {
  int64_t signature;
  Object object;
};
using Mutex = Signed<pthread_mutex_t>;
using Lock = Signed<pthread_rwlock_t>;
using Once = Signed<pthread_once_t>;
// Linux's does not fit in.
struct Condition {
  int64_t signature;
  std::atomic<uint32_t> sequence;
};
static_assert(sizeof(Mutex) <= 64 && sizeof(Lock) <= 200 && sizeof(Once) <= 16);

long futex(const void* address, int operation, uint32_t value, const timespec* time) {
  return syscall(SYS_futex, address, operation, value, time, nullptr, FUTEX_BITSET_MATCH_ANY);
}

int lock(Mutex* mutex) {
  return to_darwin_error(pthread_mutex_lock(&mutex->object));
}
int unlock(Mutex* mutex) {
  return to_darwin_error(pthread_mutex_unlock(&mutex->object));
}
int destroy(Mutex* mutex) {
  return to_darwin_error(pthread_mutex_destroy(&mutex->object));
}

int wait_until(Condition* condition, Mutex* mutex, const timespec* end) {
  const uint32_t before = condition->sequence.load();
  pthread_mutex_unlock(&mutex->object);
  const long result =
      futex(&condition->sequence, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME,
            before, end);
  const int error = result < 0 && errno == ETIMEDOUT ? ETIMEDOUT : 0;
  pthread_mutex_lock(&mutex->object);
  return to_darwin_error(error);
}
int wait(Condition* condition, Mutex* mutex) {
  return wait_until(condition, mutex, nullptr);
}
int wake(Condition* condition, uint32_t count) {
  condition->sequence.fetch_add(1);
  futex(&condition->sequence, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr);
  return 0;
}
int wake_one(Condition* condition) {
  return wake(condition, 1);
}
int wake_all(Condition* condition) {
  return wake(condition, INT_MAX);
}
int destroy_condition(Condition* /*condition*/) {
  return 0;
}

int init_lock(Lock* lock, const void* /*attributes*/) {
  *lock = {};
  return 0;
}
int destroy_lock(Lock* lock) {
  return to_darwin_error(pthread_rwlock_destroy(&lock->object));
}
int lock_shared(Lock* lock) {
  return to_darwin_error(pthread_rwlock_rdlock(&lock->object));
}
int lock_exclusive(Lock* lock) {
  return to_darwin_error(pthread_rwlock_wrlock(&lock->object));
}
int unlock_lock(Lock* lock) {
  return to_darwin_error(pthread_rwlock_unlock(&lock->object));
}

int once(Once* once, void (*function)()) {
  return pthread_once(&once->object, function);
}

int make_key(unsigned long* key, void (*destructor)(void*)) {
  pthread_key_t made = 0;
  const int error = pthread_key_create(&made, destructor);
  *key = made;
  return to_darwin_error(error);
}
int delete_key(unsigned long key) {
  return to_darwin_error(pthread_key_delete(static_cast<pthread_key_t>(key)));
}
void* value_of(unsigned long key) {
  return pthread_getspecific(static_cast<pthread_key_t>(key));
}
int set_value(unsigned long key, const void* value) {
  return to_darwin_error(pthread_setspecific(static_cast<pthread_key_t>(key), value));
}

uint32_t thread_number(pthread_t thread) {
  return pthread_equal(thread, pthread_self()) != 0 ? static_cast<uint32_t>(gettid()) : 0;
}

// ulock.h of XNU
constexpr uint32_t kOperation = 0xff;
constexpr uint32_t kCompare64 = 5;
constexpr uint32_t kWakeAll = 0x100;
constexpr uint32_t kNoErrno = 0x1000000;

int ulock_failed(uint32_t operation, int error) {
  if ((operation & kNoErrno) != 0) return -to_darwin_error(error);
  program_errno() = to_darwin_error(error);
  return -1;
}

int ulock_wait(uint32_t operation, void* address, uint64_t value, uint32_t microseconds) {
  // Its lower half is what Linux compares.
  if ((operation & kOperation) == kCompare64 &&
      static_cast<std::atomic<uint64_t>*>(address)->load() != value) {
    return 0;
  }
  const timespec time{.tv_sec = microseconds / 1'000'000,
                      .tv_nsec = static_cast<long>(microseconds % 1'000'000) * 1000};
  const long result =
      syscall(SYS_futex, address, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, static_cast<uint32_t>(value),
              microseconds == 0 ? nullptr : &time, nullptr, 0);
  return result == 0 || errno == EAGAIN ? 0 : ulock_failed(operation, errno);
}

int ulock_wake(uint32_t operation, void* address, uint64_t /*value*/) {
  const bool all = (operation & kWakeAll) != 0;
  const long woken = futex(address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, all ? INT_MAX : 1, nullptr);
  return woken > 0 ? 0 : ulock_failed(operation, ENOENT);
}

}  // namespace

void prepare_thread_variables(const Image& image) {
  if (image.thread_size() > sizeof pglite_loader_thread_variables) {
    throw std::runtime_error("the program has more thread variables than there is room for");
  }
  thread_template() = image.thread_template();
}

void begin_thread_variables() {
  std::ranges::copy(thread_template(), pglite_loader_thread_variables);
}

Exports thread_exports() {
  static const auto exports = std::to_array<Export>({
      {"_tlv_bootstrap", reinterpret_cast<const void*>(&find_thread_variable)},
      {"_tlv_atexit", code(at_exit)},
      {"pthread_create", code(create)},
      {"pthread_mutex_lock", code(lock)},
      {"pthread_mutex_unlock", code(unlock)},
      {"pthread_mutex_destroy", code(destroy)},
      {"pthread_cond_wait", code(wait)},
      {"pthread_cond_timedwait", code(wait_until)},
      {"pthread_cond_signal", code(wake_one)},
      {"pthread_cond_broadcast", code(wake_all)},
      {"pthread_cond_destroy", code(destroy_condition)},
      {"pthread_rwlock_init", code(init_lock)},
      {"pthread_rwlock_destroy", code(destroy_lock)},
      {"pthread_rwlock_rdlock", code(lock_shared)},
      {"pthread_rwlock_wrlock", code(lock_exclusive)},
      {"pthread_rwlock_unlock", code(unlock_lock)},
      {"pthread_once", code(once)},
      {"pthread_key_create", code(make_key)},
      {"pthread_key_delete", code(delete_key)},
      {"pthread_getspecific", code(value_of)},
      {"pthread_setspecific", code(set_value)},
      {"pthread_mach_thread_np", code(thread_number)},
      {"__ulock_wait", code(ulock_wait)},
      {"__ulock_wake", code(ulock_wake)},
  });
  return exports;
}

}  // namespace pglite::loader
