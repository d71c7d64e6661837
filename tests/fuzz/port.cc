// The whole port loop over an engine that answers anything: whatever comes in, whole frames go out.
#include "port/port.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "target.h"
#include "wire/byte_order.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"
#include "wire/request.h"

namespace pglite::fuzz {
namespace {

using port::Framing;
using namespace std::literals;

// Answers each message as little as the protocol allows. COPY: a Query or Execute of "copy".
class Engine : public Instance {
 public:
  Status exec_protocol(std::string_view request, const ResponseSink& sink) override {
    FUZZ_CHECK(!closed_);
    wire::Request parsed;
    if (const std::string error = parsed.parse(request); !error.empty()) {
      return Status::invalid_argument(error);
    }
    for (const wire::Request::Step& step : parsed.steps()) {
      if (step.kind == wire::Request::Step::Kind::kAnswer) {
        sink(step.bytes);
        continue;
      }
      Status status;
      wire::for_each_packet(step.bytes, [&](const wire::FrontendPacket& packet) {
        if (status.ok()) status = answer(packet, sink);
      });
      if (!status.ok()) return status;
    }
    return {};
  }
  bool cancel() override { return true; }
  Status close() override {
    FUZZ_CHECK(!closed_);
    closed_ = true;
    return {};
  }

 private:
  Status answer(const wire::FrontendPacket& packet, const ResponseSink& sink) {
    const std::string ready = wire::message('Z', "I");
    if (packet.kind != wire::PacketKind::kMessage) {
      FUZZ_CHECK(packet.kind == wire::PacketKind::kStartup);
      sink(wire::message('R', "\0\0\0\0"s) + ready);
      return {};
    }
    const std::string_view body = packet.bytes.substr(5);
    switch (packet.type) {
      case 'Q':
      case 'E':
        if (body.starts_with("refuse")) return Status::invalid_argument("refused");
        if (body.starts_with("gone")) return Status::engine_gone("gone\nfor ever");
        if (body.starts_with("copy")) {
          in_copy_ = true;
          sink(wire::message('G', "\0\0\0"s));
          return {};
        }
        sink(wire::message('C', "DONE\0"s));
        if (packet.type == 'Q') sink(ready);
        return {};
      case 'c':
      case 'f':
        if (in_copy_) sink(wire::message(packet.type == 'c' ? 'C' : 'E', "\0"s) + ready);
        in_copy_ = false;
        return {};
      case 'S':
      case 'F':
        if (!in_copy_) sink(ready);
        return {};
      default:
        FUZZ_CHECK(packet.type != 'X');
        return {};
    }
  }

  bool in_copy_ = false;
  bool closed_ = false;
};

class TemporaryFile {
 public:
  TemporaryFile() : file_(std::tmpfile()) { FUZZ_CHECK(file_ != nullptr); }
  ~TemporaryFile() { std::fclose(file_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] int fd() const { return fileno(file_); }
  [[nodiscard]] std::string content() const {
    std::string bytes(static_cast<size_t>(::lseek(fd(), 0, SEEK_END)), '\0');
    FUZZ_CHECK(::pread(fd(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

 private:
  std::FILE* file_;
};

std::string framed(std::string_view content) {
  std::string out;
  wire::append_u32(out, static_cast<uint32_t>(content.size()));
  return out.append(content);
}

// How many frames begin in packet4 input.
size_t count_frames(std::string_view input) {
  size_t count = 0;
  for (; !input.empty(); ++count) {
    if (input.size() < 4) return count + 1;
    const uint64_t size = uint64_t{4} + wire::load_u32(input);
    input.remove_prefix(std::min<uint64_t>(size, input.size()));
  }
  return count;
}

}  // namespace

// The first byte: the framing, and a debug level in bit 2.
std::vector<std::string> seeds() {
  const std::string batch = wire::parse("", "x") + wire::bind("", "") + wire::describe('P', "") +
                            wire::execute("") + wire::sync();
  const std::string copy =
      wire::query("copy") + wire::copy_data("1\n") + wire::copy_done() + wire::terminate();
  const std::string opening = wire::ssl_request() + wire::startup_packet({});
  return {"\0"s + framed(opening) + framed(batch) + framed(wire::query("refuse")) + framed(""),
          "\1"s + framed(copy.substr(0, 10)) + framed(copy.substr(10)) + framed(wire::flush()),
          "\2"s + opening + batch + "\r\n" + copy + wire::cancel_request(1, 2),
          "\3"s + "select 1;\n\\q\nrefuse\ncopy\n",
          "\4"s + batch + wire::query("gone") + wire::query("x"),
          "\0"s + "select 1\nselect 2"};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite;
  using namespace pglite::fuzz;
  Input input(data, size);
  const auto how = input.get<uint8_t>();
  const std::string_view bytes = input.rest();
  TemporaryFile in;
  TemporaryFile out;
  FUZZ_CHECK(::pwrite(in.fd(), bytes.data(), bytes.size(), 0) ==
             static_cast<ssize_t>(bytes.size()));
  Engine engine;
  port::PortOptions options;
  options.in = in.fd();
  options.out = out.fd();
  options.framing =
      std::array{Framing::kAuto, Framing::kPacket4, Framing::kRaw, Framing::kLine}[how & 3];
  options.debug = (how & 4) != 0 ? 2 : 0;
  options.max_request = 4096;
  options.max_answer = 4096;
  options.log = [](int, std::string_view line) {
    FUZZ_CHECK(line.find('\n') == std::string_view::npos);
  };
  const int exit_code = port::serve(engine, options);
  FUZZ_CHECK(exit_code == 0 || exit_code == 65 || exit_code == 70);

  const std::string answer = out.content();
  size_t frames = 0;
  for (std::string_view rest = answer; !rest.empty(); ++frames) {
    FUZZ_CHECK(rest.size() >= 4);
    const size_t length = wire::load_u32(rest);
    FUZZ_CHECK(length <= rest.size() - 4);
    std::string_view frame = rest.substr(4, length);
    rest.remove_prefix(4 + length);
    if (frame.starts_with("ERROR: ")) continue;
    // Backend messages, and the N of a refused encryption.
    while (!frame.empty()) {
      if (frame[0] == 'N') {
        frame.remove_prefix(1);
        continue;
      }
      FUZZ_CHECK(frame.size() >= 5);
      const size_t message = size_t{1} + wire::load_u32(frame.substr(1));
      FUZZ_CHECK(message <= frame.size());
      frame.remove_prefix(message);
    }
  }
  // Exactly one answer for each frame, until it ends.
  if (options.framing == Framing::kPacket4) {
    FUZZ_CHECK(frames <= count_frames(bytes));
    if (exit_code == 0) FUZZ_CHECK(frames == count_frames(bytes));
  }
  return 0;
}
