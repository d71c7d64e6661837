// Whoever answers at the other end, for compiled clients: the same code for every engine.
//
// A request is one or more frames. A frame is a length (4 bytes, big endian) and that many bytes of
// frontend messages: what a port reads as it is, and a socket without the length.
#ifndef PGLITE_BENCH_PEER_H_
#define PGLITE_BENCH_PEER_H_

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bench {

inline uint32_t load_u32(const char* p) {
  const auto byte = [p](int i) { return uint32_t{static_cast<unsigned char>(p[i])}; };
  return (byte(0) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3);
}

inline std::string big_endian(size_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift));
  return bytes;
}

inline std::string frame(const std::string& messages) {
  return big_endian(messages.size()) + messages;
}

// The bytes of an answer. Memory that was used once is used again without being touched in between.
class Answer {
 public:
  explicit Answer(size_t capacity = size_t{1} << 16)
      : bytes_(std::make_unique_for_overwrite<char[]>(capacity)), capacity_(capacity) {}

  void clear() { size_ = scanned_ = 0; }
  // Room for at least `size` further bytes.
  char* space(size_t size) {
    if (capacity_ - size_ < size) {
      const size_t larger = std::max(capacity_ * 2, size_ + size);
      auto bytes = std::make_unique_for_overwrite<char[]>(larger);
      std::memcpy(bytes.get(), bytes_.get(), size_);
      bytes_ = std::move(bytes);
      capacity_ = larger;
    }
    return bytes_.get() + size_;
  }
  void commit(size_t size) { size_ += size; }
  void append(std::string_view bytes) {
    std::memcpy(space(bytes.size()), bytes.data(), bytes.size());
    commit(bytes.size());
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.get(), size_}; }
  [[nodiscard]] size_t size() const { return size_; }

  // Whether it ends with a whole ReadyForQuery.
  bool ready() {
    char last = 0;
    while (size_ - scanned_ >= 5) {
      const size_t length = size_t{1} + load_u32(bytes_.get() + scanned_ + 1);
      if (size_ - scanned_ < length) return false;
      last = bytes_[scanned_];
      scanned_ += length;
    }
    return last == 'Z' && scanned_ == size_;
  }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t capacity_;
  size_t size_ = 0;
  size_t scanned_ = 0;  // where the first message begins that was not whole yet
};

class Peer {
 public:
  Peer() = default;
  virtual ~Peer() = default;
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Sends a request and reads the whole answer to it.
  virtual void exchange(std::span<const std::string_view> frames, Answer* answer) = 0;
  void exchange(const std::string& frame, Answer* answer) {
    const std::string_view one(frame);
    exchange(std::span(&one, 1), answer);
  }
};

inline void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written <= 0) throw std::runtime_error("write failed");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

constexpr size_t kReadSize = size_t{1} << 16;  // what a pipe holds

// One read; false at the end of input.
inline bool read_some(int fd, size_t size, Answer* answer) {
  const ssize_t got = ::read(fd, answer->space(size), size);
  if (got <= 0) return false;
  answer->commit(static_cast<size_t>(got));
  return true;
}

// A child process with its stdin and stdout on pipes.
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

// pglite-port, packet4: a frame is answered by a frame.
class Port : public Child {
 public:
  explicit Port(char** command)
      : Child([command] {
          ::execvp(command[0], command);
          return 127;
        }) {}

  using Peer::exchange;
  void exchange(std::span<const std::string_view> frames, Answer* answer) override {
    answer->clear();
    for (const std::string_view frame : frames) {
      write_all(to_, frame);
      receive(answer);
    }
  }

 private:
  void receive(Answer* answer) {
    // A read beyond the frame cannot happen: the port is silent until it is asked again.
    std::array<char, 4> length{};
    size_t head = 0;
    size_t left = 0;
    while (head < length.size() || left > 0) {
      char* space = answer->space(kReadSize);
      const std::array<iovec, 2> parts{
          {{length.data() + head, length.size() - head}, {space, kReadSize}}};
      const ssize_t result = ::readv(from_, parts.data(), 2);
      if (result <= 0) throw std::runtime_error("the port has ended");
      auto got = static_cast<size_t>(result);
      if (head < length.size()) {
        const size_t part = std::min(got, length.size() - head);
        head += part;
        got -= part;
        if (head == length.size()) left = load_u32(length.data());
      }
      answer->commit(got);
      left -= got;
    }
  }
};

// PostgreSQL's protocol on a unix socket.
class Socket : public Peer {
 public:
  explicit Socket(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error("the path is too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    sockaddr* generic = reinterpret_cast<sockaddr*>(&address);
    if (::connect(fd_, generic, sizeof(address)) != 0) throw std::runtime_error("cannot connect");
    const std::string zero(1, '\0');
    std::string body = big_endian(196608);
    for (const char* word : {"user", "postgres", "database", "postgres"}) body += word + zero;
    body += zero;
    Answer answer;
    exchange(frame(big_endian(body.size() + 4) + body), &answer);
  }
  ~Socket() override { ::close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  using Peer::exchange;
  void exchange(std::span<const std::string_view> frames, Answer* answer) override {
    answer->clear();
    for (const std::string_view frame : frames) write_all(fd_, frame.substr(4));
    while (!answer->ready()) {
      if (!read_some(fd_, kReadSize, answer)) {
        throw std::runtime_error("the server has closed the connection");
      }
    }
  }

 private:
  int fd_;
};

}  // namespace bench

#endif  // PGLITE_BENCH_PEER_H_
