// Sends a workload (bench/workload.py wrote it) to one engine and says how long each of its items
// took. One line of JSON on stdout.
//
//   replay FILE instance [DATA_DIR]           pglite::Instance in this process
//   replay FILE port PROGRAM [ARGUMENT...]    a port, packet4 over two pipes
//   replay FILE unix SOCKET                   a server on a unix socket
//
// The clock runs while a request is sent and its answer read; afterwards the answer is looked at:
// an ErrorResponse ends everything, the rows go into a checksum that is the same for all engines.
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
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

struct Seen {
  uLong checksum = crc32(0, nullptr, 0);
  size_t rows = 0;
  size_t bytes = 0;
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
    if (last == 'E') throw std::runtime_error("ErrorResponse " + std::string(answer.substr(5)));
    if (last == 'D' || last == 'C' || last == 'd') {
      seen->rows += last == 'C' ? 0 : 1;
      seen->checksum = crc32_z(seen->checksum, reinterpret_cast<const Bytef*>(answer.data()), size);
    }
    answer.remove_prefix(size);
  }
  if (last != 'Z') throw std::runtime_error("an answer without ReadyForQuery");
}

void run_item(Reader& reader, bench::Peer& peer, Answer* answer, const char* separator) {
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
      look_at(answer->view(), &seen);
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
      "\"p99_us\": %.3f, \"rows\": %zu, \"bytes\": %zu, \"checksum\": \"%08lx\"}",
      separator, name.c_str(), timed ? "true" : "false", total / 1000, requests, quantile(0.5),
      quantile(0.99), seen.rows, seen.bytes, seen.checksum);
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
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto peer = argc >= 3 ? open_peer(argv[2], argc - 3, argv + 3) : nullptr;
    if (peer == nullptr) {
      std::fputs("replay: FILE instance [DATA_DIR] | FILE port PROGRAM... | FILE unix SOCKET\n",
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
    for (uint32_t i = 0; i < items; ++i) run_item(reader, *peer, &answer, i == 0 ? "" : ", ");
    std::fputs("]}\n", stdout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "replay: %s\n", error.what());
    return 1;
  }
  return 0;
}
