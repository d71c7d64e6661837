"""aot/disassembler.py and symbols.py, and what translate.py and glue.py make of them."""

import os
import pathlib
import re
import struct

import pytest
from test_aot import func_type, leb, module_of, name, section, vector

import glue
import symbols
import translate
import wasm
from disassembler import (Call, Disassembler, Load, Loaded, Result, Store, encode_signed,
                          encode_unsigned)

I32 = b"\x7f"
TYPES = section(1, vector([func_type(b"", b""), func_type(I32, b""), func_type(b"", I32),
                           func_type(I32 + I32, I32)]))
V_V, I_V, V_I, II_I = range(4)


def const(value: int) -> bytes:
    return b"\x41" + encode_signed(value)


def call(function: int) -> bytes:
    return b"\x10" + leb(function)


def load(offset: int = 0) -> bytes:
    return b"\x28\x02" + leb(offset)


def load_byte(offset: int) -> bytes:
    return b"\x2d\x00" + leb(offset)


def store(offset: int = 0) -> bytes:
    return b"\x36\x02" + leb(offset)


def get(local: int) -> bytes:
    return b"\x20" + leb(local)


def set_(local: int) -> bytes:
    return b"\x21" + leb(local)


END, DROP, ADD, IF, ELSE, LOOP, BR_IF_0 = (
    b"\x0b", b"\x1a", b"\x6a", b"\x04\x40", b"\x05", b"\x03\x40", b"\x0d\x00")


def is_data(export: str) -> bool:
    return export in ("DATA", "OTHER", "MyProcPid")


def module(tmp_path: pathlib.Path, *functions: tuple[int, bytes], exports=(), memory=(),
           elements=(), imports=()) -> wasm.Module:
    """Functions are (type, code); they have a local of their own behind the parameters. Exports are
    names with a function, or, of data, with an address."""
    bodies = [vector([leb(1) + I32]) + code + END for _, code in functions]
    return module_of(
        tmp_path, TYPES,
        section(2, vector([name("env") + name(n) + b"\x00" + leb(t) for n, t in imports])),
        section(3, vector([leb(t) for t, _ in functions])),
        section(6, vector([I32 + b"\x00" + const(a) + END for n, a in exports if is_data(n)])),
        section(7, vector(
            [name(n) + b"\x03" + leb(i) for i, (n, _) in enumerate(
                e for e in exports if is_data(e[0]))] +
            [name(n) + b"\x00" + leb(f) for n, f in exports if not is_data(n)])),
        section(9, vector([leb(0) + const(1) + END + vector([leb(f) for f in elements])])),
        section(10, vector([leb(len(body)) + body for body in bodies])),
        section(11, vector([leb(0) + const(a) + END + leb(len(d)) + d for a, d in memory])))


def code(tmp_path, *functions, **more) -> list:
    m = module(tmp_path, *functions, **more)
    return Disassembler(m).code(len(m.functions) - len(functions))


# --- disassembler.py ---


@pytest.mark.parametrize("value", [0, 1, 63, 64, 127, 128, -1, -64, -65, 5000, 2**31 - 1, -2**31])
def test_numbers_are_written_as_they_are_read(value):
    assert wasm.Reader(encode_signed(value)).signed_leb() == value
    if value >= 0:
        assert wasm.Reader(encode_unsigned(value)).leb() == value
        assert encode_unsigned(value) == leb(value)


def test_addresses_are_a_constant_and_an_offset(tmp_path):
    steps = code(tmp_path, (V_V, const(100) + const(8) + ADD + load(4) + set_(0) +
                            const(200) + get(0) + store(16)))
    assert Load(108, 4, 4) in steps
    assert Store(200, 16, 4, Loaded(112)) in steps


def test_what_is_read_through_a_pointer_is_known_by_the_pointer(tmp_path):
    steps = code(tmp_path, (V_V, const(100) + load() + load(44) + DROP))
    assert Load(Loaded(100), 44, 4) in steps


def test_arguments_and_results_of_calls(tmp_path):
    steps = code(tmp_path, (V_V, const(300) + const(1) + const(2) + call(1) + store()),
                 (II_I, const(0)))
    assert Call(1, (1, 2)) in steps
    assert Store(300, 0, 4, Result(1, (1, 2))) in steps


def test_a_call_through_invoke_is_one_of_the_function(tmp_path):
    m = module(tmp_path, (V_V, const(2) + const(7) + call(0) + DROP), (I_V, b""), (I_V, b""),
               imports=[("invoke_vi", II_I)], elements=[2, 3])
    assert Call(3, (7,)) in Disassembler(m).code(1)
    assert Disassembler(m).callers(3) == {1}
    assert Disassembler(m).callees(1) == {3}


@pytest.mark.parametrize("block", [IF, LOOP])
def test_a_local_that_a_block_assigns_is_not_known_behind_it(tmp_path, block):
    condition = const(0) if block == IF else b""
    inside = const(5) + set_(0)
    steps = code(tmp_path, (V_V, const(4) + set_(0) + condition + block + inside + END +
                            get(0) + const(1) + store()))
    assert Store(None, 0, 4, 1) in steps


def test_the_other_branch_does_not_see_what_the_first_assigns(tmp_path):
    steps = code(tmp_path, (V_V, const(0) + IF + const(5) + set_(0) + ELSE +
                            get(0) + const(1) + store() + END))
    assert Store(None, 0, 4, 1) in steps


def test_a_local_that_a_block_leaves_alone_is_known_behind_it(tmp_path):
    steps = code(tmp_path, (V_V, const(4) + set_(0) + const(0) + IF + END +
                            get(0) + const(1) + store()))
    assert Store(4, 0, 4, 1) in steps


def test_a_loop_may_have_assigned_before_its_start(tmp_path):
    steps = code(tmp_path, (V_V, const(4) + set_(0) + LOOP + get(0) + const(1) + store() +
                            const(9) + set_(0) + const(1) + BR_IF_0 + END))
    assert Store(None, 0, 4, 1) in steps


def test_code_that_is_never_reached_is_read_all_the_same(tmp_path):
    steps = code(tmp_path, (V_V, b"\x00" + ADD + DROP + const(1) + const(2) + store()))
    assert Store(1, 0, 4, 2) in steps


def test_an_unknown_opcode_is_refused(tmp_path):
    with pytest.raises(wasm.WasmError, match="0xfd"):
        code(tmp_path, (V_V, b"\xfd\x00"))


def test_bytes_that_look_like_a_call_are_none(tmp_path):
    m = module(tmp_path, (V_V, const(0x10 | 1 << 7 | 3 << 14) + DROP), (V_V, b""))
    assert Disassembler(m).callers(1) == set()


WAIT = LOOP + get(0) + load(12) + DROP + get(0) + load_byte(74) + BR_IF_0 + END


def test_a_wait_for_a_semaphore_is_a_loop_that_looks_at_a_byte(tmp_path):
    m = module(tmp_path, (V_V, WAIT), (V_V, b""), (V_V, const(0) + IF + WAIT + END))
    assert Disassembler(m).waits() == {0: [74], 2: [74]}


@pytest.mark.parametrize("loop", [
    WAIT.replace(DROP, set_(0)),                               # no semaphore
    WAIT.replace(LOOP, LOOP + call(1)),                        # does something
    WAIT.replace(LOOP, LOOP + const(0) + const(0) + store()),  # as well
    WAIT.replace(load_byte(74), load(74)),                     # no flag
    WAIT.replace(BR_IF_0, DROP),                               # goes on
])
def test_other_loops_are_none(tmp_path, loop):
    assert Disassembler(module(tmp_path, (V_V, loop), (V_V, b""))).waits() == {}


# --- symbols.py ---


def finder(m: wasm.Module, *wanted: symbols.Symbol) -> symbols.Finder:
    return symbols.Finder(m, list(wanted))


def using(address: int) -> bytes:
    return const(address) + DROP


MESSAGE = [(5000, b"a message\0")]
FOUND = symbols.function("Found", "v_v", symbols.says("message"))


def test_a_function_is_found_by_what_it_says(tmp_path):
    m = module(tmp_path, (V_V, b""), (V_V, using(5002)), memory=MESSAGE)  # in a longer one's tail
    assert finder(m, FOUND).function("Found") == 1


def test_no_match_fails(tmp_path):
    m = module(tmp_path, (V_V, using(5000)), memory=MESSAGE)
    with pytest.raises(SystemExit, match="Found: 0 functions match, not one"):
        finder(m, FOUND).function("Found")
    m = module(tmp_path, (V_V, using(5000)), memory=[(5000, b"another\0")])
    with pytest.raises(SystemExit, match="Found: 0 functions match, not one"):
        finder(m, FOUND).function("Found")


def test_two_matches_fail_and_are_named(tmp_path):
    m = module(tmp_path, (V_V, using(5002)), (V_V, b""), (V_V, using(5002)), memory=MESSAGE)
    with pytest.raises(SystemExit, match=r"Found: 2 functions match, not one \[0, 2\]"):
        finder(m, FOUND).function("Found")


def test_the_signature_tells_functions_apart(tmp_path):
    m = module(tmp_path, (I_V, using(5002)), (V_V, using(5002)), memory=MESSAGE)
    assert finder(m, FOUND).function("Found") == 1


def test_another_signature_fails(tmp_path):
    m = module(tmp_path, (I_V, using(5002)), memory=MESSAGE)
    with pytest.raises(SystemExit, match="Found is i_v, not v_v"):
        finder(m, FOUND).function("Found")


def test_an_export_needs_no_rule_but_its_signature_is_compared(tmp_path):
    m = module(tmp_path, (V_V, b""), exports=[("Found", 0)])
    assert finder(m, FOUND).function("Found") == 0
    with pytest.raises(SystemExit, match="Found is v_v, not i_v"):
        finder(m, symbols.function("Found", "i_v")).function("Found")


def test_a_name_that_nobody_knows_fails(tmp_path):
    m = module(tmp_path, (V_V, b""))
    caller = symbols.function("Found", "v_v", symbols.calls("misspelt"))
    with pytest.raises(SystemExit, match="misspelt is neither exported nor imported"):
        finder(m, caller).function("Found")
    place = symbols.data("Place", symbols.other_than(symbols.stored_by("f"), "Misspelt"))
    m = module(tmp_path, (V_V, b""), exports=[("f", 0)])
    with pytest.raises(SystemExit, match="Misspelt is neither exported"):
        finder(m, place).address("Place")


def test_functions_are_found_by_the_call_graph(tmp_path):
    m = module(tmp_path, (V_V, call(1) + call(2)), (V_V, call(3)), (V_V, b""), (V_V, b""),
               exports=[("start", 0), ("end", 3)])
    wanted = symbols.function("Found", "v_v", symbols.called_by("start"), symbols.calls("end"))
    assert finder(m, wanted).function("Found") == 1


def test_functions_are_told_apart_by_all_that_they_call(tmp_path):
    m = module(tmp_path, (V_V, call(1)), (V_V, b""), (V_V, call(1) + call(0)),
               (V_V, call(0) + call(1) + call(4)), (V_V, call(2)),
               exports=[("a", 0), ("b", 1), ("both", 2)])
    wanted = symbols.function("Found", "v_v", symbols.calls_only("a", "b"))
    assert finder(m, wanted).function("Found") == 2
    wanted = symbols.function("Found", "v_v", symbols.calls("a"),
                              symbols.except_for(symbols.calls("b"), "both"))
    assert finder(m, wanted).function("Found") == 3
    wanted = symbols.function("Found", "v_v", symbols.calling_nothing(symbols.called_by("both")))
    assert finder(m, wanted).function("Found") == 1


def test_a_table_is_found_by_its_first_rows(tmp_path):
    rows = [(5000, 0), (5002, 1)]
    names = (5000, b"A\0B\0")
    table = symbols.data("Table", symbols.table_of(("A", 0), ("B", 1)))
    other = b"".join(struct.pack("<2I", name, 7) for name, _ in rows)
    m = module(tmp_path, (V_V, b""), memory=[
        names, (6000, other + b"".join(struct.pack("<2I", *row) for row in rows))])
    assert finder(m, table).address("Table") == 6016
    m = module(tmp_path, (V_V, b""), memory=[names, (6000, other)])
    with pytest.raises(SystemExit, match="Table: 0 addresses match"):
        finder(m, table).address("Table")


def test_a_table_is_found_by_the_functions_that_it_begins_with(tmp_path):
    table = symbols.data("Table", symbols.functions_at("a", "b"))

    def found(*rows: tuple[int, ...], elements=(1, 0)) -> int:
        words = b"".join(struct.pack("<3I", *row) for row in rows)
        m = module(tmp_path, (V_V, b""), (V_V, b""), memory=[(6000, words)],
                   elements=list(elements), exports=[("a", 0), ("b", 1)])
        return finder(m, table).address("Table")

    # Elements begin at 1: b is there, and a behind it.
    assert found((1, 2, 7), (2, 1, 7), (2, 2, 7)) == 6012
    with pytest.raises(SystemExit, match="Table: 0 addresses match"):
        found((1, 2, 7))
    with pytest.raises(SystemExit, match="Table: 2 addresses match"):
        found((2, 1, 7), (2, 1, 8))
    with pytest.raises(SystemExit, match="Table: 0 addresses match"):
        found((2, 1, 7), elements=(1,))  # a is not in the table


def kinds(mains: dict[int, int]) -> list[tuple[int, bytes]]:
    """child_process_kinds at 9000, its names from 5000 on; `mains`: place -> table index."""
    names, rows = b"", b""
    for place, (kind, main) in enumerate(symbols.CHILD_PROCESS_KINDS):
        index = mains.get(place, 1 if main else 0)
        rows += struct.pack("<3I", 5000 + len(names), index, 1)
        names += kind.encode() + b"\0"
    return [(5000, names), (9000, rows)]


def test_the_mains_of_child_processes_are_in_their_table(tmp_path):
    wanted = symbols.function("CheckpointerMain", "v_v", symbols.main_of_child("CheckpointerMain"))
    m = module(tmp_path, (V_V, b""), (V_V, b""), elements=[0, 1], memory=kinds({11: 2}))
    assert finder(m, wanted).function("CheckpointerMain") == 1
    # Where there is a kind more, or one with a main function that had none, it is another table.
    for memory in (kinds({11: 2})[:1], kinds({11: 2, 6: 1}), kinds({11: 0})):
        m = module(tmp_path, (V_V, b""), (V_V, b""), elements=[0, 1], memory=memory)
        with pytest.raises(SystemExit, match="CheckpointerMain: 0 functions match"):
            finder(m, wanted).function("CheckpointerMain")


@pytest.mark.parametrize("rule, body, address", [
    (symbols.loaded_by("f"), const(0) + load(700) + DROP, 700),
    (symbols.stored_by("f"), const(700) + const(3) + store(), 700),
    (symbols.stored_by("f", -1), const(4) + const(2) + store() + const(700) + const(-1) + store(),
     700),
    (symbols.argument("f", "callee"), const(700) + load() + const(0) + call(1) + DROP, 700),
    (symbols.argument("f", "callee"), const(700) + const(0) + call(1) + DROP, 700),
    (symbols.read_through("f"), const(700) + load() + load(8) + DROP, 700),
    (symbols.written_through("f"), const(700) + load() + const(0) + store(8), 700),
    (symbols.result_in("f", "callee", "message"),
     const(700) + const(5002) + const(0) + call(1) + store(), 700),
    (symbols.constant_in("f"), const(28) + const(1) + store() + const(2000) + DROP, 2000),
    (symbols.other_than(symbols.loaded_by("f"), "OTHER"),
     const(600) + load() + DROP + const(700) + load() + DROP, 700),
])
def test_data_is_found_in_the_code_of_a_function(tmp_path, rule, body, address):
    m = module(tmp_path, (V_V, body), (II_I, const(0)), memory=MESSAGE,
               exports=[("f", 0), ("callee", 1), ("OTHER", 600)])
    assert finder(m, symbols.data("Place", rule)).address("Place") == address


def test_data_needs_one_match_too(tmp_path):
    m = module(tmp_path, (V_V, const(700) + load() + DROP + const(704) + load() + DROP),
               exports=[("f", 0)])
    with pytest.raises(SystemExit, match=r"Place: 2 addresses match, not one \[700, 704\]"):
        finder(m, symbols.data("Place", symbols.loaded_by("f"))).address("Place")
    with pytest.raises(SystemExit, match="Place: 0 addresses match, not one"):
        finder(m, symbols.data("Place", symbols.stored_by("f"))).address("Place")


def test_only_what_is_not_exported_is_described(tmp_path):
    m = module(tmp_path, (V_V, const(5002) + load() + DROP), (V_V, b""), memory=MESSAGE,
               elements=[1, 0], exports=[("shown", 1), ("DATA", 600)])
    found = finder(m, FOUND, symbols.function("shown", "v_v"), symbols.data("DATA"),
                   symbols.data("Place", symbols.loaded_by("Found")))
    assert symbols.describe(found, lambda index: f"w2c_m_f{index}") == {
        "functions": [{"name": "Found", "c_name": "w2c_m_f0", "signature": "v_v", "element": 1}],
        "data": [{"name": "Place", "address": 5002}]}


# What the first version that this was written for has. No build depends on it.
KNOWN_MODULE = "5256d9ac379f631355f41ab30291e6a6d9f854242b5ee2a2d0940e28041d3fca"
KNOWN = {
    "CreateSharedMemoryAndSemaphores": 5453, "set_max_safe_fds": 5347, "InitProcess": 5692,
    "PostgresMain": 5828, "AuxiliaryProcessMainCommon": 4544, "CreateCheckPoint": 1401,
    "RequestCheckpoint": 4564, "SetLatch": 5461, "InitLatch": 5455, "WaitEventSetWait": 5573,
    "kill": 13473, "raise": 13524, "pipe": 13511, "SendProcSignal": 5510, "ProcSignalInit": 5508,
    "ProcessCatchupInterrupt": 5548, "ProcessNotifyInterrupt": 2334,
    "ProcessClientReadInterrupt": 5802, "proc_exit": 5442, "shmem_exit": 5444, "ProcKill": 5693,
    "AuxiliaryProcKill": 5695, "InitProcessGlobals": 4583, "PostmasterIsAliveInternal": 5469,
    "RegisterPostmasterChildActive": 5467, "BackendMain": 5783, "AutoVacLauncherMain": 4529,
    "AutoVacWorkerMain": 4537, "BackgroundWorkerMain": 4547, "CheckpointerMain": 4559,
    "StartupProcessMain": 4602, "wrapper_handler": 10910, "dsm_impl_op": 5439,
    "defGetStreamingMode": 2666, "ExecPrepareExpr": 2967, "CreateTupleDescCopyConstr": 353,
    "build_attrmap_by_name_if_req": 245, "execute_attr_map_slot": 345,
    "addRTEPermissionInfo": 2201, "expand_generated_columns_in_expr": 5067,
    "GetRelationPublications": 1960, "GetSchemaPublications": 1961, "GetPublication": 1962,
    "get_publication_oid": 9774, "replorigin_by_oid": 4821,
    "LocalExecuteInvalidationMessage": 9641, "report_invalid_encoding": 10137,
    "pg_utf8_islegal": 10813, "scram_get_mechanisms": 3560, "scram_init": 3561,
    "scram_exchange": 3563,
}
KNOWN_DATA = {
    "MyProcPid": 2875608, "IsPostmasterEnvironment": 2875556, "IsUnderPostmaster": 2875557,
    "MyBackendType": 2878772, "MyProc": 2804284, "PMSignalState": 2797456,
    "CheckpointerShmem": 2788816, "my_wait_event_info": 2607568, "on_proc_exit_index": 2797264,
    "before_shmem_exit_index": 2796912, "on_shmem_exit_index": 2797088, "pg_wchar_table": 2731008,
    "pg_enc2name_tbl": 2729232, "pg_be_scram_mech": 2591608,
}


@pytest.fixture(scope="module")
def pglite() -> symbols.Finder:
    directory = os.environ.get("PGLITE_NPM_DIR")
    if directory is None:
        pytest.skip("the input is not here")
    return symbols.find(wasm.Module(pathlib.Path(directory) / "dist" / "pglite.wasm"))


def test_everything_is_found_in_pglite(pglite):
    if pglite.module.sha256 != KNOWN_MODULE:
        pytest.skip("another PGlite")
    assert {n: pglite.function(n) for n in KNOWN} == KNOWN
    assert {n: pglite.address(n) for n in KNOWN_DATA} == KNOWN_DATA


def test_two_names_are_two_things(pglite):
    functions = [pglite.function(s.name) for s in symbols.SYMBOLS if s.signature is not None]
    addresses = [pglite.address(s.name) for s in symbols.SYMBOLS if s.signature is None]
    assert len(set(functions)) == len(functions)
    assert len(set(addresses)) == len(addresses)


# --- translate.py ---

C = """\
void w2c_m_f7(w2c_m*, u32);

u32 w2c_m_f70(w2c_m* instance, u32 var_p0) {
  var_i1 = 42u;
  return var_i1;
}

void w2c_m_f7(w2c_m* instance, u32 var_p0) {
  var_i1 = 42u;
}
"""


@pytest.fixture
def c_file(tmp_path) -> pathlib.Path:
    file = tmp_path / "m.c"
    file.write_text(C)
    return file


def test_a_hook_is_at_the_start_of_its_function(c_file):
    translate.add_hooks("m", [c_file], {"w2c_m_f7": "{ hook(); }"})
    assert c_file.read_text() == C.replace("void w2c_m_f7(w2c_m* instance, u32 var_p0) {\n",
                                           "void w2c_m_f7(w2c_m* instance, u32 var_p0) {\n"
                                           "  { hook(); }\n")


def test_a_hook_without_its_function_fails(c_file):
    with pytest.raises(SystemExit, match="m has no function w2c_m_f8"):
        translate.add_hooks("m", [c_file], {"w2c_m_f8": "{ hook(); }"})


def test_an_edit_is_made_in_its_function_only_and_exactly_once(c_file):
    pattern = re.compile("= 42u;")
    translate.edit_functions("m", [c_file], {"w2c_m_f7": [(pattern, "= pid();")]})
    assert c_file.read_text() == C.removesuffix("42u;\n}\n") + "pid();\n}\n"
    with pytest.raises(SystemExit, match="w2c_m_f7 has 0 places"):
        translate.edit_functions("m", [c_file], {"w2c_m_f7": [(pattern, "= pid();")]})
    with pytest.raises(SystemExit, match="m has no function w2c_m_f8"):
        translate.edit_functions("m", [c_file], {"w2c_m_f8": [(pattern, "= pid();")]})


def test_a_functions_name_in_c_is_its_first_exports(tmp_path):
    m = module(tmp_path, (V_V, b""), (V_V, b""), exports=[("a", 0), ("b", 0)])
    header = "".join(f"/* export: '{e}' */\nvoid w2c_m_{e}(w2c_m*);\n" for e in "ab")
    names = translate.CNames("m", header, finder(m))
    assert (names.of(0), names.of(1), names.named("b")) == ("w2c_m_a_0", "w2c_m_f1", "w2c_m_a_0")
    assert names.in_statement("{ @b(x); @a(); }") == "{ w2c_m_a_0(x); w2c_m_a_0(); }"


COMPARED = """\
  var_i0 = i32_load_default32(memory, 0, 0, (u64)(var_i0));
  var_i1 = 42u;
  var_i0 = var_i0 == var_i1;
  if (var_i0) {
"""
LOOKED_AT = """\
  var_L14:
    var_i0 = var_l6;
    var_i0 = i32_load8_u_default32(memory, 0, 0, (u64)(var_i0) + 74u);
    if (var_i0) {goto var_L14;}
"""


def c_function(c_name: str, body: str) -> str:
    return f"u32 {c_name}(w2c_m* instance, u32 var_p0) {{\n{body}}}\n\n"


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """A module whose functions ask for their process's number, and its C."""
    asking = [*translate.GETPID, "getpid", "__main_argc_argv"]
    m = module(tmp_path, *((V_V, WAIT) for _ in asking), exports=[
        ("MyProcPid", 700), *((n, i) for i, n in enumerate(asking))])
    header = "".join(f"/* export: '{n}' */\nvoid w2c_m_{n}(w2c_m*);\n" for n in asking)
    bodies = dict.fromkeys(translate.GETPID, COMPARED + LOOKED_AT)
    bodies["getpid"] = "  var_i0 = 42u;\n  FUNC_EPILOGUE;\n" + LOOKED_AT
    bodies["__main_argc_argv"] = (
        "  var_i0 = 700u;\n  var_i1 = 42u;\n  i32_store_default32(memory, 0, 0, (u64)(var_i0), var_i1);\n"
        "  var_i0 = 704u;\n  var_i1 = 42u;\n  i32_store_default32(memory, 0, 0, (u64)(var_i0), var_i1);\n"
        + LOOKED_AT)
    file = tmp_path / "m.c"
    file.write_text("".join(c_function(f"w2c_m_{n}_0", bodies[n]) for n in asking))
    monkeypatch.setattr(translate, "SEMAPHORE_WAITS", len(asking))
    return file, translate.CNames("m", header, finder(m))


def test_the_host_says_which_process_it_is(processes):
    file, names = processes
    translate.ask_host_for_pid("m", [file], names)
    text = file.read_text()
    assert text.count("= guest_getpid(instance->w2c_env_instance);") == len(translate.GETPID) + 2
    assert text.count("42u") == 1  # not what has nothing to do with it
    with pytest.raises(SystemExit, match="has 0 places"):
        translate.ask_host_for_pid("m", [file], names)


def test_the_host_waits_for_semaphores(processes):
    file, names = processes
    translate.wait_in_host("m", [file], names)
    text = file.read_text()
    assert text.count("  var_i0 = var_l6;\n"
                      "    guest_wait_byte(instance->w2c_env_instance, var_i0 + 74u);\n"
                      "    var_i0 = i32_load8_u") == translate.SEMAPHORE_WAITS


def test_another_number_of_semaphore_waits_fails(processes, monkeypatch):
    file, names = processes
    monkeypatch.setattr(translate, "SEMAPHORE_WAITS", 7)
    with pytest.raises(SystemExit, match="m waits for semaphores at 6 places, not at 7: w2c_m_"):
        translate.wait_in_host("m", [file], names)


# --- glue.py ---


def test_what_was_found_stands_among_the_exports():
    described = {
        "name": "m", "c_name": "m", "sha256": "", "fused": True, "types": {"ij_v": ""},
        "globals": [], "dylink": {"memory_size": 0, "memory_align": 0, "table_size": 0,
                                  "table_align": 0},
        "imported_memory": None, "instantiate": ["w2c_m*"], "imports": [],
        "exports": [{"name": "N", "kind": "func", "c_name": "w2c_m_N", "signature": "ij_v",
                     "element": -1}],
        "symbols": {"functions": [{"name": "M", "c_name": "w2c_m_f7", "signature": "ij_v",
                                   "element": 3}],
                    "data": [{"name": "O", "address": 4100}]}}
    text = glue.registry([described])
    assert "void w2c_m_f7(w2c_m*, uint32_t a0, uint64_t a1);\n" in text
    assert "static const uint32_t address = 4100u;" in text
    assert ('  {"M", (wasm_rt_function_ptr_t)w2c_m_f7, wasm_func_type_ij_v, 0, 3},\n'
            '  {"N", (wasm_rt_function_ptr_t)w2c_m_N, wasm_func_type_ij_v, 0, -1},\n'
            '  {"O", 0, 0, (uint32_t * (*)(void*))address_m_O, -1},\n') in text
    assert ".export_count = 3," in text
