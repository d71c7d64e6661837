// Where a thread goes on after the handler of a signal.
#ifndef PGLITE_OS_FAULT_CONTEXT_H_
#define PGLITE_OS_FAULT_CONTEXT_H_

#include <csignal>
#include <cstddef>

namespace pglite::os {

// To be called in the handler of a fault with its third argument: when the handler returns, the
// thread calls `function`, which does not return, on the stack that ends at `stack`, and not what
// caused the fault. Unlike a jump out of the handler it also tells the system that the alternate
// signal stack is free again. Async-signal-safe.
void go_on_in(void* context, void (*function)(), std::byte* stack);

// Whether somebody has sent the signal of a fault, and nothing was accessed. Async-signal-safe.
bool was_sent(const siginfo_t& info);

}  // namespace pglite::os

#endif  // PGLITE_OS_FAULT_CONTEXT_H_
