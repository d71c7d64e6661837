// The port's two descriptors. Blocking or not, pipes, sockets, terminals or files.
#ifndef PGLITE_PORT_CHANNEL_H_
#define PGLITE_PORT_CHANNEL_H_

#include <pglite/status.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace pglite::port {

class Channel {
 public:
  // None is owned. `signals` is ShutdownSignals::fd(), or -1.
  Channel(int in, int out, int signals) : in_(in), out_(out), signals_(signals) {}

  enum class Event {
    kBytes,         // `*count` bytes were read
    kEnd,           // end of input
    kSignal,        // SIGTERM or SIGINT: `*count` is its number
    kOutputClosed,  // nobody reads the answers any more
    kError,         // reading failed: `*count` is the errno
  };
  // Waits for one of these. A signal or a closed output goes before input that is there as well.
  Event read(std::span<char> room, size_t* count);

  // Writes everything, waiting for the reader as long as it takes. Consumes `parts`.
  // kDisconnected: the reader is gone. kIoError: anything else.
  Status write(std::span<iovec> parts);

 private:
  int in_;
  int out_;
  int signals_;
};

}  // namespace pglite::port

#endif  // PGLITE_PORT_CHANNEL_H_
