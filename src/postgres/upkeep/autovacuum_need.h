// Which tables autovacuum would treat: relation_needs_vacanalyze (postmaster/autovacuum.c) in words
// of its own. PostgreSQL manual, "The Autovacuum Daemon".
#ifndef PGLITE_POSTGRES_UPKEEP_AUTOVACUUM_NEED_H_
#define PGLITE_POSTGRES_UPKEEP_AUTOVACUUM_NEED_H_

#include <cstdint>
#include <string_view>

namespace pglite::postgres {

// The settings of these names.
struct AutovacuumSettings {
  bool enabled = true;
  double vacuum_threshold = 50;
  double vacuum_scale_factor = 0.2;
  double vacuum_max_threshold = 100'000'000;  // negative: none
  double vacuum_insert_threshold = 1000;      // negative: insertions alone are no reason
  double vacuum_insert_scale_factor = 0.2;
  double analyze_threshold = 50;
  double analyze_scale_factor = 0.1;
  double freeze_max_age = 200'000'000;
  double multixact_freeze_max_age = 400'000'000;

  // Applies a table's storage parameters ("autovacuum_enabled=false autovacuum_vacuum_threshold=9
  // fillfactor=70"); those that mean something else are skipped.
  void apply(std::string_view reloptions);
};

// As pg_class and the statistics have it.
struct TableFacts {
  double tuples = 0;  // reltuples; negative: not known
  double pages = 0;
  double all_frozen_pages = 0;
  double age = 0;            // age(relfrozenxid)
  double multixact_age = 0;  // mxid_age(relminmxid)
  double dead = 0;
  double inserted_since_vacuum = 0;
  double modified_since_analyze = 0;
};

struct AutovacuumNeed {
  bool vacuum = false;
  bool analyze = false;
  bool wraparound = false;  // vacuum, even where autovacuum is switched off
};

AutovacuumNeed autovacuum_need(const TableFacts& table, const AutovacuumSettings& settings);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_UPKEEP_AUTOVACUUM_NEED_H_
