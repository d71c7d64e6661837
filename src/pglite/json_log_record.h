// Records of PostgreSQL's jsonlog, which a guest has written.
#ifndef PGLITE_PGLITE_JSON_LOG_RECORD_H_
#define PGLITE_PGLITE_JSON_LOG_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pglite {

// What a record of PostgreSQL's jsonlog is.
struct JsonLogRecord {
  // One line, one object, in UTF-8. A record that is no JSON object is the message of one.
  std::string line;
  // As the server log in text has it, "[PID] FATAL:  message", then its detail, hint and context.
  std::vector<std::string> text;
};
JsonLogRecord read_json_log(std::string_view record, int32_t pid);

}  // namespace pglite

#endif  // PGLITE_PGLITE_JSON_LOG_RECORD_H_
