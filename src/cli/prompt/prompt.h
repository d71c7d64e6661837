// `pglite-port sql` with a person at a terminal.
#ifndef PGLITE_CLI_PROMPT_PROMPT_H_
#define PGLITE_CLI_PROMPT_PROMPT_H_

#include <string>
#include <string_view>

#include "cli/output.h"
#include "cli/sql.h"
#include "cli/sql_session.h"
#include "cli/statement_reader.h"

namespace pglite::cli {

// Reads statements from the terminal `in` until it is told to leave. Returns an exit code; errors
// of SQL are none.
int run_prompt(SqlSession& session, const SqlRequest& request, int in, Output& out, Output& err);

// As psql's: the database, what is open, the transaction, and whether the role is a superuser.
std::string prompt_text(std::string_view database, StatementReader::Open open,
                        char transaction_status, bool is_superuser);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_PROMPT_H_
