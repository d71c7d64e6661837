// invoke_SIG: how Emscripten compiles a call that a longjmp may come back through.
//
// A function that calls setjmp makes every later call through an import invoke_SIG(index, args...),
// which calls the table entry `index`. If the callee, or anything below it, throws
// (_emscripten_throw_longjmp), invoke_SIG restores the guest's stack pointer, notes the throw with
// setThrew(1, 0) and returns, and the caller looks for the setjmp that was meant.
// (Emscripten: src/lib/libcore.js, createInvokeFunction.)
//
// exit and traps pass all invoke frames by: they jump to the innermost protected call.
#ifndef PGLITE_EMSCRIPTEN_INVOKE_H_
#define PGLITE_EMSCRIPTEN_INVOKE_H_

#include <type_traits>

#include "wasm-rt.h"
#include "wasm/guest_module.h"
#include "wasm/jump_target.h"

namespace pglite::emscripten {

// setThrew(1, 0) in the main module of `env`.
void note_throw(w2c_env* env);

// Identifiers are shared by modules that were built together (aot/glue.py); 32 bytes tell.
inline bool is_same_type(wasm_rt_func_type_t a, wasm_rt_func_type_t b) {
  return a == b || __builtin_memcmp(a, b, 32) == 0;
}

// The table entry that is to be called; a trap where it is none of that type.
inline const wasm_rt_funcref_t& invoked_entry(w2c_env* env, wasm_rt_func_type_t type,
                                              uint32_t index) {
  const wasm_rt_funcref_table_t& table = *env->table;
  if (index >= table.size || table.data[index].func == nullptr ||
      !is_same_type(table.data[index].func_type, type)) {
    wasm_rt_trap(WASM_RT_TRAP_CALL_INDIRECT);
  }
  return table.data[index];
}

template <class R, class... Args>
R invoke(w2c_env* env, wasm_rt_func_type_t type, uint32_t index, Args... arguments) {
  const wasm_rt_funcref_t entry = invoked_entry(env, type, index);
  const uint32_t stack_pointer = *env->stack_pointer;
  wasm::JumpTarget target;
  void** const innermost = env->invoke_target;
  void* const outer = *innermost;
  *innermost = &target;
  if (PGLITE_SET_JUMP_TARGET(target) == 0) {
    const auto function = reinterpret_cast<R (*)(void*, Args...)>(entry.func);
    if constexpr (std::is_void_v<R>) {
      function(entry.module_instance, arguments...);
      *innermost = outer;
      return;
    } else {
      const R result = function(entry.module_instance, arguments...);
      *innermost = outer;
      return result;
    }
  }
  *innermost = outer;
  *env->stack_pointer = stack_pointer;
  note_throw(env);
  return R();
}

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_INVOKE_H_
