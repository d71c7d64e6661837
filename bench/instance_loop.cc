// What pglite::Instance costs inside a process. One line of JSON on stdout, times in microseconds.
//
//   instance_loop open-close COUNT         opens an instance, runs one query, closes it, COUNT
//   times;
//                                          resident memory after 1, a tenth and all of them
//   instance_loop round-trip COUNT         a prepared `select $1::int+1`: Bind, Execute, Sync
//   instance_loop clone SEED COUNT SQL     runs the SQL of the file SEED; then COUNT times:
//   clone(),
//                                          and the clone's answer to SQL; then the clone is closed
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pglite/instance.h"
#include "wire/frontend_message.h"

namespace {

using pglite::Instance;
namespace wire = pglite::wire;

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

void check(const pglite::Status& status, std::string_view what) {
  if (!status.ok()) throw std::runtime_error(std::string(what) + ": " + status.message());
}

std::unique_ptr<Instance> open_instance() {
  std::unique_ptr<Instance> instance;
  check(Instance::open(pglite::Options{}, &instance), "open");
  return instance;
}

// Runs `request` and looks that it was answered without an error, and with `rows` rows at least.
void run(Instance& instance, std::string_view request, int rows, std::string* answer) {
  answer->clear();
  check(
      instance.exec_protocol(request, [answer](std::string_view bytes) { answer->append(bytes); }),
      "exec_protocol");
  int found = 0;
  for (size_t at = 0; at + 5 <= answer->size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>((*answer)[at + i]); };
    const char type = (*answer)[at];
    if (type == 'E') throw std::runtime_error("ErrorResponse: " + answer->substr(at + 5));
    found += type == 'D' ? 1 : 0;
    at += 1 + ((size_t{byte(1)} << 24) | (size_t{byte(2)} << 16) | (size_t{byte(3)} << 8) |
               size_t{byte(4)});
  }
  if (found < rows) throw std::runtime_error("an answer without its row");
}

long resident_kib() {
  std::ifstream statm("/proc/self/statm");
  long total = 0;
  long resident = 0;
  statm >> total >> resident;
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

void print_samples(const std::vector<double>& samples) {
  std::cout << "\"samples_us\": [";
  for (size_t i = 0; i < samples.size(); ++i) std::cout << (i == 0 ? "" : ", ") << samples[i];
  std::cout << "]";
}

void open_close(int count) {
  std::vector<double> samples;
  std::vector<long> resident;
  std::string answer;
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    auto instance = open_instance();
    run(*instance, wire::query("select 1"), 1, &answer);
    check(instance->close(), "close");
    instance.reset();
    samples.push_back(microseconds_since(start));
    if (i == 0 || i + 1 == count / 10 || i + 1 == count) resident.push_back(resident_kib());
  }
  std::cout << "{\"resident_kib\": [";
  for (size_t i = 0; i < resident.size(); ++i) std::cout << (i == 0 ? "" : ", ") << resident[i];
  std::cout << "], ";
  print_samples(samples);
  std::cout << "}\n";
}

void round_trip(int count) {
  auto instance = open_instance();
  std::string answer;
  run(*instance, wire::parse("s", "select $1::int+1") + wire::sync(), 0, &answer);
  const wire::Parameter parameter{.value = "41"};
  const std::string request =
      wire::bind("", "s", std::span(&parameter, 1)) + wire::execute("") + wire::sync();
  run(*instance, request, 1, &answer);
  std::vector<double> samples;
  samples.reserve(static_cast<size_t>(count));
  const std::string expected = answer;
  for (int i = -count / 10; i < count; ++i) {  // a tenth more, to warm up
    answer.clear();
    const auto start = Clock::now();
    const auto status = instance->exec_protocol(
        request, [&answer](std::string_view bytes) { answer.append(bytes); });
    const double elapsed = microseconds_since(start);
    check(status, "exec_protocol");
    if (answer != expected) throw std::runtime_error("a different answer");
    if (i >= 0) samples.push_back(elapsed);
  }
  check(instance->close(), "close");
  std::ranges::sort(samples);
  const auto quantile = [&samples](double q) {
    return samples[static_cast<size_t>(q * static_cast<double>(samples.size() - 1))];
  };
  std::cout << "{\"count\": " << count << ", \"median_us\": " << quantile(0.5)
            << ", \"p99_us\": " << quantile(0.99) << "}\n";
}

void clone(const char* seed_file, int count, const char* sql) {
  std::ifstream file(seed_file);
  if (!file) throw std::runtime_error(std::string("cannot read ") + seed_file);
  std::ostringstream seed;
  seed << file.rdbuf();
  auto instance = open_instance();
  std::string answer;
  run(*instance, wire::query(seed.str()), 0, &answer);
  std::vector<double> samples;
  for (int i = 0; i < count; ++i) {
    std::unique_ptr<Instance> copy;
    const auto start = Clock::now();
    check(instance->clone(&copy), "clone");
    run(*copy, wire::query(sql), 1, &answer);
    samples.push_back(microseconds_since(start));
    check(copy->close(), "close");
  }
  std::cout << "{";
  print_samples(samples);
  std::cout << "}\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + 1, argv + argc);
  try {
    if (words.size() == 2 && words[0] == "open-close") {
      open_close(std::stoi(argv[2]));
    } else if (words.size() == 2 && words[0] == "round-trip") {
      round_trip(std::stoi(argv[2]));
    } else if (words.size() == 4 && words[0] == "clone") {
      clone(argv[2], std::stoi(argv[3]), argv[4]);
    } else {
      std::cerr << "instance_loop: open-close COUNT | round-trip COUNT | clone SEED COUNT SQL\n";
      return 64;
    }
  } catch (const std::exception& error) {
    std::cerr << "instance_loop: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
