// What is to be done with one request: the bytes that a caller hands over to be run together.
//
// A request holds whole packets. Most of them are messages for PostgreSQL, and PostgreSQL reads as
// many of them in a row as there are. It reads a startup packet by itself. The other packets are
// not for PostgreSQL: it has no connection that could be encrypted or cancelled, and it would end
// over a Terminate. This is the one place that knows which packets these are and what their answer
// is.
#ifndef PGLITE_WIRE_REQUEST_H_
#define PGLITE_WIRE_REQUEST_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::wire {

// Keep one and parse each request with it: it keeps its memory, so that parse() need not allocate.
class Request {
 public:
  struct Step {
    enum class Kind {
      kMessages,  // PostgreSQL reads `bytes`, one or more messages with a type
      kStartup,   // PostgreSQL reads `bytes`, one startup packet
      kAnswer,    // `bytes` is the answer; PostgreSQL has no part in it
    };
    // What PostgreSQL makes of `bytes` while COPY FROM STDIN waits for data.
    enum class InCopy {
      kContinues,  // the COPY may wait for more
      kEnds,       // they begin with what may come during a COPY, CopyDone or CopyFail among it
      kForbidden,  // PostgreSQL would end the session
    };

    Kind kind = Kind::kMessages;
    InCopy in_copy = InCopy::kContinues;
    std::string_view bytes;  // kMessages, kStartup: a part of the request
  };

  // Judges `bytes` as a whole, in one pass over the headers. Returns an empty string, or why
  // nothing of them may be run: they are not whole packets, or there is a password among them,
  // which nobody has asked for. steps() is empty then. `bytes` must stay while steps() is used.
  std::string parse(std::string_view bytes);

  // What is to be done, in this order. Packets without an effect have no step.
  [[nodiscard]] std::span<const Step> steps() const { return steps_; }

  // Whether the steps from the one numbered `first` on may run while COPY FROM STDIN waits. Up to
  // the end of the COPY, PostgreSQL then takes nothing but CopyData, CopyDone and CopyFail, and
  // ignores Flush and Sync. It ends the session over anything else, because it cannot tell any more
  // where the next message begins.
  [[nodiscard]] bool may_run_in_copy(size_t first) const;

 private:
  void add_message(char type, std::string_view bytes);

  std::vector<Step> steps_;
};

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_REQUEST_H_
