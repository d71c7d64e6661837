"""Finds functions and variables of the main module that it does not export.

Each has a rule: what its code says, calls and stores, who calls it, where it stands in a table. A
rule must give exactly one function or address, or the build fails; nothing here is an index or an
address. What the module exports is found by its export, and its type is compared all the same.

The compiler inlines what it likes: `says` names the strings of inlined functions too, and what has
no function of its own is not in the list.
"""

import collections.abc
import dataclasses
import functools
import sys

import wasm
from disassembler import Call, Constant, Disassembler, Load, Loaded, Result, Store

FunctionRule = collections.abc.Callable[["Finder"], set[int]]  # gives functions
DataRule = collections.abc.Callable[["Finder"], set[int]]  # gives addresses


@dataclasses.dataclass(frozen=True)
class Symbol:
    """What meets all rules and, if it is a function, has the signature."""
    name: str
    signature: str | None  # as FuncType's; None: data
    rules: tuple


class Finder:
    def __init__(self, module: wasm.Module, symbols: list[Symbol]):
        self.module = module
        self.disassembler = Disassembler(module)
        self.symbols = {s.name: s for s in symbols}
        self.exports = {(e.kind, e.name): e.index for e in module.exports}
        self.imports = {i.name: index for index, i in enumerate(
            i for i in module.imports if i.kind == "func")}
        self.memory = bytearray(max((a + len(data) for a, data in module.data), default=0))
        for address, data in module.data:
            self.memory[address:address + len(data)] = data

    @functools.cache
    def function(self, name: str) -> int:
        symbol = self.symbols.get(name)
        if ("func", name) in self.exports:
            found = {self.exports["func", name]}
        elif symbol is None:
            if name not in self.imports:
                sys.exit(f"symbols.py: {name} is neither exported nor imported nor looked for")
            return self.imports[name]
        else:
            found = self._intersection(symbol)
        if symbol is not None:
            typed = {f for f in found if self.module.functions[f].signature == symbol.signature}
            if found and not typed:
                others = sorted({self.module.functions[f].signature for f in found})
                sys.exit(f"symbols.py: {name} is {' or '.join(others)}, not {symbol.signature}")
            found = typed
        return self._only(name, found, "functions")

    @functools.cache
    def address(self, name: str) -> int:
        if ("global", name) in self.exports:
            address = self.module.globals[self.exports["global", name]]
            found = set() if address is None else {address}
        elif name in self.symbols:
            found = self._intersection(self.symbols[name])
        else:
            sys.exit(f"symbols.py: {name} is neither exported nor looked for")
        return self._only(name, found, "addresses")

    def _intersection(self, symbol: Symbol) -> set[int]:
        return set.intersection(*(rule(self) for rule in symbol.rules))

    @staticmethod
    def _only(name: str, found: set[int], what: str) -> int:
        if len(found) != 1:
            sys.exit(f"symbols.py: {name}: {len(found)} {what} match, not one"
                     f" {sorted(found) if found else ''}".rstrip())
        return found.pop()

    def code(self, name: str) -> list:
        return self.disassembler.code(self.function(name))

    def strings(self, text: str) -> set[int]:
        """Where memory holds it up to its end. Linkers put a string into the tail of another."""
        wanted = text.encode() + b"\0"
        found, at = set(), self.memory.find(wanted)
        while at >= 0:
            found.add(at)
            at = self.memory.find(wanted, at + 1)
        return found

    def word(self, address: int) -> int:
        return int.from_bytes(self.memory[address:address + 4], "little")


# --- Rules for functions ---


def says(text: str) -> FunctionRule:
    """Those that use the string: __func__ in an error report, a message, a name."""
    return lambda f: set().union(*(f.disassembler.users(at) for at in f.strings(text)))


def calls(name: str) -> FunctionRule:
    return lambda f: f.disassembler.callers(f.function(name))


def called_by(name: str) -> FunctionRule:
    return lambda f: f.disassembler.callees(f.function(name))


def calls_only(*names: str) -> FunctionRule:
    """Those that call all of these and nothing else."""
    def rule(f: Finder) -> set[int]:
        functions = {f.function(name) for name in names}
        return {caller for caller in f.disassembler.callers(f.function(names[0]))
                if f.disassembler.callees(caller) == functions}
    return rule


def calling_nothing(rule: FunctionRule) -> FunctionRule:
    return lambda f: {found for found in rule(f) if not f.disassembler.callees(found)}


def except_for(rule: FunctionRule, name: str) -> FunctionRule:
    return lambda f: rule(f) - {f.function(name)}


def using(name: str) -> FunctionRule:
    return lambda f: set(f.disassembler.users(f.address(name)))


def storing(name: str) -> FunctionRule:
    """Those that store the variable's value somewhere."""
    return lambda f: {
        user for user in f.disassembler.users(f.address(name))
        if any(isinstance(s, Store) and s.value == Loaded(f.address(name))
               for s in f.disassembler.code(user))}


# child_process_kinds of postmaster/launch_backend.c, in the order of BackendType: the kind's name
# and its main function. A third word says whether shared memory is attached.
CHILD_PROCESS_KINDS = [
    ("invalid", None), ("backend", "BackendMain"), ("dead-end backend", "BackendMain"),
    ("autovacuum launcher", "AutoVacLauncherMain"), ("autovacuum worker", "AutoVacWorkerMain"),
    ("bgworker", "BackgroundWorkerMain"), ("wal sender", None),
    ("slot sync worker", "ReplSlotSyncWorkerMain"), ("standalone backend", None),
    ("archiver", "PgArchiverMain"), ("bgwriter", "BackgroundWriterMain"),
    ("checkpointer", "CheckpointerMain"), ("io_worker", "IoWorkerMain"),
    ("startup", "StartupProcessMain"), ("wal_receiver", "WalReceiverMain"),
    ("wal_summarizer", "WalSummarizerMain"), ("wal_writer", "WalWriterMain"),
    ("syslogger", "SysLoggerMain")]
CHILD_PROCESS_KIND_SIZE = 12


def main_of_child(main: str) -> FunctionRule:
    def rule(f: Finder) -> set[int]:
        found = set()
        rows = [(f.strings(name), expected) for name, expected in CHILD_PROCESS_KINDS]
        for name in rows[0][0]:
            at = f.memory.find(name.to_bytes(4, "little"))
            while at >= 0:
                places = range(at, at + len(rows) * CHILD_PROCESS_KIND_SIZE,
                               CHILD_PROCESS_KIND_SIZE)
                if all(f.word(place) in names and (f.word(place + 4) == 0) == (expected is None)
                       for place, (names, expected) in zip(places, rows, strict=True)):
                    found |= {f.disassembler.table.get(f.word(place + 4))
                              for place, (_, expected) in zip(places, rows, strict=True)
                              if expected == main}
                at = f.memory.find(name.to_bytes(4, "little"), at + 1)
        return found - {None}
    return rule


def builtin(name: str) -> FunctionRule:
    """What fmgr_builtins has under the name, in front of which stand its oid and three bytes."""
    def rule(f: Finder) -> set[int]:
        found = set()
        for text in f.strings(name):
            at = f.memory.find(text.to_bytes(4, "little"))
            while at >= 0:
                found.add(f.disassembler.table.get(f.word(at + 4)))
                at = f.memory.find(text.to_bytes(4, "little"), at + 1)
        return found - {None}
    return rule


# --- Rules for data ---

ANY = object()


def loaded_by(name: str) -> DataRule:
    return lambda f: {s.base + s.offset for s in f.code(name)
                      if isinstance(s, Load) and isinstance(s.base, int)}


def stored_by(name: str, value: object = ANY, size: int = 4) -> DataRule:
    return lambda f: {s.base + s.offset for s in f.code(name)
                      if isinstance(s, Store) and isinstance(s.base, int) and s.size == size
                      and (value is ANY or s.value == value)}


def result_in(name: str, callee: str, text: str | None = None) -> DataRule:
    """Where the function stores what `callee` returned, called with the string first."""
    return lambda f: {s.base + s.offset for s in f.code(name)
                      if isinstance(s, Store) and isinstance(s.base, int)
                      and isinstance(s.value, Result)
                      and s.value.function == f.function(callee)
                      and (text is None or s.value.arguments[0] in f.strings(text))}


def argument(caller: str, callee: str, index: int = 0) -> DataRule:
    """The variable whose value or address the function passes."""
    def rule(f: Finder) -> set[int]:
        values = [s.arguments[index] for s in f.code(caller)
                  if isinstance(s, Call) and s.function == f.function(callee)]
        return {v.address if isinstance(v, Loaded) else v for v in values
                if isinstance(v, int | Loaded)}
    return rule


def made_from(name: str, result: str) -> DataRule:
    """The variable from whose value alone the function makes that of `result`, by a call."""
    return lambda f: {s.value.arguments[0].address for s in f.code(name)
                      if isinstance(s, Store) and isinstance(s.base, int)
                      and s.base + s.offset == f.address(result) and isinstance(s.value, Result)
                      and len(s.value.arguments) == 1
                      and isinstance(s.value.arguments[0], Loaded)}


def read_through(name: str) -> DataRule:
    """The pointers through which the function reads."""
    return lambda f: {s.base.address for s in f.code(name)
                      if isinstance(s, Load) and isinstance(s.base, Loaded)}


def written_through(name: str) -> DataRule:
    return lambda f: {s.base.address for s in f.code(name)
                      if isinstance(s, Store) and isinstance(s.base, Loaded)}


LOWEST_ADDRESS = 1024  # where Emscripten puts the first data


def constant_in(name: str) -> DataRule:
    """What the function may use as an address."""
    return lambda f: {s.value for s in f.code(name)
                      if isinstance(s, Constant) and s.value >= LOWEST_ADDRESS}


def table_of(*rows: tuple[str, int]) -> DataRule:
    """Where a table begins with rows of a string's address and a number."""
    def rule(f: Finder) -> set[int]:
        found = set()
        for name in f.strings(rows[0][0]):
            at = f.memory.find(name.to_bytes(4, "little"))
            while at >= 0:
                if all(f.word(at + 8 * i) in f.strings(text) and f.word(at + 8 * i + 4) == number
                       for i, (text, number) in enumerate(rows)):
                    found.add(at)
                at = f.memory.find(name.to_bytes(4, "little"), at + 1)
        return found
    return rule


def functions_at(*names: str) -> DataRule:
    """Where a table begins with these functions."""
    def rule(f: Finder) -> set[int]:
        functions = [f.function(name) for name in names]
        index = {function: i for i, function in f.disassembler.table.items()}
        if not all(function in index for function in functions):
            return set()
        words = b"".join(index[function].to_bytes(4, "little") for function in functions)
        found, at = set(), f.memory.find(words)
        while at >= 0:
            found.add(at)
            at = f.memory.find(words, at + 1)
        return found
    return rule


def other_than(rule: DataRule, *names: str) -> DataRule:
    return lambda f: rule(f) - {f.address(name) for name in names}


def function(name: str, signature: str, *rules: FunctionRule) -> Symbol:
    return Symbol(name, signature, rules)


def data(name: str, *rules: DataRule) -> Symbol:
    return Symbol(name, None, rules)


SHARED = "CreateSharedMemoryAndSemaphores"  # with nearly all *ShmemInit functions inlined

SYMBOLS = [
    # Start of the first process.
    function("set_max_safe_fds", "v_v", says("set_max_safe_fds")),
    function(SHARED, "v_v", says(SHARED)),
    function("InitProcessGlobals", "v_v", calls("pg_strong_random"), calls("GetCurrentTimestamp")),
    function("InitStandaloneProcess", "i_v", says("InitStandaloneProcess")),
    # Start of each process.
    function("InitProcess", "v_v", says("InitProcess"), says("you already exist")),
    # With InitAuxiliaryProcess inlined.
    function("AuxiliaryProcessMainCommon", "v_v", says("InitAuxiliaryProcess"),
             says("you already exist"), calls("ProcSignalInit")),
    function("PostgresMain", "ii_v", says("PostgresMain")),
    function("InitializeSessionUserId", "iii_v", says("InitializeSessionUserId")),
    function("ProcSignalInit", "ii_v", says("ProcSignalInit")),
    function("RegisterPostmasterChildActive", "v_v", called_by("InitProcess"),
             called_by("AuxiliaryProcessMainCommon"), calls("on_shmem_exit")),
    function("load_hba", "v_i", says("load_hba")),
    *(function(main, "ii_v", main_of_child(main)) for main in (
        "BackendMain", "AutoVacLauncherMain", "AutoVacWorkerMain", "BackgroundWorkerMain",
        "CheckpointerMain", "StartupProcessMain", "SysLoggerMain", "WalWriterMain")),
    function("pg_postmaster_start_time", "i_i", builtin("pg_postmaster_start_time")),
    function("stack_is_too_deep", "v_i", using("stack_base_ptr")),
    # Latches and waiting.
    function("InitLatch", "i_v", storing("MyProcPid"), called_by("InitStandaloneProcess")),
    function("SetLatch", "i_v", calls("kill"), calls("write"),
             called_by("ProcessClientReadInterrupt")),
    function("WaitEventSetWait", "iiiii_i", says("WaitEventSetWaitBlock"), called_by("WaitLatch")),
    function("LWLockAcquire", "ii_i", says("LWLockAcquire")),
    # Signals.
    function("kill", "ii_i", called_by("SendProcSignal"), called_by("ProcKill")),
    function("raise", "i_i", called_by("kill"), calls("__call_sighandler")),
    function("getpid", "v_i"),
    function("wrapper_handler", "i_v", calls("raise"), calls("pqsignal_be")),
    function("pipe", "i_i", calls("__syscall_pipe2")),
    function("SendProcSignal", "iii_i", says("SendProcSignal")),
    function("PostmasterIsAliveInternal", "v_i", says("PostmasterIsAliveInternal")),
    function("ProcessCatchupInterrupt", "v_v", says("ProcessCatchupInterrupt")),
    function("ProcessNotifyInterrupt", "i_v", says("ProcessIncomingNotify"),
             called_by("PostgresMainLoopOnce")),
    function("ProcessClientReadInterrupt", "i_v", calls("ProcessCatchupInterrupt"),
             calls("ProcessNotifyInterrupt")),
    # Authentication. What PostgreSQL has inlined into scram_exchange is not in the list.
    function("scram_get_mechanisms", "ii_v", says("SCRAM-SHA-256")),
    function("scram_init", "iii_i", says("scram_init")),
    function("scram_exchange", "iiiiii_i", says("scram_exchange")),
    data("pg_be_scram_mech",
         functions_at("scram_get_mechanisms", "scram_init", "scram_exchange")),
    # Checkpoints.
    function("CreateCheckPoint", "i_i", says("CreateCheckPoint")),
    function("RequestCheckpoint", "i_v", calls("CreateCheckPoint"),
             called_by("standard_ProcessUtility")),
    # Shared memory that is made while processes run. With dsm_impl_posix and its like inlined.
    function("dsm_impl_op", "iiiiiii_i", says("dsm_impl_posix"), calls("mmap")),
    # The server log.
    function("SysLogger_Start", "v_v", says("SysLogger_Start")),
    # End of a process.
    function("proc_exit", "i_v", says("proc_exit")),
    function("proc_exit_prepare", "i_v", says("proc_exit_prepare")),
    function("shmem_exit", "i_v", says("shmem_exit")),
    function("on_proc_exit", "ii_v", says("on_proc_exit")),
    function("ProcKill", "ii_v", says("ProcKill")),
    function("AuxiliaryProcKill", "ii_v", says("AuxiliaryProcKill")),
    # What pgoutput.so imports.
    function("defGetStreamingMode", "i_i", says("defGetStreamingMode")),
    function("ExecPrepareExpr", "ii_i", calls_only("expression_planner", "ExecInitExpr")),
    function("CreateTupleDescCopyConstr", "i_i", called_by("lookup_rowtype_tupdesc_copy"),
             calls("datumCopy")),
    function("build_attrmap_by_name", "iii_i", says("build_attrmap_by_name")),
    function("build_attrmap_by_name_if_req", "iii_i",
             calls_only("build_attrmap_by_name", "pfree")),
    function("execute_attr_map_slot", "iii_i",
             calls_only("slot_getsomeattrs_int", "ExecStoreVirtualTuple")),
    function("addRTEPermissionInfo", "ii_i", calls_only("palloc0", "lappend")),
    function("build_generation_expression", "ii_i", calls("build_column_default"),
             says("no generation expression found for column number %d of table \"%s\"")),
    function("get_generated_columns", "iii_i", calls_only(
        "build_generation_expression", "ChangeVarNodes", "makeTargetEntry", "lappend")),
    function("expand_generated_columns_in_expr", "iii_i", calls("get_generated_columns"),
             calls("makeAlias")),
    function("GetRelationPublications", "i_i", called_by("CheckCmdReplicaIdentity"),
             called_by("ATPrepCmd"), calls("SearchSysCacheList")),
    function("GetSchemaPublications", "i_i", except_for(
        calls_only("SearchSysCacheList", "lappend_oid", "ReleaseCatCacheList"),
        "GetRelationPublications")),
    # What aot/supplement calls.
    function("CheckCmdReplicaIdentity", "ii_v", says("CheckCmdReplicaIdentity")),
    function("ATPrepCmd", "iiiiiii_v", says("ATPrepChangePersistence")),
    function("GetPublication", "i_i", says("GetPublication")),
    function("get_publication_oid", "ii_i", called_by("get_object_address"),
             says("publication \"%s\" does not exist")),
    function("ReportApplyConflict", "iiiiiii_v",
             says("conflict detected on relation \"%s.%s\": conflict=%s")),
    # Without its missing_ok, which is true wherever PGlite calls it.
    function("replorigin_by_oid", "ii_i", called_by("ReportApplyConflict"),
             calls("SearchSysCache1"), calls("text_to_cstring")),
    function("LocalExecuteInvalidationMessage", "i_v", says("unrecognized SI message ID: %d")),
    # Of conversions between encodings.
    function("report_invalid_encoding_int", "iiii_v", says("report_invalid_encoding_int")),
    function("report_invalid_encoding", "iii_v", called_by("pg_verifymbstr"),
             calls("report_invalid_encoding_int")),
    function("chr", "i_i", builtin("chr")),
    function("pg_utf8_islegal", "ii_i", calling_nothing(called_by("chr"))),
    data("pg_wchar_table", constant_in("pg_encoding_max_length")),
    data("pg_enc2name_tbl", table_of(("SQL_ASCII", 0), ("EUC_JP", 1), ("EUC_CN", 2))),
    # The process.
    data("MyProcPid"),
    data("MyBackendType"),
    data("MyProc"),
    data("MyProcPort"),
    data("MyLatch"),
    data("IsUnderPostmaster"),
    data("IsPostmasterEnvironment",
         other_than(stored_by("pgl_startPGlite", 1, size=1), "IsUnderPostmaster")),
    # PostgresMain's own, which PGlite has made a variable of the file.
    data("send_ready_for_query", stored_by("PostgresSendReadyForQueryIfNecessary", 0, size=1)),
    data("stack_base_ptr", loaded_by("check_stack_depth"), stored_by("__main_argc_argv")),
    data("PgStartTime", loaded_by("pg_postmaster_start_time")),
    data("my_wait_event_info", written_through("WaitEventSetWait")),
    data("MyClientSocket", made_from("BackendMain", "MyProcPort")),
    data("redirection_done", stored_by("SysLogger_Start", 1, size=1), loaded_by("SysLoggerMain")),
    data("on_proc_exit_index", stored_by("on_proc_exit"), stored_by("proc_exit_prepare")),
    data("before_shmem_exit_index", stored_by("before_shmem_exit"), stored_by("shmem_exit")),
    data("on_shmem_exit_index", stored_by("on_shmem_exit"), stored_by("shmem_exit")),
    # Pointers into shared memory.
    data("ShmemLock", argument("ShmemInitStruct", "s_lock")),
    data("ShmemSegHdr", other_than(read_through("ShmemInitStruct"), "ShmemLock"),
         stored_by(SHARED)),
    *(data(name, result_in(SHARED, "ShmemInitStruct", text)) for name, text in (
        ("PMSignalState", "PMSignalState"),
        ("CheckpointerShmem", "Checkpointer Data"),
        ("BackgroundWorkerData", "Background Worker Data"))),
]


def find(module: wasm.Module) -> Finder:
    """Finds all of SYMBOLS, or ends the build."""
    finder = Finder(module, SYMBOLS)
    for symbol in SYMBOLS:
        if symbol.signature is None:
            finder.address(symbol.name)
        else:
            finder.function(symbol.name)
    return finder


def describe(finder: Finder, c_name: collections.abc.Callable[[int], str]) -> dict:
    """What the module does not export, for its manifest."""
    module = finder.module
    hidden = [s for s in finder.symbols.values()
              if ("global" if s.signature is None else "func", s.name) not in finder.exports]
    return {
        "functions": [{
            "name": s.name,
            "c_name": c_name(finder.function(s.name)),
            "signature": s.signature,
            "element": module.elements.get(finder.function(s.name), -1),
        } for s in hidden if s.signature is not None],
        "data": [{"name": s.name, "address": finder.address(s.name)}
                 for s in hidden if s.signature is None],
    }
