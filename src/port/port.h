// The stdin/stdout port (docs/protocol.md): requests in one of three framings on one descriptor,
// length-prefixed answers on the other, one engine behind it.
#ifndef PGLITE_PORT_PORT_H_
#define PGLITE_PORT_PORT_H_

#include <pglite/instance.h>

#include <cstdint>
#include <functional>
#include <string_view>

#include "os/shutdown_signals.h"
#include "port/framing.h"

namespace pglite::port {

struct PortOptions {
  int in = 0;
  int out = 1;
  os::ShutdownSignals* signals = nullptr;  // not owned; null: the process's signals do what they do
  Framing framing = Framing::kAuto;
  // The end of the input says that nobody waits for answers any more: what runs then is cancelled.
  bool end_cancels = false;
  int debug = 0;
  // The largest frame or line. A message may have 1 GiB; a frame may hold a few small ones beside
  // it. In raw framing PostgreSQL's own limits on messages are all there is.
  uint64_t max_request = (uint64_t{1} << 30) + (uint64_t{1} << 20);
  // The largest answer. Erlang's {packet, 4} takes no more than a signed length.
  uint64_t max_answer = 0x7fffffff;
  // Called when the session has ended without a failure, before the instance is closed. What it
  // returns is reported like a failure to close.
  std::function<Status(Instance&)> before_close;
  // One line without its newline; `level` is the debug level it belongs to, 0 is always wanted.
  std::function<void(int level, std::string_view line)> log;
};

// Answers until the end of input, a signal, a closed output or a failure, then closes `instance`.
// Returns the program's exit code: 0; 65 where the input makes no sense from some byte on; 70 where
// the engine is gone; 74 where a descriptor fails. A process that may write to a closed pipe must
// ignore SIGPIPE (os::ShutdownSignals does).
//
// Once a shutdown is asked for, requests that were read as a whole are still run and answered, and
// writing an answer still waits for its reader. With `end_cancels`, those that run at the end of
// the input or later are cancelled.
int serve(Instance& instance, const PortOptions& options);

// The ERROR frame alone, and the line in the log: for a failure before there is an instance.
void send_error_frame(std::string_view message, const PortOptions& options);

}  // namespace pglite::port

#endif  // PGLITE_PORT_PORT_H_
