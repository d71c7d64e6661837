// Where a longjmp of the guest's arrives.
//
// This header, guest_module.h and emscripten/invoke.h are all that guest code is compiled and
// optimised with. They include nothing else of ours, so that a change of the host's classes leaves
// the guest's machine code as it is.
#ifndef PGLITE_WASM_JUMP_TARGET_H_
#define PGLITE_WASM_JUMP_TARGET_H_

#include <csetjmp>

// The guest calls setjmp for every PG_TRY and every row of a query; where the compiler has a setjmp
// of its own it takes three stores. Sanitizers must see the jump, which takes libc's; what is
// compiled without them in such a build has to be told (aot/CMakeLists.txt).
#if defined(__x86_64__) && !__has_feature(address_sanitizer) && \
    !__has_feature(thread_sanitizer) && !defined(PGLITE_JUMPS_BY_LIBC)
#define PGLITE_SET_JUMP_TARGET(target) __builtin_setjmp((target).words)
#define PGLITE_JUMP(target) __builtin_longjmp((target).words, 1)
#else
#define PGLITE_SET_JUMP_TARGET(target) _setjmp((target).buffer)
#define PGLITE_JUMP(target) _longjmp((target).buffer, 1)
#endif

namespace pglite::wasm {

// Where PGLITE_SET_JUMP_TARGET stood; valid until the function around it returns.
union JumpTarget {
  jmp_buf buffer;
  void* words[5];
};

}  // namespace pglite::wasm

#endif  // PGLITE_WASM_JUMP_TARGET_H_
