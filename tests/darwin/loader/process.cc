#include <sys/random.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "darwin.h"

extern "C" int __cxa_atexit(void (*function)(void*), void* argument, void* object);

namespace pglite::loader {

namespace {

int failed(int error) {
  program_errno() = to_darwin_error(error);
  return -1;
}

int* error_place() {
  return &program_errno();
}

int time_of_clock(int clock, timespec* time) {
  constexpr auto kClocks = std::to_array<std::pair<int, clockid_t>>({
      {0, CLOCK_REALTIME},
      {4, CLOCK_MONOTONIC_RAW},
      {5, CLOCK_MONOTONIC_RAW},
      {6, CLOCK_MONOTONIC},
      {8, CLOCK_MONOTONIC},
      {9, CLOCK_MONOTONIC_COARSE},
      {12, CLOCK_PROCESS_CPUTIME_ID},
      {16, CLOCK_THREAD_CPUTIME_ID},
  });
  for (const auto& [there, here] : kClocks) {
    if (there == clock) return noted(clock_gettime(here, time));
  }
  return failed(EINVAL);
}

int time_of_day(darwin::TimeValue* result, void* /*zone*/) {
  timeval now{};
  if (gettimeofday(&now, nullptr) != 0) return noted(-1);
  if (result != nullptr) {
    result->seconds = now.tv_sec;
    result->microseconds = static_cast<int32_t>(now.tv_usec);
  }
  return 0;
}

long configured(int name) {
  constexpr auto kNames = std::to_array<std::pair<int, int>>({
      {1, _SC_ARG_MAX},
      {3, _SC_CLK_TCK},
      {5, _SC_OPEN_MAX},
      {29, _SC_PAGESIZE},
      {56, _SC_IOV_MAX},
      {57, _SC_NPROCESSORS_CONF},
      {58, _SC_NPROCESSORS_ONLN},
      {71, _SC_GETPW_R_SIZE_MAX},
      {200, _SC_PHYS_PAGES},
  });
  for (const auto& [there, here] : kNames) {
    if (there == name) return sysconf(here);
  }
  std::fprintf(stderr, "loader: sysconf %d is not known\n", name);
  return failed(EINVAL);
}

int limit(int resource, rlimit* result) {
  constexpr std::array<__rlimit_resource, 9> kResources = {
      RLIMIT_CPU, RLIMIT_FSIZE,   RLIMIT_DATA,  RLIMIT_STACK, RLIMIT_CORE,
      RLIMIT_AS,  RLIMIT_MEMLOCK, RLIMIT_NPROC, RLIMIT_NOFILE};
  if (resource < 0 || static_cast<size_t>(resource) >= kResources.size()) return failed(EINVAL);
  if (getrlimit(kResources[static_cast<size_t>(resource)], result) != 0) return noted(-1);
  for (rlim_t* value : {&result->rlim_cur, &result->rlim_max}) {
    if (*value == RLIM_INFINITY) *value = darwin::kNoLimit;
  }
  return 0;
}

int entropy(void* bytes, size_t size) {
  return noted(getentropy(bytes, size));
}
// Common Crypto's: 0 for success.
int random_bytes(void* bytes, size_t size) {
  auto* to = static_cast<std::byte*>(bytes);
  for (size_t done = 0; done < size;) {
    const ssize_t count = getrandom(to + done, size - done, 0);
    if (count > 0) done += static_cast<size_t>(count);
  }
  return 0;
}

pid_t wait_for(pid_t process, int* status, int options) {
  int here = 0;
  const pid_t ended = waitpid(process, &here, options);
  if (ended > 0 && WIFSIGNALED(here)) here = (here & 0x80) | to_darwin_signal(WTERMSIG(here));
  if (ended > 0 && WIFSTOPPED(here)) here = to_darwin_signal(WSTOPSIG(here)) << 8 | 0x7f;
  if (status != nullptr) *status = here;
  return noted(ended);
}

int is_tainted() {
  return 0;
}

// Terminals' settings are not translated: the program is told that there is no terminal.
int no_terminal() {
  return failed(ENOTTY);
}

[[noreturn]] void assertion_failed(const char* function, const char* file, int line,
                                   const char* what) {
  std::fprintf(stderr, "Assertion failed: (%s), function %s, file %s, line %d.\n", what, function,
               file, line);
  std::abort();
}

}  // namespace

Exports process_exports() {
  static uint64_t guard = 0x5aa5'0ff0'c33c'00ff;
  static const auto exports = std::to_array<Export>({
      {"__error", code(error_place)},
      {"__stack_chk_guard", &guard},
      {"environ", static_cast<const void*>(&environ)},
      {"__assert_rtn", code(assertion_failed)},
      {"__cxa_atexit", code(__cxa_atexit)},
      {"atexit", code(+[](void (*function)()) { return std::atexit(function); })},
      {"clock_gettime", code(time_of_clock)},
      {"gettimeofday", code(time_of_day)},
      {"nanosleep", wrapped<&nanosleep>()},
      {"sysconf", code(configured)},
      {"getrlimit", code(limit)},
      {"getentropy", code(entropy)},
      {"CCRandomGenerateBytes", code(random_bytes)},
      {"waitpid", code(wait_for)},
      {"fork", wrapped<&fork>()},
      {"pause", wrapped<&pause>()},
      {"gethostname", wrapped<&gethostname>()},
      {"setenv", wrapped<&setenv>()},
      {"unsetenv", wrapped<&unsetenv>()},
      {"issetugid", code(is_tainted)},
      {"tcgetattr", code(no_terminal)},
      {"tcsetattr", code(no_terminal)},
  });
  return exports;
}

}  // namespace pglite::loader
