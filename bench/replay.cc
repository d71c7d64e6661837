// Sends a workload (bench/workload.py wrote it) to one engine and says how long each of its items
// took. One line of JSON on stdout.
//
//   replay FILE instance [DATA_DIR]           pglite::Instance in this process
//   replay FILE port PROGRAM [ARGUMENT...]    a port, packet4 over two pipes
//   replay FILE unix SOCKET                   a server on a unix socket
//   replay FILE pipes BYTES...                the floor: a process that reads each request and
//   writes
//                                             as many bytes as an item's answers have on average
//   replay FILE memcpy BYTES...               the floor: both copied, in this process
//
// The clock runs while a request is sent and its answer read; afterwards the answer is looked at:
// an ErrorResponse ends everything, the rows go into a checksum that is the same for all engines.
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "peer.h"
#include "pglite/instance.h"

namespace {

using bench::Answer;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kMagic = "pglite-replay 1\n";

// What has been read of a workload file, front to back.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::string_view take(size_t size) {
    if (rest_.size() < size) throw std::runtime_error("the workload file is truncated");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  uint32_t number() { return bench::load_u32(&take(4)[0]); }
  std::string_view framed() {
    const std::string_view from = rest_;
    return from.substr(0, 4 + take(number()).size());
  }

 private:
  std::string_view rest_;
};

class InProcess : public bench::Peer {
 public:
  explicit InProcess(const pglite::Options& options) {
    const pglite::Status status = pglite::Instance::open(options, &instance_);
    if (!status.ok()) throw std::runtime_error(status.message());
  }
  using Peer::exchange;
  void exchange(std::span<const std::string_view> frames, Answer* answer) override {
    answer->clear();
    for (const std::string_view frame : frames) {
      const pglite::Status status = instance_->exec_protocol(
          frame.substr(4), [answer](std::string_view bytes) { answer->append(bytes); });
      if (!status.ok()) throw std::runtime_error(status.message());
    }
  }

 private:
  std::unique_ptr<pglite::Instance> instance_;
};

// No database: takes a request and gives an answer of a size that is set before.
class Floor {
 public:
  virtual ~Floor() = default;
  void set_answer(uint32_t size) { answer_size_ = size; }

 protected:
  Floor() = default;
  Floor(const Floor&) = default;
  Floor& operator=(const Floor&) = default;
  [[nodiscard]] uint32_t answer_size() const { return answer_size_; }

 private:
  uint32_t answer_size_ = 0;
};

// The other process of the pipe floor: a frame and the size of its answer, until the input ends.
int serve_floor() {
  Answer request;
  const auto read_whole = [&request](size_t size) {
    request.clear();
    while (request.size() < size) {
      if (!bench::read_some(0, size - request.size(), &request)) return false;
    }
    return true;
  };
  std::string answer;
  while (read_whole(8)) {
    const uint32_t answer_size = bench::load_u32(&request.view()[0]);
    if (!read_whole(bench::load_u32(&request.view()[4]))) break;
    answer.resize(answer_size, 'x');
    bench::write_all(1, answer);
  }
  return 0;
}

class PipeFloor : public bench::Child, public Floor {
 public:
  PipeFloor() : Child(serve_floor) {}
  using Peer::exchange;
  void exchange(std::span<const std::string_view> frames, Answer* answer) override {
    answer->clear();
    for (size_t i = 0; i < frames.size(); ++i) {
      const size_t size = i + 1 == frames.size() ? answer_size() : 0;
      const std::string head = bench::big_endian(size);
      if (frames[i].size() < bench::kReadSize) {
        bench::write_all(to_, head + std::string(frames[i]));
      } else {
        bench::write_all(to_, head);
        bench::write_all(to_, frames[i]);
      }
    }
    while (answer->size() < answer_size()) {
      if (!bench::read_some(from_, bench::kReadSize, answer)) {
        throw std::runtime_error("the floor has ended");
      }
    }
  }
};

class MemcpyFloor : public bench::Peer, public Floor {
 public:
  using Peer::exchange;
  void exchange(std::span<const std::string_view> frames, Answer* answer) override {
    request_.clear();
    for (const std::string_view frame : frames) request_.append(frame);
    if (source_.size() < answer_size()) source_.resize(answer_size(), 'x');
    answer->clear();
    answer->append(std::string_view(source_).substr(0, answer_size()));
  }

 private:
  Answer request_;
  std::string source_;
};

struct Seen {
  uLong checksum = crc32(0, nullptr, 0);
  size_t rows = 0;
  size_t bytes = 0;
  std::string error;  // the first ErrorResponse, fit for JSON
};

// The rows, copied data and command tags of an answer. RowDescription holds object identifiers,
// which need not be the same in two clusters.
void look_at(std::string_view answer, Seen* seen) {
  seen->bytes += answer.size();
  char last = 0;
  while (answer.size() >= 5) {
    last = answer[0];
    const size_t size = size_t{1} + bench::load_u32(&answer[1]);
    if (size > answer.size()) throw std::runtime_error("an answer that ends inside a message");
    if (last == 'E' && seen->error.empty()) {
      seen->error = answer.substr(5, size - 5);
      std::ranges::replace_if(
          seen->error, [](unsigned char c) { return c < ' ' || c == '"' || c == '\\'; }, ' ');
    }
    if (last == 'D' || last == 'C' || last == 'd') {
      seen->rows += last == 'C' ? 0 : 1;
      seen->checksum = crc32_z(seen->checksum, reinterpret_cast<const Bytef*>(answer.data()), size);
    }
    answer.remove_prefix(size);
  }
  if (last != 'Z') throw std::runtime_error("an answer without ReadyForQuery");
}

// Runs the next item of the file. `look` is whether answers are PostgreSQL's.
void run_item(Reader& reader, bench::Peer& peer, bool look, Answer* answer, const char* separator) {
  const std::string name(reader.take(reader.number()));
  const bool timed = reader.number() != 0;
  const uint32_t requests = reader.number();
  Seen seen;
  double total = 0;
  std::vector<double> samples;
  samples.reserve(requests);
  std::vector<std::string_view> frames;
  for (uint32_t i = 0; i < requests; ++i) {
    frames.assign(reader.number(), {});
    std::ranges::generate(frames, [&reader] { return reader.framed(); });
    try {
      const auto start = Clock::now();
      peer.exchange(frames, answer);
      const std::chrono::duration<double, std::micro> elapsed = Clock::now() - start;
      total += elapsed.count();
      samples.push_back(elapsed.count());
      if (look) look_at(answer->view(), &seen);
    } catch (const std::exception& error) {
      throw std::runtime_error(name + ", request " + std::to_string(i + 1) + ": " + error.what());
    }
  }
  std::ranges::sort(samples);
  const auto quantile = [&samples](double q) {
    return samples.empty()
               ? 0.0
               : samples[static_cast<size_t>(q * static_cast<double>(samples.size() - 1))];
  };
  std::printf(
      "%s{\"name\": \"%s\", \"timed\": %s, \"ms\": %.4f, \"requests\": %u, \"p50_us\": %.3f, "
      "\"p99_us\": %.3f, \"rows\": %zu, \"bytes\": %zu, \"checksum\": \"%08lx\", "
      "\"error\": \"%s\"}",
      separator, name.c_str(), timed ? "true" : "false", total / 1000, requests, quantile(0.5),
      quantile(0.99), seen.rows, seen.bytes, seen.checksum, seen.error.c_str());
}

std::string contents(const char* name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) throw std::runtime_error(std::string("cannot read ") + name);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

std::unique_ptr<bench::Peer> open_peer(std::string_view kind, int count, char** words) {
  if (kind == "instance" && count <= 1) {
    pglite::Options options;
    if (count == 1) options.data_dir = words[0];
    return std::make_unique<InProcess>(options);
  }
  if (kind == "port" && count >= 1) return std::make_unique<bench::Port>(words);
  if (kind == "unix" && count == 1) return std::make_unique<bench::Socket>(words[0]);
  if (kind == "pipes" && count >= 1) return std::make_unique<PipeFloor>();
  if (kind == "memcpy" && count >= 1) return std::make_unique<MemcpyFloor>();
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a write to an engine that has gone fails
  try {
    const auto peer = argc >= 3 ? open_peer(argv[2], argc - 3, argv + 3) : nullptr;
    if (peer == nullptr) {
      std::fputs(
          "replay: FILE instance [DATA_DIR] | FILE port PROGRAM... | FILE unix SOCKET | "
          "FILE pipes BYTES... | FILE memcpy BYTES...\n",
          stderr);
      return 64;
    }
    const std::string bytes = contents(argv[1]);
    Reader reader(bytes);
    if (reader.take(kMagic.size()) != kMagic) throw std::runtime_error("not a workload file");
    const uint32_t capacity = reader.number();
    Answer answer(capacity);
    std::memset(answer.space(capacity), 0, capacity);  // page faults of the client's do not count
    const uint32_t items = reader.number();
    std::fputs("{\"items\": [", stdout);
    auto* floor = dynamic_cast<Floor*>(peer.get());
    if (floor != nullptr && std::cmp_not_equal(argc - 3, items)) {
      throw std::runtime_error("a floor needs a number of bytes for each item");
    }
    for (uint32_t i = 0; i < items; ++i) {
      if (floor != nullptr) floor->set_answer(static_cast<uint32_t>(std::stoul(argv[3 + i])));
      run_item(reader, *peer, floor == nullptr, &answer, i == 0 ? "" : ", ");
    }
    std::fputs("]}\n", stdout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "replay: %s\n", error.what());
    return 1;
  }
  return 0;
}
