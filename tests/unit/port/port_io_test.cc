// The port on pipes and sockets: pieces of any size, signals, closed ends, large requests. The
// client runs in a thread of the test; the port itself has none.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "fake_instance.h"
#include "os/shutdown_signals.h"
#include "port/port.h"
#include "port/read_ahead.h"
#include "wire/byte_order.h"

namespace pglite::port {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::StartsWith;
using namespace std::literals;
using wire::query;

std::string done() {
  return FakeInstance::command_complete("select 1") + FakeInstance::ready();
}

std::string framed(std::string_view content) {
  std::string out;
  wire::append_u32(out, static_cast<uint32_t>(content.size()));
  return out.append(content);
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      pollfd wait = {fd, POLLOUT, 0};
      if (errno != EAGAIN || ::poll(&wait, 1, -1) < 0) return;
      continue;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

// Reads one frame's content; "(end)" where there is none.
std::string read_frame(int fd) {
  const auto read_exactly = [fd](char* to, size_t size) {
    while (size > 0) {
      const ssize_t got = ::read(fd, to, size);
      if (got <= 0) return false;
      to += got;
      size -= static_cast<size_t>(got);
    }
    return true;
  };
  char header[4];
  if (!read_exactly(header, sizeof header)) return "(end)";
  std::string content(wire::load_u32(header), '\0');
  return read_exactly(content.data(), content.size()) ? content : "(cut)";
}

std::vector<std::string> read_frames(int fd) {
  std::vector<std::string> frames;
  while (true) {
    std::string frame = read_frame(fd);
    if (frame == "(end)") return frames;
    frames.push_back(std::move(frame));
  }
}

class PortIoTest : public ::testing::Test {
 protected:
  PortIoTest() {
    EXPECT_EQ(::pipe2(in_, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(out_, O_CLOEXEC), 0);
    options.in = in_[0];
    options.out = out_[1];
    options.signals = &signals;
    options.log = [this](int, std::string_view line) { log.emplace_back(line); };
  }
  ~PortIoTest() override {
    for (int* fd : {&in_[0], &in_[1], &out_[0], &out_[1]}) close_fd(fd);
  }

  static void close_fd(int* fd) {
    if (*fd >= 0) ::close(*fd);
    *fd = -1;
  }

  // Serves in this thread while `client` runs in another. Its ends of the pipes are in_[1],
  // out_[0].
  template <class Client>
  int serve_with(Client client) {
    std::thread thread(client);
    const int exit_code = serve(instance, options);
    close_fd(&out_[1]);
    thread.join();
    EXPECT_EQ(instance.close_count, 1);
    return exit_code;
  }

  void end_input() { close_fd(&in_[1]); }

  os::ShutdownSignals signals;  // before any thread, so that all of them block the signals
  FakeInstance instance;
  PortOptions options;
  std::vector<std::string> log;
  int in_[2];
  int out_[2];
};

struct Stream {
  Framing framing;
  std::string name;
  std::string input;
  std::vector<std::string> frames;
};

std::vector<Stream> streams() {
  const std::string asked =
      wire::message('1', "") + wire::message('2', "") + FakeInstance::copy_in();
  const std::string copied = FakeInstance::command_complete("COPY") + FakeInstance::ready();
  const std::string raw = wire::ssl_request() + query("select 1") + wire::parse("", "x") +
                          wire::flush() + wire::bind("", "") + wire::sync() + wire::parse("", "x") +
                          wire::bind("copy", "") + wire::execute("copy") + wire::sync() +
                          wire::copy_data("abc\n") + wire::copy_done() + wire::sync() +
                          query("copy") + wire::copy_data("def\n") + wire::copy_done();
  const std::vector<std::string> raw_frames = {"N",
                                               done(),
                                               wire::message('1', ""),
                                               wire::message('2', "") + FakeInstance::ready(),
                                               asked,
                                               "",
                                               copied,
                                               FakeInstance::copy_in(),
                                               copied};
  const std::string packet4 = framed(query("select 1")) + framed("") + framed(wire::flush()) +
                              framed("garbage") + framed(query("select 1"));
  const std::vector<std::string> packet4_frames = {
      done(), "", "", "ERROR: unknown message type 'g' at offset 0", done()};
  const std::string line = "select 1\n\r\n\nselect 1\r\nsel\0ct\nselect 1"s;
  const std::vector<std::string> line_frames = {done(), done(), "ERROR: line 5 contains a NUL byte",
                                                done()};
  return {{Framing::kRaw, "Raw", raw, raw_frames},
          {Framing::kAuto, "AutoRaw", raw, raw_frames},
          {Framing::kPacket4, "Packet4", packet4, packet4_frames},
          {Framing::kAuto, "AutoPacket4", packet4, packet4_frames},
          {Framing::kLine, "Line", line, line_frames},
          {Framing::kAuto, "AutoLine", line, line_frames}};
}

class PieceTest : public PortIoTest, public ::testing::WithParamInterface<Stream> {};

TEST_P(PieceTest, AByteAtATime) {
  options.framing = GetParam().framing;
  std::vector<std::string> frames;
  const int exit_code = serve_with([&] {
    std::thread writer([&] {
      for (char byte : GetParam().input) {
        write_all(in_[1], {&byte, 1});
        // Lets the port see the byte alone; where it does not, the result is the same.
        std::this_thread::sleep_for(200us);
      }
      end_input();
    });
    frames = read_frames(out_[0]);
    writer.join();
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(frames, GetParam().frames);
}

TEST_P(PieceTest, CutAnywhereInTwo) {
  options.framing = GetParam().framing;
  for (size_t cut = 0; cut <= GetParam().input.size(); cut += 3) {
    FakeInstance fresh;
    int in[2];
    int out[2];
    ASSERT_EQ(::pipe2(in, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
    PortOptions here = options;
    here.in = in[0];
    here.out = out[1];
    write_all(in[1], GetParam().input.substr(0, cut));
    std::thread writer([&] {
      std::this_thread::sleep_for(1ms);
      write_all(in[1], GetParam().input.substr(cut));
      ::close(in[1]);
    });
    EXPECT_EQ(serve(fresh, here), 0);
    writer.join();
    ::close(out[1]);
    EXPECT_EQ(read_frames(out[0]), GetParam().frames) << cut;
    ::close(out[0]);
    ::close(in[0]);
  }
}

INSTANTIATE_TEST_SUITE_P(Streams, PieceTest, ::testing::ValuesIn(streams()),
                         [](const auto& stream) { return stream.param.name; });

TEST_F(PortIoTest, AnswersBeforeMoreInputComes) {
  const int exit_code = serve_with([&] {
    for (int i = 0; i < 100; ++i) {
      write_all(in_[1], framed(query("select 1")));
      EXPECT_EQ(read_frame(out_[0]), done());
    }
    end_input();
  });
  EXPECT_EQ(exit_code, 0);
}

TEST_F(PortIoTest, FiftyMegabytesBothWays) {
  constexpr size_t kSize = 50'000'000;
  std::string parameter(kSize, 'p');
  const wire::Parameter parameters[] = {{parameter, true}};
  const std::string batch = wire::parse("", "x") + wire::bind("", "", parameters) + wire::sync();
  for (Framing framing : {Framing::kPacket4, Framing::kRaw}) {
    FakeInstance fresh;
    int in[2];
    int out[2];
    ASSERT_EQ(::pipe2(in, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
    PortOptions here = options;
    here.in = in[0];
    here.out = out[1];
    here.framing = framing;
    std::string big;
    std::string small;
    std::thread client([&] {
      const std::string ask = query("big " + std::to_string(kSize));
      write_all(in[1], framing == Framing::kPacket4 ? framed(batch) : batch);
      small = read_frame(out[0]);
      write_all(in[1], framing == Framing::kPacket4 ? framed(ask) : ask);
      big = read_frame(out[0]);
      ::close(in[1]);
    });
    EXPECT_EQ(serve(fresh, here), 0);
    client.join();
    for (int fd : {in[0], out[0], out[1]}) ::close(fd);
    EXPECT_EQ(small, wire::message('1', "") + wire::message('2', "") + FakeInstance::ready());
    EXPECT_TRUE(big == wire::message('D', std::string(kSize, 'x')) + FakeInstance::ready());
    std::string got;
    for (const std::string& call : fresh.calls) {
      if (call.starts_with('P') || call.starts_with('B') || call.starts_with('S')) got += call;
    }
    EXPECT_TRUE(got == batch);
  }
}

TEST_F(PortIoTest, TinyPipesAndNonBlockingEnds) {
  ASSERT_GE(::fcntl(in_[1], F_SETPIPE_SZ, 4096), 0);
  ASSERT_GE(::fcntl(out_[1], F_SETPIPE_SZ, 4096), 0);
  ::fcntl(in_[0], F_SETFL, O_NONBLOCK);
  ::fcntl(out_[1], F_SETFL, O_NONBLOCK);
  constexpr size_t kSize = 1'000'000;
  std::string big;
  std::string last;
  const int exit_code = serve_with([&] {
    std::thread writer([&] {
      write_all(in_[1], framed(query("big " + std::to_string(kSize))));
      write_all(in_[1], framed(query(std::string(kSize, 'q'))));
      end_input();
    });
    std::this_thread::sleep_for(20ms);  // until the port waits for room to write
    big = read_frame(out_[0]);
    last = read_frame(out_[0]);
    writer.join();
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_TRUE(big == wire::message('D', std::string(kSize, 'x')) + FakeInstance::ready());
  EXPECT_EQ(last, FakeInstance::command_complete(std::string(60, 'q')) + FakeInstance::ready());
}

TEST_F(PortIoTest, OneSocketForBothDirections) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  options.in = options.out = pair[0];
  const int exit_code = serve_with([&] {
    write_all(pair[1], framed(query("select 1")));
    EXPECT_EQ(read_frame(pair[1]), done());
    write_all(pair[1], framed(query("select 1")));
    ::shutdown(pair[1], SHUT_WR);
    EXPECT_EQ(read_frame(pair[1]), done()) << "only one direction was closed";
  });
  EXPECT_EQ(exit_code, 0);
  ::close(pair[0]);
  ::close(pair[1]);
}

TEST_F(PortIoTest, OutputClosedWhileWaiting) {
  const int exit_code = serve_with([&] {
    write_all(in_[1], framed(query("select 1")));
    EXPECT_EQ(read_frame(out_[0]), done());
    close_fd(&out_[0]);  // the input stays open
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(log, SizeIs(0));
}

TEST_F(PortIoTest, OutputClosedInTheMiddleOfAnAnswer) {
  const int exit_code = serve_with([&] {
    write_all(in_[1], framed(query("big 10000000")) + framed(query("select 1")));
    char some[1000];
    EXPECT_GT(::read(out_[0], some, sizeof some), 0);
    close_fd(&out_[0]);
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(instance.calls, SizeIs(1)) << "nothing more is run for nobody";
}

TEST_F(PortIoTest, SignalWhileWaiting) {
  for (int number : {SIGTERM, SIGINT}) {
    instance.close_count = 0;
    std::thread client([&] {
      write_all(in_[1], framed(query("select 1")));
      EXPECT_EQ(read_frame(out_[0]), done());
      std::this_thread::sleep_for(20ms);
      ::kill(::getpid(), number);
    });
    EXPECT_EQ(serve(instance, options), 0);
    client.join();
    EXPECT_EQ(instance.close_count, 1);
  }
}

TEST_F(PortIoTest, SignalBeforeTheFirstRead) {
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(serve(instance, options), 0);
  EXPECT_EQ(instance.close_count, 1);
}

TEST_F(PortIoTest, SignalDuringARequestLetsItFinish) {
  instance.on_call = [] { ::kill(::getpid(), SIGTERM); };
  const int exit_code = serve_with([&] {
    write_all(in_[1], framed(query("select 1")));
    EXPECT_EQ(read_frame(out_[0]), done());
    EXPECT_EQ(read_frame(out_[0]), "(end)");
  });
  EXPECT_EQ(exit_code, 0);
}

TEST_F(PortIoTest, SignalInsideAFrameDropsIt) {
  const int exit_code = serve_with([&] {
    write_all(in_[1], framed(query("select 1")).substr(0, 10));
    std::this_thread::sleep_for(20ms);
    ::kill(::getpid(), SIGTERM);
    EXPECT_EQ(read_frame(out_[0]), "(end)");
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(instance.calls, SizeIs(0));
}

TEST_F(PortIoTest, SignalWhileRequestsComeAllTheTime) {
  const int exit_code = serve_with([&] {
    for (int i = 0;; ++i) {
      write_all(in_[1], framed(query("select 1")));
      if (read_frame(out_[0]) != done()) break;
      if (i == 100) ::kill(::getpid(), SIGTERM);
    }
  });
  EXPECT_EQ(exit_code, 0);
}

// Long enough for the port to wait in all its ways.
TEST_F(PortIoTest, WakesUpAfterAnyPause) {
  const int exit_code = serve_with([&] {
    for (int i = 0; i < 100; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(i));
      write_all(in_[1], framed(query("select 1")));
      EXPECT_EQ(read_frame(out_[0]), done());
    }
    end_input();
  });
  EXPECT_EQ(exit_code, 0);
}

TEST_F(PortIoTest, IdleWorkIsDoneAtItsDeadline) {
  using Clock = Instance::Clock;
  instance.deadline = Clock::now() + 30ms;
  const Clock::time_point due = *instance.deadline;
  instance.on_idle = [&](const ResponseSink&) {
    EXPECT_GE(Clock::now(), due);
    instance.deadline.reset();
    end_input();
    return Status();
  };
  EXPECT_EQ(serve(instance, options), 0);
  EXPECT_EQ(instance.idle_count, 1);
}

TEST_F(PortIoTest, IdleWorkIsDoneAlsoWhenRequestsComeAllTheTime) {
  instance.deadline = Instance::Clock::now();
  std::atomic<bool> idled = false;
  instance.on_idle = [&](const ResponseSink&) {
    instance.deadline.reset();
    idled = true;
    return Status();
  };
  instance.on_call = [&] {
    if (!idled) instance.deadline = Instance::Clock::now();
  };
  const int exit_code = serve_with([&] {
    while (!idled) {
      write_all(in_[1], framed(query("select 1")));
      EXPECT_EQ(read_frame(out_[0]), done());
    }
    end_input();
  });
  EXPECT_EQ(exit_code, 0);
}

TEST_F(PortIoTest, ASessionThatEndsWhileIdleSaysSo) {
  instance.deadline = Instance::Clock::now() + 5ms;
  instance.on_idle = [&](const ResponseSink& sink) {
    sink(FakeInstance::error("idle for too long"));
    return Status::session_ended("the session is over");
  };
  EXPECT_EQ(serve(instance, options), 70);
  close_fd(&out_[1]);
  EXPECT_THAT(read_frames(out_[0]), ElementsAre(FakeInstance::error("idle for too long")));
  EXPECT_THAT(log, ElementsAre("ERROR: the session is over"));
}

TEST_F(PortIoTest, ASessionThatEndsInARequestAnswersIt) {
  write_all(in_[1], framed(query("fatal")) + framed(query("select 1")));
  EXPECT_EQ(serve(instance, options), 70);
  close_fd(&out_[1]);
  EXPECT_THAT(read_frames(out_[0]), ElementsAre(FakeInstance::error("the end")));
}

struct CancelCase {
  std::string name;
  Framing framing;
  bool non_blocking;
  bool at_once;  // the CancelRequest is there before the request runs
};

class CancelTest : public PortIoTest, public ::testing::WithParamInterface<CancelCase> {};

TEST_P(CancelTest, ACancelRequestInterruptsTheRequestThatRuns) {
  const CancelCase& here = GetParam();
  options.framing = here.framing;
  if (here.non_blocking) ::fcntl(in_[0], F_SETFL, O_NONBLOCK);
  const auto wrap = [&](const std::string& message) {
    return here.framing == Framing::kPacket4 ? framed(message) : message;
  };
  const std::string cancel = wrap(wire::cancel_request(1, 2));
  std::atomic<bool> runs = false;
  // As a query that goes on until it is cancelled.
  instance.on_call = [&] {
    runs = true;
    while (!instance.cancelled) std::this_thread::yield();
  };
  std::vector<std::string> frames;
  const int exit_code = serve_with([&] {
    write_all(in_[1], wrap(query("select 1")) + (here.at_once ? cancel : ""));
    while (!runs) std::this_thread::yield();
    if (!here.at_once) write_all(in_[1], cancel);
    end_input();
    frames = read_frames(out_[0]);
  });
  EXPECT_EQ(exit_code, 0);
  std::vector<std::string> expected = {done()};
  if (here.framing == Framing::kPacket4) expected.emplace_back();
  EXPECT_EQ(frames, expected);
}

// The instance may still be at something else, in front of the request.
TEST_F(PortIoTest, ACancelRequestWaitsForTheRequestToBegin) {
  instance.out_of_reach = 3;
  instance.on_call = [&] {
    while (!instance.cancelled) std::this_thread::yield();
  };
  std::vector<std::string> frames;
  const int exit_code = serve_with([&] {
    write_all(in_[1], framed(query("select 1")) + framed(wire::cancel_request(1, 2)));
    end_input();
    frames = read_frames(out_[0]);
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_EQ(frames, (std::vector<std::string>{done(), ""}));
}

INSTANTIATE_TEST_SUITE_P(Cases, CancelTest,
                         ::testing::Values(CancelCase{"Packet4", Framing::kPacket4, false, false},
                                           CancelCase{"Raw", Framing::kRaw, false, false},
                                           CancelCase{"NonBlocking", Framing::kPacket4, true,
                                                      false},
                                           CancelCase{"Behind", Framing::kPacket4, false, true},
                                           CancelCase{"BehindRaw", Framing::kRaw, false, true}),
                         [](const auto& test) { return test.param.name; });

class EndOfInputTest : public PortIoTest, public ::testing::WithParamInterface<Framing> {};

// As one that waits for nobody any more: the request that runs is cancelled, and those behind it.
TEST_P(EndOfInputTest, CancelsWhatRunsWhereItIsToldTo) {
  options.framing = GetParam();
  options.end_cancels = true;
  instance.on_call = [&] {
    instance.cancelled = false;
    while (!instance.cancelled) std::this_thread::yield();
  };
  std::string request = options.framing == Framing::kLine ? "select 1\n" : query("select 1");
  if (options.framing == Framing::kPacket4) request = framed(request);
  std::vector<std::string> frames;
  const int exit_code = serve_with([&] {
    write_all(in_[1], request + request);
    end_input();
    frames = read_frames(out_[0]);
  });
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(frames, ElementsAre(done(), done()));
}

INSTANTIATE_TEST_SUITE_P(Framings, EndOfInputTest,
                         ::testing::Values(Framing::kPacket4, Framing::kRaw, Framing::kLine));

TEST_F(PortIoTest, IdleWorkGivesWayToARequest) {
  instance.deadline = Instance::Clock::now() + 100ms;  // while the port waits without a ticker
  instance.on_idle = [&](const ResponseSink&) {
    instance.deadline.reset();
    write_all(in_[1], framed(query("select 1")));
    while (!instance.cancelled) std::this_thread::yield();
    return Status();
  };
  const int exit_code = serve_with([&] {
    EXPECT_EQ(read_frame(out_[0]), done());
    end_input();
  });
  EXPECT_EQ(exit_code, 0);
}

std::string cancel_frames(size_t count) {
  std::string frames;
  for (size_t i = 0; i < count; ++i) frames += framed(wire::sync());
  return frames + framed(wire::cancel_request(1, 2));
}

TEST(ReadAhead, FindsACancelRequestAtABoundary) {
  size_t seen = 0;
  for (size_t before : {0, 1, 7}) {
    const std::string frames = cancel_frames(before);
    EXPECT_TRUE(has_cancel_request(Framing::kPacket4, frames, &seen));
    EXPECT_EQ(seen, frames.size());
    EXPECT_FALSE(has_cancel_request(Framing::kPacket4, frames.substr(0, frames.size() - 1), &seen));
    EXPECT_EQ(seen, frames.size() - 20);
  }
  const std::string raw = query("x") + "\n" + wire::sync() + wire::cancel_request(1, 2);
  EXPECT_TRUE(has_cancel_request(Framing::kRaw, raw, &seen));
  EXPECT_FALSE(has_cancel_request(Framing::kRaw, raw.substr(0, raw.size() - 1), &seen));
}

TEST(ReadAhead, FindsACancelRequestOfProtocol3_2) {
  std::string cancel = wire::cancel_request(1, 2) + std::string(28, 'k');  // a key of 32 bytes
  wire::store_u32(cancel.data(), static_cast<uint32_t>(cancel.size()));
  size_t seen = 0;
  EXPECT_TRUE(has_cancel_request(Framing::kRaw, cancel, &seen));
  EXPECT_TRUE(has_cancel_request(Framing::kPacket4, framed(cancel), &seen));
}

TEST(ReadAhead, ContentIsNoCancelRequest) {
  size_t seen = 0;
  const std::string inside = query(wire::cancel_request(1, 2));
  EXPECT_FALSE(has_cancel_request(Framing::kRaw, inside, &seen));
  EXPECT_FALSE(has_cancel_request(Framing::kPacket4, framed(inside), &seen));
  EXPECT_FALSE(has_cancel_request(Framing::kLine, wire::cancel_request(1, 2), &seen));
  // A length that makes no sense, and one beyond everything.
  EXPECT_FALSE(has_cancel_request(Framing::kRaw, std::string(100, '\0'), &seen));
  EXPECT_FALSE(has_cancel_request(Framing::kRaw, std::string(100, '\xff'), &seen));
  EXPECT_FALSE(has_cancel_request(Framing::kPacket4, std::string(100, '\xff'), &seen));
  EXPECT_FALSE(has_cancel_request(Framing::kPacket4, "", &seen));
}

TEST_F(PortIoTest, UnreadableInput) {
  options.in = ::open("/", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(serve(instance, options), 74);
  ::close(options.in);
  close_fd(&out_[1]);
  EXPECT_THAT(read_frames(out_[0]), ElementsAre("ERROR: cannot read stdin: Is a directory"));
}

TEST_F(PortIoTest, UnwritableOutput) {
  options.out = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  write_all(in_[1], framed(query("select 1")) + framed(query("select 1")));
  end_input();
  EXPECT_EQ(serve(instance, options), 74);
  ::close(options.out);
  EXPECT_THAT(log, ElementsAre("ERROR: cannot write to stdout: No space left on device"));
  EXPECT_THAT(instance.calls, SizeIs(1));
}

}  // namespace
}  // namespace pglite::port
