// A prepared trivial query, Bind + Execute + Sync a round, from a client that costs almost nothing;
// the same for every engine. One line of JSON on stdout, times in microseconds.
//
//   round_trip port COUNT PROGRAM [ARGUMENT...]   starts a port and talks packet4 over two pipes
//   round_trip unix COUNT SOCKET                  PostgreSQL on a unix socket
//   round_trip pipes COUNT REQUEST ANSWER         the floor: another process that reads REQUEST
//                                                 bytes and writes ANSWER bytes
//   round_trip echo REQUEST ANSWER                that other process, on stdin and stdout
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written <= 0) throw std::runtime_error("write failed");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

// One read of at most what is wanted in all; false at the end of input.
bool read_some(int fd, std::string* buffer, size_t wanted) {
  const size_t have = buffer->size();
  buffer->resize(wanted);
  const ssize_t got = ::read(fd, buffer->data() + have, wanted - have);
  buffer->resize(have + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return got > 0;
}

std::string big_endian(size_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift));
  return bytes;
}

std::string message(char type, const std::string& body) {
  return type + big_endian(body.size() + 4) + body;
}

const std::string kZero(1, '\0');

std::string parse_request() {
  return message('P', "s" + kZero + "select $1::int+1" + kZero + std::string(2, '\0')) +
         message('S', "");
}

std::string execute_request() {
  const std::string one("\0\1", 2);
  const std::string none("\0\0", 2);
  return message('B', kZero + "s" + kZero + none + one + big_endian(2) + "41" + none) +
         message('E', kZero + big_endian(0)) + message('S', "");
}

constexpr std::string_view kReady("Z\0\0\0\5I", 6);

// Whoever answers at the other end. An exchange sends a request and reads the whole answer to it.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual void exchange(std::string_view request, std::string* answer) = 0;
  // The request as it goes over the wire.
  virtual std::string framed(const std::string& request) const { return request; }
};

class Child : public Peer {
 public:
  template <typename Run>
  explicit Child(Run run) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe(in.data()) != 0 || ::pipe(out.data()) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cannot fork");
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      ::_exit(run());
    }
    ::close(in[0]);
    ::close(out[1]);
    to_ = in[1];
    from_ = out[0];
  }
  ~Child() override {
    ::close(to_);
    ::close(from_);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 protected:
  int to_ = -1;
  int from_ = -1;

 private:
  pid_t pid_ = -1;
};

class Port : public Child {
 public:
  explicit Port(char** command)
      : Child([command] {
          ::execvp(command[0], command);
          return 127;
        }) {}
  std::string framed(const std::string& request) const override {
    return big_endian(request.size()) + request;
  }
  void exchange(std::string_view request, std::string* answer) override {
    write_all(to_, request);
    answer->clear();
    // A read of more than the frame cannot happen: the port is silent until it is asked again.
    for (size_t wanted = 4; answer->size() < wanted;) {
      if (!read_some(from_, answer, 4096)) throw std::runtime_error("the port has ended");
      if (answer->size() < 4) continue;
      wanted = 4;
      for (size_t i = 0; i < 4; ++i) {
        wanted += size_t{static_cast<unsigned char>((*answer)[i])} << (24 - 8 * i);
      }
    }
  }
};

int echo(size_t request, size_t answer) {
  std::string buffer;
  const std::string reply(answer, 'x');
  for (;;) {
    buffer.clear();
    while (buffer.size() < request) {
      if (!read_some(0, &buffer, request)) return 0;
    }
    write_all(1, reply);
  }
}

class Echo : public Child {
 public:
  Echo(size_t request, size_t answer)
      : Child([request, answer] { return echo(request, answer); }), answer_(answer) {}
  void exchange(std::string_view request, std::string* answer) override {
    write_all(to_, request);
    answer->clear();
    while (answer->size() < answer_) {
      if (!read_some(from_, answer, answer_)) throw std::runtime_error("the echo has ended");
    }
  }

 private:
  size_t answer_;
};

class Socket : public Peer {
 public:
  explicit Socket(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error("the path is too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    sockaddr* generic = reinterpret_cast<sockaddr*>(&address);
    if (::connect(fd_, generic, sizeof(address)) != 0) throw std::runtime_error("cannot connect");
    std::string body = big_endian(196608);
    for (const char* word : {"user", "postgres", "database", "postgres"}) body += word + kZero;
    std::string answer;
    exchange(big_endian(body.size() + 5) + body + kZero, &answer);
  }
  ~Socket() override { ::close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void exchange(std::string_view request, std::string* answer) override {
    write_all(fd_, request);
    answer->clear();
    while (!answer->ends_with(kReady)) {
      if (!read_some(fd_, answer, answer->size() + 4096)) {
        throw std::runtime_error("the server has closed the connection");
      }
    }
  }

 private:
  int fd_;
};

void measure(Peer& peer, int count, const std::string& request) {
  std::string answer;
  peer.exchange(request, &answer);
  const std::string expected = answer;
  std::vector<double> samples;
  samples.reserve(static_cast<size_t>(count));
  for (int i = -count / 10; i < count; ++i) {  // a tenth more, to warm up
    const auto start = Clock::now();
    peer.exchange(request, &answer);
    const std::chrono::duration<double, std::micro> elapsed = Clock::now() - start;
    if (answer != expected) throw std::runtime_error("a different answer");
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
  std::string answer;
  peer.exchange(peer.framed(parse_request()), &answer);
  const std::string request = peer.framed(execute_request());
  peer.exchange(request, &answer);
  if (answer.find("\0\0\0\2"
                  "42",
                  0, 6) == std::string::npos) {
    throw std::runtime_error("not the right answer: " + answer);
  }
  measure(peer, count, request);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const auto number = [argv](int i) { return static_cast<size_t>(std::atol(argv[i])); };
  try {
    if (mode == "port" && argc >= 4) {
      Port port(argv + 3);
      measure_query(port, std::atoi(argv[2]));
    } else if (mode == "unix" && argc == 4) {
      Socket socket(argv[3]);
      measure_query(socket, std::atoi(argv[2]));
    } else if (mode == "pipes" && argc == 5) {
      Echo peer(number(3), number(4));
      measure(peer, std::atoi(argv[2]), std::string(number(3), 'x'));
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
