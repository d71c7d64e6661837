// What the port answers to which input. Input and output are files here: port_io_test.cc has the
// pipes.
#include "port/port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "fake_instance.h"
#include "wire/byte_order.h"

namespace pglite::port {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using namespace std::literals;
using wire::query;
using wire::sync;

std::string done() {
  return FakeInstance::command_complete("select 1") + FakeInstance::ready();
}
std::string ready() {
  return FakeInstance::ready();
}
std::string garbage() {
  return "\1\2\3 garbage";
}

std::string framed(std::string_view content) {
  std::string out;
  wire::append_u32(out, static_cast<uint32_t>(content.size()));
  return out.append(content);
}

class PortTest : public ::testing::Test {
 protected:
  // Runs the port on `input` and returns the contents of the frames it wrote.
  std::vector<std::string> serve_all(Framing framing, std::string_view input) {
    options.in = memfd_create("in", MFD_CLOEXEC);
    options.out = memfd_create("out", MFD_CLOEXEC);
    EXPECT_EQ(::write(options.in, input.data(), input.size()), static_cast<ssize_t>(input.size()));
    ::lseek(options.in, 0, SEEK_SET);
    options.framing = framing;
    options.log = [this](int, std::string_view line) { log.emplace_back(line); };
    exit_code = serve(instance, options);
    struct stat status{};
    ::fstat(options.out, &status);
    std::string output(static_cast<size_t>(status.st_size), '\0');
    EXPECT_EQ(::pread(options.out, output.data(), output.size(), 0), status.st_size);
    ::close(options.in);
    ::close(options.out);
    EXPECT_EQ(instance.close_count, 1);

    std::vector<std::string> frames;
    for (std::string_view rest = output; !rest.empty();) {
      if (rest.size() < 4 || rest.size() - 4 < wire::load_u32(rest)) {
        ADD_FAILURE() << "cut frame";
        break;
      }
      const uint32_t size = wire::load_u32(rest);
      frames.emplace_back(rest.substr(4, size));
      rest.remove_prefix(size_t{4} + size);
    }
    return frames;
  }

  FakeInstance instance;
  PortOptions options;
  std::vector<std::string> log;
  int exit_code = -1;
};

using Packet4 = PortTest;
using Raw = PortTest;
using Line = PortTest;
using Auto = PortTest;

TEST_F(Packet4, OneFrameForEachFrame) {
  const std::string input = framed(query("select 1")) + framed(wire::terminate()) +
                            framed(wire::flush()) + framed("") +
                            framed(wire::cancel_request(1, 2)) + framed(query("select 1"));
  EXPECT_THAT(serve_all(Framing::kPacket4, input), ElementsAre(done(), "", "", "", "", done()));
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(instance.calls, SizeIs(3)) << "Terminate and CancelRequest are not the engine's";
  EXPECT_THAT(log, IsEmpty());
}

TEST_F(Packet4, RunsMessagesOfAFrameTogether) {
  const std::string batch = wire::parse("", "x") + wire::bind("", "") + wire::execute("") + sync();
  const std::string answer = wire::message('1', "") + wire::message('2', "") +
                             FakeInstance::command_complete("EXECUTE") + ready();
  EXPECT_THAT(serve_all(Framing::kPacket4, framed(batch)), ElementsAre(answer));
  EXPECT_THAT(instance.calls, ElementsAre(batch));
}

TEST_F(Packet4, AnswersWhatStandsBetweenMessages) {
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  const std::string startup = wire::startup_packet(user);
  const std::string input = framed(wire::ssl_request() + query("select 1") + wire::terminate() +
                                   query("select 1") + wire::gssenc_request() + startup + sync());
  const std::string started = wire::message('R', std::string(4, '\0')) + ready();
  EXPECT_THAT(serve_all(Framing::kPacket4, input),
              ElementsAre("N" + done() + done() + "N" + started + ready()));
  EXPECT_THAT(instance.calls, ElementsAre(query("select 1"), query("select 1"), startup, sync()));
}

TEST_F(Packet4, TheInstanceGetsEachFrameWhole) {
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  const std::string first = wire::ssl_request() + wire::startup_packet(user) + query("select 1") +
                            wire::terminate() + query("select 1");
  const std::string second = query("select 1") + wire::message('p', "secret\0"sv);
  serve_all(Framing::kPacket4, framed(first) + framed("") + framed(second));
  EXPECT_THAT(instance.requests, ElementsAre(first, "", second));
  EXPECT_THAT(instance.calls, SizeIs(3)) << "of the frame with a password nothing is run";
}

TEST_F(Raw, TheRefusalOfEncryptionDoesNotHideWhatFollows) {
  // N is also the type of a NoticeResponse. Were it taken for one, the CopyInResponse behind it
  // would go unseen, and in raw framing would not be sent before the Sync.
  const std::string begin = wire::ssl_request() + wire::parse("", "x") + wire::bind("copy", "");
  const std::string asked =
      wire::message('1', "") + wire::message('2', "") + FakeInstance::copy_in();
  EXPECT_THAT(serve_all(Framing::kRaw, begin + wire::execute("copy") + sync()),
              ElementsAre("N", asked, ""));
}

TEST_F(Packet4, BadContentCostsOneFrame) {
  std::string lie = query("select 1");
  lie[4] = 77;
  std::string tiny = query("select 1");
  tiny[4] = 2;
  const std::string input = framed(garbage()) + framed(lie) + framed(tiny) + framed("Z\0\0\0\4"sv) +
                            framed(wire::message('p', "secret\0"sv)) +
                            framed("\0\0\0\x08\0\2\0\0"sv) + framed(query("refuse")) +
                            framed(query("select 1") + "?") + framed(query("select 1"));
  const auto frames = serve_all(Framing::kPacket4, input);
  EXPECT_THAT(
      frames,
      ElementsAre("ERROR: unknown message type 0x01 at offset 0",
                  "ERROR: message 'Q' at offset 0 needs 78 bytes, but its frame has only 14 more",
                  "ERROR: message 'Q' at offset 0 has length 2, which is not in 4 to 1073741822",
                  "ERROR: unknown message type 'Z' at offset 0",
                  "ERROR: message 'p' (a password) was not asked for and is refused",
                  "ERROR: startup packet at offset 0 asks for protocol 2.0, which is not 3",
                  "ERROR: refused", "ERROR: unknown message type '?' at offset 14", done()));
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(log, ::testing::ElementsAreArray(frames.begin(), frames.end() - 1))
      << "the same lines";
  EXPECT_THAT(instance.calls, ElementsAre(query("refuse"), query("select 1")))
      << "of a bad frame nothing is run";
}

TEST_F(Packet4, TruncatedFrame) {
  EXPECT_THAT(serve_all(Framing::kPacket4,
                        framed(query("select 1")) + framed(query("select 1")).substr(0, 12)),
              ElementsAre(done(), "ERROR: input ended inside a frame: 8 of 14 bytes came"));
  EXPECT_EQ(exit_code, 65);
}

TEST_F(Packet4, TruncatedLength) {
  EXPECT_THAT(serve_all(Framing::kPacket4, "\0\0\0"sv),
              ElementsAre("ERROR: input ended inside a frame's length: 3 of 4 bytes came"));
  EXPECT_EQ(exit_code, 65);
}

TEST_F(Packet4, FrameOfTwoGiB) {
  EXPECT_THAT(serve_all(Framing::kPacket4, framed(query("select 1")) + "\x80\0\0\0Q"s),
              ElementsAre(done(),
                          "ERROR: a frame of 2147483648 bytes is larger than the limit of "
                          "1074790400"));
  EXPECT_EQ(exit_code, 65);
}

TEST_F(Packet4, EngineGone) {
  EXPECT_THAT(serve_all(Framing::kPacket4, framed(query("select 1")) +
                                               framed(query("select 1") + query("gone")) +
                                               framed(query("select 1"))),
              ElementsAre(done(), "ERROR: the engine trapped: unreachable at 0x1234"))
      << "one line, and nothing of the answer that was begun";
  EXPECT_EQ(exit_code, 70);
}

TEST_F(Packet4, AnswerTooLarge) {
  options.max_answer = 50;
  EXPECT_THAT(serve_all(Framing::kPacket4, framed(query("big 100")) + framed(query("select 1"))),
              ElementsAre(StartsWith("ERROR: the answer is larger than 50 bytes"), done()));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Packet4, CloseFails) {
  instance.close_status = Status::io_error("cannot write the checkpoint: No space left on device");
  serve_all(Framing::kPacket4, framed(query("select 1")));
  EXPECT_EQ(exit_code, 74);
  EXPECT_THAT(log, ElementsAre("ERROR: cannot write the checkpoint: No space left on device"));
}

TEST_F(Packet4, CopyIn) {
  EXPECT_THAT(
      serve_all(Framing::kPacket4, framed(query("copy")) + framed(wire::copy_data("1\n")) +
                                       framed(wire::copy_data("2\n") + wire::copy_done())),
      ElementsAre(FakeInstance::copy_in(), "", FakeInstance::command_complete("COPY") + ready()));
  EXPECT_EQ(instance.copied, "1\n2\n");
}

TEST_F(Packet4, NoInputAtAll) {
  EXPECT_THAT(serve_all(Framing::kPacket4, ""), IsEmpty());
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Raw, OneFrameForEachCompletedRequest) {
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  const std::string batch = wire::parse("", "x") + wire::bind("", "") + wire::describe('P', "") +
                            wire::execute("") + sync();
  const std::string input = wire::ssl_request() + wire::gssenc_request() +
                            wire::cancel_request(1, 2) + wire::startup_packet(user) +
                            query("select 1") + batch + wire::message('F', "x") + sync() +
                            wire::terminate() + query("never");
  EXPECT_THAT(serve_all(Framing::kRaw, input),
              ElementsAre("N", "N", wire::message('R', std::string(4, '\0')) + ready(), done(),
                          wire::message('1', "") + wire::message('2', "") + wire::message('n', "") +
                              FakeInstance::command_complete("EXECUTE") + ready(),
                          wire::message('V', std::string(4, '\xff')) + ready(), ready()));
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(instance.calls, ElementsAre(wire::startup_packet(user), query("select 1"), batch,
                                          wire::message('F', "x"), sync()));
}

TEST_F(Raw, FlushDeliversWhatThereIs) {
  const std::string input = wire::flush() + wire::parse("", "x") + wire::flush() + wire::flush() +
                            wire::bind("", "") + wire::execute("") + sync();
  EXPECT_THAT(
      serve_all(Framing::kRaw, input),
      ElementsAre(wire::message('1', ""),
                  wire::message('2', "") + FakeInstance::command_complete("EXECUTE") + ready()));
}

TEST_F(Raw, SimpleCopyIn) {
  const std::string data = wire::copy_data("1\n");
  EXPECT_THAT(
      serve_all(Framing::kRaw, query("copy") + data + data + wire::copy_done() + query("copy") +
                                   data + wire::copy_fail("no") + query("select 1")),
      ElementsAre(FakeInstance::copy_in(), FakeInstance::command_complete("COPY") + ready(),
                  FakeInstance::copy_in(), FakeInstance::error("no") + ready(), done()));
  EXPECT_EQ(instance.copied, "1\n1\n1\n");
}

TEST_F(Raw, CopyInInsideABatch) {
  const std::string begin = wire::parse("", "x") + wire::bind("copy", "");
  const std::string data = wire::copy_data("1\n");
  const std::string asked =
      wire::message('1', "") + wire::message('2', "") + FakeInstance::copy_in();
  const std::string copied = FakeInstance::command_complete("COPY") + ready();
  // As libpq does it: a Sync right behind Execute (which PostgreSQL then ignores), another at the
  // end. The first one's frame is empty, because the CopyInResponse went ahead.
  EXPECT_THAT(serve_all(Framing::kRaw, begin + wire::execute("copy") + sync() + data +
                                           wire::copy_done() + sync() + query("select 1")),
              ElementsAre(asked, "", copied, done()));
}

TEST_F(Raw, CopyInInsideABatchWithoutSync) {
  const std::string begin = wire::parse("", "x") + wire::bind("copy", "");
  EXPECT_THAT(serve_all(Framing::kRaw, begin + wire::execute("copy") + wire::flush() +
                                           wire::copy_data("1\n") + wire::copy_done() + sync()),
              ElementsAre(wire::message('1', "") + wire::message('2', "") + FakeInstance::copy_in(),
                          FakeInstance::command_complete("COPY") + ready()));
}

TEST_F(Raw, NewlinesBetweenMessagesAreSkipped) {
  EXPECT_THAT(serve_all(Framing::kRaw,
                        query("select 1") + "\n" + wire::parse("", "x") + "\r\n" + sync() + "\n"),
              ElementsAre(done(), wire::message('1', "") + ready()));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Raw, KeptAnswersAreNotLostAtTheEnd) {
  EXPECT_THAT(serve_all(Framing::kRaw, wire::parse("", "x")), ElementsAre(wire::message('1', "")));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Raw, Garbage) {
  EXPECT_THAT(serve_all(Framing::kRaw, query("select 1") + garbage() + query("select 1")),
              ElementsAre(done(), "ERROR: unknown message type 0x01 at offset 14"));
  EXPECT_EQ(exit_code, 65);
  EXPECT_THAT(log, ElementsAre("ERROR: unknown message type 0x01 at offset 14"));
}

TEST_F(Raw, LengthThatLies) {
  EXPECT_THAT(serve_all(Framing::kRaw, query("select 1") + "Q\0\0\0\3x"s),
              ElementsAre(done(),
                          "ERROR: message 'Q' at offset 14 has length 3, which is not in 4 "
                          "to 1073741822"));
  EXPECT_EQ(exit_code, 65);
}

TEST_F(Raw, TruncatedMessage) {
  EXPECT_THAT(
      serve_all(Framing::kRaw, query("select 1") + query("select 1").substr(0, 11)),
      ElementsAre(done(),
                  "ERROR: input ended inside message 'Q' at offset 14: 11 of 14 bytes came"));
  EXPECT_EQ(exit_code, 65);
}

TEST_F(Raw, PasswordIsRefusedAndTheSessionGoesOn) {
  EXPECT_THAT(serve_all(Framing::kRaw, wire::message('p', "x\0"sv) + query("select 1")),
              ElementsAre(HasSubstr("password"), done()));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Raw, EngineGone) {
  EXPECT_THAT(serve_all(Framing::kRaw, wire::parse("", "x") + query("gone") + query("select 1")),
              ElementsAre("ERROR: the engine trapped: unreachable at 0x1234"));
  EXPECT_EQ(exit_code, 70);
}

TEST_F(Line, EachLineIsAQuery) {
  EXPECT_THAT(serve_all(Framing::kLine, "\xef\xbb\xbfselect 1\n\n\r\nselect 1\r\nselect 1"),
              ElementsAre(done(), done(), done()));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Line, NulInsideALine) {
  EXPECT_THAT(serve_all(Framing::kLine, "select 1\n\nsel\0ct\nselect 1\n"sv),
              ElementsAre(done(), "ERROR: line 3 contains a NUL byte", done()));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Line, CopyFromStdinDoesNotHang) {
  EXPECT_THAT(
      serve_all(Framing::kLine, "copy\nselect 1\n"),
      ElementsAre(FakeInstance::copy_in() +
                      FakeInstance::error("COPY FROM STDIN is not possible in line framing") +
                      ready(),
                  done()));
}

TEST_F(Line, TooLong) {
  options.max_request = 1000;
  EXPECT_THAT(serve_all(Framing::kLine, "select 1\n" + std::string(2000, 'x')),
              ElementsAre(done(), "ERROR: line 2 is longer than the limit of 1000 bytes"));
  EXPECT_EQ(exit_code, 65);
}

TEST_F(Line, EngineGone) {
  EXPECT_THAT(serve_all(Framing::kLine, "gone\nselect 1\n"), ElementsAre(StartsWith("ERROR: ")));
  EXPECT_EQ(exit_code, 70);
}

TEST_F(Auto, Packet4) {
  EXPECT_THAT(serve_all(Framing::kAuto, framed(query("select 1"))), ElementsAre(done()));
}

TEST_F(Auto, RawAsInTheSeedDocument) {
  EXPECT_THAT(serve_all(Framing::kAuto, "Q\0\0\0\x0dselect 1\0\n"sv), ElementsAre(done()));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Auto, Line) {
  EXPECT_THAT(serve_all(Framing::kAuto, "select 1"), ElementsAre(done()));
  EXPECT_EQ(exit_code, 0);
}

TEST_F(Auto, Garbage) {
  EXPECT_THAT(serve_all(Framing::kAuto, "\xff\xfe\xfd\xfc\xfb\xfa"),
              ElementsAre("ERROR: the first bytes ff fe fd fc fb fa belong to no framing; accepted "
                          "are packet4, raw and line"));
  EXPECT_EQ(exit_code, 65);
  EXPECT_THAT(instance.calls, IsEmpty());
}

TEST_F(Auto, EndsBeforeItCanTell) {
  EXPECT_THAT(serve_all(Framing::kAuto, "\0\0\0"sv),
              ElementsAre("ERROR: input ended after 00 00 00, too early to tell its framing"));
  EXPECT_EQ(exit_code, 65);
}

TEST_F(Auto, NoInputAtAll) {
  EXPECT_THAT(serve_all(Framing::kAuto, ""), IsEmpty());
  EXPECT_EQ(exit_code, 0);
}

TEST_F(PortTest, DebugLevels) {
  options.debug = 2;
  serve_all(Framing::kAuto, framed(wire::ssl_request()) + framed(query("select 1")));
  EXPECT_THAT(log, ElementsAre("port: ready, framing auto", "port: the framing is packet4",
                               "> packet, 8 bytes",
                               "00000000  00 00 00 08 04 d2 16 2f                           "
                               "|......./|",
                               "> 'Q', 14 bytes",
                               "00000000  51 00 00 00 0d 73 65 6c  65 63 74 20 31 00        "
                               "|Q....select 1.|",
                               "< 'C', 14 bytes",
                               "00000000  43 00 00 00 0d 73 65 6c  65 63 74 20 31 00        "
                               "|C....select 1.|",
                               "< 'Z', 6 bytes",
                               "00000000  5a 00 00 00 05 49                                 "
                               "|Z....I|",
                               "port: end of input", "port: closed, exit code 0"));
}

TEST_F(PortTest, DebugDumpIsBounded) {
  options.debug = 2;
  serve_all(Framing::kPacket4, framed(query("big 1000000")));
  EXPECT_THAT(log, SizeIs(::testing::Lt(60U)));
}

TEST_F(PortTest, ErrorFrameWithoutAnInstance) {
  options.out = memfd_create("out", MFD_CLOEXEC);
  options.log = [this](int, std::string_view line) { log.emplace_back(line); };
  send_error_frame("cannot open ./x: Permission denied", options);
  char bytes[64];
  const ssize_t size = ::pread(options.out, bytes, sizeof bytes, 0);
  ::close(options.out);
  EXPECT_EQ(std::string(bytes, static_cast<size_t>(size)),
            framed("ERROR: cannot open ./x: Permission denied"));
  EXPECT_THAT(log, ElementsAre("ERROR: cannot open ./x: Permission denied"));
}

}  // namespace
}  // namespace pglite::port
