// Waiting for descriptors.
#ifndef PGLITE_OS_POLL_H_
#define PGLITE_OS_POLL_H_

#include <poll.h>

#include <chrono>
#include <optional>
#include <span>

namespace pglite::os {

// As poll(2), errors and errno included, for a time that is not rounded down: it may be up to a
// millisecond more. Not positive: it does not wait. nullopt: for ever.
int poll_for(std::span<pollfd> descriptors, std::optional<std::chrono::nanoseconds> time);

}  // namespace pglite::os

#endif  // PGLITE_OS_POLL_H_
