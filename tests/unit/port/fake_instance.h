// An Instance without PostgreSQL: answers as the protocol wants it, and does what the SQL says.
//
//   copy      waits for CopyData, in a Query or as the name of the executed portal
//   big N     a DataRow of N bytes, given to the sink in pieces
//   gone      half an answer, then kEngineGone
//   refuse    kInvalidArgument
//   fatal     an ErrorResponse, then kSessionEnded
//   anything  CommandComplete with the SQL as its tag
#ifndef PGLITE_TESTS_UNIT_PORT_FAKE_INSTANCE_H_
#define PGLITE_TESTS_UNIT_PORT_FAKE_INSTANCE_H_

#include <pglite/instance.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/frontend.h"
#include "wire/frontend_message.h"
#include "wire/request.h"

namespace pglite::port {

class FakeInstance : public Instance {
 public:
  Status exec_protocol(std::string_view request, const ResponseSink& sink) override {
    requests.emplace_back(request);
    wire::Request parsed;
    if (const std::string error = parsed.parse(request); !error.empty()) {
      return Status::invalid_argument(error);
    }
    for (const wire::Request::Step& step : parsed.steps()) {
      if (step.kind == wire::Request::Step::Kind::kAnswer) {
        sink(step.bytes);
        continue;
      }
      calls.emplace_back(step.bytes);
      if (on_call) on_call();
      Status status;
      wire::for_each_packet(step.bytes, [&](const wire::FrontendPacket& packet) {
        if (status.ok()) status = handle(packet, sink);
      });
      if (!status.ok()) return status;
    }
    return {};
  }

  bool cancel() override {
    if (out_of_reach > 0) {
      --out_of_reach;
      return false;
    }
    cancelled = true;
    return true;
  }
  std::optional<Clock::time_point> idle_deadline() override { return deadline; }
  Status idle(const ResponseSink& sink) override {
    ++idle_count;
    return on_idle ? on_idle(sink) : Status();
  }

  Status close() override {
    ++close_count;
    return close_status;
  }

  static std::string command_complete(std::string_view tag) {
    return wire::message('C', std::string(tag) + '\0');
  }
  static std::string ready() { return wire::message('Z', "I"); }
  static std::string copy_in() { return wire::message('G', std::string(3, '\0')); }
  static std::string error(std::string_view message) {
    return wire::message('E', "M" + std::string(message) + std::string(2, '\0'));
  }

  std::vector<std::string> requests;  // as the port gave them
  std::vector<std::string> calls;     // what of them PostgreSQL would get, run by run
  std::string copied;
  std::function<void()> on_call;
  std::optional<Clock::time_point> deadline;
  std::function<Status(const ResponseSink&)> on_idle;
  int idle_count = 0;
  std::atomic<bool> cancelled = false;
  std::atomic<int> out_of_reach = 0;  // so many cancels reach nothing
  Status close_status;
  int close_count = 0;

 private:
  enum class Copy { kNone, kSimple, kExtended };

  Status handle(const wire::FrontendPacket& packet, const ResponseSink& sink) {
    if (packet.kind == wire::PacketKind::kStartup) {
      sink(wire::message('R', std::string(4, '\0')) + ready());
      return {};
    }
    const std::string_view body = packet.bytes.substr(5);
    switch (packet.type) {
      case 'Q':
        return query(body.substr(0, body.size() - 1), sink);
      case 'P':
        sink(wire::message('1', ""));
        break;
      case 'B':
        sink(wire::message('2', ""));
        break;
      case 'D':
        sink(wire::message('n', ""));
        break;
      case 'C':
        sink(wire::message('3', ""));
        break;
      case 'E':
        if (body.starts_with("copy")) {
          copy_ = Copy::kExtended;
          sink(copy_in());
        } else {
          sink(command_complete("EXECUTE"));
        }
        break;
      case 'S':
        if (copy_ == Copy::kNone) sink(ready());
        break;
      case 'F':
        sink(wire::message('V', std::string(4, '\xff')) + ready());
        break;
      case 'd':
        copied += body;
        break;
      case 'c':
        end_copy(command_complete("COPY"), sink);
        break;
      case 'f':
        end_copy(error(body.substr(0, body.size() - 1)), sink);
        break;
      default:
        break;
    }
    return {};
  }

  Status query(std::string_view sql, const ResponseSink& sink) {
    if (sql == "copy") {
      copy_ = Copy::kSimple;
      sink(copy_in());
      return {};
    }
    if (sql == "gone") {
      sink("D\0\0");
      return Status::engine_gone("the engine trapped: unreachable\nat 0x1234");
    }
    if (sql == "fatal") {
      sink(error("the end"));
      return Status::session_ended("the session is over");
    }
    if (sql == "refuse") return Status::invalid_argument("refused");
    if (sql.starts_with("big ")) {
      const std::string row =
          wire::message('D', std::string(std::stoul(std::string(sql.substr(4))), 'x'));
      constexpr size_t kPiece = 8192;
      for (size_t at = 0; at < row.size(); at += kPiece)
        sink(std::string_view(row).substr(at, kPiece));
      sink(ready());
      return {};
    }
    sink(command_complete(sql.substr(0, 60)));
    sink(ready());
    return {};
  }

  void end_copy(const std::string& answer, const ResponseSink& sink) {
    if (copy_ == Copy::kNone) return;
    sink(answer);
    if (copy_ == Copy::kSimple) sink(ready());
    copy_ = Copy::kNone;
  }

  Copy copy_ = Copy::kNone;
};

}  // namespace pglite::port

#endif  // PGLITE_TESTS_UNIT_PORT_FAKE_INSTANCE_H_
