// What the three framings share: reading, running, answering, failing.
#ifndef PGLITE_PORT_CONVERSATION_H_
#define PGLITE_PORT_CONVERSATION_H_

#include <pglite/instance.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "port/answer.h"
#include "port/channel.h"
#include "port/input_buffer.h"
#include "port/port.h"
#include "wire/backend.h"

namespace pglite::port {

inline constexpr int kExitOk = 0;
inline constexpr int kExitData = 65;
inline constexpr int kExitEngine = 70;
inline constexpr int kExitIo = 74;

class Conversation {
 public:
  Conversation(Instance& instance, const PortOptions& options);

  [[nodiscard]] const PortOptions& options() const { return options_; }
  InputBuffer& input() { return input_; }
  Answer& answer() { return answer_; }

  // Each of these returns whether to go on. If not, exit_code() is how the session ends; it is
  // kExitOk unless something failed.

  // Reads more input, once. `wanted` is how much the input should hold then, as far as is known
  // (SIZE_MAX: it is not). Also false at the end of the input: then at_end() is true.
  bool fill(size_t wanted);
  [[nodiscard]] bool at_end() const { return at_end_; }

  // Has the instance judge and run a request: whole packets of any kind. Their answers are added to
  // the answer. If the request is refused or fails, an ERROR frame takes the place of the answer
  // and is sent.
  bool run(std::string_view request);
  // `next` is where the next frame or message begins in the input, behind the request that runs
  // next. What comes there while that runs is read, and a CancelRequest in it interrupts the
  // request.
  void watch_for_cancel(Framing framing, size_t next) {
    watched_ = framing;
    next_ = next;
  }
  // Sends the answer as one frame and begins the next.
  bool send();
  // Drops the answer and sends an ERROR frame in its place.
  bool send_error(std::string_view message);
  // Same, and ends the session: the input cannot be understood any further.
  bool fail_data(std::string_view message);

  [[nodiscard]] int exit_code() const { return exit_code_; }

  // What the answers seen so far say about the protocol's state.
  //
  // An extended-protocol batch is open: Parse .. Execute were run and no ReadyForQuery was seen.
  [[nodiscard]] bool in_batch() const { return in_batch_; }
  void begin_batch() { in_batch_ = true; }
  // PostgreSQL waits for CopyData.
  [[nodiscard]] bool in_copy() const { return in_copy_; }
  // Sends what there is as soon as a CopyInResponse appears inside a batch: its client will send no
  // data, and so no Sync, before it has seen it.
  void send_copy_in_response_early() { early_copy_in_response_ = true; }
  // The last run() was answered with an ERROR frame.
  [[nodiscard]] bool refused() const { return refused_; }

  void log(int level, std::string_view line) const;

 private:
  void receive(std::string_view bytes);
  // Calls Instance::idle. An answer goes out at once, in a frame that nobody asked for: it ends the
  // session.
  bool idle();
  // Sends what there is to say about a `status` that is not ok(). Returns whether to go on.
  bool refuse(const Status& status);
  // In the ticker's signal handler.
  void tick();
  void dump(char direction, char type, std::string_view bytes) const;

  Instance& instance_;
  const PortOptions& options_;
  Channel channel_;
  InputBuffer input_;
  Answer answer_;
  wire::BackendScanner scanner_;
  wire::BackendReader reader_;  // for the dump
  ResponseSink sink_;
  // What runs, for tick().
  enum class Running { kNothing, kRequest, kIdleWork };
  std::atomic<Running> running_ = Running::kNothing;
  Framing watched_ = Framing::kAuto;  // kAuto: nothing is watched
  size_t next_ = 0;
  bool end_was_read_ = false;
  bool at_end_ = false;
  bool closed_ = false;
  bool in_batch_ = false;
  bool in_copy_ = false;
  bool early_copy_in_response_ = false;
  bool refused_ = false;
  int exit_code_ = kExitOk;
};

// Each serves conversation.input() until the session ends.
void serve_packet4(Conversation& conversation);
void serve_raw(Conversation& conversation);
void serve_line(Conversation& conversation);

}  // namespace pglite::port

#endif  // PGLITE_PORT_CONVERSATION_H_
