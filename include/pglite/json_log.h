// A line of the log in the shape that Options::log_format kJson gives, for whoever adds lines of
// its own to that log.
#ifndef PGLITE_JSON_LOG_H_
#define PGLITE_JSON_LOG_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace pglite {

// One JSON object, without a newline, with keys of PostgreSQL's jsonlog: timestamp, pid,
// error_severity, message. `severity` is one of PostgreSQL's, such as LOG or FATAL. `pid` 0: this
// program's; then backend_type is postmaster. May throw std::bad_alloc.
std::string json_log_line(std::string_view severity, std::string_view message, int32_t pid = 0);

}  // namespace pglite

#endif  // PGLITE_JSON_LOG_H_
