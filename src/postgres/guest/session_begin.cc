#include "postgres/guest/session_begin.h"

#include <algorithm>

#include "postgres/guest/layout.h"
#include "postgres/guest/postgres_process.h"
#include "postgres/guest/session_sql.h"
#include "postgres/guest/settings.h"
#include "postgres/version.h"

namespace pglite::postgres {

namespace {

struct Setting {
  std::string name;
  std::string value;
  uint32_t context;
  uint32_t source;
};

// Judging a setting may take a look at the catalogues, which needs a transaction. In it nothing
// else runs: what is set this way is not undone with it.
Status set_all(Backend& backend, const std::vector<Setting>& settings) {
  if (settings.empty()) return {};
  emscripten::Process& process = backend.process();
  const auto set = find_symbol(process, symbols::kSetConfigOption);
  Status status = run_sql(backend, "BEGIN");
  if (!status.ok()) return status;
  for (const Setting& setting : settings) {
    wasm::Outcome outcome;
    process.run([&] {
      const uint32_t stack_pointer = *process.env().stack_pointer;
      outcome = process.call([&] {
        const uint32_t name = process.push_string(setting.name);
        set(name, process.push_string(setting.value), setting.context, setting.source);
      });
      *process.env().stack_pointer = stack_pointer;
    });
    if (!outcome.returned()) {
      return backend.declare_gone("the setting " + setting.name +
                                  " could not be made: " + describe(outcome));
    }
  }
  return run_sql(backend, "COMMIT");
}

// The value of setdatabase or setrole that is for all.
constexpr std::string_view kForAll = "0";

}  // namespace

Status begin_session(Backend& backend, const std::string& role) {
  if (role != kInitialName) {
    Status status = run_sql(backend, "SET SESSION AUTHORIZATION " + quote_identifier(role));
    if (!status.ok()) return status;
  }
  // InitializeSessionUserId does so, InitializeSessionUserIdStandalone does not.
  return set_all(backend, {{.name = "session_authorization",
                            .value = role,
                            .context = kLayout.context_backend,
                            .source = kLayout.source_override}});
}

// process_settings (utils/init/postinit.c), which returns at once in a single-user backend.
Status apply_role_settings(Backend& backend) {
  SqlResult found;
  // A database's stand before those for all, and a role's before those of all roles.
  Status status = run_sql(
      backend,
      "SELECT s.setdatabase, s.setrole, o FROM pg_catalog.pg_db_role_setting s, "
      "pg_catalog.unnest(s.setconfig) o WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY "
      "(ARRAY[0::pg_catalog.oid, (SELECT oid FROM pg_catalog.pg_database WHERE datname "
      "OPERATOR(pg_catalog.=) pg_catalog.current_database())]) AND s.setrole "
      "OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, (SELECT oid FROM pg_catalog.pg_roles "
      "WHERE rolname OPERATOR(pg_catalog.=) session_user)]) ORDER BY s.setrole DESC, s.setdatabase "
      "DESC",
      &found);
  std::vector<Setting> settings;
  for (const auto& row : found.rows) {
    // "name=value"; in a name, a dash stands for an underscore (ParseLongOption).
    const std::string& option = row.at(2);
    const size_t equals = std::min(option.find('='), option.size());
    std::string name = option.substr(0, equals);
    std::ranges::replace(name, '-', '_');
    if (equals == option.size() || name == "client_encoding") continue;
    const bool of_database = row.at(0) != kForAll;
    const bool of_role = row.at(1) != kForAll;
    const uint32_t source = of_role
                                ? (of_database ? kLayout.source_database_user : kLayout.source_user)
                                : (of_database ? kLayout.source_database : kLayout.source_global);
    settings.push_back({.name = std::move(name),
                        .value = option.substr(equals + 1),
                        .context = kLayout.context_superuser,
                        .source = source});
  }
  return status.ok() ? set_all(backend, settings) : status;
}

Status set_from_command_line(Backend& backend, const std::string& name, const std::string& value) {
  return set_all(backend, {{.name = name,
                            .value = value,
                            .context = kLayout.context_sighup,
                            .source = kLayout.source_argv}});
}

}  // namespace pglite::postgres
