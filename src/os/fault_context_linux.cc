#include <ucontext.h>

#include <cstdint>

#include "os/fault_context.h"

namespace pglite::os {

void go_on_in(void* context, void (*function)(), std::byte* stack) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
  const uintptr_t aligned = reinterpret_cast<uintptr_t>(stack) / 16 * 16;
#if defined(__x86_64__)
  // As a call leaves it, with the address to return to on the stack; there is none.
  registers.gregs[REG_RSP] = static_cast<greg_t>(aligned - sizeof(void*));
  registers.gregs[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(function));
#elif defined(__aarch64__)
  registers.sp = aligned;
  registers.pc = reinterpret_cast<uintptr_t>(function);
  registers.regs[30] = 0;
#else
#error "which registers has this processor?"
#endif
}

bool was_sent(const siginfo_t& info) {
  return info.si_code <= 0;
}

}  // namespace pglite::os
