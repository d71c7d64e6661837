#include "cli/prompt/session_catalogue.h"

#include <optional>

#include "cli/prompt/name_pattern.h"

namespace pglite::cli {
namespace {

std::string in_schema(const std::string& schema, const std::string& visible) {
  return schema.empty() ? visible : "n.nspname = " + sql_literal(schema);
}

}  // namespace

const Catalogue::Names& SessionCatalogue::ask(const std::string& sql) {
  static const Names kNone;
  const auto found = known_.find(sql);
  if (found != known_.end()) return found->second;
  if (runner_.transaction_status() == 'E') return kNone;
  QueryRunner::Rows rows;
  if (runner_.fetch(sql, &rows, true) != kExitOk) return kNone;
  Names& names = known_[sql];
  for (const auto& row : rows) {
    for (const std::optional<std::string>& name : row) {
      if (name) names.push_back(*name);
    }
  }
  return names;
}

Catalogue::Names SessionCatalogue::keywords() {
  if (keywords_.empty()) keywords_ = ask("select word from pg_catalog.pg_get_keywords()");
  return keywords_;
}

Catalogue::Names SessionCatalogue::relations(const std::string& schema) {
  return ask(
      "select pg_catalog.quote_ident(c.relname) from pg_catalog.pg_class c "
      "join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
      "where c.relkind in ('r', 'v', 'm', 'f', 'p') and " +
      in_schema(schema, "pg_catalog.pg_table_is_visible(c.oid)"));
}

Catalogue::Names SessionCatalogue::columns(const Relation& relation) {
  return ask(
      "select pg_catalog.quote_ident(a.attname) from pg_catalog.pg_attribute a "
      "join pg_catalog.pg_class c on c.oid = a.attrelid "
      "join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
      "where a.attnum > 0 and not a.attisdropped and c.relname = " +
      sql_literal(relation.name) + " and " +
      in_schema(relation.schema, "pg_catalog.pg_table_is_visible(c.oid)"));
}

Catalogue::Names SessionCatalogue::functions(const std::string& schema) {
  // Of PostgreSQL's own, not what stands behind operators and types.
  return ask(
      "select distinct pg_catalog.quote_ident(p.proname) from pg_catalog.pg_proc p "
      "join pg_catalog.pg_namespace n on n.oid = p.pronamespace "
      "where (n.nspname <> 'pg_catalog' or not (p.prorettype in (2275, 2281) "
      "or 2275 = any (p.proargtypes) or 2281 = any (p.proargtypes) "
      "or 1263 = any (p.proargtypes) "
      "or exists (select from pg_catalog.pg_operator o where o.oprcode = p.oid) "
      "or exists (select from pg_catalog.pg_type t where p.oid in (t.typsend, t.typmodout)) "
      "or exists (select from pg_catalog.pg_amproc a where a.amproc = p.oid) "
      "or exists (select from pg_catalog.pg_aggregate g "
      "where p.oid in (g.aggtransfn, g.aggfinalfn, g.aggcombinefn)))) and " +
      in_schema(schema, "pg_catalog.pg_function_is_visible(p.oid)"));
}

Catalogue::Names SessionCatalogue::schemas() {
  return ask("select pg_catalog.quote_ident(nspname) from pg_catalog.pg_namespace");
}
Catalogue::Names SessionCatalogue::databases() {
  return ask("select pg_catalog.quote_ident(datname) from pg_catalog.pg_database");
}
Catalogue::Names SessionCatalogue::roles() {
  return ask("select pg_catalog.quote_ident(rolname) from pg_catalog.pg_roles");
}
Catalogue::Names SessionCatalogue::settings() {
  return ask("select name from pg_catalog.pg_settings");
}

}  // namespace pglite::cli
