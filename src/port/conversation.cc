#include "port/conversation.h"

#include <cstring>

#include "port/read_ahead.h"
#include "wire/backend_message.h"
#include "wire/frontend.h"
#include "wire/hex_dump.h"

namespace pglite::port {
namespace {

// So many bytes of each message are shown; its beginning tells what it is.
constexpr size_t kDumpLimit = 512;

std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return line;
}

}  // namespace

Conversation::Conversation(Instance& instance, const PortOptions& options)
    : instance_(instance),
      options_(options),
      channel_(options.in, options.out, options.signals,
               [this] { return instance_.idle_deadline(); }),
      answer_(options.max_answer),
      sink_([this](std::string_view bytes) { receive(bytes); }) {
  channel_.on_tick([](void* conversation) { static_cast<Conversation*>(conversation)->tick(); },
                   this);
}

// Idle work gives way to whatever comes. A request gives way to a CancelRequest behind it, and ends
// where nobody would read its answer.
void Conversation::tick() {
  const Running running = running_.load(std::memory_order_relaxed);
  if (running == Running::kIdleWork && channel_.readable()) {
    instance_.cancel();
    return;
  }
  if (running != Running::kRequest) return;
  if (channel_.output_closed()) {
    instance_.cancel();
    return;
  }
  if (watched_ == Framing::kAuto && !options_.end_cancels) return;
  // Nobody else uses the buffer while a request runs, and the request's own bytes stay in place.
  const std::span<char> room = input_.room_at_hand();
  if (!room.empty() && !end_was_read_ && channel_.readable()) {
    const ssize_t got = channel_.read_at_hand(room);
    if (got == 0) end_was_read_ = true;
    if (got > 0) input_.filled(static_cast<size_t>(got));
  }
  if (end_was_read_ && options_.end_cancels) {
    instance_.cancel();
    return;
  }
  size_t seen = 0;
  const bool found = has_cancel_request(watched_, input_.bytes().substr(next_), &seen);
  // Where the instance has not come to the request yet, the next tick finds it again.
  if (!found || instance_.cancel()) next_ += seen;
}

bool Conversation::fill(size_t wanted) {
  if (closed_ || at_end_) return false;
  if (end_was_read_) {
    log(1, "port: end of input");
    at_end_ = true;
    return false;
  }
  const std::span<char> room = input_.room(wanted);
  if (room.empty()) {
    return fail_data("there is no memory for a request of more than " +
                     std::to_string(input_.size()) + " bytes");
  }
  size_t count = 0;
  Channel::Event event = channel_.read(room, &count);
  while (event == Channel::Event::kDeadline) {
    if (!idle()) return false;
    event = channel_.read(room, &count);
  }
  switch (event) {
    case Channel::Event::kDeadline:
      break;
    case Channel::Event::kBytes:
      input_.filled(count);
      return true;
    case Channel::Event::kEnd:
      log(1, "port: end of input");
      at_end_ = true;
      return false;
    case Channel::Event::kSignal:
      log(1, std::string("port: ") + strsignal(static_cast<int>(count)));
      return false;
    case Channel::Event::kOutputClosed:
      log(1, "port: stdout was closed");
      return false;
    case Channel::Event::kError:
      exit_code_ = kExitIo;
      send_error(std::string("cannot read stdin: ") + std::strerror(static_cast<int>(count)));
      return false;
  }
  return false;
}

bool Conversation::idle() {
  channel_.keep_ticking();  // to notice a request
  running_ = Running::kIdleWork;
  const Status status = instance_.idle(sink_);
  running_ = Running::kNothing;
  return status.ok() || refuse(status);
}

bool Conversation::refuse(const Status& status) {
  refused_ = true;
  scanner_.reset();
  if (status.code() != StatusCode::kInvalidArgument) exit_code_ = status.exit_code();
  if (status.code() == StatusCode::kSessionEnded && !answer_.empty()) {
    log(0, "ERROR: " + one_line(status.message()));
    send();
    return false;
  }
  return send_error(status.message()) && exit_code_ == kExitOk;
}

// Notes the protocol's state on the way. This costs a look at each message's header.
void Conversation::receive(std::string_view bytes) {
  // This answer is no message. The instance gives it to the sink by itself.
  if (bytes == wire::kEncryptionRefused && scanner_.at_boundary()) return answer_.append(bytes);
  if (options_.debug >= 2) {
    reader_.feed(bytes, [this](const wire::BackendMessage& m) { dump('<', m.type, m.bytes); });
  }
  size_t taken = 0;
  scanner_.scan(bytes, [&](char type, size_t consumed) {
    switch (type) {
      case 'G':
        in_copy_ = true;
        if (early_copy_in_response_ && in_batch_) {
          answer_.append(bytes.substr(taken, consumed - taken));
          taken = consumed;
          send();
        }
        break;
      case 'C':
      case 'E':
        in_copy_ = false;
        break;
      case 'Z':
        in_copy_ = in_batch_ = false;
        break;
      default:
        break;
    }
  });
  answer_.append(bytes.substr(taken));
}

bool Conversation::run(std::string_view request) {
  refused_ = false;
  if (options_.debug >= 2) {
    wire::for_each_packet(request,
                          [this](const wire::FrontendPacket& p) { dump('>', p.type, p.bytes); });
  }
  running_ = Running::kRequest;
  const Status status = instance_.exec_protocol(request, sink_);
  running_ = Running::kNothing;
  if (status.ok()) return !closed_;
  return refuse(status);
}

bool Conversation::send() {
  if (answer_.too_large()) {
    return send_error("the answer is larger than " + std::to_string(options_.max_answer) +
                      " bytes; ask for less at a time (LIMIT, a cursor, or a portal's row limit)");
  }
  if (closed_) return false;
  const Status status = channel_.write(answer_.frame());
  answer_.clear();
  if (status.ok()) return true;
  closed_ = true;
  if (status.code() == StatusCode::kDisconnected) {
    log(1, "port: " + status.message());
  } else {
    log(0, "ERROR: " + status.message());
    exit_code_ = kExitIo;
  }
  return false;
}

bool Conversation::send_error(std::string_view message) {
  const std::string line = "ERROR: " + one_line(message);
  log(0, line);
  answer_.replace(line);
  return send();
}

bool Conversation::fail_data(std::string_view message) {
  exit_code_ = kExitData;
  send_error(message);
  return false;
}

void Conversation::dump(char direction, char type, std::string_view bytes) const {
  log(2, std::string(1, direction) + " " + (type == 0 ? "packet" : wire::type_name(type)) + ", " +
             std::to_string(bytes.size()) + " bytes");
  wire::hex_dump(bytes, kDumpLimit, [this](std::string_view line) { log(2, line); });
}

void Conversation::log(int level, std::string_view line) const {
  if (level <= options_.debug && options_.log) options_.log(level, line);
}

}  // namespace pglite::port
