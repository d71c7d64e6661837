// `pglite-port sql`: runs SQL for people and scripts.
#ifndef PGLITE_CLI_SQL_H_
#define PGLITE_CLI_SQL_H_

#include <pglite/bytes.h>
#include <pglite/status.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.h"
#include "cli/result_writer.h"

namespace pglite::cli {

struct SqlRequest {
  // Each is sent as one simple Query, whatever it holds.
  std::vector<std::string> commands;
  // A script; "-" or nothing (without commands either): standard input.
  std::string file;
  Format format = Format::kTable;
};

// What runs the SQL: an Instance, or a session of a server that runs elsewhere.
struct SqlSession {
  // As Instance::exec_protocol.
  std::function<Status(std::string_view request, const ResponseSink& sink)> exec;
  bool standard_strings = true;  // standard_conforming_strings, at the beginning
  // Where set: called on the way through `exec`, once, when nobody reads the answer any more.
  std::function<void()> give_up;
};

// Runs the request until its end or the first error. Returns the program's exit code: 0; 1 for an
// SQL error; else what Status::exit_code() says. `in` is standard input.
int run_sql(const SqlSession& session, const SqlRequest& request, int in, Output& out, Output& err);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SQL_H_
