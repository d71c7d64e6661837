#include "postgres/guest/session_state.h"

#include <algorithm>

#include "postgres/guest/session_sql.h"
#include "postgres/guest/settings.h"

namespace pglite::postgres {

namespace {

constexpr const char* kRole = "role";
constexpr const char* kPrepared = "SELECT name FROM pg_catalog.pg_prepared_statements";

}  // namespace

Status SessionState::save(Backend& backend) {
  Settings variables(backend.process());
  const UndisturbedStatements undisturbed(backend.process(), variables);
  SqlResult settings;
  // pg_settings does not show the role, and RESET ALL leaves it.
  Status status = run_sql(backend,
                          "SELECT name, setting FROM pg_catalog.pg_settings WHERE source "
                          "OPERATOR(pg_catalog.=) 'session'"
                          " UNION ALL SELECT 'role', pg_catalog.current_setting('role')",
                          &settings);
  SqlResult prepared;
  if (status.ok()) status = run_sql(backend, kPrepared, &prepared);
  settings_ = std::move(settings.rows);
  prepared_ = std::move(prepared.rows);
  return status;
}

Status SessionState::restore(Backend& backend) const {
  SqlResult state;
  Status status = run_sql(backend, "SELECT 1", &state);
  if (status.code() == StatusCode::kEngineGone) return status;
  if (state.transaction_status != 'I') status = run_sql(backend, "ROLLBACK");
  if (status.ok()) status = run_sql(backend, "RESET ALL");
  std::string last;
  {
    Settings variables(backend.process());
    const UndisturbedStatements undisturbed(backend.process(), variables);
    SqlResult prepared;
    if (status.ok()) status = run_sql(backend, kPrepared, &prepared);
    for (const auto& row : prepared.rows) {
      if (!status.ok() || std::ranges::find(prepared_, row) != prepared_.end()) continue;
      status = run_sql(backend, "DEALLOCATE " + quote_identifier(row.at(0)));
    }
    for (const auto& row : settings_) {
      if (!status.ok()) break;
      const std::string set = "pg_catalog.set_config(" + quote_literal(row.at(0)) + ", " +
                              quote_literal(row.at(1)) + ", false)";
      if (UndisturbedStatements::replaces(row.at(0)) || row.at(0) == kRole) {
        last += (last.empty() ? "SELECT " : ", ") + set;
      } else {
        status = run_sql(backend, "SELECT " + set);
      }
    }
  }
  // In one statement, the role at the end: a timeout of theirs is in force from the next one on.
  return status.ok() && !last.empty() ? run_sql(backend, last) : status;
}

}  // namespace pglite::postgres
