#include "cli/prompt/describe.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cli/prompt/name_pattern.h"

namespace pglite::cli {
namespace {

constexpr std::string_view kNotSystem =
    " and n.nspname <> 'pg_catalog' and n.nspname !~ '^pg_toast' "
    "and n.nspname <> 'information_schema'";

struct Kind {
  char letter;             // behind \d
  std::string_view kinds;  // of pg_class.relkind
  std::string_view plural;
};
constexpr Kind kKinds[] = {
    {'t', "'r','p'", "tables"},         {'i', "'i','I'", "indexes"}, {'v', "'v'", "views"},
    {'m', "'m'", "materialized views"}, {'s', "'S'", "sequences"},   {'E', "'f'", "foreign tables"},
};

constexpr std::string_view kRelationType =
    "case c.relkind when 'r' then 'table' when 'v' then 'view' when 'm' then 'materialized view' "
    "when 'i' then 'index' when 'S' then 'sequence' when 't' then 'TOAST table' "
    "when 'f' then 'foreign table' when 'p' then 'partitioned table' "
    "when 'I' then 'partitioned index' when 'c' then 'composite type' end";

const Kind* kind_of(char letter) {
  const auto* const found = std::ranges::find(kKinds, letter, &Kind::letter);
  return found == std::end(kKinds) ? nullptr : found;
}

std::string regex(std::string_view column, const std::string& pattern) {
  return std::string(column) + " operator(pg_catalog.~) " + sql_literal(pattern) +
         " collate pg_catalog.\"default\"";
}

// The condition that a pattern is, on a name, its schema's (or nothing) and whether it is visible.
std::string condition(const NamePattern& pattern, std::string_view name, std::string_view schema,
                      std::string_view visible) {
  std::string sql = regex(name, pattern.name);
  if (pattern.schema && !schema.empty()) {
    sql += " and " + regex(schema, *pattern.schema);
  } else if (!visible.empty()) {
    sql += " and " + std::string(visible);
  }
  return sql;
}

class Describer {
 public:
  Describer(const DescribeRequest& request, QueryRunner& runner)
      : request_(request), runner_(runner) {}

  int run() {
    if (const int code = read_pattern(); code != kExitOk) return code;
    if (request_.what.empty()) return has_pattern() ? describe_relations() : list_relations();
    switch (request_.what[0]) {
      case 'n':
        return list_schemas();
      case 'x':
        return list_extensions();
      case 'u':
      case 'g':
        return list_roles();
      case 'f':
        return list_functions();
      case 'T':
        return list_types();
      default:
        return list_relations();
    }
  }

  int list_databases() {
    if (const int code = read_pattern(); code != kExitOk) return code;
    std::string sql =
        "select d.datname as \"Name\", pg_catalog.pg_get_userbyid(d.datdba) as \"Owner\", "
        "pg_catalog.pg_encoding_to_char(d.encoding) as \"Encoding\", d.datcollate as \"Collate\", "
        "d.datctype as \"Ctype\", "
        "pg_catalog.array_to_string(d.datacl, E'\\n') as \"Access privileges\"";
    if (request_.verbose) {
      sql +=
          ", case when pg_catalog.has_database_privilege(d.datname, 'CONNECT') then "
          "pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(d.datname)) else 'No Access' end "
          "as \"Size\", pg_catalog.shobj_description(d.oid, 'pg_database') as \"Description\"";
    }
    sql += " from pg_catalog.pg_database d";
    if (has_pattern()) sql += " where " + condition(pattern_, "d.datname", "", "");
    return runner_.show_query(sql + " order by 1", {"List of databases", {}, true});
  }

 private:
  [[nodiscard]] bool has_pattern() const { return !request_.pattern.empty(); }
  int read_pattern() {
    if (!has_pattern()) return kExitOk;
    const auto pattern = parse_name_pattern(request_.pattern);
    if (!pattern) {
      return runner_.refuse("improper qualified name (too many dotted names): " + request_.pattern);
    }
    pattern_ = *pattern;
    return kExitOk;
  }
  [[nodiscard]] bool is_verbose() const { return request_.verbose; }

  // The part of a WHERE clause that says which objects are meant.
  [[nodiscard]] std::string meant(std::string_view name, std::string_view visible) const {
    if (has_pattern()) return " and " + condition(pattern_, name, "n.nspname", visible);
    return (request_.system ? "" : std::string(kNotSystem)) + " and " + std::string(visible);
  }

  int list_relations() {
    std::string kinds;
    std::string plural = "relations";
    bool indexes = false;
    for (const char letter : request_.what.empty() ? std::string("tvmsE") : request_.what) {
      const Kind* kind = kind_of(letter);
      kinds += (kinds.empty() ? "" : ",") + std::string(kind->kinds);
      indexes = indexes || letter == 'i';
      if (request_.what.size() == 1) plural = kind->plural;
    }
    const std::string from =
        " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " left join pg_catalog.pg_index x on x.indexrelid = c.oid"
        " left join pg_catalog.pg_class t on t.oid = x.indrelid"
        " where c.relkind in (" +
        kinds + ")" + meant("c.relname", "pg_catalog.pg_table_is_visible(c.oid)");
    std::string sql = "select n.nspname as \"Schema\", c.relname as \"Name\", " +
                      std::string(kRelationType) +
                      " as \"Type\", pg_catalog.pg_get_userbyid(c.relowner) as \"Owner\"";
    if (indexes) sql += ", t.relname as \"Table\"";
    if (is_verbose()) {
      sql +=
          ", case c.relpersistence when 'p' then 'permanent' when 't' then 'temporary' "
          "when 'u' then 'unlogged' end as \"Persistence\", "
          "(select amname from pg_catalog.pg_am where oid = c.relam) as \"Access method\", "
          "pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)) as \"Size\", "
          "pg_catalog.obj_description(c.oid, 'pg_class') as \"Description\"";
    }
    return show_unless_empty(sql, from, " order by 1, 2", plural);
  }

  // psql prints no empty list of relations.
  int show_unless_empty(const std::string& select, const std::string& from,
                        const std::string& order, const std::string& plural) {
    QueryRunner::Rows rows;
    if (const int code = runner_.fetch("select 1" + from + " limit 1", &rows); code != kExitOk) {
      return code;
    }
    if (!rows.empty()) {
      return runner_.show_query(select + from + order, {"List of " + plural, {}});
    }
    if (!has_pattern()) {
      runner_.show("Did not find any " + plural + ".\n");
    } else {
      runner_.show("Did not find any " + plural + " named \"" + request_.pattern + "\".\n");
    }
    return kExitOk;
  }

  int list_schemas() {
    std::string sql =
        "select n.nspname as \"Name\", pg_catalog.pg_get_userbyid(n.nspowner) as \"Owner\"";
    if (is_verbose()) {
      sql +=
          ", pg_catalog.array_to_string(n.nspacl, E'\\n') as \"Access privileges\", "
          "pg_catalog.obj_description(n.oid, 'pg_namespace') as \"Description\"";
    }
    sql += " from pg_catalog.pg_namespace n where true";
    if (has_pattern()) {
      sql += " and " + condition(pattern_, "n.nspname", "", "");
    } else if (!request_.system) {
      sql += " and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";
    }
    return runner_.show_query(sql + " order by 1", {"List of schemas", {}, true});
  }

  int list_extensions() {
    std::string sql =
        "select e.extname as \"Name\", e.extversion as \"Version\", a.default_version as "
        "\"Default version\", n.nspname as \"Schema\", "
        "pg_catalog.obj_description(e.oid, 'pg_extension') as \"Description\" "
        "from pg_catalog.pg_extension e "
        "left join pg_catalog.pg_namespace n on n.oid = e.extnamespace "
        "left join pg_catalog.pg_available_extensions a on a.name = e.extname";
    if (has_pattern()) sql += " where " + condition(pattern_, "e.extname", "", "");
    return runner_.show_query(sql + " order by 1", {"List of installed extensions", {}, true});
  }

  int list_roles() {
    std::string sql =
        "select r.rolname, pg_catalog.concat_ws(', ', "
        "case when r.rolsuper then 'Superuser' end, "
        "case when not r.rolinherit then 'No inheritance' end, "
        "case when r.rolcreaterole then 'Create role' end, "
        "case when r.rolcreatedb then 'Create DB' end, "
        "case when not r.rolcanlogin then 'Cannot login' end, "
        "case when r.rolreplication then 'Replication' end, "
        "case when r.rolbypassrls then 'Bypass RLS' end, "
        "case when r.rolconnlimit = 0 then 'No connections' "
        "when r.rolconnlimit = 1 then '1 connection' "
        "when r.rolconnlimit > 1 then r.rolconnlimit || ' connections' end, "
        "'Password valid until ' || r.rolvaliduntil)";
    if (is_verbose()) sql += ", pg_catalog.shobj_description(r.oid, 'pg_authid')";
    sql += " from pg_catalog.pg_roles r";
    if (has_pattern()) {
      sql += " where " + condition(pattern_, "r.rolname", "", "");
    } else if (!request_.system) {
      sql += " where r.rolname !~ '^pg_'";
    }
    QueryRunner::Rows rows;
    if (const int code = runner_.fetch(sql + " order by 1", &rows); code != kExitOk) return code;
    std::vector<std::string> columns = {"Role name", "Attributes"};
    if (is_verbose()) columns.emplace_back("Description");
    runner_.show_table(columns, rows, {"List of roles", {}, false});
    return kExitOk;
  }

  int list_functions() {
    std::string sql =
        "select n.nspname as \"Schema\", p.proname as \"Name\", "
        "pg_catalog.pg_get_function_result(p.oid) as \"Result data type\", "
        "pg_catalog.pg_get_function_arguments(p.oid) as \"Argument data types\", "
        "case p.prokind when 'a' then 'agg' when 'w' then 'window' when 'p' then 'proc' "
        "else 'func' end as \"Type\"";
    if (is_verbose()) {
      sql +=
          ", case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' "
          "end as \"Volatility\", pg_catalog.pg_get_userbyid(p.proowner) as \"Owner\", "
          "l.lanname as \"Language\", "
          "pg_catalog.obj_description(p.oid, 'pg_proc') as \"Description\"";
    }
    sql +=
        " from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace"
        " left join pg_catalog.pg_language l on l.oid = p.prolang where true" +
        meant("p.proname", "pg_catalog.pg_function_is_visible(p.oid)") + " order by 1, 2, 4";
    return runner_.show_query(sql, {"List of functions", {}, true});
  }

  int list_types() {
    // Not the row types of tables, nor the array types of others.
    const std::string sql =
        "select n.nspname as \"Schema\", pg_catalog.format_type(t.oid, null) as \"Name\", "
        "pg_catalog.obj_description(t.oid, 'pg_type') as \"Description\" "
        "from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace "
        "where (t.typrelid = 0 or exists (select from pg_catalog.pg_class c "
        "where c.oid = t.typrelid and c.relkind = 'c')) "
        "and not exists (select from pg_catalog.pg_type e where e.typarray = t.oid)" +
        meant("t.typname", "pg_catalog.pg_type_is_visible(t.oid)") + " order by 1, 2";
    return runner_.show_query(sql, {"List of data types", {}, true});
  }

  // \d NAME: each relation that fits.
  int describe_relations() {
    QueryRunner::Rows rows;
    const std::string sql =
        "select c.oid, n.nspname, c.relname, c.relkind, c.relispartition, "
        "c.relpersistence = 'u' from pg_catalog.pg_class c "
        "join pg_catalog.pg_namespace n on n.oid = c.relnamespace where true" +
        meant("c.relname", "pg_catalog.pg_table_is_visible(c.oid)") + " order by 2, 3";
    if (const int code = runner_.fetch(sql, &rows); code != kExitOk) return code;
    if (rows.empty()) {
      return runner_.refuse("Did not find any relation named \"" + request_.pattern + "\".");
    }
    for (const auto& row : rows) {
      Relation relation;
      relation.oid = row[0].value_or("0");
      relation.name = row[1].value_or("") + "." + row[2].value_or("");
      relation.kind = row[3].value_or("r")[0];
      relation.is_partition = row[4] == "t";
      relation.is_unlogged = row[5] == "t";
      const int code =
          relation.kind == 'S' ? describe_sequence(relation) : describe_table(relation);
      if (code != kExitOk) return code;
    }
    return kExitOk;
  }

  struct Relation {
    std::string oid;
    std::string name;
    char kind = 'r';
    bool is_partition = false;
    bool is_unlogged = false;
  };

  int describe_sequence(const Relation& sequence) {
    Caption caption{"Sequence \"" + sequence.name + "\"", {}, false};
    const int code = add_footers(
        "select case d.deptype when 'a' then 'Owned by: ' else 'Sequence for identity column: ' "
        "end || n.nspname || '.' || c.relname || '.' || a.attname "
        "from pg_catalog.pg_depend d join pg_catalog.pg_class c on c.oid = d.refobjid "
        "join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
        "join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid "
        "where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass "
        "and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass "
        "and d.deptype in ('a', 'i') and d.objid = " +
            sequence.oid,
        "", "", &caption);
    if (code != kExitOk) return code;
    return runner_.show_query(
        "select pg_catalog.format_type(s.seqtypid, null) as \"Type\", s.seqstart as \"Start\", "
        "s.seqmin as \"Minimum\", s.seqmax as \"Maximum\", s.seqincrement as \"Increment\", "
        "case when s.seqcycle then 'yes' else 'no' end as \"Cycles?\", s.seqcache as \"Cache\" "
        "from pg_catalog.pg_sequence s where s.seqrelid = " +
            sequence.oid,
        caption);
  }

  static std::string title_of(const Relation& relation) {
    const auto word = [&]() -> std::string {
      switch (relation.kind) {
        case 'v':
          return "View";
        case 'm':
          return "Materialized view";
        case 'i':
          return "Index";
        case 'I':
          return "Partitioned index";
        case 'p':
          return "Partitioned table";
        case 'f':
          return "Foreign table";
        case 'c':
          return "Composite type";
        case 't':
          return "TOAST table";
        default:
          return "Table";
      }
    }();
    const bool says_unlogged = relation.is_unlogged && relation.kind != 'v';
    std::string lower = word;
    lower[0] = static_cast<char>(lower[0] | 0x20);
    return (says_unlogged ? "Unlogged " + lower : word) + " \"" + relation.name + "\"";
  }

  int describe_table(const Relation& relation) {
    const bool is_index = relation.kind == 'i' || relation.kind == 'I';
    QueryRunner::Rows rows;
    std::vector<std::string> columns;
    std::string sql = "select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)";
    if (is_index) {
      columns = {"Column", "Type", "Key?", "Definition"};
      sql +=
          ", case when a.attnum <= x.indnkeyatts then 'yes' else 'no' end, "
          "pg_catalog.pg_get_indexdef(a.attrelid, a.attnum, true)";
    } else {
      columns = {"Column", "Type", "Collation", "Nullable", "Default"};
      sql +=
          ", (select c.collname from pg_catalog.pg_collation c, pg_catalog.pg_type t "
          "where c.oid = a.attcollation and t.oid = a.atttypid "
          "and a.attcollation <> t.typcollation)"
          ", case when a.attnotnull then 'not null' end"
          ", case when a.attidentity = 'a' then 'generated always as identity' "
          "when a.attidentity = 'd' then 'generated by default as identity' "
          "when a.attgenerated <> '' then 'generated always as (' || "
          "pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) || ')' || "
          "case a.attgenerated when 's' then ' stored' else '' end "
          "else pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) end";
    }
    if (is_verbose()) {
      columns.emplace_back("Storage");
      sql +=
          ", case a.attstorage when 'p' then 'plain' when 'e' then 'external' "
          "when 'm' then 'main' when 'x' then 'extended' end";
      if (!is_index) {
        columns.emplace_back("Description");
        sql += ", pg_catalog.col_description(a.attrelid, a.attnum)";
      }
    }
    sql +=
        " from pg_catalog.pg_attribute a "
        "left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum "
        "left join pg_catalog.pg_index x on x.indexrelid = a.attrelid "
        "where a.attnum > 0 and not a.attisdropped and a.attrelid = " +
        relation.oid + " order by a.attnum";
    if (const int code = runner_.fetch(sql, &rows); code != kExitOk) return code;
    Caption caption{title_of(relation), {}, false};
    const int code =
        is_index ? add_index_footers(relation, &caption) : add_table_footers(relation, &caption);
    if (code != kExitOk) return code;
    runner_.show_table(columns, rows, caption);
    return kExitOk;
  }

  // Adds a heading and what the query gives, unless that is nothing.
  int add_footers(const std::string& sql, const std::string& heading, const std::string& indent,
                  Caption* caption) {
    QueryRunner::Rows rows;
    if (const int code = runner_.fetch(sql, &rows); code != kExitOk) return code;
    if (!rows.empty() && !heading.empty()) caption->footers.push_back(heading);
    for (const auto& row : rows) caption->footers.push_back(indent + row[0].value_or(""));
    return kExitOk;
  }

  int add_index_footers(const Relation& index, Caption* caption) {
    return add_footers(
        "select pg_catalog.concat_ws(', ', case when x.indisprimary then 'primary key' "
        "when x.indisunique then 'unique' end, m.amname, 'for table \"' || n.nspname || '.' || "
        "t.relname || '\"', 'predicate (' || "
        "pg_catalog.pg_get_expr(x.indpred, x.indrelid, true) || ')', "
        "case when x.indisclustered then 'clustered' end, "
        "case when not x.indisvalid then 'invalid' end, "
        "case when x.indisreplident then 'replica identity' end) "
        "from pg_catalog.pg_index x join pg_catalog.pg_class c on c.oid = x.indexrelid "
        "join pg_catalog.pg_class t on t.oid = x.indrelid "
        "join pg_catalog.pg_namespace n on n.oid = t.relnamespace "
        "join pg_catalog.pg_am m on m.oid = c.relam where x.indexrelid = " +
            index.oid,
        "", "", caption);
  }

  int add_table_footers(const Relation& table, Caption* caption) {
    struct Part {
      const char* heading;
      const char* indent;
      std::string sql;
    };
    const std::string& oid = table.oid;
    std::vector<Part> parts;
    if (table.is_partition) {
      parts.push_back({"", "",
                       "select 'Partition of: ' || i.inhparent::pg_catalog.regclass || ' ' || "
                       "pg_catalog.pg_get_expr(c.relpartbound, c.oid) "
                       "from pg_catalog.pg_class c join pg_catalog.pg_inherits i "
                       "on i.inhrelid = c.oid where c.oid = " +
                           oid});
    }
    if (table.kind == 'p') {
      parts.push_back(
          {"", "", "select 'Partition key: ' || pg_catalog.pg_get_partkeydef(" + oid + ")"});
    }
    parts.push_back(
        {"Indexes:", "    ",
         "select '\"' || c.relname || '\"' || case when x.indisprimary then ' PRIMARY KEY,' "
         "when x.indisunique and k.oid is not null then ' UNIQUE CONSTRAINT,' "
         "when x.indisunique then ' UNIQUE,' else '' end || case when k.contype = 'x' then ' ' || "
         "pg_catalog.pg_get_constraintdef(k.oid, true) else "
         "substring(pg_catalog.pg_get_indexdef(c.oid, 0, true) from ' USING( .*)$') "
         "end || case when x.indisclustered then ' CLUSTER' else '' end "
         "|| case when not x.indisvalid then ' INVALID' else '' end "
         "|| case when k.condeferrable then ' DEFERRABLE' else '' end "
         "|| case when k.condeferred then ' INITIALLY DEFERRED' else '' end "
         "|| case when x.indisreplident then ' REPLICA IDENTITY' else '' end "
         "from pg_catalog.pg_index x join pg_catalog.pg_class c on c.oid = x.indexrelid "
         "left join pg_catalog.pg_constraint k on k.conindid = c.oid "
         "and k.conrelid = x.indrelid and k.contype in ('p', 'u', 'x') where x.indrelid = " +
             oid + " order by x.indisprimary desc, c.relname"});
    parts.push_back({"Check constraints:", "    ", constraints("'c'", oid)});
    parts.push_back({"Foreign-key constraints:", "    ", constraints("'f'", oid)});
    parts.push_back(
        {"Referenced by:", "    ",
         "select 'TABLE ' || case when k.conrelid::pg_catalog.regclass::pg_catalog.text ~ '^\"' "
         "then k.conrelid::pg_catalog.regclass::pg_catalog.text else '\"' || "
         "k.conrelid::pg_catalog.regclass || '\"' end || ' CONSTRAINT \"' || k.conname || '\" ' "
         "|| pg_catalog.pg_get_constraintdef(k.oid, true) from pg_catalog.pg_constraint k "
         "where k.contype = 'f' and k.conparentid = 0 and k.confrelid = " +
             oid + " order by k.conname"});
    parts.push_back(
        {"Policies:", "    ",
         "select 'POLICY \"' || p.polname || '\"' || case p.polcmd when 'r' then ' FOR SELECT' "
         "when 'a' then ' FOR INSERT' when 'w' then ' FOR UPDATE' when 'd' then ' FOR DELETE' "
         "else '' end || coalesce(E'\\n      USING (' || "
         "pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', '') "
         "from pg_catalog.pg_policy p where p.polrelid = " +
             oid + " order by p.polname"});
    if (is_verbose() && (table.kind == 'r' || table.kind == 'p')) {
      parts.push_back({"Not-null constraints:", "    ", constraints("'n'", oid)});
    }
    if (is_verbose() && (table.kind == 'v' || table.kind == 'm')) {
      parts.push_back(
          {"View definition:", "", "select pg_catalog.pg_get_viewdef(" + oid + ", true)"});
    }
    parts.push_back(
        {"Triggers:", "    ",
         "select pg_catalog.regexp_replace(pg_catalog.pg_get_triggerdef(t.oid, true), "
         "'^CREATE (OR REPLACE )?(CONSTRAINT )?TRIGGER ', '') from pg_catalog.pg_trigger t "
         "where not t.tgisinternal and t.tgrelid = " +
             oid + " order by t.tgname"});
    parts.push_back({"", "",
                     "select 'Inherits: ' || pg_catalog.string_agg("
                     "i.inhparent::pg_catalog.regclass::pg_catalog.text, ', ' order by i.inhseqno) "
                     "from pg_catalog.pg_inherits i join pg_catalog.pg_class c "
                     "on c.oid = i.inhrelid where not c.relispartition and i.inhrelid = " +
                         oid + " having pg_catalog.count(*) > 0"});
    const std::string children = table.kind == 'p' ? "partitions" : "child tables";
    parts.push_back(
        {"", "",
         is_verbose()
             ? "select '" + std::string(table.kind == 'p' ? "Partitions: " : "Child tables: ") +
                   "' || pg_catalog.string_agg(i.inhrelid::pg_catalog.regclass || "
                   "coalesce(' ' || pg_catalog.pg_get_expr(c.relpartbound, c.oid), ''), "
                   "E',\\n    ' order by i.inhrelid::pg_catalog.regclass::pg_catalog.text) "
                   "from pg_catalog.pg_inherits i join pg_catalog.pg_class c "
                   "on c.oid = i.inhrelid where i.inhparent = " +
                   oid + " having pg_catalog.count(*) > 0"
             : "select 'Number of " + children +
                   ": ' || pg_catalog.count(*) || ' (Use \\d+ to list them.)' "
                   "from pg_catalog.pg_inherits where inhparent = " +
                   oid + " having pg_catalog.count(*) > 0"});
    if (is_verbose()) {
      parts.push_back({"", "",
                       "select 'Access method: ' || m.amname from pg_catalog.pg_class c "
                       "join pg_catalog.pg_am m on m.oid = c.relam where c.oid = " +
                           oid});
    }
    for (const Part& part : parts) {
      const int code = add_footers(part.sql, part.heading, part.indent, caption);
      if (code != kExitOk) return code;
    }
    return kExitOk;
  }

  static std::string constraints(const std::string& type, const std::string& table) {
    return "select '\"' || k.conname || '\" ' || pg_catalog.pg_get_constraintdef(k.oid, true) "
           "from pg_catalog.pg_constraint k where k.contype = " +
           type + " and k.conrelid = " + table + " order by k.conname";
  }

  const DescribeRequest& request_;
  QueryRunner& runner_;
  NamePattern pattern_;
};

}  // namespace

bool parse_describe(std::string_view name, DescribeRequest* request) {
  if (!name.starts_with('d')) return false;
  name.remove_prefix(1);
  *request = {};
  while (!name.empty() && (name.ends_with('+') || name.ends_with('S'))) {
    (name.ends_with('+') ? request->verbose : request->system) = true;
    name.remove_suffix(1);
  }
  request->what = name;
  if (name.size() == 1 && std::string_view("nxugfT").find(name[0]) != std::string_view::npos) {
    return true;
  }
  return std::ranges::all_of(name, [](char letter) { return kind_of(letter) != nullptr; });
}

int describe(const DescribeRequest& request, QueryRunner& runner) {
  return Describer(request, runner).run();
}

int list_databases(const std::string& pattern, bool verbose, QueryRunner& runner) {
  DescribeRequest request;
  request.verbose = verbose;
  request.pattern = pattern;
  return Describer(request, runner).list_databases();
}

}  // namespace pglite::cli
