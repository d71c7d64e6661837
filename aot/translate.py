#!/usr/bin/env python3
"""Translates one WebAssembly module to C with wasm2c and describes it for glue.py.

usage: translate.py --wasm2c TOOL --name NAME --outputs N --directory DIR WASM

Writes into DIR: NAME.h, the C files (NAME.c, or NAME_0.c ... and NAME-impl.h), NAME.json.

What is changed in wasm2c's output:

- It gives each module function type identifiers of its own and compares them by address first, by
  content second; a call from one module into another then always takes the slow way. Here all
  modules share one identifier a signature (wasm_func_type_SIGNATURE, defined by glue.py).
- A large memory.fill goes to the host (guest_large_fill), which can clear memory by dropping pages:
  PostgreSQL clears its 128 MB of shared buffers at start.
- Some functions of the main module get a host function in front of them or in their place (HOOKS):
  the clock, and waiting, which Emscripten does by spinning. So does its CRC-32C, for which processors
  have an instruction; and the point where PostgreSQL looks for interrupts (look_up_in_host).
- getpid() is the host's, where the compiler has put Emscripten's constant (GETPID), and a wait for
  a semaphore, which is a loop that only looks at a flag, lets the host run first.
- PostgreSQL's check of its stack's depth asks the host, too (ask_host_for_stack_depth).
- A table entry is the function itself, not a wrapper that jumps to it.
- The main module's instance lies right in front of its linear memory, and its function table in
  front of that (fuse_instance_and_memory): the pointer that every function gets is then the base
  of memory too, and no access has to load it.
- A cell of the GOT is a place in the array that the instance gets (number_got_cells), in the order of
  the module's imports.
- An import that has a result in a newer Emscripten is declared with it (NEWER_RESULTS).
- A large switch at the head of a loop, each of whose cases has a place of its own, becomes a jump
  through a table of labels (thread_interpreters). That is PostgreSQL's expression interpreter, as
  it is compiled natively: clang then ends each operation with a jump of its own to the next.
- A second way to instantiate, wasm2c_NAME_instantiate_bare, sets up imports, globals and the table
  but neither data segments nor start function: the memory comes from a snapshot.
"""

import argparse
import json
import pathlib
import re
import struct
import subprocess
import sys

import symbols
import wasm

# What PGlite's modules need and no more. Tail calls in particular must stay off: the translator
# uses an uninitialised instance pointer for some of them.
FEATURES = ["--disable-tail-call", "--disable-exceptions", "--disable-memory64",
            "--disable-multi-memory", "--disable-relaxed-simd", "--disable-simd"]

TYPE_DEFINITION = re.compile(
    r'^FUNC_TYPE(?:_EXTERN)?_T\((w2c_\w+_t(\d+))\) = "((?:\\x[0-9a-f]{2})+)";\n', re.M)
TYPE_DECLARATION = re.compile(r"^FUNC_TYPE_DECL_EXTERN_T\(w2c_\w+_t\d+\);\n", re.M)


def share_function_types(files: list[pathlib.Path], module: wasm.Module) -> dict[str, str]:
    """Rewrites the identifiers in `files`; returns the hash of each signature."""
    hashes: dict[str, str] = {}
    names: list[str] = []

    def remember(match: re.Match) -> str:
        signature = module.types[int(match[2])].signature
        hashes[signature] = match[3].replace("\\x", "")
        names.append(f"extern const char wasm_func_type_{signature}[];\n"
                     f"#define {match[1]} wasm_func_type_{signature}\n")
        return ""

    texts = {file: TYPE_DEFINITION.sub(remember, file.read_text()) for file in files}
    header = "".join(names)
    for file, text in texts.items():
        text = TYPE_DECLARATION.sub("", text)
        if "#define FUNC_TYPE_T(x)" in text:
            # The identifiers go where the macros that declared them were.
            end = text.index("#endif", text.index("#define FUNC_TYPE_T(x) static const char x[]"))
            end = text.index("\n", end) + 1
            text = text[:end] + header + text[end:]
        file.write_text(text)
    return hashes


LARGE_FILL = 256 * 1024  # bytes; below it a plain memset is as good
FILL = "  memset(MEM_ADDR(mem, d, n), val, n);\n"


def include_host_header(directory: pathlib.Path, name: str) -> None:
    header = directory / f"{name}.h"
    header.write_text(header.read_text().replace('#include "wasm-rt.h"',
                                                 '#include "wasm/guest_module.h"', 1))


def send_large_fills_to_host(files: list[pathlib.Path]) -> None:
    for file in files:
        text = file.read_text()
        if FILL in text:
            call = (f"  if (UNLIKELY(n >= {LARGE_FILL})) {{\n"
                    "    RANGE_CHECK(mem, d, n);\n"
                    "    guest_large_fill(MEM_ADDR(mem, d, n), val, n);\n"
                    f"  }} else\n  {FILL}")
            text = text.replace(FILL, call)
            # What is smaller ends in the guard region at the latest, like any access.
            for check in ("  RANGE_CHECK(mem, d, n);\n  if", "  RANGE_CHECK(dest, dest_addr, n);\n"
                          "  RANGE_CHECK(src, src_addr, n);\n  memmove"):
                if check not in text:
                    sys.exit(f"translate.py: memory.fill or memory.copy looks different in {file}")
                text = text.replace(check, f"  {check.split()[-1]}")
            file.write_text(text)
            return
    # A module that never fills memory has no such function.


# SHAREDINVALRELCACHE_ID and SHAREDINVALRELSYNC_ID, storage/sinval.h: how messages begin that are
# otherwise the same.
MESSAGE_RELATION_CACHE, MESSAGE_RELATION_SYNC = -2, -6

# Function, exported or one of symbols.py -> the statement that is put at the start of its C
# function; `return` makes it the whole. @NAME is the C name of another function.
HOOKS = {
    # Emscripten's has the milliseconds of Date.now().
    "gettimeofday": "{ u64 now = guest_wall_clock();"
                    " i64_store_default32((uint8_t*)instance, 0, 0, (u64)var_p0, now / 1000000);"
                    " i32_store_default32((uint8_t*)instance, 0, 0, (u64)var_p0 + 8, now % 1000000);"
                    " return 0; }",
    "nanosleep": "{ return guest_nanosleep(instance->w2c_env_instance, var_p0, var_p1); }",
    # What is left of the timeout when there is nothing to wait for any more. (PGlite's poll answers
    # at once, and the wait loop around it spins.)
    "WaitLatch": "{ var_p2 = guest_wait_latch(instance->w2c_env_instance, var_p0, var_p1, var_p2); }",
    # One process of many.
    "kill": "{ return guest_kill(instance->w2c_env_instance, var_p0, var_p1); }",
    "WaitEventSetWait": "{ u32 found = guest_wait_event_set(instance->w2c_env_instance, var_p0,"
                        " var_p1, var_p2, var_p3, var_p4);"
                        " if (found != UINT32_MAX) return found; }",
    # PGlite's makes the checkpoint itself, whoever calls it.
    "RequestCheckpoint": "{ if (guest_request_checkpoint(instance->w2c_env_instance, var_p0))"
                         " return; }",
    "set_max_safe_fds": "{ if (guest_park(instance->w2c_env_instance)) return; }",
    # PGlite's has lost its munmap(): every segment that a process lets go (DSM_OP_DETACH and _DESTROY)
    # would stay mapped.
    "dsm_impl_op": "{ u8* base = (u8*)instance;"
                   " u32 mapped = var_p0 >= 2 ? i32_load_default32(base, 0, 0, (u64)var_p4) : 0;"
                   " if (mapped != 0) @munmap(instance, mapped,"
                   " i32_load_default32(base, 0, 0, (u64)var_p5)); }",
    # The host is the postmaster: it lives as long as its guests, and counts them itself.
    "PostmasterIsAliveInternal": "{ return 1; }",
    "RegisterPostmasterChildActive": "{ return; }",
    # A message for the callbacks of CacheRegisterRelSyncCallback, which PGlite does not have, becomes
    # one for those of the relation cache. pgoutput has the same function in both lists.
    "LocalExecuteInvalidationMessage":
        "{ if (i32_load8_s_default32((uint8_t*)instance, 0, 0, (u64)var_p0)"
        f" == (u32){MESSAGE_RELATION_SYNC})"
        " i32_store8_default32((uint8_t*)instance, 0, 0, (u64)var_p0,"
        f" (u32){MESSAGE_RELATION_CACHE}); }}",
}


def add_hooks(module_name: str, files: list[pathlib.Path], functions: dict[str, str]) -> None:
    """`functions`: C function -> the statement."""
    missing = dict(functions)
    for file in files:
        text = file.read_text()
        for function in list(missing):
            start = body_of(text, module_name, function)
            if start is not None:
                text = f"{text[:start]}  {missing.pop(function)}\n{text[start:]}"
                file.write_text(text)
    if missing:
        sys.exit(f"translate.py: {module_name} has no function {', '.join(sorted(missing))}")


def body_of(text: str, module_name: str, function: str) -> int | None:
    """Where the body of the C function begins, if it is defined there."""
    # Declarations do not name the instance.
    at = text.find(f" {function}(w2c_{module_name}* instance")
    end = text.find("\n", at) + 1
    return end if at >= 0 and text.endswith(") {\n", 0, end) else None


class CNames:
    """What wasm2c calls the functions of a module."""

    def __init__(self, name: str, header: str, finder: symbols.Finder):
        self.name, self.finder = name, finder
        exports = export_names(header)
        # The body of an exported function has the suffix _0, and the first of its names.
        self.exported: dict[int, str] = {}
        for entry in finder.module.exports:
            if entry.kind == "func":
                self.exported.setdefault(entry.index, f"{exports[entry.name]}_0")

    def of(self, index: int) -> str:
        return self.exported.get(index) or f"w2c_{self.name}_f{index}"

    def named(self, function: str) -> str:
        return self.of(self.finder.function(function))

    def in_statement(self, statement: str) -> str:
        return re.sub(r"@(\w+)", lambda match: self.named(match[1]), statement)


def import_fields(header: str) -> dict[tuple[str, str], str]:
    """Where the instance keeps what is imported and no function."""
    return {(source, field): c_name for source, field, c_name in re.findall(
        r"/\* import: '([^']*)' '([^']*)' \*/\n\s*[\w]+ \*(w2c_\w+);", header)}


def export_names(header: str) -> dict[str, str]:
    return dict(re.findall(r"/\* export: '([^']*)' \*/\n[^(]*?\b(w2c_\w+)\(", header))


def edit_functions(module_name: str, files: list[pathlib.Path],
                   edits: dict[str, list[tuple[re.Pattern, str]]]) -> None:
    """Makes each of a function's substitutions exactly once. `edits`: C function -> them."""
    missing = set(edits)
    for file in files:
        text = file.read_text()
        for function in list(missing):
            start = body_of(text, module_name, function)
            if start is None:
                continue
            end = text.index("\n}\n", start) + 1
            body = text[start:end]
            for pattern, replacement in edits[function]:
                body, count = pattern.subn(replacement, body)
                if count != 1:
                    sys.exit(f"translate.py: {function} has {count} places like"
                             f" {pattern.pattern!r}, not one")
            text = text[:start] + body + text[end:]
            missing.remove(function)
            file.write_text(text)
    if missing:
        sys.exit(f"translate.py: {module_name} has no function {', '.join(sorted(missing))}")


ENVIRONMENT = "instance->w2c_env_instance"

# The functions into which getpid() was inlined: a comparison of a process's number with
# Emscripten's constant. (main compares it with a lock file's too, which need not be right.)
GETPID = ["proc_exit", "wrapper_handler", "ProcKill", "AuxiliaryProcKill"]
GETPID_COMPARED = re.compile(r"= 42u;(\n *(var_i\d+) = \2 [!=]= var_i\d+;)")
# getpid() itself, and main, which sets MyProcPid.
GETPID_RESULT = re.compile(r"= 42u;(\n *FUNC_EPILOGUE;)")
GETPID_STORED = r"(= {address}u;\n *var_i\d+ )= 42u;(\n *i32_store)"


def ask_host_for_pid(name: str, files: list[pathlib.Path], names: CNames) -> None:
    call = f"= guest_getpid({ENVIRONMENT});"
    edits = {names.named(function): [(GETPID_COMPARED, rf"{call}\1")] for function in GETPID}
    edits[names.named("getpid")] = [(GETPID_RESULT, rf"{call}\1")]
    stored = re.compile(GETPID_STORED.format(address=names.finder.address("MyProcPid")))
    edits[names.named("__main_argc_argv")] = [(stored, rf"\1{call}\2")]
    edit_functions(name, files, edits)


# ProcessInterrupts() clears the flag that has brought it there, unless interrupts are held off, and
# then looks at what there is. The host adds to that in between: what comes later sets the flag again.
FLAG_CLEARED = r"(= {address}u;\n *var_i\d+ = 0u;\n *i32_store[^\n]*;\n)"


def look_up_in_host(name: str, files: list[pathlib.Path], names: CNames) -> None:
    cleared = re.compile(FLAG_CLEARED.format(address=names.finder.address("InterruptPending")))
    edit_functions(name, files, {names.named("ProcessInterrupts"): [
        (cleared, rf"\1  guest_before_interrupts({ENVIRONMENT});\n")]})


# Both compare what is used of the stack in linear memory with max_stack_depth. Most of what a level of
# recursion needs is on the native stack.
STACK_DEPTH_COMPARED = re.compile(
    r"^( *)(var_i1 -= var_i2;\n)( *var_i0 = \(u32\)\(\(s32\)var_i0 (?:>=|<) \(s32\)var_i1\);)", re.M)


def ask_host_for_stack_depth(name: str, files: list[pathlib.Path], names: CNames) -> None:
    edit = (STACK_DEPTH_COMPARED, rf"\1\2\1var_i1 = guest_stack_depth({ENVIRONMENT}, var_i1);\n\3")
    edit_functions(name, files, {names.named(function): [edit]
                                 for function in ("check_stack_depth", "stack_is_too_deep")})


# LWLockAcquire, LWLockDequeueSelf, LWLockAcquireOrWait and LWLockWaitForVar, which are inlined, and
# the members of a group that commits or leaves the array of processes together.
SEMAPHORE_WAITS = 6


def wait_in_host(name: str, files: list[pathlib.Path], names: CNames) -> None:
    waits = names.finder.disassembler.waits()
    found = sum(map(len, waits.values()))
    if found != SEMAPHORE_WAITS:
        sys.exit(f"translate.py: {name} waits for semaphores at {found} places, not at"
                 f" {SEMAPHORE_WAITS}: {', '.join(map(names.of, waits))}")
    edits = {}
    for function, offsets in waits.items():
        edits[names.of(function)] = [
            (re.compile(r"^( *)((var_i\d+) = i32_load8_u_default32\(.*\(u64\)\((var_i\d+)\) \+ "
                        rf"{offset}u\);\n *if \(\3\) \{{goto var_L\d+;\}}\n)", re.M),
             rf"\1guest_wait_byte({ENVIRONMENT}, \4 + {offset}u);\n\1\2") for offset in offsets]
    edit_functions(name, files, edits)


def add_bare_instantiation(directory: pathlib.Path, name: str, files: list[pathlib.Path]) -> None:
    """Writes wasm2c_NAME_instantiate_bare behind wasm2c_NAME_instantiate."""
    pattern = re.compile(r"^void wasm2c_(\w+)_instantiate\((.*)\) \{\n(?:.*\n)*?\}\n", re.M)
    for file in files:
        text = file.read_text()
        match = pattern.search(text)
        if match is None:
            continue
        head = f"void wasm2c_{match[1]}_instantiate_bare({match[2]})"
        arguments = ", ".join(p.split()[-1].lstrip("*")
                              for p in match[2].split(","))
        body = (f"{head} {{\n  init_instance_import({arguments});\n  init_globals(instance);\n"
                "  init_tables(instance);\n  init_elem_instances(instance);\n}\n")
        for part in ("init_globals(instance);", "init_tables(instance);",
                     "init_elem_instances(instance);", f"init_instance_import({arguments});"):
            if part not in match[0]:
                # wasm2c leaves out what a module has none of.
                body = body.replace(f"  {part}\n", "")
        file.write_text(text[:match.end()] + "\n" + body + text[match.end():])
        header = directory / f"{name}.h"
        declaration = f"void wasm2c_{match[1]}_instantiate("
        h = header.read_text()
        line = h[h.index(declaration):h.index("\n", h.index(declaration)) + 1]
        header.write_text(h.replace(line, line + line.replace("_instantiate(", "_instantiate_bare(")))
        return
    sys.exit(f"translate.py: no instantiate function in the C of {name}")


def number_got_cells(directory: pathlib.Path, name: str, files: list[pathlib.Path],
                     module: wasm.Module) -> None:
    """wasm2c asks a function for each cell, which all modules would share by its name."""
    fields = import_fields((directory / f"{name}.h").read_text())
    cells = {fields[entry.module, entry.name]: cell
             for cell, entry in enumerate(module.got_imports())}
    pattern = re.compile(r"^  instance->(w2c_GOT0x2E\w+) = \w+\((\w+)\);\n", re.M)
    for file in files:
        file.write_text(pattern.sub(
            lambda match: f"  instance->{match[1]} = (u32*){match[2]} + {cells.pop(match[1])};\n",
            file.read_text()))
    if cells:
        sys.exit(f"translate.py: {name} gets cells of the GOT in another way")


# What some imports of an older Emscripten's modules return by now. One C function serves all modules,
# and C lets a caller ignore its result.
NEWER_RESULTS = {"_localtime_js": "i"}


def declare_newer_results(directory: pathlib.Path, name: str, module: wasm.Module) -> None:
    header = directory / f"{name}.h"
    for entry in module.imports:
        results = NEWER_RESULTS.get(entry.name)
        if results is None or entry.type.results:
            continue
        text, count = re.subn(rf"(/\* import: '{entry.module}' '{entry.name}' \*/\n)void ",
                              r"\1u32 ", header.read_text())
        if count != 1:
            sys.exit(f"translate.py: {name}.h declares {entry.name} in another way")
        header.write_text(text)
        entry.type = wasm.FuncType(entry.type.params, results)


# How PostgreSQL's table for CRC-32C begins.
CRC32C_TABLE = struct.pack("<4I", 0, 0xF26B8303, 0xE13B70F7, 0x1350F3F4)


def use_processor_for_crc32c(name: str, files: list[pathlib.Path], module: wasm.Module) -> None:
    """pg_comp_crc32c_sb8 has no name here, but nothing else uses its table."""
    address = module.address_of(CRC32C_TABLE)
    head = re.compile(rf"^u32 w2c_{name}_\w+\(w2c_{name}\* instance, u32 var_p0, u32 var_p1, "
                      r"u32 var_p2\) \{\n", re.M)
    places = []
    for file in files:
        text = file.read_text()
        for use in re.finditer(rf" = {address}u;", text):
            start = text.rindex("\n}\n", 0, use.start()) + 3
            function = head.search(text, start, use.start())
            places.append((file, function and function.end()))
    if len(set(places)) != 1 or places[0][1] is None:
        sys.exit(f"translate.py: {name}: the function that computes CRC-32C was not found")
    file, at = places[0]
    text = file.read_text()
    file.write_text(text[:at] + "  { u32 crc = var_p0;"
                    " if (guest_crc32c(&crc, (uint8_t*)instance + var_p1, var_p2)) return crc; }\n" +
                    text[at:])


SWITCH = re.compile(r"^ *switch \((\w+)\) \{\n((?: *case \d+: goto \w+;\n)+)"
                    r" *default: goto (\w+);\n *\}\n", re.M)
# A loop's label and what is computed before the switch, straight on.
LOOP_HEAD = re.compile(r"^ *var_L\d+: \n(?: *var_\w+ (?:[-+&|]|)= .*;\n)*\Z", re.M)
INTERPRETER_CASES = 64  # fewer are not worth a jump each


def thread_interpreters(text: str) -> tuple[str, int]:
    """The text with such switches replaced, and how many there were.

    The default is an entry of the table: with a branch in front of it clang does not repeat the jump.
    """
    pieces = []
    position = 0
    for switch in SWITCH.finditer(text):
        value, cases, default = switch.groups()
        labels = re.findall(r"goto (\w+);", cases)
        if len(labels) < INTERPRETER_CASES or len(set(labels)) < len(labels):
            continue
        if not LOOP_HEAD.search(text, max(position, switch.start() - 1000), switch.start()):
            continue
        targets = ", ".join(f"&&{label}" for label in labels)
        pieces += [text[position:switch.start()],
                   f"    {{ static const void* const targets[] = {{{targets}, &&{default}}};\n"
                   f"      goto *targets[{value} < {len(labels)}u ? {value} : {len(labels)}u]; }}\n"]
        position = switch.end()
    return "".join(pieces) + text[position:], len(pieces) // 2


def thread_interpreters_of(name: str, files: list[pathlib.Path]) -> None:
    found = 0
    for file in files:
        text, count = thread_interpreters(file.read_text())
        if count:
            file.write_text(text)
            found += count
    if found == 0:
        sys.exit(f"translate.py: {name}: the loop of the expression interpreter was not found")


WRAPPER = re.compile(r"^static \w+ wrap_(\w+)\(void \*instance.*\) \{\n.*\n\}\n", re.M)


def unwrap_table_entries(files: list[pathlib.Path]) -> None:
    """Wrappers differ from what they call in the type of their first parameter, a pointer."""
    for file in files:
        text = file.read_text()
        text, count = WRAPPER.subn("", text)
        if count:
            file.write_text(text.replace("(wasm_rt_function_ptr_t)wrap_",
                                         "(wasm_rt_function_ptr_t)"))


# What a side module's function looks up at its start and after each call.
LOCAL_BASE = "  uint8_t* const wasm_rt_local_memory_base = (instance->w2c_env_memory)->data;\n"
LOCAL_SIZE = re.compile(r"^ *(?:uint64_t )?wasm_rt_local_memory_size = .*;\n"
                        r"|^ *\(void\)wasm_rt_local_memory_(?:base|size);\n", re.M)


def fuse_instance_and_memory(directory: pathlib.Path, name: str,
                             files: list[pathlib.Path]) -> None:
    """Makes the `instance` of every function the address where linear memory begins.

        table: GUEST_TABLE_CAPACITY entries | instance, to a whole page | linear memory ...
                                                                        ^ instance

    The constants are in src/wasm/guest_module.h, the host lays the parts out (LinearMemory).
    """
    field = f"W2C_SELF_{name}(instance)->w2c_"
    table = "0x5F_indirect_function_table"
    for file in files:
        text = file.read_text()
        if LOCAL_BASE not in text and file.suffix == ".c":
            sys.exit(f"translate.py: the start of functions looks different in {file}")
        text = text.replace(LOCAL_BASE,
                            "  uint8_t* const wasm_rt_local_memory_base = (uint8_t*)instance;\n")
        text = LOCAL_SIZE.sub("", text)
        text = text.replace("wasm_rt_local_memory_size, instance->w2c_env_memory, ", "0, 0, ")
        text = text.replace(f"CALL_INDIRECT(instance->w2c_{table}, ", "CALL_INDIRECT(instance, ")
        text = text.replace(f"instance->w2c_{table}.data[", "GUEST_TABLE(instance)[")
        text = text.replace(f"wasm_rt_allocate_funcref_table(&instance->w2c_{table}, ",
                            f"guest_place_table(instance, &instance->w2c_{table}, ")
        text = re.sub(rf"^  wasm_rt_free_funcref_table\(&instance->w2c_{table}\);\n", "", text,
                      flags=re.M)
        text = text.replace("instance->w2c_", field)
        start = text.find("#define CHECK_CALL_INDIRECT(")
        if start >= 0:
            end = text.index("DO_CALL_INDIRECT(table, t, x, __VA_ARGS__))\n", start)
            end = text.index("\n", end) + 1
            text = text[:start] + FUSED_CALL_INDIRECT.format(field=field, table=table) + text[end:]
        file.write_text(text)
    header = directory / f"{name}.h"
    text = header.read_text()
    end = text.index(f"}} w2c_{name};\n") + len(f"}} w2c_{name};\n")
    header.write_text(
        text[:end] +
        f"\n#define W2C_SELF_{name}(instance) \\\n"
        f"  ((w2c_{name}*)((uint8_t*)(instance) - GUEST_INSTANCE_SIZE))\n"
        f'_Static_assert(sizeof(w2c_{name}) <= GUEST_INSTANCE_SIZE, "GUEST_INSTANCE_SIZE");\n' +
        text[end:])


FUSED_CALL_INDIRECT = """\
#define CHECK_CALL_INDIRECT(instance, ft, x)                                              \\
  (LIKELY((x) < GUEST_TABLE_CAPACITY && ft == GUEST_TABLE(instance)[x].func_type) ||      \\
   func_types_eq_slowpath(&{field}{table}, ft, x))

#define CALL_INDIRECT(instance, t, ft, x, ...) \\
  (CHECK_CALL_INDIRECT(instance, ft, x), ((t)GUEST_TABLE(instance)[x].func)(__VA_ARGS__))
"""


def mutable_globals(header: str) -> list[str]:
    """The struct fields that hold the module's own i32 globals: all its state outside memory."""
    struct = re.search(r"^typedef struct w2c_\w+ \{\n((?:.*\n)*?)\} w2c_\w+;", header, re.M)
    fields = re.findall(r"^  (u32|u64|f32|f64) (w2c_\w+);", struct[1], re.M)
    if any(kind != "u32" for kind, _ in fields):
        sys.exit("translate.py: a global that is not an i32")
    return [field for _, field in fields]


def describe(name: str, module: wasm.Module, header: str, hashes: dict[str, str]) -> dict:
    exports = export_names(header)
    c_names = import_fields(header)
    for source, field, c_name in re.findall(
            r"/\* import: '([^']*)' '([^']*)' \*/\n[\w* ]*?\b(w2c_\w+)\(", header):
        c_names.setdefault((source, field), c_name)
    # wasm2c writes the module's name with its special characters escaped.
    instantiate = re.search(r"^void wasm2c_(\w+)_instantiate\((.*)\);$", header, re.M)
    if instantiate is None:
        sys.exit(f"translate.py: no instantiate function in {name}.h")
    return {
        "name": name,
        "c_name": instantiate[1],
        "sha256": module.sha256,
        "types": hashes,
        "globals": mutable_globals(header),
        "dylink": module.dylink,
        "imported_memory": module.imported_memory,
        "instantiate": [p.strip() for p in instantiate[2].split(",")],
        "imports": [{
            "module": i.module,
            "name": i.name,
            "kind": i.kind,
            "c_name": c_names[i.module, i.name],
            "type": i.type and {"params": i.type.params, "results": i.type.results},
        } for i in module.imports],
        "exports": [{
            "name": e.name,
            "kind": e.kind,
            "c_name": exports[e.name],
            "signature": module.functions[e.index].signature if e.kind == "func" else None,
            "element": module.elements.get(e.index, -1) if e.kind == "func" else -1,
        } for e in module.exports],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wasm2c", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--outputs", type=int, default=1)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--main", action="store_true",
                        help="the main module: apply HOOKS, fuse instance and memory")
    parser.add_argument("wasm", type=pathlib.Path)
    arguments = parser.parse_args()

    name, directory = arguments.name, arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    command = [arguments.wasm2c, *FEATURES, "--module-name", name]
    if arguments.outputs > 1:
        command += ["--num-outputs", str(arguments.outputs)]
        files = [directory / f"{name}_{i}.c" for i in range(arguments.outputs)]
        files.append(directory / f"{name}-impl.h")
    else:
        files = [directory / f"{name}.c"]
    command += ["--output", str(directory / f"{name}.c"), str(arguments.wasm)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"translate.py: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")

    module = wasm.Module(arguments.wasm)
    include_host_header(directory, name)
    hashes = share_function_types(files, module)
    declare_newer_results(directory, name, module)
    send_large_fills_to_host(files)
    unwrap_table_entries(files)
    number_got_cells(directory, name, files, module)
    add_bare_instantiation(directory, name, files)
    found = {"functions": [], "data": []}
    if arguments.main:
        finder = symbols.find(module)
        names = CNames(name, (directory / f"{name}.h").read_text(), finder)
        found = symbols.describe(finder, names.of)
        add_hooks(name, files, {names.named(f): names.in_statement(statement)
                                for f, statement in HOOKS.items()})
        ask_host_for_pid(name, files, names)
        look_up_in_host(name, files, names)
        ask_host_for_stack_depth(name, files, names)
        wait_in_host(name, files, names)
        use_processor_for_crc32c(name, files, module)
        thread_interpreters_of(name, files)
        fuse_instance_and_memory(directory, name, files)
    header = (directory / f"{name}.h").read_text()
    manifest = describe(name, module, header, hashes)
    manifest["fused"] = arguments.main
    manifest["symbols"] = found
    (directory / f"{name}.json").write_text(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    main()
