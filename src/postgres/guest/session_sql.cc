#include "postgres/guest/session_sql.h"

#include <optional>

#include "wire/backend.h"
#include "wire/frontend_message.h"

namespace pglite::postgres {

namespace {

std::string quote(std::string_view text, char mark) {
  std::string quoted(1, mark);
  for (const char c : text) quoted.append(c == mark ? 2 : 1, c);
  return quoted + mark;
}

}  // namespace

std::string quote_identifier(std::string_view name) {
  return quote(name, '"');
}
std::string quote_literal(std::string_view text) {
  return quote(text, '\'');
}

Status run_sql(Backend& backend, const std::string& sql, SqlResult* result) {
  return run_messages(backend, wire::query(sql), result);
}

Status run_messages(Backend& backend, std::string_view messages, SqlResult* result) {
  Status error;
  wire::BackendReader reader;
  const ResponseSink sink = [&](std::string_view bytes) {
    reader.feed(bytes, [&](const wire::BackendMessage& message) {
      wire::ErrorFields fields;
      std::vector<std::optional<std::string_view>> values;
      if (message.type == 'E' && wire::parse_error(message.body, &fields)) {
        error = Status::invalid_argument(std::string(fields.message));
        if (result != nullptr) result->sqlstate = fields.sqlstate;
      } else if (result == nullptr) {
        return;
      } else if (message.type == 'D' && wire::parse_data_row(message.body, &values)) {
        std::vector<std::string>& row = result->rows.emplace_back();
        for (const auto& value : values) row.emplace_back(value.value_or(""));
      } else if (message.type == 'Z') {
        wire::parse_ready_for_query(message.body, &result->transaction_status);
      }
    });
  };
  const Status status = backend.exec_to_end(messages, sink);
  return status.ok() ? error : status;
}

Status start_times(Backend& backend, std::vector<int64_t>* times) {
  SqlResult result;
  Status status =
      run_sql(backend,
              "SELECT (extract(epoch FROM t) * 1000000)::pg_catalog.int8 - 946684800000000 FROM "
              "(SELECT pg_catalog.pg_postmaster_start_time() UNION SELECT backend_start FROM "
              "pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())) AS times(t)",
              &result);
  for (const auto& row : result.rows) times->push_back(std::stoll(row.at(0)));
  return status;
}

}  // namespace pglite::postgres
