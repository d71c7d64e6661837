// What a guest writes to its standard error where the server log is JSON: chunks of records, from
// anybody, and the lines that are made of them.
#include "postgres/guest/log_pipe.h"

#include "pglite/json_log_record.h"
#include "target.h"

namespace pglite::fuzz {
namespace {

using postgres::LogPipe;
using postgres::LogRecord;

std::string chunk(int32_t pid, uint8_t flags, std::string_view bytes) {
  const auto length = static_cast<uint16_t>(bytes.size());
  std::string result(LogPipe::kHeaderSize, '\0');
  std::memcpy(result.data() + 2, &length, sizeof length);
  std::memcpy(result.data() + 4, &pid, sizeof pid);
  result[8] = static_cast<char>(flags);
  return result.append(bytes);
}

// All records, in pieces of the size.
std::string records_of(std::string_view bytes, size_t piece) {
  std::string all;
  LogPipe pipe([&](const LogRecord& record) {
    all += std::to_string(static_cast<int>(record.kind)) + " " + std::to_string(record.pid) + " " +
           std::string(record.bytes) + "\n";
    if (record.kind == LogRecord::Kind::kText) return;
    const JsonLogRecord json = read_json_log(record.bytes, record.pid);
    FUZZ_CHECK(json.line.starts_with('{') && json.line.ends_with('}'));
    FUZZ_CHECK(json.line.find_first_of("\r\n") == std::string::npos);
    // It is one now.
    FUZZ_CHECK(read_json_log(json.line, record.pid).line == json.line);
  });
  while (!bytes.empty()) {
    const std::vector<char> copy = exact_copy(bytes.substr(0, piece));
    bytes.remove_prefix(copy.size());
    const auto written = pipe.write(std::as_bytes(std::span<const char>(copy.data(), copy.size())));
    FUZZ_CHECK(written && *written == copy.size());
  }
  return all;
}

}  // namespace

std::vector<std::string> seeds() {
  const std::string json =
      R"({"pid":7,"error_severity":"FATAL","message":"no \"x\"","detail":"d"})";
  std::string size(1, '\5');
  return {size + chunk(7, LogPipe::kIsJson | LogPipe::kIsLast, json + "\n"),
          size + chunk(7, LogPipe::kIsJson, json.substr(0, 20)) + "text\n" +
              chunk(8, LogPipe::kIsText | LogPipe::kIsLast, "a line\n") +
              chunk(7, LogPipe::kIsJson | LogPipe::kIsLast, json.substr(20)),
          size + chunk(7, LogPipe::kIsJson | LogPipe::kIsLast, "{\"message\":\"caf\xe9\"}\n")};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::fuzz;
  Input input(data, size);
  const size_t piece = size_t{input.get<uint8_t>()} + 1;
  const std::string bytes(input.rest());
  const std::string whole = records_of(bytes, bytes.size() + 1);
  FUZZ_CHECK(records_of(bytes, piece) == whole);
  return 0;
}
