// Bytes that come or go in pieces: dumps, archives, answers.
#ifndef PGLITE_BYTES_H_
#define PGLITE_BYTES_H_

#include <pglite/status.h>

#include <cstddef>
#include <functional>
#include <string_view>

namespace pglite {

// Receives bytes in order; they are valid during the call only. A failure ends the operation, which
// returns it. An exception ends the operation too: it returns kIoError with the exception's
// message. The instance, where there is one, goes on.
using ByteSink = std::function<Status(std::string_view bytes)>;

// Puts at most `size` bytes at `buffer` and their number into `*count`; 0 is the end. Failures and
// exceptions as ByteSink's.
using ByteSource = std::function<Status(char* buffer, size_t size, size_t* count)>;

// Receives backend messages as they are produced. The bytes are valid during the call only. One
// call may end in the middle of a message; the concatenation of all calls is whole messages. An
// exception ends the instance, because part of the answer is lost: the operation returns
// kEngineGone with the exception's message.
using ResponseSink = std::function<void(std::string_view bytes)>;

enum class Compression { kNone, kGzip };

}  // namespace pglite

#endif  // PGLITE_BYTES_H_
