// What a call of the system gives: a value, or the errno value that says why there is none.
#ifndef PGLITE_OS_RESULT_H_
#define PGLITE_OS_RESULT_H_

#include <cerrno>
#include <system_error>
#include <tl/expected.hpp>

#include "os/unique_fd.h"

namespace pglite::os {

template <class T>
using Result = tl::expected<T, std::errc>;

inline tl::unexpected<std::errc> error(std::errc e) {
  return tl::unexpected<std::errc>(e);
}

// What errno says of the call that has just failed.
inline tl::unexpected<std::errc> last_error() {
  return error(static_cast<std::errc>(errno));
}

// Calls `operation` until it is not interrupted by a signal; its result, with -1 turned into errno.
template <class Operation>
auto retry(Operation operation) -> Result<decltype(operation())> {
  while (true) {
    const auto result = operation();
    if (result >= 0) return result;
    if (errno != EINTR) return last_error();
  }
}

// For calls that give 0.
inline Result<void> done(const Result<int>& result) {
  if (!result) return error(result.error());
  return {};
}

// For calls that give a new descriptor.
inline Result<UniqueFd> owned(const Result<int>& descriptor) {
  if (!descriptor) return error(descriptor.error());
  return UniqueFd(*descriptor);
}

}  // namespace pglite::os

#endif  // PGLITE_OS_RESULT_H_
