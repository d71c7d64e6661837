// Makes the system calls of this process fail: for death tests, because it cannot be undone.
#ifndef PGLITE_TESTS_UNIT_OS_FAILING_CALL_H_
#define PGLITE_TESTS_UNIT_OS_FAILING_CALL_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace pglite::os {

// From here on, the system call `number` does nothing and gives errno `error` (0: it gives 0),
// unless its first argument is `except`.
inline void make_call_fail(uint32_t number, int error, int except = -1) {
  constexpr uint32_t kFirstArgument = offsetof(seccomp_data, args);  // its lower half
  const std::array<sock_filter, 6> program = {
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 3, number},
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, kFirstArgument},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 1, 0, static_cast<uint32_t>(except)},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog filter = {.len = program.size(),
                             .filter = const_cast<sock_filter*>(program.data())};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    std::exit(100);
  }
}

}  // namespace pglite::os

#endif  // PGLITE_TESTS_UNIT_OS_FAILING_CALL_H_
