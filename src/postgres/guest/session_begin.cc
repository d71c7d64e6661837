#include "postgres/guest/session_begin.h"

#include <algorithm>
#include <functional>

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

// Calls a function of PostgreSQL's that looks at the catalogues, which needs a transaction. In it
// nothing else runs: what the function sets is not undone with it. `call` pushes its arguments; the
// stack is put back. `what` says what could not be done.
Status call_in_transaction(Backend& backend, const std::string& what,
                           const std::function<void(emscripten::Process&)>& call) {
  emscripten::Process& process = backend.process();
  wasm::Outcome outcome;
  process.run([&] {
    const uint32_t stack_pointer = *process.env().stack_pointer;
    outcome = process.call([&] { call(process); });
    *process.env().stack_pointer = stack_pointer;
  });
  if (outcome.returned()) return {};
  return backend.declare_gone(what + ": " + describe(outcome));
}

Status set_all(Backend& backend, const std::vector<Setting>& settings) {
  if (settings.empty()) return {};
  Status status = run_sql(backend, "BEGIN");
  for (const Setting& setting : settings) {
    if (!status.ok()) return status;
    status = call_in_transaction(backend, "the setting " + setting.name + " could not be made",
                                 [&](emscripten::Process& process) {
                                   const uint32_t name = process.push_string(setting.name);
                                   find_symbol(process, symbols::kSetConfigOption)(
                                       name, process.push_string(setting.value), setting.context,
                                       setting.source);
                                 });
  }
  return status.ok() ? run_sql(backend, "COMMIT") : status;
}

// The value of setdatabase or setrole that is for all.
constexpr std::string_view kForAll = "0";

}  // namespace

// InitializeSessionUserId, of which a single-user backend runs the short form: PostgreSQL takes the
// bootstrap superuser for who has logged in, and who has may become any role.
Status begin_session(Backend& backend, const std::string& role) {
  SqlResult found;
  Status status = run_sql(backend,
                          "SELECT FROM pg_catalog.pg_roles WHERE rolname "
                          "OPERATOR(pg_catalog.=) CAST(" +
                              quote_literal(role) + " AS pg_catalog.text)",
                          &found);
  if (status.ok() && found.rows.empty()) {
    // It would end the process over it.
    status = Status::invalid_argument("role " + quote_identifier(role) + " does not exist");
  }
  if (status.ok()) status = run_sql(backend, "BEGIN");
  if (!status.ok()) return status;
  status = call_in_transaction(backend,
                               "the session could not be made that of " + quote_identifier(role),
                               [&](emscripten::Process& process) {
                                 constexpr uint32_t kByName = 0;
                                 constexpr uint32_t kBypassLoginCheck = 1;
                                 find_symbol(process, symbols::kInitializeSessionUserId)(
                                     process.push_string(role), kByName, kBypassLoginCheck);
                               });
  return status.ok() ? run_sql(backend, "COMMIT") : status;
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
