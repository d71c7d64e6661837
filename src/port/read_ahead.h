// Looks for a CancelRequest behind the request that runs.
#ifndef PGLITE_PORT_READ_AHEAD_H_
#define PGLITE_PORT_READ_AHEAD_H_

#include <cstddef>
#include <string_view>

#include "port/framing.h"

namespace pglite::port {

// `bytes` begin at a frame (packet4) or message (raw). Returns whether a whole one is or holds a
// CancelRequest, and sets `*seen` to the start of the first one that it has not looked at. Stops at
// bytes that make no sense. Async-signal-safe.
bool has_cancel_request(Framing framing, std::string_view bytes, size_t* seen);

}  // namespace pglite::port

#endif  // PGLITE_PORT_READ_AHEAD_H_
