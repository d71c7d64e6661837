#include "pglite/names.h"

#include <string>

#include "postgres/version.h"
#include "wire/frontend_message.h"

namespace pglite {

Status create_names(const postgres::ExecFunction& exec, const Options& options) {
  const auto make = [&](const std::string& table, const std::string& name,
                        const std::string& statement) {
    postgres::SqlResult found;
    Status status = postgres::run_messages(
        exec,
        wire::query("SELECT 1 FROM pg_catalog." + table + " OPERATOR(pg_catalog.=) " +
                    postgres::quote_literal(name)),
        &found);
    if (status.ok() && found.rows.empty()) {
      status = postgres::run_messages(exec, wire::query(statement));
    }
    return status;
  };
  const std::string role = postgres::quote_identifier(options.username);
  Status status;
  if (options.username != postgres::kInitialName) {
    status = make("pg_roles WHERE rolname", options.username,
                  "CREATE ROLE " + role + " SUPERUSER LOGIN");
  }
  if (status.ok() && options.database != postgres::kInitialName) {
    status =
        make("pg_database WHERE datname", options.database,
             "CREATE DATABASE " + postgres::quote_identifier(options.database) + " OWNER " + role);
  }
  return status;
}

}  // namespace pglite
