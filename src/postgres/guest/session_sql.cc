#include "postgres/guest/session_sql.h"

#include <charconv>
#include <optional>

#include "postgres/guest/settings.h"
#include "postgres/guest/superuser.h"
#include "postgres/version.h"
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
// Backslashes mean something or not, as standard_conforming_strings says; in E'...' they always do.
std::string quote_literal(std::string_view text) {
  if (text.find('\\') == std::string_view::npos) return quote(text, '\'');
  std::string doubled;
  for (const char c : text) doubled.append(c == '\\' ? 2 : 1, c);
  return "E" + quote(doubled, '\'');
}

Status run_sql(Backend& backend, const std::string& sql, SqlResult* result) {
  return run_messages(backend, wire::query(sql), result);
}

Status run_messages(Backend& backend, std::string_view messages, SqlResult* result) {
  return run_messages([&](std::string_view request,
                          const ResponseSink& sink) { return backend.exec_to_end(request, sink); },
                      messages, result);
}

Status run_messages(const ExecFunction& exec, std::string_view messages, SqlResult* result) {
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
  const Status status = exec(messages, sink);
  return status.ok() ? error : status;
}

Status start_times(Backend& backend, std::vector<int64_t>* times) {
  SqlResult result;
  // A role that is not the session's first does not see when the session began.
  Status status = as_superuser(backend, [&] {
    Settings settings(backend.process());
    const UndisturbedStatements undisturbed(backend.process(), settings);
    return run_sql(
        backend,
        "SELECT (extract(epoch FROM t) OPERATOR(pg_catalog.*) 1000000::pg_catalog.numeric)"
        "::pg_catalog.int8 FROM (SELECT pg_catalog.pg_postmaster_start_time() UNION SELECT "
        "backend_start FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())) "
        "AS times(t)",
        &result);
  });
  if (!status.ok()) return status;
  times->clear();
  for (const auto& row : result.rows) {
    const std::string text = row.size() == 1 ? row[0] : std::string();
    int64_t time = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), time);
    if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
      return Status::engine_gone("PostgreSQL does not say when the session began");
    }
    times->push_back(time - kPostgresEpochSeconds * 1'000'000);
  }
  return {};
}

}  // namespace pglite::postgres
