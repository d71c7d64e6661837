// PostgreSQL's errors and notices as psql shows them.
#ifndef PGLITE_CLI_ERROR_REPORT_H_
#define PGLITE_CLI_ERROR_REPORT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "wire/backend.h"

namespace pglite::cli {

// The lines to print:
//
//   script.sql:3: ERROR:  relation "x" does not exist
//   LINE 3: select * from x
//                         ^
//   DETAIL:  ...
//   HINT:  ...
//   SQLSTATE:  42P01
//
// `query` is what was sent, `first_line` the line of the script where it begins, `script` its name,
// or empty if there is none. Notices get no SQLSTATE and no CONTEXT.
std::string report(const wire::ErrorFields& fields, std::string_view query, std::string_view script,
                   uint64_t first_line, bool is_error);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_ERROR_REPORT_H_
