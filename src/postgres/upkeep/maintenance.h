// What PostgreSQL's background processes do, in a server that has none: checkpoints (checkpointer),
// flushing what was committed asynchronously (WAL writer), VACUUM and ANALYZE by need (autovacuum);
// and what a new connection does: it begins with empty catalogue caches (catalog_caches.h).
// docs/maintenance.md says what is done when.
//
// It works between requests of a session that is at rest (no transaction, no COPY), in the
// session's own backend: nothing else could. To the session it is not there: statements go by names
// of their own, so that the unnamed statement and portal stay; settings that would get in the way
// are replaced in the guest's memory and put back. No statement looks a name or an operator up
// through the session's search_path: some run with the bootstrap superuser's permissions.
#ifndef PGLITE_POSTGRES_UPKEEP_MAINTENANCE_H_
#define PGLITE_POSTGRES_UPKEEP_MAINTENANCE_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pglite/status.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/free_memory.h"
#include "postgres/guest/session_sql.h"
#include "postgres/guest/settings.h"
#include "postgres/upkeep/catalog_caches.h"
#include "postgres/upkeep/foreign_key_cache.h"

namespace pglite::postgres {

class Maintenance {
 public:
  using Clock = postgres::Clock;
  using TimePoint = Clock::time_point;

  // `in_memory`: the data directory is. The WAL is then kept short, and nothing needs flushing.
  // `autovacuum`: whether tables are treated.
  Maintenance(Backend& backend, bool in_memory, bool autovacuum);

  // After each request; costs a few loads.
  void request_done();

  // When step() has something to do. Nullopt while the session is not at rest.
  std::optional<TimePoint> deadline();
  // One piece of work that is due at `now`; nothing if none is. A failure is the engine's end:
  // what PostgreSQL cannot do for now it is asked to do again later.
  Status step(TimePoint now);
  // Before PostgreSQL shuts down: looks for tables and treats them, for some 500 ms, if something
  // was written and not looked at. Runs that are shorter than the time to the first look would
  // never get there. Failures are step()'s.
  Status finish();
  // It cannot wait for an idle moment any longer: step() should come before the next request.
  [[nodiscard]] bool overdue() const { return overdue_; }

  // The piece that runs must not be cancelled: it has been too often. From signal handlers too.
  [[nodiscard]] bool insists() const { return insists_.load(std::memory_order_relaxed); }

 private:
  struct Table {
    uint32_t oid = 0;
    std::string name;  // qualified and quoted
    bool vacuum = false;
    bool analyze = false;
    bool wraparound = false;
  };

  [[nodiscard]] bool in_transaction();
  [[nodiscard]] uint64_t next_xid() const;
  [[nodiscard]] bool xids_run_out() const;
  uint64_t flushed_wal();
  // WAL between two checkpoints, as PostgreSQL would have it for max_wal_size.
  uint64_t wal_limit();

  // Runs one statement by the extended protocol. kInvalidArgument: PostgreSQL's error.
  Status run(const std::string& sql, SqlResult* result);
  // The same with the bootstrap superuser's permissions.
  Status run_privileged(const std::string& sql, std::chrono::milliseconds limit, bool as_autovacuum,
                        SqlResult* result = nullptr);

  Status flush();
  Status checkpoint(TimePoint now);
  Status look_at_caches(TimePoint now);
  Status look_for_tables(TimePoint now);
  Status treat_table(TimePoint now);

  Backend& backend_;
  const bool in_memory_;
  const bool autovacuum_;
  std::atomic<bool> insists_ = false;
  bool overdue_ = false;

  Settings settings_;
  CatalogCaches caches_;
  CacheLimit cache_limit_;
  ForeignKeyCache foreign_keys_;
  CacheLimit foreign_key_limit_;
  FreeMemory free_memory_;
  uint32_t transam_ = 0;  // TransamVariables

  bool request_since_deadline_ = false;
  TimePoint last_request_{};  // as far as deadline() has seen
  uint64_t seen_xid_ = 0;     // at the end of the last request
  uint64_t wal_ = 0;          // flushed at the end of the last request that wrote
  uint64_t checkpoint_wal_ = 0;
  bool wrote_ = false;  // since the last checkpoint
  TimePoint checkpoint_time_{};
  std::optional<TimePoint> flush_at_;       // something may have been committed asynchronously
  std::optional<TimePoint> checkpoint_at_;  // not before, after a failure
  std::optional<TimePoint> caches_at_;      // to be looked at
  TimePoint next_caches_look_{};            // not before
  TimePoint next_search_{};                 // for foreign keys, not before
  uint64_t seen_caches_ = 0;                // bytes, at the last look
  std::optional<TimePoint> memory_at_;      // to be given back
  std::optional<TimePoint> look_at_;        // for tables; set while there may be some
  TimePoint next_look_{};                   // not before
  std::vector<Table> tables_;               // to be treated, the last one first
  std::optional<TimePoint> treat_at_;
  std::map<uint32_t, int> cut_short_;  // how often in a row, by table
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_UPKEEP_MAINTENANCE_H_
