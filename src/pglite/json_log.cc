#include "pglite/json_log.h"

#include <unistd.h>

#include <array>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "pglite/json_log_record.h"

namespace pglite {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Bytes that are no UTF-8 become U+FFFD: those of a database with another encoding.
template <class Json>
std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string as_utf8(std::string_view bytes) {
  return json::parse(text_of(json(bytes))).get<std::string>();
}

std::string now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  std::tm parts{};
  gmtime_r(&time.tv_sec, &parts);
  std::array<char, 32> seconds{};
  const size_t size = std::strftime(seconds.data(), seconds.size(), "%Y-%m-%d %H:%M:%S", &parts);
  std::string milliseconds = std::to_string(time.tv_nsec / 1'000'000);
  milliseconds.insert(0, 3 - milliseconds.size(), '0');
  return std::string(seconds.data(), size) + "." + milliseconds + " UTC";
}

// What PostgreSQL writes: an object of strings, numbers and so on. Anything with a depth is
// refused, so that nobody can have the host build what is many times as large as its text.
class FlatObject : public nlohmann::json_sax<json> {
 public:
  // Empty: there is none.
  [[nodiscard]] std::string of(const std::string& key) const {
    const auto found = texts_.find(key);
    return found == texts_.end() ? std::string() : found->second;
  }

  bool start_object(size_t /*elements*/) override { return !std::exchange(has_begun_, true); }
  bool key(std::string& name) override {
    key_ = name;
    return true;
  }
  bool string(std::string& text) override {
    if (key_ == "error_severity" || key_ == "message" || key_ == "detail" || key_ == "hint" ||
        key_ == "context") {
      texts_[key_] = text;
    }
    return has_begun_;
  }
  bool null() override { return has_begun_; }
  bool boolean(bool /*value*/) override { return has_begun_; }
  bool number_integer(int64_t /*value*/) override { return has_begun_; }
  bool number_unsigned(uint64_t /*value*/) override { return has_begun_; }
  bool number_float(double /*value*/, const std::string& /*text*/) override { return has_begun_; }
  bool binary(binary_t& /*bytes*/) override { return false; }
  bool end_object() override { return true; }
  bool start_array(size_t /*elements*/) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  bool has_begun_ = false;
  std::string key_;
  std::map<std::string, std::string> texts_;
};

}  // namespace

std::string json_log_line(std::string_view severity, std::string_view message, int32_t pid) {
  ordered_json line;
  line["timestamp"] = now();
  line["pid"] = pid == 0 ? getpid() : pid;
  line["error_severity"] = severity;
  line["message"] = message;
  if (pid == 0) line["backend_type"] = "postmaster";
  return text_of(line);
}

JsonLogRecord read_json_log(std::string_view record, int32_t pid) {
  while (!record.empty() && (record.back() == '\n' || record.back() == '\r')) {
    record.remove_suffix(1);
  }
  JsonLogRecord result;
  result.line = record;
  FlatObject object;
  bool is_right = json::sax_parse(result.line, &object);
  if (!is_right) {
    result.line = as_utf8(record);
    object = {};
    is_right = json::sax_parse(result.line, &object);
  }
  // The parser takes space around the object, and a NUL for the end of what it is given.
  constexpr std::string_view kNotInALine("\r\n\0", 3);
  const bool is_line = result.line.starts_with('{') && result.line.ends_with('}') &&
                       result.line.find_first_of(kNotInALine) == std::string::npos;
  if (!is_right || !is_line) {
    result.line = json_log_line("LOG", record, pid);
    return result;
  }
  const std::string prefix = "[" + std::to_string(pid) + "] ";
  result.text.push_back(prefix + object.of("error_severity") + ":  " + object.of("message"));
  for (const auto& [key, severity] : {std::pair{"detail", "DETAIL"}, std::pair{"hint", "HINT"},
                                      std::pair{"context", "CONTEXT"}}) {
    const std::string more = object.of(key);
    if (!more.empty()) result.text.push_back(prefix + severity + ":  " + more);
  }
  return result;
}

}  // namespace pglite
