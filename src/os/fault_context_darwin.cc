#include <sys/ucontext.h>

#include <cstdint>

#include "os/fault_context.h"

namespace pglite::os {

void go_on_in(void* context, void (*function)(), std::byte* stack) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext->__ss;
  const uintptr_t aligned = reinterpret_cast<uintptr_t>(stack) / 16 * 16;
#if defined(__x86_64__)
  // As a call leaves it, with the address to return to on the stack; there is none.
  registers.__rsp = aligned - sizeof(void*);
  registers.__rip = reinterpret_cast<uintptr_t>(function);
#elif defined(__aarch64__)
  __darwin_arm_thread_state64_set_sp(registers, aligned);
  __darwin_arm_thread_state64_set_pc_fptr(registers, function);
  __darwin_arm_thread_state64_set_lr_fptr(registers, nullptr);
#else
#error "which registers has this processor?"
#endif
}

// What kill(2) and others give lies beyond the codes of all faults.
bool was_sent(const siginfo_t& info) {
  return info.si_code <= 0 || info.si_code >= SI_USER;
}

}  // namespace pglite::os
