// Looks for a CancelRequest among what came behind the request that runs.
#ifndef PGLITE_PORT_READ_AHEAD_H_
#define PGLITE_PORT_READ_AHEAD_H_

#include <cstddef>
#include <string_view>

#include "port/framing.h"

namespace pglite::port {

// `bytes` begin at a frame (packet4) or message (raw). Returns whether there is a CancelRequest in
// the whole ones, and puts into `*seen` where the first one begins that is not looked at yet. Stops
// at what makes no sense. Async-signal-safe.
bool has_cancel_request(Framing framing, std::string_view bytes, size_t* seen);

}  // namespace pglite::port

#endif  // PGLITE_PORT_READ_AHEAD_H_
