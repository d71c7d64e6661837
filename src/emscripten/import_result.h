// How imported functions answer: the guest's errno numbers, and the guard that keeps exceptions out
// of guest frames.
#ifndef PGLITE_EMSCRIPTEN_IMPORT_RESULT_H_
#define PGLITE_EMSCRIPTEN_IMPORT_RESULT_H_

#include <cstdint>
#include <new>
#include <system_error>

#include "vfs/file.h"
#include "wasm/execution.h"

namespace pglite::emscripten {

// Emscripten's errno numbers are WASI's (system/lib/libc/musl/arch/emscripten/bits/errno.h).
uint32_t guest_errno(std::errc error);

// Every host function of more than a line begins with it.
inline void begin_host_function() {
  if (wasm::Execution* execution = wasm::Execution::current()) execution->need_host_stack();
}

// Runs a host function's body. What it throws can only be std::bad_alloc: `otherwise` is then the
// answer.
template <class T, class F>
T guarded(T otherwise, F&& body) noexcept {
  begin_host_function();
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return otherwise;
  }
}

// __syscall_*: a result or a negated errno.
template <class F>
uint32_t syscall_result(F&& body) noexcept {
  begin_host_function();
  try {
    const vfs::Result<uint32_t> result = body();
    return result ? *result : 0u - guest_errno(result.error());
  } catch (const std::bad_alloc&) {
    return 0u - guest_errno(std::errc::not_enough_memory);
  }
}

// wasi fd_*: 0 or an errno; results go through pointers.
template <class F>
uint32_t wasi_result(F&& body) noexcept {
  begin_host_function();
  try {
    const vfs::Result<void> result = body();
    return result ? 0 : guest_errno(result.error());
  } catch (const std::bad_alloc&) {
    return guest_errno(std::errc::not_enough_memory);
  }
}

}  // namespace pglite::emscripten

// Within a body that returns vfs::Result: hands the error of `expression` up, or binds its value.
// NOLINTBEGIN(bugprone-macro-parentheses): `variable` is a declaration
#define PGLITE_CONCAT_(a, b) a##b
#define PGLITE_CONCAT(a, b) PGLITE_CONCAT_(a, b)
#define PGLITE_TRY(variable, expression)                                   \
  auto PGLITE_CONCAT(result_, __LINE__) = (expression);                    \
  if (!PGLITE_CONCAT(result_, __LINE__))                                   \
    return ::pglite::vfs::error(PGLITE_CONCAT(result_, __LINE__).error()); \
  auto&& variable = *PGLITE_CONCAT(result_, __LINE__)
// NOLINTEND(bugprone-macro-parentheses)
#define PGLITE_CHECK(expression) \
  if (auto checked = (expression); !checked) return ::pglite::vfs::error(checked.error())

#endif  // PGLITE_EMSCRIPTEN_IMPORT_RESULT_H_
