// Random bytes that nobody can guess, from the operating system.
#ifndef PGLITE_OS_RANDOM_H_
#define PGLITE_OS_RANDOM_H_

#include <cstddef>
#include <span>

#include "os/result.h"

namespace pglite::os {

// Fills all of `bytes`, or fails: then what is in `bytes` must not be used. It may wait while the
// machine boots and has no randomness yet. Errors: what the system says, function_not_supported
// where it (or a filter for system calls) has no such call; asking again does not help. Any thread
// may call it.
Result<void> fill_random(std::span<std::byte> bytes);

}  // namespace pglite::os

#endif  // PGLITE_OS_RANDOM_H_
