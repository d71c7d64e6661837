// \copy: a COPY whose file is on this side.
#ifndef PGLITE_CLI_PROMPT_COPY_COMMAND_H_
#define PGLITE_CLI_PROMPT_COPY_COMMAND_H_

#include <string>
#include <string_view>

namespace pglite::cli {

struct CopyCommand {
  bool from = false;  // into the database
  // A file; empty: the data stands in the script behind the command, or goes to where results go.
  std::string file;
  bool is_program_stdin = false;  // pstdin: the data is this program's standard input
  std::string sql;                // what the server is asked: COPY ... FROM STDIN ...
  std::string error;              // not empty: what is wrong with it
};

// `text` is what stands behind \copy:
//   { table [ (column, ...) ] | (query) } { from | to } { file | 'file' | stdin | stdout | pstdin
//   | pstdout } [ options ]
CopyCommand parse_copy_command(std::string_view text);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_COPY_COMMAND_H_
