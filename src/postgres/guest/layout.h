// Everything by which this program knows the memory of PGlite's PostgreSQL 18: where members lie in
// its structs, what its numbers mean, what its exported symbols are called. Nothing else in the
// tree has such a number. The guest is 32-bit code: pointers, Size and Oid are four bytes.
//
// A new PostgreSQL may move any of it. verify_layout() compares it with a server that runs; the
// build does so when it makes the boot snapshot, and fails with the fact that is wrong.
#ifndef PGLITE_POSTGRES_GUEST_LAYOUT_H_
#define PGLITE_POSTGRES_GUEST_LAYOUT_H_

#include <cstdint>

#include "emscripten/process.h"
#include "pglite/status.h"
#include "postgres/version.h"

namespace pglite::postgres {

class Backend;

// Offsets and sizes are bytes. Each member is named after PostgreSQL's struct and its member.
struct Layout {
  // struct TransamVariablesData, access/transam.h.
  uint32_t transam_next_xid = 8;           // nextXid: 64 bits, with the epoch
  uint32_t transam_xid_vacuum_limit = 20;  // xidVacLimit

  // struct config_generic, utils/guc_tables.h. The kinds of settings (config_int and so on) follow
  // it, and each begins with the pointer to its variable: this is the size of config_generic.
  uint32_t config_generic_variable = 92;

  // struct MemoryContextData, nodes/memnodes.h.
  uint32_t memory_context_allocated = 8;     // mem_allocated
  uint32_t memory_context_first_child = 20;  // firstchild
  uint32_t memory_context_next_child = 28;   // nextchild
  uint32_t memory_context_name = 32;         // name
  uint32_t memory_context_ident = 36;        // ident

  // struct SISeg, storage/ipc/sinvaladt.c: a ring of 4096 messages of 16 bytes, then the sessions.
  uint32_t sinval_session_count = 65552;    // numProcs
  uint32_t sinval_session_numbers = 65556;  // pgprocnos, a pointer
  uint32_t sinval_sessions = 65560;         // procState
  // struct ProcState, in it.
  uint32_t sinval_session_size = 16;
  uint32_t sinval_session_pid = 0;            // procPid
  uint32_t sinval_session_reset = 8;          // resetState: one byte
  uint32_t sinval_session_has_messages = 10;  // hasMessages: one byte

  // struct HTAB, utils/hash/dynahash.c. The table's name follows the struct, and is its memory
  // context's identifier.
  uint32_t hash_table_size = 48;
  uint32_t hash_table_context = 24;  // hcxt
  uint32_t hash_table_name = 28;     // tabname
  // struct HASH_SEQ_STATUS and enum HASHACTION, utils/hsearch.h.
  uint32_t hash_scan_size = 20;
  uint32_t hash_remove = 2;  // HASH_REMOVE

  // struct RI_QueryHashEntry and RI_ConstraintInfo, utils/adt/ri_triggers.c. Both begin with the
  // key, and that with the constraint's oid.
  uint32_t foreign_key_plan = 8;   // plan: an SPIPlanPtr
  uint32_t foreign_key_valid = 4;  // valid: one byte

  // struct Latch, storage/latch.h. src/emscripten waits on it.
  uint32_t latch_is_set = 0;          // is_set
  uint32_t latch_maybe_sleeping = 4;  // maybe_sleeping

  // struct WaitEventSet, storage/ipc/waiteventset.c, and struct WaitEvent, storage/waiteventset.h.
  uint32_t wait_set_count = 4;            // nevents
  uint32_t wait_set_events = 12;          // events, a pointer
  uint32_t wait_set_latch = 16;           // latch, a pointer
  uint32_t wait_set_latch_position = 20;  // latch_pos
  uint32_t wait_event_size = 16;
  uint32_t wait_event_events = 4;  // events
  // WL_..., storage/waiteventset.h.
  uint32_t wait_latch_set = 1 << 0;
  uint32_t wait_socket_readable = 1 << 1;
  uint32_t wait_socket_writable = 1 << 2;
  uint32_t wait_socket_closed = 1 << 7;

  // struct CheckpointerShmemStruct, postmaster/checkpointer.c.
  uint32_t checkpointer_started = 8;       // ckpt_started
  uint32_t checkpointer_done = 12;         // ckpt_done
  uint32_t checkpointer_failed = 16;       // ckpt_failed
  uint32_t checkpointer_flags = 20;        // ckpt_flags
  uint32_t checkpointer_start_cv = 24;     // start_cv
  uint32_t checkpointer_done_cv = 36;      // done_cv
  uint32_t checkpoint_wait = 0x0020;       // CHECKPOINT_WAIT, access/xlog.h
  uint32_t checkpoint_requested = 0x0040;  // CHECKPOINT_REQUESTED
  // WAIT_EVENT_CHECKPOINT_DONE and _START: their places among the events of PG_WAIT_IPC.
  uint32_t wait_event_checkpoint_done = 0x0800000C;
  uint32_t wait_event_checkpoint_start = 0x0800000D;

  // struct BackgroundWorkerArray and struct BackgroundWorkerSlot, postmaster/bgworker.c.
  uint32_t workers_total = 0;       // total_slots
  uint32_t workers_terminated = 8;  // parallel_terminate_count
  uint32_t workers_slots = 16;      // slot
  uint32_t worker_slot_size = 1480;
  uint32_t worker_slot_in_use = 0;     // in_use: one byte
  uint32_t worker_slot_terminate = 1;  // terminate: one byte
  uint32_t worker_slot_pid = 4;        // pid
  uint32_t worker_slot_worker = 16;    // worker
  // struct BackgroundWorker, postmaster/bgworker.h.
  uint32_t worker_size = 1460;
  uint32_t worker_flags = 192;         // bgw_flags
  uint32_t worker_restart_time = 200;  // bgw_restart_time: seconds
  uint32_t worker_notify_pid = 1456;   // bgw_notify_pid
  int32_t worker_never_restart = -1;   // BGW_NEVER_RESTART
  uint32_t worker_is_parallel = 0x10;  // BGWORKER_CLASS_PARALLEL

  // struct PGShmemHeader, storage/pg_shmem.h.
  uint32_t shared_memory_size = 8;   // totalsize
  uint32_t shared_memory_used = 12;  // freeoffset

  // struct ClientSocket, libpq/libpq-be.h; its sockaddr_storage begins with the family.
  uint32_t client_socket_size = 136;
  uint32_t client_socket_family = 4;    // raddr.addr.ss_family
  uint32_t client_socket_length = 132;  // raddr.salen
  // struct BackendStartupData, tcop/backend_startup.h; it begins with the CAC_state.
  uint32_t startup_data_size = 24;

  // struct pg_be_sasl_mech, libpq/sasl.h: functions.
  uint32_t sasl_get_mechanisms = 0;    // get_mechanisms
  uint32_t sasl_init = 4;              // init
  uint32_t sasl_exchange = 8;          // exchange
  uint32_t sasl_exchange_success = 1;  // PG_SASL_EXCHANGE_SUCCESS
  uint32_t sasl_exchange_failure = 2;  // PG_SASL_EXCHANGE_FAILURE
  // struct scram_state, libpq/auth-scram.c. The keys have 32 bytes.
  uint32_t scram_step = 0;                 // state
  uint32_t scram_step_init = 0;            // SCRAM_AUTH_INIT
  uint32_t scram_step_salt_sent = 1;       // SCRAM_AUTH_SALT_SENT
  uint32_t scram_is_bound = 12;            // channel_binding_in_use: one byte
  uint32_t scram_stored_key = 64;          // StoredKey
  uint32_t scram_server_key = 96;          // ServerKey
  uint32_t scram_binding_flag = 128;       // cbind_flag: one byte
  uint32_t scram_client_first_bare = 132;  // client_first_message_bare
  uint32_t scram_server_first = 184;       // server_first_message

  uint32_t bootstrap_superuser = 10;  // BOOTSTRAP_SUPERUSERID, catalog/pg_authid.dat
  uint32_t autovacuum_worker = 4;     // B_AUTOVAC_WORKER, miscadmin.h
  // enum GucContext and enum GucSource, utils/guc.h.
  uint32_t context_sighup = 2;        // PGC_SIGHUP
  uint32_t context_backend = 4;       // PGC_BACKEND
  uint32_t context_superuser = 5;     // PGC_SUSET
  uint32_t source_argv = 4;           // PGC_S_ARGV
  uint32_t source_global = 5;         // PGC_S_GLOBAL
  uint32_t source_database = 6;       // PGC_S_DATABASE
  uint32_t source_user = 7;           // PGC_S_USER
  uint32_t source_database_user = 8;  // PGC_S_DATABASE_USER
  uint32_t source_override = 10;      // PGC_S_OVERRIDE
  uint32_t error_level = 21;          // ERROR, utils/elog.h
  // ERRCODE_FEATURE_NOT_SUPPORTED, 0A000: MAKE_SQLSTATE of utils/elog.h takes six bits a character,
  // the first in the lowest bits.
  uint32_t feature_not_supported = ('A' - '0') << 6;

  // On disk (version.h).
  uint32_t control_version = kPgControlVersion;
  uint32_t catalog_version = kCatalogVersion;
  uint32_t block_size = kBlockSize;
  uint32_t wal_block_size = kWalBlockSize;
  uint16_t wal_page_magic = kWalPageMagic;
};
inline constexpr Layout kLayout;

// struct pg_prng_state, common/pg_prng.h. Nothing that PGlite exports would show its size.
inline constexpr uint32_t kRandomStateSize = 16;

// A function that PGlite's module exports, with the signature that it has in C.
template <class Signature>
struct FunctionSymbol {
  const char* name;
};

template <class Signature>
emscripten::GuestFunction<Signature> find_symbol(const emscripten::Process& process,
                                                 FunctionSymbol<Signature> symbol) {
  return process.function<Signature>(symbol.name);
}

namespace symbols {

// Emscripten's and the C library's.
inline constexpr FunctionSymbol<uint32_t(uint32_t)> kStackAlloc{"_emscripten_stack_alloc"};
inline constexpr FunctionSymbol<uint32_t()> kErrnoLocation{"__errno_location"};
inline constexpr FunctionSymbol<uint32_t(uint32_t size)> kMalloc{"malloc"};
inline constexpr FunctionSymbol<void(uint32_t block)> kFree{"free"};

// Functions of PostgreSQL.
inline constexpr FunctionSymbol<uint32_t(uint32_t name, uint32_t create_placeholders,
                                         uint32_t skip_errors, uint32_t level)>
    kFindOption{"find_option"};
inline constexpr FunctionSymbol<void(uint32_t name, uint32_t value, uint32_t context,
                                     uint32_t source)>
    kSetConfigOption{"SetConfigOption"};
inline constexpr FunctionSymbol<void(uint32_t user, uint32_t context)> kGetUserIdAndSecContext{
    "GetUserIdAndSecContext"};
inline constexpr FunctionSymbol<void(uint32_t user, uint32_t context)> kSetUserIdAndSecContext{
    "SetUserIdAndSecContext"};
inline constexpr FunctionSymbol<void(uint32_t name, uint32_t oid, uint32_t bypass_login_check)>
    kInitializeSessionUserId{"InitializeSessionUserId"};
inline constexpr FunctionSymbol<uint32_t()> kIsTransactionState{"IsTransactionState"};
inline constexpr FunctionSymbol<uint32_t()> kIsTransactionBlock{"IsTransactionBlock"};
inline constexpr FunctionSymbol<uint64_t(uint32_t timeline)> kGetFlushRecPtr{"GetFlushRecPtr"};
inline constexpr FunctionSymbol<uint32_t(uint32_t name, uint32_t size, uint32_t found)>
    kShmemInitStruct{"ShmemInitStruct"};
inline constexpr FunctionSymbol<void(uint32_t scan, uint32_t table)> kHashSeqInit{"hash_seq_init"};
inline constexpr FunctionSymbol<uint32_t(uint32_t scan)> kHashSeqSearch{"hash_seq_search"};
inline constexpr FunctionSymbol<uint32_t(uint32_t table, uint32_t key, uint32_t action,
                                         uint32_t found)>
    kHashSearch{"hash_search"};
inline constexpr FunctionSymbol<uint32_t(uint32_t plan)> kSpiFreePlan{"SPI_freeplan"};
inline constexpr FunctionSymbol<uint32_t(uint32_t level, uint32_t domain)> kErrStart{"errstart"};
inline constexpr FunctionSymbol<uint32_t(uint32_t sqlstate)> kErrCode{"errcode"};
inline constexpr FunctionSymbol<uint32_t(uint32_t format, uint32_t arguments)> kErrMessage{
    "errmsg_internal"};
inline constexpr FunctionSymbol<uint32_t(uint32_t format, uint32_t arguments)> kErrDetail{
    "errdetail_internal"};
inline constexpr FunctionSymbol<uint32_t(uint32_t format, uint32_t arguments)> kErrHint{"errhint"};
inline constexpr FunctionSymbol<void(uint32_t file, uint32_t line, uint32_t function)> kErrFinish{
    "errfinish"};
inline constexpr FunctionSymbol<uint32_t(uint32_t sqlstate)> kUnpackSqlState{"unpack_sql_state"};
inline constexpr FunctionSymbol<void(uint32_t latch)> kResetLatch{"ResetLatch"};
inline constexpr FunctionSymbol<uint32_t(uint32_t table)> kHashEntries{"hash_get_num_entries"};
inline constexpr FunctionSymbol<void()> kProcessInterrupts{"ProcessInterrupts"};
inline constexpr FunctionSymbol<uint32_t(uint32_t port, uint32_t ssl_done, uint32_t gss_done)>
    kProcessStartupPacket{"ProcessStartupPacket"};

// Functions of PGlite's (pglitec.c and its patches of postgres.c).
inline constexpr FunctionSymbol<void()> kMainLoopOnce{"PostgresMainLoopOnce"};
inline constexpr FunctionSymbol<void()> kMainLongJump{"PostgresMainLongJmp"};
inline constexpr FunctionSymbol<void()> kSendReadyForQuery{"PostgresSendReadyForQueryIfNecessary"};
inline constexpr FunctionSymbol<void()> kFlushOutput{"pgl_pq_flush"};
inline constexpr FunctionSymbol<uint32_t()> kRemainingData{"pq_buffer_remaining_data"};
inline constexpr FunctionSymbol<void(uint32_t read, uint32_t write)> kSetCallbacks{
    "pgl_set_rw_cbs"};
inline constexpr FunctionSymbol<uint32_t(uint32_t active)> kSetActive{"pgl_setPGliteActive"};
inline constexpr FunctionSymbol<void()> kStartPGlite{"pgl_startPGlite"};
inline constexpr FunctionSymbol<uint32_t()> kGetMyProcPort{"pgl_getMyProcPort"};
inline constexpr FunctionSymbol<void()> kSendConnectionData{"pgl_sendConnData"};
inline constexpr FunctionSymbol<void(int32_t)> kProcExit{"proc_exit"};

// Of the server and its processes. aot/symbols.py has found those that PGlite does not export.
inline constexpr FunctionSymbol<void()> kSetMaxSafeFds{"set_max_safe_fds"};
// What child_process_kinds (postmaster/launch_backend.c) has.
using ProcessMain = FunctionSymbol<void(uint32_t startup_data, uint32_t size)>;
inline constexpr ProcessMain kBackendMain{"BackendMain"};
inline constexpr ProcessMain kAutovacuumLauncherMain{"AutoVacLauncherMain"};
inline constexpr ProcessMain kAutovacuumWorkerMain{"AutoVacWorkerMain"};
inline constexpr ProcessMain kBackgroundWorkerMain{"BackgroundWorkerMain"};
inline constexpr ProcessMain kCheckpointerMain{"CheckpointerMain"};
inline constexpr ProcessMain kStartupProcessMain{"StartupProcessMain"};
inline constexpr ProcessMain kWalWriterMain{"WalWriterMain"};
// What pg_be_scram_mech (libpq/auth-scram.c) has.
inline constexpr FunctionSymbol<void(uint32_t port, uint32_t buffer)> kScramGetMechanisms{
    "scram_get_mechanisms"};
inline constexpr FunctionSymbol<uint32_t(uint32_t port, uint32_t mechanism, uint32_t secret)>
    kScramInit{"scram_init"};
inline constexpr FunctionSymbol<uint32_t(uint32_t state, uint32_t input, uint32_t size,
                                         uint32_t output, uint32_t output_size,
                                         uint32_t log_detail)>
    kScramExchange{"scram_exchange"};
inline constexpr FunctionSymbol<void(uint32_t buffer, uint32_t bytes, uint32_t size)>
    kAppendToStringInfo{"appendBinaryStringInfo"};
inline constexpr FunctionSymbol<void()> kInitProcessGlobals{"InitProcessGlobals"};
inline constexpr FunctionSymbol<void(uint32_t latch)> kInitLatch{"InitLatch"};
inline constexpr FunctionSymbol<uint32_t()> kLoadHba{"load_hba"};
inline constexpr FunctionSymbol<void(uint32_t context)> kProcessConfigFile{"ProcessConfigFile"};
inline constexpr FunctionSymbol<void(uint32_t variable)> kPrepareToSleep{
    "ConditionVariablePrepareToSleep"};
inline constexpr FunctionSymbol<void(uint32_t variable, uint32_t wait_event)> kSleepOn{
    "ConditionVariableSleep"};
inline constexpr FunctionSymbol<uint32_t()> kCancelSleep{"ConditionVariableCancelSleep"};

// Data of PostgreSQL.
inline constexpr const char* kTransamVariables = "TransamVariables";                // a pointer
inline constexpr const char* kTopMemoryContext = "TopMemoryContext";                // a pointer
inline constexpr const char* kCacheMemoryContext = "CacheMemoryContext";            // a pointer
inline constexpr const char* kMyProcPid = "MyProcPid";                              // int
inline constexpr const char* kMyBackendType = "MyBackendType";                      // an enum
inline constexpr const char* kMyLatch = "MyLatch";                                  // a pointer
inline constexpr const char* kQueryCancelPending = "QueryCancelPending";            // sig_atomic_t
inline constexpr const char* kRandomState = "pg_global_prng_state";                 // pg_prng_state
inline constexpr const char* kIsUnderPostmaster = "IsUnderPostmaster";              // bool
inline constexpr const char* kIsPostmasterEnvironment = "IsPostmasterEnvironment";  // bool
inline constexpr const char* kMyClientSocket = "MyClientSocket";                    // a pointer
inline constexpr const char* kWaitEventInfo = "my_wait_event_info";                 // a pointer
inline constexpr const char* kSharedMemory = "ShmemSegHdr";                         // a pointer
inline constexpr const char* kPostmasterSignals = "PMSignalState";                  // a pointer
inline constexpr const char* kBackgroundWorkers = "BackgroundWorkerData";           // a pointer
inline constexpr const char* kCheckpointerShared = "CheckpointerShmem";             // a pointer
inline constexpr const char* kReadyForQueryIsDue = "send_ready_for_query";          // bool
inline constexpr const char* kScramMechanism = "pg_be_scram_mech";                  // a struct
inline constexpr const char* kRedirectionDone = "redirection_done";                 // bool
inline constexpr const char* kPgStartTime = "PgStartTime";                          // TimestampTz
// How many functions run at the end: int each.
inline constexpr const char* kExitCounts[] = {"on_proc_exit_index", "before_shmem_exit_index",
                                              "on_shmem_exit_index"};

}  // namespace symbols

// PGlite's main() and loop leave by exit() with these (pglitec.c).
inline constexpr int kExitAlive = 99;      // main has set up the backend and returns to us
inline constexpr int kExitLongJump = 100;  // an error was thrown to the top level
inline constexpr int kExitFatal = 1;       // after a FATAL error and an orderly shutdown

// Numbers of the guest's C library.
inline constexpr int kSignalHangUp = 1;
inline constexpr int kSignalInterrupt = 2;
inline constexpr int kSignalUser1 = 10;
inline constexpr int kSignalUser2 = 12;
inline constexpr int kSignalTerminate = 15;
inline constexpr int kSignalUrgent = 23;
inline constexpr int kCancelSignal = kSignalInterrupt;  // StatementCancelHandler

// BackendType, miscadmin.h.
enum class BackendType : uint32_t {
  kBackend = 1,
  kAutovacuumLauncher = 3,
  kAutovacuumWorker = 4,
  kBackgroundWorker = 5,
  kWalSender = 6,
  kCheckpointer = 11,
  kStartup = 13,
  kWalWriter = 16,
};

// PMSignalReason, storage/pmsignal.h: places in an array of int.
enum class PostmasterSignal : uint32_t {
  kRecoveryStarted,
  kRecoveryConsistent,
  kBeginHotStandby,
  kRotateLogfile,
  kStartAutovacuumLauncher,
  kStartAutovacuumWorker,
  kBackgroundWorkerChange,
  kStartWalReceiver,
  kAdvanceStateMachine,
  kWalIsShutDown,
  kCount,
};

// The queue of invalidations, as pg_shmem_allocations calls it; the tables of ri_triggers.c.
inline constexpr const char* kInvalidationQueue = "shmInvalBuffer";
inline constexpr const char* kForeignKeyPlans = "RI query cache";
inline constexpr const char* kForeignKeyDescriptions = "RI constraint cache";

// The address of a shared structure that PostgreSQL has made already, by its name and size in
// pg_shmem_allocations; 0: there is none. (ShmemInitStruct would make one. It cannot be unmade, but
// it is then not taken for PostgreSQL's.)
uint32_t find_shared(emscripten::Process& process, const char* name, uint32_t size);

// The address of one of PostgreSQL's hash tables that has a memory context of its own directly
// below TopMemoryContext; 0: there is none of that name.
uint32_t find_hash_table(emscripten::Process& process, const char* name,
                         const Layout& layout = kLayout);

// Compares `layout` with the server of `backend`, as far as PostgreSQL shows what it has: by SQL,
// or by what it does. The session must be at rest, and the role a superuser. It makes and drops
// tables: the server is for nothing else afterwards. kIncompatible: the message names the first
// fact that is wrong.
Status verify_layout(Backend& backend, const Layout& layout = kLayout);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_LAYOUT_H_
