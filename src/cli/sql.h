// `pglite-port sql`: runs SQL for people and scripts.
#ifndef PGLITE_CLI_SQL_H_
#define PGLITE_CLI_SQL_H_

#include <string>
#include <vector>

#include "cli/output.h"
#include "cli/result_writer.h"
#include "cli/sql_session.h"

namespace pglite::cli {

struct SqlRequest {
  // Each is sent as one simple Query, whatever it holds, or is one of psql's commands.
  std::vector<std::string> commands;
  // A script; "-" or nothing (without commands either): standard input, or, on a terminal, a
  // prompt.
  std::string file;
  Display display;
  // All of it, or nothing where an error ends it.
  bool single_transaction = false;
  std::string history;  // the prompt's file; "none": it keeps none; empty: the usual one
  std::string pager;    // of the prompt, for the shell; "none": there is none; empty: the usual one

  [[nodiscard]] bool is_interactive(int in, int out) const;
};

// Runs the request until its end or, not at a prompt, the first error. Returns the program's exit
// code: 0; 1 for an SQL error; else what Status::exit_code() says. `in` is standard input.
int run_sql(SqlSession& session, const SqlRequest& request, int in, Output& out, Output& err);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SQL_H_
