// Lines of the log as JSON, with the keys of PostgreSQL's jsonlog.
#ifndef PGLITE_PGLITE_JSON_LOG_H_
#define PGLITE_PGLITE_JSON_LOG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pglite {

// A line of our own. `pid` 0: this program's.
std::string json_log_line(std::string_view severity, std::string_view message, int32_t pid = 0);

// What a record of PostgreSQL's jsonlog is.
struct JsonLogRecord {
  // One line, one object, in UTF-8. A record that is no JSON object is the message of one.
  std::string line;
  // As the server log in text has it, "[PID] FATAL:  message", then its detail, hint and context.
  std::vector<std::string> text;
};
JsonLogRecord read_json_log(std::string_view record, int32_t pid);

}  // namespace pglite

#endif  // PGLITE_PGLITE_JSON_LOG_H_
