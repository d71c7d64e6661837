#include "postgres/upkeep/maintenance.h"

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "postgres/guest/layout.h"
#include "postgres/guest/superuser.h"
#include "postgres/upkeep/autovacuum_need.h"
#include "wire/frontend_message.h"

namespace pglite::postgres {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using wasm::GuestPtr;

// Of our statement and portal.
constexpr std::string_view kName = "pglite maintenance";
// The first look at the tables; later ones are autovacuum_naptime apart.
constexpr auto kFirstLook = 5s;
constexpr auto kAfterFailure = 60s;
constexpr auto kAfterCut = 1s;
// Between two looks at the catalogue caches, unless they grow by as much before; and from when they
// were emptied to a look at what is in use again: later, that would be much that never will be.
constexpr auto kCachesLook = 60s;
constexpr auto kCachesInUse = 10s;
// Between two searches for what the session keeps of foreign keys, until there is something.
constexpr auto kSearch = 10s;
constexpr uint64_t kCachesGrowth = uint64_t{32} << 20;
// What can wait until a pause waits for one as long as this.
constexpr auto kPause = 500ms;
// How long a table may take; twice as long each time it was not enough. From the fifth time on
// nothing else cuts it short either.
constexpr milliseconds kTableLimit = 250ms;
constexpr int kPatience = 4;
// No table is begun with later than this at the end of a run.
constexpr milliseconds kFinishLimit = 500ms;
// WAL of a memory:// database; PostgreSQL's own limits are made for disks.
constexpr uint64_t kMemoryWalLimit = uint64_t{64} << 20;

double number(const std::string& text) {
  return std::strtod(text.c_str(), nullptr);
}

}  // namespace

Maintenance::Maintenance(Backend& backend, bool in_memory, bool autovacuum)
    : backend_(backend),
      in_memory_(in_memory),
      autovacuum_(autovacuum),
      settings_(backend.process()),
      caches_(backend.process()),
      foreign_keys_(backend.process()),
      free_memory_(backend.process()) {
  emscripten::Process& process = backend_.process();
  transam_ = process.memory()
                 .load(GuestPtr<uint32_t>{process.data_address(symbols::kTransamVariables)})
                 .value_or(0);
  seen_xid_ = next_xid();
  checkpoint_time_ = Clock::now();
  next_look_ = checkpoint_time_ + kFirstLook;
  // In memory, a segment that is kept for later is memory; after the session's own CHECKPOINT too.
  if (const uint32_t recycle = in_memory_ ? settings_.address("wal_recycle") : 0; recycle != 0) {
    (void)process.memory().store(GuestPtr<uint8_t>{recycle}, 0);
  }
}

uint64_t Maintenance::next_xid() const {
  const auto next =
      backend_.process().memory().load(GuestPtr<uint64_t>{transam_ + kLayout.transam_next_xid});
  return transam_ == 0 ? 0 : next.value_or(0);
}

bool Maintenance::xids_run_out() const {
  const auto limit = backend_.process().memory().load(
      GuestPtr<uint32_t>{transam_ + kLayout.transam_xid_vacuum_limit});
  // Transaction ids are compared on a circle.
  return transam_ != 0 && limit && *limit != 0 &&
         static_cast<int32_t>(static_cast<uint32_t>(next_xid()) - *limit) >= 0;
}

uint64_t Maintenance::flushed_wal() {
  emscripten::Process& process = backend_.process();
  const auto flushed = find_symbol(process, symbols::kGetFlushRecPtr);
  uint64_t position = 0;
  process.run([&] { (void)process.call([&] { position = flushed(0); }); });
  return position;
}

uint64_t Maintenance::wal_limit() {
  if (in_memory_) return kMemoryWalLimit;
  // CalculateCheckpointSegments: as much is written again until the checkpoint is complete. Ours
  // are complete at once, but the same share keeps the disk usage that the setting stands for.
  const double target = settings_.real("checkpoint_completion_target").value_or(0.9);
  const auto megabytes =
      static_cast<uint64_t>(std::max(settings_.integer("max_wal_size").value_or(1024), 2));
  return static_cast<uint64_t>(static_cast<double>(megabytes << 20) / (1 + target));
}

void Maintenance::request_done() {
  request_since_deadline_ = true;
  const uint64_t xid = next_xid();
  if (xid == seen_xid_ || !backend_.at_rest()) return;
  seen_xid_ = xid;
  wal_ = flushed_wal();
  if (checkpoint_wal_ == 0) checkpoint_wal_ = wal_;  // the first that is known
  wrote_ = true;
  const TimePoint unknown{};
  if (!in_memory_ && !flush_at_) flush_at_ = unknown;
  if (autovacuum_ && !look_at_) look_at_ = unknown;
  // Twice what step() is given time for.
  overdue_ = wal_ - checkpoint_wal_ >= 2 * wal_limit();
}

std::optional<Maintenance::TimePoint> Maintenance::deadline() {
  if (!backend_.at_rest()) return std::nullopt;
  if (request_since_deadline_) {
    request_since_deadline_ = false;
    last_request_ = Clock::now();
    if (flush_at_ == TimePoint{}) {
      flush_at_ = last_request_ + milliseconds(settings_.integer("wal_writer_delay").value_or(200));
    }
    if (look_at_ == TimePoint{}) {
      look_at_ = std::max(next_look_, last_request_);
      if (xids_run_out()) look_at_ = std::min(*look_at_, last_request_ + 1s);
    }
    if (free_memory_.may_be_large()) memory_at_ = last_request_ + kPause;
    if (const uint64_t allocated = caches_.allocated(); allocated > CacheLimit::kLeast) {
      const bool much = allocated >= seen_caches_ + kCachesGrowth;
      if (!caches_at_ || much) {
        caches_at_ = much ? last_request_ : std::max(next_caches_look_, last_request_);
      }
    }
    if (last_request_ >= next_search_) {
      next_search_ = foreign_keys_.find() ? TimePoint::max() : last_request_ + kSearch;
    }
    if (!caches_at_ &&
        foreign_keys_.most_plans() * ForeignKeyCache::kPlanSize > CacheLimit::kLeast) {
      caches_at_ = std::max(next_caches_look_, last_request_);
    }
  }
  std::optional<TimePoint> next;
  const auto consider = [&](std::optional<TimePoint> time) {
    if (time && (!next || *time < *next)) next = time;
  };
  consider(flush_at_);
  if (wrote_) {
    const uint64_t written = wal_ - checkpoint_wal_;
    TimePoint at = checkpoint_time_ +
                   std::chrono::seconds(settings_.integer("checkpoint_timeout").value_or(300));
    // Half full: in the next pause. Full: now.
    if (written >= wal_limit() / 2) at = std::min(at, last_request_ + kPause);
    if (written >= wal_limit()) at = last_request_;
    consider(std::max(at, checkpoint_at_.value_or(at)));
  }
  consider(caches_at_);
  consider(memory_at_);
  if (!tables_.empty()) {
    consider(treat_at_);
  } else {
    consider(look_at_);
  }
  return next;
}

bool Maintenance::in_transaction() {
  emscripten::Process& process = backend_.process();
  bool found = true;
  process.run([&] {
    (void)process.call([&] {
      found = find_symbol(process, symbols::kIsTransactionState)() != 0 ||
              find_symbol(process, symbols::kIsTransactionBlock)() != 0;
    });
  });
  return found;
}

Status Maintenance::finish() {
  if (!backend_.at_rest() || (!look_at_ && tables_.empty()) || in_transaction()) return {};
  const UndisturbedStatements undisturbed(backend_.process(), settings_);
  const TimePoint begin = Clock::now();
  Status status;
  if (tables_.empty()) status = look_for_tables(begin);
  const auto may_go_on = [&] {
    return status.ok() || status.code() == StatusCode::kInvalidArgument;
  };
  while (may_go_on() && !tables_.empty() && Clock::now() - begin < kFinishLimit) {
    status = treat_table(Clock::now());
  }
  return may_go_on() ? Status() : status;
}

Status Maintenance::step(TimePoint now) {
  if (!backend_.at_rest()) return {};
  (void)deadline();
  if (in_transaction()) return {};
  emscripten::Process& process = backend_.process();
  // The session's time of idleness goes on as if nothing had happened.
  const int idle_limit = settings_.integer("idle_session_timeout").value_or(0);
  const auto idle = std::chrono::duration_cast<milliseconds>(now - last_request_).count();
  const int idle_left =
      idle_limit <= 0 ? 0 : static_cast<int>(std::clamp<int64_t>(idle_limit - idle, 1, idle_limit));
  const wasm::GuestMemory memory = process.memory();
  const Replaced<int32_t> idle_session(memory, settings_.address("idle_session_timeout"),
                                       idle_left);
  const UndisturbedStatements undisturbed(process, settings_);

  Status status;
  const uint64_t written = wal_ - checkpoint_wal_;
  const bool full = written >= wal_limit();
  const bool old = now - checkpoint_time_ >=
                   std::chrono::seconds(settings_.integer("checkpoint_timeout").value_or(300));
  const bool half = written >= wal_limit() / 2 && now - last_request_ >= kPause;
  if (flush_at_ && *flush_at_ <= now) {
    status = flush();
    if (!status.ok()) flush_at_ = now + kAfterCut;
  } else if (wrote_ && (full || old || half) && now >= checkpoint_at_.value_or(now)) {
    status = checkpoint(now);
  } else if (caches_at_ && *caches_at_ <= now) {
    status = look_at_caches(now);
    if (!status.ok()) caches_at_ = now + kAfterCut;
  } else if (memory_at_ && *memory_at_ <= now) {
    memory_at_.reset();
    // What a message took, PostgreSQL frees when the next one comes.
    status = run_sql(backend_, "SELECT");
    process.run([&] { (void)process.call([&] { free_memory_.give_back(); }); });
  } else if (!tables_.empty()) {
    if (treat_at_ && *treat_at_ <= now) status = treat_table(now);
  } else if (look_at_ && *look_at_ <= now) {
    status = look_for_tables(now);
    if (!status.ok()) look_at_ = now + kAfterCut;
  }
  insists_ = false;
  seen_xid_ = next_xid();
  return status.code() == StatusCode::kInvalidArgument ? Status() : status;
}

Status Maintenance::run(const std::string& sql, SqlResult* result) {
  Status status = run_messages(
      backend_,
      wire::parse(kName, sql) + wire::bind(kName, kName) + wire::execute(kName) + wire::sync(),
      result);
  if (!status.ok() && status.code() != StatusCode::kInvalidArgument) return status;
  // Apart, because an error makes PostgreSQL skip all up to the Sync.
  Status closed = run_messages(backend_, wire::close('S', kName) + wire::sync());
  return closed.ok() ? status : closed;
}

Status Maintenance::run_privileged(const std::string& sql, milliseconds limit, bool as_autovacuum,
                                   SqlResult* result) {
  return as_superuser(backend_, [&] {
    emscripten::Process& process = backend_.process();
    const Replaced<int32_t> statement(process.memory(), settings_.address("statement_timeout"),
                                      static_cast<int32_t>(limit.count()));
    // The statistics count it as autovacuum's work.
    const Replaced<uint32_t> type(process.memory(),
                                  as_autovacuum ? process.data_address(symbols::kMyBackendType) : 0,
                                  kLayout.autovacuum_worker);
    return run(sql, result);
  });
}

Status Maintenance::flush() {
  flush_at_.reset();
  SqlResult result;
  Status status = run("SELECT pg_catalog.pg_current_wal_insert_lsn()", &result);
  if (!status.ok() || result.rows.empty()) return status;
  const std::string& text = result.rows[0].at(0);
  char* rest = nullptr;
  const uint64_t high = std::strtoull(text.c_str(), &rest, 16);
  if (*rest != '/') return {};
  const uint64_t position = high << 32 | std::strtoull(rest + 1, nullptr, 16);
  if (position <= flushed_wal()) return {};
  // Its last argument asks for the flush of all WAL up to the message. (Not XLogFlush(position): at
  // the start of a page, the position is behind a page header that is not written yet.)
  status =
      run("SELECT pg_catalog.pg_logical_emit_message(false, 'pglite-port'::pg_catalog.text, "
          "''::pg_catalog.text, true)",
          nullptr);
  wal_ = flushed_wal();
  return status;
}

Status Maintenance::checkpoint(TimePoint now) {
  overdue_ = false;
  Status status = run_privileged("CHECKPOINT", milliseconds(0), false);
  if (!status.ok()) {
    checkpoint_at_ = now + kAfterFailure;
    return status;
  }
  checkpoint_at_.reset();
  wrote_ = false;
  checkpoint_wal_ = wal_ = flushed_wal();
  checkpoint_time_ = now;
  return {};
}

Status Maintenance::look_at_caches(TimePoint now) {
  caches_at_.reset();
  next_caches_look_ = now + kCachesLook;
  seen_caches_ = caches_.allocated();
  if (foreign_key_limit_.exceeded(foreign_keys_.plans() * ForeignKeyCache::kPlanSize)) {
    foreign_keys_.forget();
    next_caches_look_ = now + kCachesInUse;
  }
  const auto value_of = [](const char* column, const char* view, const char* name) {
    return std::string("(SELECT pg_catalog.max(") + column + ") FROM pg_catalog." + view +
           " WHERE name OPERATOR(pg_catalog.=) '" + name + "')";
  };
  SqlResult found;
  Status status = run_privileged(
      "SELECT " + value_of("used_bytes", "pg_backend_memory_contexts", CatalogCaches::kContext) +
          ", " + value_of("size", "pg_shmem_allocations", CatalogCaches::kQueue),
      milliseconds(0), false, &found);
  if (!status.ok() || found.rows.empty()) return status;
  const auto bytes = [&](size_t column) {
    return std::strtoull(found.rows[0].at(column).c_str(), nullptr, 10);
  };
  if (!cache_limit_.exceeded(bytes(0))) return {};
  if (!caches_.forget(static_cast<uint32_t>(bytes(1)))) return {};
  next_caches_look_ = now + kCachesInUse;
  // The transaction in which they go, so that no request has to wait for that.
  return run("SELECT", nullptr);
}

Status Maintenance::look_for_tables(TimePoint now) {
  look_at_.reset();
  next_look_ = now + std::chrono::seconds(settings_.integer("autovacuum_naptime").value_or(60));
  AutovacuumSettings settings;
  const auto real = [&](const char* name, double fallback) {
    return settings_.real(name).value_or(fallback);
  };
  const auto flag = [&](const char* name) { return settings_.boolean(name).value_or(false); };
  const auto whole = [&](const char* name, double fallback) {
    const auto value = settings_.integer(name);
    return value ? *value : fallback;
  };
  settings.enabled = flag("autovacuum") && flag("track_counts");
  settings.vacuum_threshold = whole("autovacuum_vacuum_threshold", 50);
  settings.vacuum_scale_factor = real("autovacuum_vacuum_scale_factor", 0.2);
  settings.vacuum_max_threshold = whole("autovacuum_vacuum_max_threshold", 100'000'000);
  settings.vacuum_insert_threshold = whole("autovacuum_vacuum_insert_threshold", 1000);
  settings.vacuum_insert_scale_factor = real("autovacuum_vacuum_insert_scale_factor", 0.2);
  settings.analyze_threshold = whole("autovacuum_analyze_threshold", 50);
  settings.analyze_scale_factor = real("autovacuum_analyze_scale_factor", 0.1);
  settings.freeze_max_age = whole("autovacuum_freeze_max_age", 200'000'000);
  settings.multixact_freeze_max_age = whole("autovacuum_multixact_freeze_max_age", 400'000'000);
  if (!settings.enabled && !xids_run_out()) return {};

  // What the session has done is in the statistics a second or more later, unless it is asked for.
  Status status = run("SELECT pg_catalog.pg_stat_force_next_flush()", nullptr);
  if (!status.ok()) return status;
  SqlResult found;
  status =
      run("SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltuples, c.relpages, c.relallfrozen, "
          "pg_catalog.age(c.relfrozenxid), pg_catalog.mxid_age(c.relminmxid), "
          "pg_catalog.pg_stat_get_dead_tuples(c.oid), "
          "pg_catalog.pg_stat_get_ins_since_vacuum(c.oid), "
          "pg_catalog.pg_stat_get_mod_since_analyze(c.oid), "
          "pg_catalog.array_to_string(c.reloptions, ' '), "
          "pg_catalog.array_to_string(main.reloptions, ' ') "
          "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
          "ON n.oid OPERATOR(pg_catalog.=) c.relnamespace "
          "LEFT JOIN pg_catalog.pg_class main ON main.reltoastrelid OPERATOR(pg_catalog.=) c.oid "
          "AND c.relkind OPERATOR(pg_catalog.=) 't' "
          "WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m,t}'::pg_catalog.\"char\"[]) "
          "AND c.relpersistence OPERATOR(pg_catalog.<>) 't'",
          &found);
  if (!status.ok()) return status;
  constexpr size_t kColumns = 14;
  constexpr uint32_t kStatisticRelation = 2619;  // pg_statistic: not analysed
  for (const auto& row : found.rows) {
    if (row.size() != kColumns) continue;
    const bool toast = row[3] == "t";
    TableFacts facts{.tuples = number(row[4]),
                     .pages = number(row[5]),
                     .all_frozen_pages = number(row[6]),
                     .age = number(row[7]),
                     .multixact_age = number(row[8]),
                     .dead = number(row[9]),
                     .inserted_since_vacuum = number(row[10]),
                     .modified_since_analyze = number(row[11])};
    AutovacuumSettings of_table = settings;
    // A TOAST table without parameters of its own has its table's.
    of_table.apply(toast && row[12].empty() ? row[13] : row[12]);
    const AutovacuumNeed need = autovacuum_need(facts, of_table);
    Table table;
    table.oid = static_cast<uint32_t>(std::strtoul(row[0].c_str(), nullptr, 10));
    table.name = quote_identifier(row[1]) + "." + quote_identifier(row[2]);
    table.vacuum = need.vacuum;
    table.analyze = need.analyze && !toast && table.oid != kStatisticRelation;
    table.wraparound = need.wraparound;
    if (table.vacuum || table.analyze) tables_.push_back(std::move(table));
  }
  // Of tables that are gone, or that something else has treated, nothing is kept.
  std::erase_if(cut_short_, [&](const auto& entry) {
    return std::ranges::find(tables_, entry.first, &Table::oid) == tables_.end();
  });
  // From the end on: first what must not wait.
  std::ranges::partition(tables_, std::logical_not(), &Table::wraparound);
  treat_at_ = now;
  return {};
}

Status Maintenance::treat_table(TimePoint now) {
  const Table table = tables_.back();
  const auto cut_short = cut_short_.find(table.oid);
  const int attempts = cut_short == cut_short_.end() ? 0 : cut_short->second;
  insists_ = attempts >= kPatience;
  const milliseconds limit = kTableLimit * (int64_t{1} << std::min(attempts, 16));
  std::string sql = "ANALYZE " + table.name;
  if (table.vacuum) {
    sql = "VACUUM (PROCESS_TOAST FALSE, SKIP_LOCKED" +
          std::string(table.wraparound ? ", TRUNCATE FALSE" : "") +
          (table.analyze ? ", ANALYZE" : "") + ") " + table.name;
  }
  Status status = run_privileged(sql, limit, true);
  tables_.pop_back();
  treat_at_ = now;
  if (status.ok()) {
    cut_short_.erase(table.oid);
  } else if (status.code() == StatusCode::kInvalidArgument) {
    // Cut short, or PostgreSQL does not want to (the table is gone, say): the next look decides.
    ++cut_short_[table.oid];
    look_at_ = now + kAfterCut;
  }
  if (tables_.empty() && !look_at_ && xids_run_out()) look_at_ = now + kAfterFailure;
  return status;
}

}  // namespace pglite::postgres
