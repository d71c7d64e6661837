// What verify_layout() asks. Each check has a statement of PostgreSQL's to compare with, or watches
// what PostgreSQL does with a value that was put there; no check may pass by chance when the member
// next to the right one is taken.
#include "postgres/guest/layout.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "postgres/cluster/control_file.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/session_sql.h"
#include "postgres/guest/settings.h"
#include "wasm/guest_memory.h"

namespace pglite::postgres {

namespace {

using emscripten::Process;
using wasm::GuestPtr;

// More contexts than a session has right below TopMemoryContext, so that a walk ends.
constexpr int kMostContexts = 10000;
constexpr uint32_t kPlanMagic = 569278163;  // _SPI_PLAN_MAGIC, executor/spi_priv.h

uint32_t load(Process& process, uint32_t address) {
  return process.memory().load(GuestPtr<uint32_t>{address}).value_or(0);
}

uint8_t load_byte(Process& process, uint32_t address) {
  return process.memory().load(GuestPtr<uint8_t>{address}).value_or(0xFF);
}

uint64_t to_number(const std::string& text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

class Verification {
 public:
  Verification(Backend& backend, const Layout& layout)
      : backend_(backend), process_(backend.process()), layout_(layout) {}

  Status run() {
    exports();
    on_disk();
    settings();
    transaction_ids();
    users();
    memory_contexts();
    invalidations();
    latch();
    errors();
    backend_type();
    foreign_keys();
    setting_sources();
    return status_;
  }

 private:
  // Notes the first fact that is wrong.
  void expect(bool right, std::string_view fact) {
    if (right || !status_.ok()) return;
    status_ = Status::incompatible("PostgreSQL's memory is not as layout.h describes it: " +
                                   std::string(fact));
  }

  bool run_sql(const std::string& sql, SqlResult* result = nullptr) {
    if (!status_.ok()) return false;
    const Status ran = postgres::run_sql(backend_, sql, result);
    if (!ran.ok()) status_ = Status(ran.code(), "layout.cc: " + sql + ": " + ran.message());
    return ran.ok();
  }
  // The only row of a query, with this many columns.
  std::vector<std::string> row(const std::string& sql, size_t columns) {
    SqlResult result;
    run_sql(sql, &result);
    if (result.rows.size() != 1 || result.rows[0].size() != columns) {
      expect(false, "a query has no answer: " + sql);
      return std::vector<std::string>(columns);
    }
    return result.rows[0];
  }
  std::string text(const std::string& sql) { return row(sql, 1)[0]; }
  uint64_t value(const std::string& sql) { return to_number(text(sql)); }

  // Calls the guest. A trap or an error is a wrong fact.
  template <class F>
  void call(std::string_view fact, F f) {
    wasm::Outcome outcome;
    process_.run([&] {
      const uint32_t stack_pointer = *process_.env().stack_pointer;
      outcome = process_.call(f);
      *process_.env().stack_pointer = stack_pointer;
    });
    expect(outcome.returned(), fact);
  }

  template <class... Symbols>
  void expect_functions(Symbols... symbols) {
    (expect(bool(find_symbol(process_, symbols)),
            "there is no function " + std::string(symbols.name)),
     ...);
  }

  void exports() {
    namespace s = postgres::symbols;
    expect_functions(
        s::kStackAlloc, s::kFindOption, s::kSetConfigOption, s::kGetUserIdAndSecContext,
        s::kSetUserIdAndSecContext, s::kIsTransactionState, s::kIsTransactionBlock,
        s::kGetFlushRecPtr, s::kShmemInitStruct, s::kHashSeqInit, s::kHashSeqSearch, s::kHashSearch,
        s::kSpiFreePlan, s::kErrStart, s::kErrCode, s::kErrMessage, s::kErrFinish,
        s::kUnpackSqlState, s::kResetLatch, s::kHashEntries, s::kProcessInterrupts,
        s::kProcessStartupPacket, s::kMainLoopOnce, s::kMainLongJump, s::kSendReadyForQuery,
        s::kFlushOutput, s::kRemainingData, s::kSetCallbacks, s::kSetActive, s::kStartPGlite,
        s::kGetMyProcPort, s::kSendConnectionData, s::kProcExit);
    for (const char* name :
         {s::kTransamVariables, s::kTopMemoryContext, s::kCacheMemoryContext, s::kMyProcPid,
          s::kMyBackendType, s::kMyLatch, s::kQueryCancelPending, s::kRandomState}) {
      expect(process_.data_address(name) != 0, "there is no variable " + std::string(name));
    }
  }

  void on_disk() {
    const auto system = row(
        "SELECT pg_control_version, catalog_version_no, system_identifier FROM pg_control_system()",
        3);
    expect(to_number(system[0]) == layout_.control_version, "PG_CONTROL_VERSION");
    expect(to_number(system[1]) == layout_.catalog_version, "CATALOG_VERSION_NO");
    ControlFile control;
    const Status read = read_control_file(process_.filesystem(), kDataDirectory, &control);
    // Its size is right where its checksum is, which ends the struct.
    expect(read.ok(), "struct ControlFileData: " + read.message());
    expect(std::to_string(control.system_identifier) == system[2],
           "ControlFileData.system_identifier");
    const auto checkpoint =
        row("SELECT checkpoint_lsn - '0/0', redo_lsn - '0/0', timeline_id, next_oid, "
            "next_multixact_id, oldest_xid, oldest_active_xid, extract(epoch FROM "
            "checkpoint_time)::int8 FROM pg_control_checkpoint()",
            8);
    const CheckPoint& copy = control.checkpoint_copy;
    const uint64_t members[] = {control.checkpoint,     copy.redo,
                                copy.timeline,          copy.next_oid,
                                copy.next_multi,        copy.oldest_xid,
                                copy.oldest_active_xid, static_cast<uint64_t>(copy.time)};
    for (size_t i = 0; i < checkpoint.size(); ++i) {
      expect(to_number(checkpoint[i]) == members[i], "struct CheckPoint");
    }
    const auto init =
        row("SELECT max_data_alignment, database_block_size, blocks_per_segment, wal_block_size, "
            "bytes_per_wal_segment, max_identifier_length, data_page_checksum_version FROM "
            "pg_control_init()",
            7);
    const uint64_t built[] = {control.maximum_alignment,       control.block_size,
                              control.relation_segment_blocks, control.wal_block_size,
                              control.wal_segment_size,        control.name_length,
                              control.data_checksum_version};
    for (size_t i = 0; i < init.size(); ++i) {
      expect(to_number(init[i]) == built[i], "how the server was built, in ControlFileData");
    }
    expect(to_number(init[1]) == layout_.block_size, "BLCKSZ");
    expect(to_number(init[3]) == layout_.wal_block_size, "XLOG_BLCKSZ");
    expect(text("SELECT current_setting('server_version_num')::int / 10000") == kMajorVersion,
           "PostgreSQL's major version");
    const std::string segment = std::string(kDataDirectory) + "/" + std::string(names::kWal) + "/" +
                                text("SELECT pg_walfile_name(pg_current_wal_lsn())");
    std::array<std::byte, 2> magic{};
    if (auto file = process_.filesystem().open(segment, {.read = true}, 0); file) {
      (void)(*file)->read(magic, 0);
    }
    expect((std::to_integer<uint32_t>(magic[0]) | std::to_integer<uint32_t>(magic[1]) << 8) ==
               layout_.wal_page_magic,
           "XLOG_PAGE_MAGIC");
  }

  // The variable behind a setting, by the layout that is to be verified.
  uint32_t variable(const char* setting) {
    const auto find = find_symbol(process_, postgres::symbols::kFindOption);
    uint32_t option = 0;
    if (status_.ok()) {
      call("find_option", [&] { option = find(process_.push_string(setting), 0, 1, 0); });
    }
    return option == 0 ? 0 : load(process_, option + layout_.config_generic_variable);
  }

  void settings() {
    const auto shown = [&](const char* name) {
      return text("SELECT setting FROM pg_settings WHERE name = '" + std::string(name) + "'");
    };
    const auto memory = process_.memory();
    for (const char* name :
         {"work_mem", "checkpoint_timeout", "max_wal_size", "wal_writer_delay",
          "autovacuum_naptime", "autovacuum_vacuum_threshold", "autovacuum_freeze_max_age"}) {
      const uint32_t at = variable(name);
      const auto found = memory.load(GuestPtr<int32_t>{at});
      expect(at != 0 && found && std::to_string(*found) == shown(name),
             "sizeof(config_generic), by the setting " + std::string(name));
    }
    for (const char* name : {"autovacuum_vacuum_scale_factor", "checkpoint_completion_target"}) {
      const uint32_t at = variable(name);
      const auto found = memory.load(GuestPtr<double>{at});
      expect(at != 0 && found && *found == std::strtod(shown(name).c_str(), nullptr),
             "sizeof(config_generic), by the setting " + std::string(name));
    }
    for (const char* name : {"autovacuum", "track_counts", "wal_recycle"}) {
      const uint32_t at = variable(name);
      expect(at != 0 && load_byte(process_, at) == (shown(name) == "on" ? 1 : 0),
             "sizeof(config_generic), by the setting " + std::string(name));
    }
    for (const char* name :
         {"statement_timeout", "transaction_timeout", "lock_timeout", "idle_session_timeout",
          "log_statement", "log_min_duration_statement"}) {
      expect(variable(name) != 0, "there is no setting " + std::string(name));
    }
  }

  // What pg_settings says of a setting that was made from each source, the weakest first.
  void setting_sources() {
    const auto set = find_symbol(process_, postgres::symbols::kSetConfigOption);
    const std::pair<uint32_t, std::string_view> sources[] = {
        {layout_.source_argv, "command line"},           {layout_.source_global, "global"},
        {layout_.source_database, "database"},           {layout_.source_user, "user"},
        {layout_.source_database_user, "database user"}, {layout_.source_override, "override"}};
    for (const auto& [source, name] : sources) {
      call("SetConfigOption", [&, number = source] {
        set(process_.push_string("work_mem"), process_.push_string("5MB"),
            layout_.context_superuser, number);
      });
      expect(text("SELECT source FROM pg_settings WHERE name = 'work_mem'") == name,
             "enum GucSource: " + std::string(name));
    }
    // A role that is not the superuser's may not set what is the server's.
    call("SetConfigOption", [&] {
      set(process_.push_string("autovacuum"), process_.push_string("off"), layout_.context_sighup,
          layout_.source_argv);
    });
    expect(text("SELECT source FROM pg_settings WHERE name = 'autovacuum'") == "command line",
           "PGC_SIGHUP");
  }

  void transaction_ids() {
    const uint32_t transam =
        load(process_, process_.data_address(postgres::symbols::kTransamVariables));
    const auto next = [&] {
      return process_.memory()
          .load(GuestPtr<uint64_t>{transam + layout_.transam_next_xid})
          .value_or(0);
    };
    const uint64_t used = value("SELECT pg_current_xact_id()");
    expect(next() == used + 1, "TransamVariablesData.nextXid");
    expect(value("SELECT pg_snapshot_xmax(pg_current_snapshot())") == next(),
           "TransamVariablesData.nextXid");
    const uint64_t limit = value(
        "SELECT datfrozenxid::text::int8 + current_setting('autovacuum_freeze_max_age')::int8 "
        "FROM pg_database ORDER BY age(datfrozenxid) DESC LIMIT 1");
    expect(
        load(process_, transam + layout_.transam_xid_vacuum_limit) == static_cast<uint32_t>(limit),
        "TransamVariablesData.xidVacLimit");
  }

  void users() {
    expect(value("SELECT oid FROM pg_roles WHERE rolname = '" + std::string(kInitialName) + "'") ==
               layout_.bootstrap_superuser,
           "BOOTSTRAP_SUPERUSERID");
  }

  void memory_contexts() {
    const uint32_t context =
        load(process_, process_.data_address(postgres::symbols::kCacheMemoryContext));
    const auto name = [&](uint32_t at) {
      const auto text =
          process_.memory().c_string(load(process_, at + layout_.memory_context_name));
      return text ? std::string(*text) : std::string();
    };
    expect(name(context) == postgres::symbols::kCacheMemoryContext, "MemoryContextData.name");
    // A statement may make it larger: of some, one will not.
    bool right = false;
    for (int i = 0; i < 5 && !right; ++i) {
      const uint32_t allocated = load(process_, context + layout_.memory_context_allocated);
      right = value(
                  "SELECT total_bytes FROM pg_backend_memory_contexts WHERE name = "
                  "'CacheMemoryContext'") == allocated;
    }
    expect(right, "MemoryContextData.mem_allocated");
    // The first that was ever made is the last of the chain.
    const uint32_t top =
        load(process_, process_.data_address(postgres::symbols::kTopMemoryContext));
    bool has_cache = false;
    bool has_first = false;
    uint32_t child = load(process_, top + layout_.memory_context_first_child);
    for (int i = 0; child != 0 && i < kMostContexts; ++i) {
      has_cache = has_cache || child == context;
      has_first = name(child) == "ErrorContext";
      child = load(process_, child + layout_.memory_context_next_child);
    }
    expect(has_cache && has_first,
           "MemoryContextData.firstchild or nextchild: a walk does not find all contexts");
  }

  void invalidations() {
    const auto size =
        static_cast<uint32_t>(value("SELECT size FROM pg_shmem_allocations WHERE name = '" +
                                    std::string(kInvalidationQueue) + "'"));
    const uint32_t queue = status_.ok() ? find_shared(process_, kInvalidationQueue, size) : 0;
    expect(queue != 0, "there is no shared structure shmInvalBuffer");
    expect(load(process_, queue + layout_.sinval_session_count) == 1, "SISeg.numProcs");
    // The sessions end where their numbers begin, four bytes for each of them, and with these ends
    // the structure.
    const uint32_t numbers = load(process_, queue + layout_.sinval_session_numbers);
    const uint32_t sessions = queue + layout_.sinval_sessions;
    expect(numbers > sessions && numbers < queue + size, "SISeg.pgprocnos or procState");
    const uint64_t slots = (queue + size - numbers) / 4;
    expect(slots * layout_.sinval_session_size == numbers - sessions,
           "SISeg.procState or sizeof(ProcState)");
    const uint32_t session = sessions + layout_.sinval_session_size * load(process_, numbers);
    const uint32_t pid = load(process_, process_.data_address(postgres::symbols::kMyProcPid));
    expect(value("SELECT pg_backend_pid()") == pid, "MyProcPid");
    expect(load(process_, session + layout_.sinval_session_pid) == pid, "ProcState.procPid");
    // What is in the catalogue caches goes when the session resets.
    const std::string used =
        "SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = 'CacheMemoryContext'";
    run_sql("SELECT count(*) FROM pg_stats; SELECT count(*) FROM information_schema.columns");
    (void)value(used);
    const uint64_t before = value(used);
    if (!status_.ok()) return;
    // A session that is to reset has done so at its next statement, and has no messages.
    (void)process_.memory().store(GuestPtr<uint8_t>{session + layout_.sinval_session_reset}, 1);
    (void)process_.memory().store(GuestPtr<uint8_t>{session + layout_.sinval_session_has_messages},
                                  1);
    const uint64_t after = value(used);
    expect(load_byte(process_, session + layout_.sinval_session_reset) == 0,
           "ProcState.resetState or hasMessages: a reset that was asked for was not done");
    expect(load_byte(process_, session + layout_.sinval_session_has_messages) == 0,
           "ProcState.hasMessages");
    expect(after < before, "ProcState.resetState: the catalogue caches were not emptied");
  }

  void latch() {
    const auto reset = find_symbol(process_, postgres::symbols::kResetLatch);
    const uint32_t at = load(process_, process_.data_address(postgres::symbols::kMyLatch));
    if (!status_.ok()) return;
    const uint32_t is_set = at + layout_.latch_is_set;
    const uint32_t before = load(process_, is_set);
    (void)process_.memory().store(GuestPtr<uint32_t>{is_set}, 1);
    call("Latch.is_set", [&] { reset(at); });
    expect(load(process_, is_set) == 0, "Latch.is_set: it is not what ResetLatch resets");
    (void)process_.memory().store(GuestPtr<uint32_t>{is_set}, before);
  }

  void errors() {
    run_sql("SET client_min_messages = error");
    expect(load(process_, variable("client_min_messages")) == layout_.error_level, "ERROR");
    run_sql("RESET client_min_messages");
    const auto unpack = find_symbol(process_, postgres::symbols::kUnpackSqlState);
    uint32_t unpacked = 0;
    if (status_.ok()) {
      call("unpack_sql_state", [&] { unpacked = unpack(layout_.feature_not_supported); });
    }
    const auto text = process_.memory().c_string(unpacked);
    expect(text && *text == "0A000", "ERRCODE_FEATURE_NOT_SUPPORTED");
  }

  void backend_type() {
    run_sql("CREATE TABLE layout_vacuumed (a int)");
    {
      const Replaced<uint32_t> type(process_.memory(),
                                    process_.data_address(postgres::symbols::kMyBackendType),
                                    layout_.autovacuum_worker);
      run_sql("VACUUM layout_vacuumed");
    }
    run_sql("SELECT pg_stat_force_next_flush()");
    expect(value("SELECT pg_stat_get_autovacuum_count('layout_vacuumed'::regclass)") == 1,
           "B_AUTOVAC_WORKER: the statistics count another process's VACUUM");
    run_sql("DROP TABLE layout_vacuumed");
  }

  // The entry of a hash table whose key begins with `oid`; 0: there is none.
  uint32_t find_entry(uint32_t table, uint32_t oid) {
    const auto begin = find_symbol(process_, postgres::symbols::kHashSeqInit);
    const auto next = find_symbol(process_, postgres::symbols::kHashSeqSearch);
    const auto allocate = find_symbol(process_, postgres::symbols::kStackAlloc);
    if (!status_.ok() || table == 0) return 0;
    uint32_t found = 0;
    call("hash_seq_search", [&] {
      constexpr uint32_t kScan = 64;
      constexpr std::byte kUntouched{0xA5};
      const uint32_t scan = allocate(kScan);
      const auto bytes = process_.memory().bytes(scan, kScan);
      if (bytes) std::ranges::fill(*bytes, kUntouched);
      begin(scan, table);
      // To the end: a scan that is not at its end stays registered.
      while (const uint32_t entry = next(scan)) {
        if (load(process_, entry) == oid) found = entry;
      }
      scan_fits_ = bytes && std::ranges::all_of(bytes->subspan(layout_.hash_scan_size),
                                                [](std::byte b) { return b == kUntouched; });
    });
    expect(scan_fits_, "sizeof(HASH_SEQ_STATUS): it is larger");
    return found;
  }

  void foreign_keys() {
    run_sql(
        "CREATE TABLE layout_key (a int PRIMARY KEY); CREATE TABLE layout_reference (a int "
        "CONSTRAINT layout_fkey REFERENCES layout_key)");
    // In a transaction of its own: the end of the one that makes a constraint invalidates it.
    run_sql("INSERT INTO layout_key VALUES (1); INSERT INTO layout_reference VALUES (1)");
    const auto oid =
        static_cast<uint32_t>(value("SELECT oid FROM pg_constraint WHERE conname = 'layout_fkey'"));
    const uint32_t plans = find_hash_table(process_, kForeignKeyPlans, layout_);
    const uint32_t descriptions = find_hash_table(process_, kForeignKeyDescriptions, layout_);
    expect(plans != 0 && descriptions != 0,
           "MemoryContextData.ident or struct HTAB: the foreign keys' tables are not found");
    const uint32_t plan = find_entry(plans, oid);
    expect(plan != 0, "RI_QueryKey.constr_id");
    expect(load(process_, load(process_, plan + layout_.foreign_key_plan)) == kPlanMagic,
           "RI_QueryHashEntry.plan");
    const uint32_t description = find_entry(descriptions, oid);
    expect(description != 0, "RI_ConstraintInfo.constraint_id");
    const uint32_t valid = description + layout_.foreign_key_valid;
    expect(load_byte(process_, valid) == 1, "RI_ConstraintInfo.valid");
    run_sql("DROP TABLE layout_reference; DROP TABLE layout_key");
    expect(load_byte(process_, valid) == 0,
           "RI_ConstraintInfo.valid: a constraint that is gone still has it");
    const auto search = find_symbol(process_, postgres::symbols::kHashSearch);
    const auto entries = find_symbol(process_, postgres::symbols::kHashEntries);
    if (!status_.ok()) return;
    uint32_t before = 0;
    uint32_t after = 0;
    call("HASH_REMOVE", [&] {
      before = entries(descriptions);
      search(descriptions, description, layout_.hash_remove, 0);
      after = entries(descriptions);
    });
    expect(after + 1 == before, "HASH_REMOVE: the entry is still there");
  }

  Backend& backend_;
  Process& process_;
  const Layout& layout_;
  Status status_;
  bool scan_fits_ = false;
};

}  // namespace

uint32_t find_shared(Process& process, const char* name, uint32_t size) {
  const auto find = find_symbol(process, symbols::kShmemInitStruct);
  const auto allocate = find_symbol(process, symbols::kStackAlloc);
  if (!find || !allocate || size == 0) return 0;
  uint32_t address = 0;
  bool found = false;
  process.run([&] {
    const uint32_t stack_pointer = *process.env().stack_pointer;
    (void)process.call([&] {
      const uint32_t flag = allocate(16);
      (void)process.memory().store(GuestPtr<uint8_t>{flag}, 0);
      address = find(process.push_string(name), size, flag);
      found = load_byte(process, flag) == 1;
    });
    *process.env().stack_pointer = stack_pointer;
  });
  return found ? address : 0;
}

uint32_t find_hash_table(Process& process, const char* name, const Layout& layout) {
  const uint32_t top = process.data_address(symbols::kTopMemoryContext);
  if (top == 0) return 0;
  uint32_t context = load(process, load(process, top) + layout.memory_context_first_child);
  for (int i = 0; context != 0 && i < kMostContexts; ++i) {
    const uint32_t identifier = load(process, context + layout.memory_context_ident);
    if (identifier > layout.hash_table_size) {
      const auto text = process.memory().c_string(identifier);
      const uint32_t table = identifier - layout.hash_table_size;
      if (text && *text == name && load(process, table + layout.hash_table_name) == identifier &&
          load(process, table + layout.hash_table_context) == context) {
        return table;
      }
    }
    context = load(process, context + layout.memory_context_next_child);
  }
  return 0;
}

Status verify_layout(Backend& backend, const Layout& layout) {
  return Verification(backend, layout).run();
}

}  // namespace pglite::postgres
