// pipe2 inside one guest. PostgreSQL uses it as a self-pipe: a signal handler writes to it, and the
// wait that the signal is to end reads from it.
#ifndef PGLITE_EMSCRIPTEN_PIPE_H_
#define PGLITE_EMSCRIPTEN_PIPE_H_

#include <memory>
#include <utility>

#include "vfs/file.h"

namespace pglite::emscripten {

class PipeFile : public vfs::File {
 public:
  // True when a read would return at once.
  [[nodiscard]] virtual bool ready() const = 0;
  [[nodiscard]] virtual bool is_reader() const = 0;
  // The same for both ends of a pipe, different for two pipes that are open.
  [[nodiscard]] virtual uint64_t identity() const = 0;
};

// The read end and the write end. Both are non-blocking whatever their flags say: there is nobody
// to wait for. Reading an empty pipe is EAGAIN, or the end of the file once the write end is
// closed; writing with no reader is EPIPE.
std::pair<std::unique_ptr<PipeFile>, std::unique_ptr<PipeFile>> make_pipe();

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_PIPE_H_
