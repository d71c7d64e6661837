// SQL that we run ourselves in a backend: making roles, asking for times.
#ifndef PGLITE_POSTGRES_GUEST_SESSION_SQL_H_
#define PGLITE_POSTGRES_GUEST_SESSION_SQL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pglite/status.h"
#include "postgres/guest/backend.h"

namespace pglite::postgres {

std::string quote_identifier(std::string_view name);
std::string quote_literal(std::string_view text);

struct SqlResult {
  // Each row's columns as text; NULL is empty.
  std::vector<std::vector<std::string>> rows;
  std::string sqlstate;           // of the error
  char transaction_status = 'I';  // of ReadyForQuery: I, T, E
};

// Runs a request and gives its answer to the sink.
using ExecFunction = std::function<Status(std::string_view request, const ResponseSink& sink)>;

// Runs whole messages. PostgreSQL's error message is the status (kInvalidArgument).
Status run_messages(const ExecFunction& exec, std::string_view messages,
                    SqlResult* result = nullptr);
// Runs whole messages. PostgreSQL's error message is the status (kInvalidArgument).
Status run_messages(Backend& backend, std::string_view messages, SqlResult* result = nullptr);
// Runs one simple query. PostgreSQL's error message is the status (kInvalidArgument).
Status run_sql(Backend& backend, const std::string& sql, SqlResult* result = nullptr);

// When this server and this session began, as they stand in the guest's memory: microseconds since
// 2000-01-01.
Status start_times(Backend& backend, std::vector<int64_t>* times);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_SESSION_SQL_H_
