"""The build-time pipeline: aot/wasm.py, translate.py and glue.py. Needs neither network nor tools."""

import hashlib
import os
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
AOT = REPOSITORY / "aot"
sys.path[:0] = [str(AOT), str(AOT / "pgo")]

import digest  # noqa: E402
import glue  # noqa: E402
import translate  # noqa: E402
import wasm  # noqa: E402

# --- wasm.py ---


def leb(value: int) -> bytes:
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if value == 0:
            return bytes(out + bytes([byte]))
        out.append(byte | 0x80)


def name(text: str) -> bytes:
    return leb(len(text.encode())) + text.encode()


def vector(items: list[bytes]) -> bytes:
    return leb(len(items)) + b"".join(items)


def section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + leb(len(content)) + content


def module_of(tmp_path: pathlib.Path, *sections: bytes) -> wasm.Module:
    file = tmp_path / "module.wasm"
    file.write_bytes(b"\0asm\1\0\0\0" + b"".join(sections))
    return wasm.Module(file)


def func_type(params: bytes, results: bytes) -> bytes:
    return b"\x60" + vector([bytes([p]) for p in params]) + vector([bytes([r]) for r in results])


TYPES = section(1, vector([func_type(b"", b""), func_type(b"\x7f\x7e", b"\x7d"),
                           func_type(b"\x7c", b"\x7f")]))


@pytest.mark.parametrize("data, value", [
    (b"\x00", 0), (b"\x7f", 127), (b"\x80\x01", 128), (b"\xe5\x8e\x26", 624485),
    (b"\xff\xff\xff\xff\x0f", 0xFFFFFFFF),
])
def test_unsigned_numbers(data, value):
    assert wasm.Reader(data).leb() == value


@pytest.mark.parametrize("data, value", [
    (b"\x00", 0), (b"\x3f", 63), (b"\x40", -64), (b"\x7f", -1), (b"\x80\x7f", -128),
    (b"\xc0\xbb\x78", -123456),
])
def test_signed_numbers(data, value):
    assert wasm.Reader(data).signed_leb() == value


def test_types_have_signatures(tmp_path):
    module = module_of(tmp_path, TYPES)
    assert [t.signature for t in module.types] == ["v_v", "ij_f", "d_i"]


def test_imports_come_first_among_the_functions(tmp_path):
    imports = section(2, vector([
        name("env") + name("f") + b"\x00" + leb(1),
        name("env") + name("table") + b"\x01\x70\x00" + leb(3),
        name("env") + name("memory") + b"\x02\x01" + leb(2048) + leb(32768),
        name("GOT.mem") + name("x") + b"\x03\x7f\x01",
    ]))
    functions = section(3, vector([leb(0), leb(2)]))
    exports = section(7, vector([name("g") + b"\x00" + leb(2), name("memory") + b"\x02" + leb(0)]))
    module = module_of(tmp_path, TYPES, imports, functions, exports)
    assert [f.signature for f in module.functions] == ["ij_f", "v_v", "d_i"]
    assert module.imported_memory == (2048, 32768)
    assert [(i.module, i.name, i.kind) for i in module.imports] == [
        ("env", "f", "func"), ("env", "table", "table"), ("env", "memory", "memory"),
        ("GOT.mem", "x", "global")]
    assert [(e.name, e.kind, e.index) for e in module.exports] == [
        ("g", "func", 2), ("memory", "memory", 0)]


def test_the_first_place_of_a_function_in_the_table_counts(tmp_path):
    elements = section(9, vector([leb(0) + b"\x41\x01\x0b" + vector([leb(7), leb(9), leb(7)])]))
    assert module_of(tmp_path, elements).elements == {7: 0, 9: 1}
    elements = section(9, vector([leb(0) + b"\x23\x02\x0b" + vector([leb(3)])]))
    assert module_of(tmp_path, elements).elements == {3: 0}


def test_data_is_found_by_its_content(tmp_path):
    def data(address: bytes, content: bytes) -> bytes:
        return address + leb(len(content)) + content

    module = module_of(tmp_path, section(11, vector([
        data(leb(0) + b"\x41\xf0\x00\x0b", b"abcdef"),   # i32.const 112
        data(leb(1), b"passive"),
        data(leb(0) + b"\x23\x02\x0b", b"relative"),     # global.get 2
        data(leb(0) + b"\x41\x80\x10\x0b", b"cde"),
    ])))
    assert module.address_of(b"cde") == 114
    assert module.address_of(b"passive") is None
    assert module.address_of(b"relative") is None
    assert module.address_of(b"xyz") is None


@pytest.mark.parametrize("segment", [
    leb(2) + leb(0) + b"\x41\x00\x0b" + leb(0),  # with a memory index
    leb(0) + b"\x42\x00\x0b" + leb(0),          # i64.const
    leb(0) + b"\x41\x00\x6a" + leb(0),          # an expression
])
def test_other_data_segments_are_refused(tmp_path, segment):
    with pytest.raises(wasm.WasmError):
        module_of(tmp_path, section(11, vector([segment])))


@pytest.mark.parametrize("segment", [
    leb(1) + b"\x00" + vector([leb(1)]),          # passive
    leb(0) + b"\x42\x01\x0b" + vector([leb(1)]),  # i64.const
    leb(0) + b"\x41\x01\x6a" + vector([leb(1)]),  # an expression
])
def test_other_element_segments_are_refused(tmp_path, segment):
    with pytest.raises(wasm.WasmError):
        module_of(tmp_path, section(9, vector([segment])))


def test_two_element_segments_are_refused(tmp_path):
    one = leb(0) + b"\x41\x01\x0b" + vector([leb(1)])
    with pytest.raises(wasm.WasmError):
        module_of(tmp_path, section(9, vector([one, one])))


def test_dylink(tmp_path):
    memory = leb(1000) + leb(4) + leb(20) + leb(0)
    needed = vector([name("libother.so")])
    content = name("dylink.0") + bytes([1]) + leb(len(memory)) + memory
    content += bytes([2]) + leb(len(needed)) + needed
    content += bytes([77]) + leb(3) + b"abc"  # an unknown part
    module = module_of(tmp_path, section(0, content), section(0, name("name") + b"junk"))
    assert module.dylink == {"memory_size": 1000, "memory_align": 4, "table_size": 20,
                             "table_align": 0, "needed": ["libother.so"]}


def test_the_hash_is_of_the_whole_file(tmp_path):
    module = module_of(tmp_path, TYPES)
    content = (tmp_path / "module.wasm").read_bytes()
    assert module.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"", b"\0asm", b"\0asm\2\0\0\0", b"\x7fELF\1\0\0\0"])
def test_what_is_no_module_is_refused(tmp_path, content):
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(wasm.WasmError, match="not a WebAssembly"):
        wasm.Module(file)


# --- glue.py ---


def imported(function: str, params: str = "", results: str = "") -> dict:
    return {"module": "env", "name": function, "kind": "func", "c_name": f"w2c_env_{function}",
            "type": {"params": params, "results": results}}


def manifest(module: str, imports=(), exports=(), types=None, found=(), data=()) -> dict:
    return {"name": module, "types": types or {}, "imports": list(imports),
            "exports": list(exports), "symbols": {"functions": list(found), "data": list(data)}}


def exported(function: str, signature: str) -> dict:
    return {"name": function, "kind": "func", "c_name": f"w2c_main_{function}",
            "signature": signature}


def test_an_import_is_forwarded_to_the_main_modules_export():
    main = manifest("main", exports=[exported("palloc", "i_i")])
    side = manifest("side", imports=[imported("palloc", "i", "i")])
    text = glue.forward(main, [side], [], set())
    assert "return w2c_main_palloc(env->main, a0);" in text
    assert "guest_find_function" not in text


def test_an_import_is_forwarded_to_what_was_found_in_the_main_module():
    main = manifest("main", found=[exported("hidden", "i_i")])
    side = manifest("side", imports=[imported("hidden", "i", "i")])
    assert "return w2c_main_hidden(env->main, a0);" in glue.forward(main, [side], [], set())


def test_an_alias_is_forwarded_to_what_it_stands_for():
    main = manifest("main", exports=[exported("_emscripten_tempret_set", "i_v")])
    side = manifest("side", imports=[imported("setTempRet0", "i")])
    text = glue.forward(main, [side], [], set())
    assert "  w2c_main__emscripten_tempret_set(env->main, a0);" in text


def test_a_function_that_no_module_has_is_missing():
    side = manifest("side", imports=[imported("gone", "ij", "f")])
    text = glue.forward(manifest("main"), [side], [], set())
    assert "float w2c_env_gone(struct w2c_env* env, uint32_t a0, uint64_t a1)" in text
    assert 'guest_find_function(env, "gone", wasm_func_type_ij_f);' in text


def test_an_export_of_another_type_is_no_match():
    main = manifest("main", exports=[exported("f", "ii_i")])
    side = manifest("side", imports=[imported("f", "i", "i")])
    assert 'guest_find_function(env, "f", wasm_func_type_i_i);' in glue.forward(main, [side], [], set())


SUPPLEMENT = """\
static uint32_t w2c_env_static(void);
uint32_t w2c_env_gone(struct w2c_env* env, uint32_t a,
                      uint64_t b) {
  store32(env, address_of_VARIABLE(env), address_of_found(env));
  return main_hidden(env, a);
}
"""


def supplemented(main: dict, *imports: dict) -> tuple[str, set[str]]:
    return glue.supplement(main, [manifest("side", imports=imports)], SUPPLEMENT)


def test_a_supplement_gets_what_it_uses_and_its_functions_are_not_forwarded():
    variable = {"name": "VARIABLE", "kind": "global", "c_name": "w2c_main_VARIABLE"}
    main = manifest("main", found=[exported("hidden", "i_i")], exports=[variable],
                    data=[{"name": "found", "address": 4100}])
    side = manifest("side", imports=[imported("gone", "ij", "i")])
    header, defined = supplemented(main, imported("gone", "ij", "i"))
    assert defined == {"gone"}
    assert "uint32_t w2c_env_gone(struct w2c_env*, uint32_t a0, uint64_t a1);\n" in header
    assert "  return w2c_main_hidden(env->main, a0);\n" in header
    assert "  return *w2c_main_VARIABLE(env->main);\n" in header and "  return 4100u;\n" in header
    assert "gone" not in glue.forward(main, [side], [], defined)


def test_what_a_supplement_defines_or_uses_must_be_missing_or_there():
    there = manifest("main", exports=[exported("gone", "ij_i")])
    with pytest.raises(SystemExit, match="main has gone, which the supplement defines"):
        supplemented(there, imported("gone", "ij", "i"))
    with pytest.raises(SystemExit, match="no side module imports gone"):
        supplemented(manifest("main"))
    with pytest.raises(SystemExit, match="main has no hidden, which the supplement calls"):
        supplemented(manifest("main"), imported("gone", "ij", "i"))
    with pytest.raises(SystemExit, match="main has no VARIABLE, which the supplement uses"):
        supplemented(manifest("main", exports=[exported("hidden", "i_i")]),
                     imported("gone", "ij", "i"))


def test_host_functions_and_invokes_are_not_forwarded():
    main = manifest("main", exports=[exported("exit", "i_v")])
    side = manifest("side", imports=[imported("exit", "i"), imported("invoke_vi", "ii")])
    text = glue.forward(main, [side], [], {"exit"})
    assert "exit" not in text and "invoke" not in text


def test_what_a_program_misses_is_missing_and_no_function_of_the_host():
    program = manifest("pg_dump", imports=[imported("pg_encoding_to_char", "i", "i"),
                                           imported("exit", "i")])
    text = glue.forward(manifest("main"), [], [program], {"exit"})
    assert 'guest_find_function(env, "pg_encoding_to_char", wasm_func_type_i_i);' in text and "exit(" not in text
    text = glue.host_imports([program])
    assert "w2c_env_exit" in text and "pg_encoding_to_char" not in text
    main = manifest("main", exports=[exported("pg_encoding_to_char", "i_i")])
    with pytest.raises(SystemExit, match="no longer missing"):
        glue.forward(main, [], [program], set())


def test_one_name_has_one_type():
    a = manifest("a", imports=[imported("f", "i", "i")])
    b = manifest("b", imports=[imported("f", "i", "j")])
    with pytest.raises(SystemExit, match="b imports f as i_j, another module as i_i"):
        glue.env_functions([a, b])


def test_a_signature_has_one_identifier():
    a = manifest("a", types={"v_v": "00" * 32})
    b = manifest("b", types={"v_v": "01" * 32})
    assert glue.func_types([a, a]).count("const char wasm_func_type_v_v[] = ") == 1
    with pytest.raises(SystemExit, match="signature v_v has two identifiers"):
        glue.func_types([a, b])


def test_an_invoke_calls_by_the_signature_of_what_it_calls():
    text = glue.invokes({"invoke_iij": imported("invoke_iij", "iij", "i")})
    assert ("uint32_t w2c_env_invoke_iij(w2c_env* env, uint32_t index, uint32_t a0, uint64_t a1)"
            in text)
    assert "invoke<uint32_t, uint32_t, uint64_t>(env, wasm_func_type_ij_i, index, a0, a1)" in text
    assert "wasm_func_type_v_v, index)" in glue.invokes({"invoke_v": imported("invoke_v", "i")})


def test_each_module_has_its_own_cells_in_the_order_of_its_imports():
    function = {"module": "GOT.func", "name": "f", "kind": "global", "c_name": "w2c_GOT_f",
                "type": None}
    data = {"module": "GOT.mem", "name": "d", "kind": "global", "c_name": "w2c_GOT_d", "type": None}
    text = glue.registry([described("a", [function, data]), described("b", [data])])
    assert 'got_a[] = {{"f", 1}, {"d", 0}, {0, 0}};' in text and 'got_b[] = {{"d", 0}, {0, 0}};' in text
    assert ".got_import_count = 2};" in text and ".got_import_count = 1};" in text


def described(name: str, imports: list[dict] = (), **more) -> dict:
    """A manifest with what a descriptor needs."""
    return {**manifest(name, list(imports)), "c_name": name, "sha256": "", "fused": False, "globals": [],
            "dylink": {"memory_size": 0, "memory_align": 0, "table_size": 0, "table_align": 0},
            "imported_memory": None, "instantiate": [f"w2c_{name}*"], **more}


def test_a_library_calls_the_main_module_by_weak_symbols_and_knows_its_program():
    module = described("module", [imported("palloc", "i", "i"), imported("invoke_vj", "ij"),
                                  imported("setTempRet0", "i")], types={"i_i": "ab" * 32})
    text = glue.library(module, "0123", "")
    assert '__asm__("main.i_i.palloc");' in text and '__asm__("main.i_v._emscripten_tempret_set");' in text
    assert 'guest_find_function(env, "palloc", wasm_func_type_i_i)' in text
    assert "guest_invoke(env, wasm_func_type_j_v, index, call_invoke_vj, &frame);" in text
    assert 'guest_library_head = {\n  "0123", &module_module, supplied, 0};' in text
    assert "guest_modules" not in text
    assert "EXPORTED extern const char wasm_func_type_i_i[];" in glue.library_header(module)


def test_a_main_module_as_a_library_brings_its_supplement():
    main = described("main", [imported("exit", "i")], fused=True)
    text = glue.library(main, "0123", SUPPLEMENT)
    assert "exit" not in text
    assert '{"w2c_env_gone", (const void*)&w2c_env_gone, 1},' in text and "supplied, 1};" in text


def test_the_abi_is_another_when_a_file_is(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    before = glue.abi_identity("linux-x86_64", [tmp_path / "a", tmp_path / "b"])
    assert before == glue.abi_identity("linux-x86_64", [tmp_path / "b", tmp_path / "a"])
    assert before != glue.abi_identity("linux-aarch64", [tmp_path / "a", tmp_path / "b"])
    (tmp_path / "b").write_text("c")
    assert before != glue.abi_identity("linux-x86_64", [tmp_path / "a", tmp_path / "b"])


# --- translate.py ---


def loop(labels: list[str], head: str = "    var_i0 = var_l4;\n    var_i1 = 2u;\n    var_i0 -= var_i1;\n") -> str:
    cases = "".join(f"      case {i}: goto {label};\n" for i, label in enumerate(labels))
    return f"  var_L3: \n{head}    switch (var_i0) {{\n{cases}      default: goto var_B9;\n    }}\n  var_B1:;\n"


MANY = [f"var_B{i}" for i in range(100, 180)]


def test_an_interpreters_switch_becomes_a_jump_through_a_table():
    text, count = translate.thread_interpreters("before\n" + loop(MANY) + "between\n" + loop(MANY))
    assert count == 2
    assert text.startswith("before\n  var_L3: \n    var_i0 = var_l4;\n")
    assert "switch" not in text and "between\n" in text and text.endswith("  var_B1:;\n")
    labels = ", ".join(f"&&{label}" for label in MANY)
    # The last entry is the default, for whatever lies beyond.
    assert text.count(f"targets[] = {{{labels}, &&var_B9}};") == 2
    assert text.count("goto *targets[var_i0 < 80u ? var_i0 : 80u];") == 2


@pytest.mark.parametrize("text", [
    loop(MANY[:20]),  # not worth it
    loop([*MANY, MANY[0]]),  # cases that share a place: a table would be larger than clang's
    loop(MANY, head="    if (var_i0) {\n    }\n"),  # not at a loop's head
    loop(MANY).replace("  var_L3: \n", "  var_B3:;\n"),  # no loop
])
def test_other_switches_stay(text):
    assert translate.thread_interpreters(text) == (text, 0)


# --- pgo ---


def test_the_profile_is_of_this_translation():
    """A profile of other C is ignored function by function, without a word; `make pgo` renews it."""
    program = os.environ.get("PGLITE_PORT", REPOSITORY / "build" / "release" / "pglite-port")
    modules = pathlib.Path(program).parent / "aot" / "modules"
    if not modules.is_dir():
        pytest.skip("the program was not built here")
    assert digest.of(modules) == (AOT / "pgo" / "guest.digest").read_text().strip()
