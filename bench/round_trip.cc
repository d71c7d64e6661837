// A prepared trivial query, Bind + Execute + Sync a round, from a client that costs almost nothing;
// the same for every engine. One line of JSON on stdout, times in microseconds.
//
//   round_trip port COUNT PROGRAM [ARGUMENT...]   starts a port and talks packet4 over two pipes
//   round_trip unix COUNT SOCKET                  PostgreSQL on a unix socket
//   round_trip pipes COUNT REQUEST ANSWER         the floor: another process that reads REQUEST
//                                                 bytes and writes ANSWER bytes
//   round_trip echo REQUEST ANSWER                that other process, on stdin and stdout
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "peer.h"

namespace {

using bench::Answer;
using bench::big_endian;
using bench::Peer;

using Clock = std::chrono::steady_clock;

std::string message(char type, const std::string& body) {
  return type + big_endian(body.size() + 4) + body;
}

std::string text(std::string_view text) {
  return std::string(text) + '\0';
}

std::string parse_request() {
  return message('P', text("s") + text("select $1::int+1") + std::string(2, '\0')) +
         message('S', "");
}

std::string execute_request() {
  const std::string one("\0\1", 2);
  const std::string none("\0\0", 2);
  return message('B', text("") + text("s") + none + one + big_endian(2) + "41" + none) +
         message('E', text("") + big_endian(0)) + message('S', "");
}

int echo(size_t request, size_t answer) {
  Answer buffer(request);
  const std::string reply(answer, 'x');
  for (;;) {
    buffer.clear();
    while (buffer.size() < request) {
      if (!bench::read_some(0, request - buffer.size(), &buffer)) return 0;
    }
    bench::write_all(1, reply);
  }
}

class Echo : public bench::Child {
 public:
  Echo(size_t request, size_t answer)
      : Child([request, answer] { return echo(request, answer); }), answer_(answer) {}
  using Peer::exchange;
  void exchange(std::span<const std::string_view> frames, Answer* answer) override {
    answer->clear();
    for (const std::string_view frame : frames) bench::write_all(to_, frame);
    while (answer->size() < answer_) {
      if (!bench::read_some(from_, bench::kReadSize, answer)) {
        throw std::runtime_error("the echo has ended");
      }
    }
  }

 private:
  size_t answer_;
};

void measure(Peer& peer, int count, const std::string& request) {
  Answer answer;
  peer.exchange(request, &answer);
  const std::string expected(answer.view());
  std::vector<double> samples;
  samples.reserve(static_cast<size_t>(count));
  for (int i = -count / 10; i < count; ++i) {  // a tenth more, to warm up
    const auto start = Clock::now();
    peer.exchange(request, &answer);
    const std::chrono::duration<double, std::micro> elapsed = Clock::now() - start;
    if (answer.view() != expected) throw std::runtime_error("a different answer");
    if (i >= 0) samples.push_back(elapsed.count());
  }
  std::sort(samples.begin(), samples.end());
  const auto quantile = [&samples](double q) {
    return samples[static_cast<size_t>(q * static_cast<double>(samples.size() - 1))];
  };
  std::printf(
      "{\"count\": %d, \"median_us\": %.3f, \"p99_us\": %.3f, \"request_bytes\": %zu, "
      "\"answer_bytes\": %zu}\n",
      count, quantile(0.5), quantile(0.99), request.size(), expected.size());
}

void measure_query(Peer& peer, int count) {
  Answer answer;
  peer.exchange(bench::frame(parse_request()), &answer);
  const std::string request = bench::frame(execute_request());
  peer.exchange(request, &answer);
  constexpr std::string_view kAnswer("\0\0\0\00242", 6);
  if (answer.view().find(kAnswer) == std::string_view::npos) {
    throw std::runtime_error("not the right answer: " + std::string(answer.view()));
  }
  measure(peer, count, request);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const auto number = [argv](int i) { return std::stoul(argv[i]); };
  const auto count = [argv] { return std::stoi(argv[2]); };
  try {
    if (mode == "port" && argc >= 4) {
      bench::Port port(argv + 3);
      measure_query(port, count());
    } else if (mode == "unix" && argc == 4) {
      bench::Socket socket(argv[3]);
      measure_query(socket, count());
    } else if (mode == "pipes" && argc == 5) {
      Echo peer(number(3), number(4));
      measure(peer, count(), std::string(number(3), 'x'));
    } else if (mode == "echo" && argc == 4) {
      return echo(number(2), number(3));
    } else {
      std::fputs(
          "round_trip: port COUNT PROGRAM... | unix COUNT SOCKET | pipes COUNT REQUEST ANSWER | "
          "echo REQUEST ANSWER\n",
          stderr);
      return 64;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "round_trip: %s\n", error.what());
    return 1;
  }
  return 0;
}
