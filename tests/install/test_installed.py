"""The library as somebody has it who has installed it: an empty prefix, and nothing of the tree that it was built in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples" / "library"
BUILD = Path(os.environ.get("PGLITE_PORT", REPOSITORY / "build/release/pglite-port")).resolve().parent
SONAME = "libpglite.so.0.1"  # MAJOR.MINOR before 1.0
CC, CXX = "clang-22", "clang++-22"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]

FRUIT = """\
name: apple, price: 0.50
name: plum's, price: 0.25
name: quince, price: -
3 rows
23505: duplicate key value violates unique constraint "fruit_pkey"
  Key (name)=(apple) already exists.
9: canceling statement due to user request
"""


def run(*command, directory=None, expect=0, **environment) -> subprocess.CompletedProcess:
    """Runs a command without what the environment says of this tree; its output is that of a success."""
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        list(map(str, command)),
        env={**plain, "LANG": "C.UTF-8", **{name: str(value) for name, value in environment.items()}},
        cwd=directory or "/", capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert expect is None or done.returncode == expect, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """Installed, and moved to another place."""
    directory = tmp_path_factory.mktemp("install")
    run("cmake", "--install", BUILD, "--prefix", directory / "first")
    (directory / "first").rename(directory / "there")
    return directory / "there"


def pkg_config(prefix, *arguments) -> list[str]:
    return run("pkg-config", *arguments, "pglite", PKG_CONFIG_PATH=prefix / "lib/pkgconfig").stdout.split()


def with_library(prefix, *command, **options):
    return run(*command, LD_LIBRARY_PATH=prefix / "lib", **options)


def functions_of_the_header() -> set[str]:
    header = (REPOSITORY / "include/pglite/pglite.h").read_text()
    return set(re.findall(r"^PGLITE_API[^;(]*?\*?\b(pglite_\w+)\(", header, re.MULTILINE))


# --- What is there ------------------------------------------------------------------------------


def test_what_is_installed(prefix):
    there = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    headers = {f"include/pglite/{path.name}" for path in (REPOSITORY / "include/pglite").glob("*.h")}
    assert there >= headers | {
        "bin/pglite-port",
        "lib/libpglite.a",
        "lib/libpglite.so",
        f"lib/{SONAME}",
        "lib/pkgconfig/pglite.pc",
        "lib/cmake/pglite_port/pglite_portConfig.cmake",
        "lib/cmake/pglite_port/pglite_portConfigVersion.cmake",
        "share/doc/pglite-port/LICENSE",
        "share/doc/pglite-port/THIRD_PARTY_NOTICES.md",
    }
    if (REPOSITORY / "docs/man/pglite-port.1").exists():
        assert "share/man/man1/pglite-port.1" in there
    if (REPOSITORY / "completions").exists():
        assert "share/bash-completion/completions/pglite-port" in there
    assert run(prefix / "bin/pglite-port", "sql", "-Atc", "select 6 * 7").stdout == "42\n"


def test_nothing_points_back_to_where_it_was_built(prefix):
    for path in prefix.rglob("*"):
        if path.is_symlink():
            assert not os.path.isabs(os.readlink(path)), path
        elif path.is_file() and path.suffix in {".pc", ".cmake", ".h"}:
            text = path.read_text()
            assert str(REPOSITORY) not in text and str(BUILD) not in text and "/first" not in text, path


def test_the_parts_can_be_had_alone(tmp_path):
    for component, some in {"program": "bin/pglite-port", "library": f"lib/{SONAME}"}.items():
        run("cmake", "--install", BUILD, "--prefix", tmp_path / component, "--component", component)
        assert (tmp_path / component / some).exists()
        assert not (tmp_path / component / "include").exists()
        shutil.rmtree(tmp_path / component)


def test_the_shared_library_shows_the_c_api_and_nothing_else(prefix):
    library = prefix / "lib/libpglite.so"
    symbols = run("readelf", "--dyn-syms", "--wide", library).stdout
    shown = {
        fields[7].split("@")[0]
        for line in symbols.splitlines()
        if len(fields := line.split()) >= 8 and fields[6] not in {"UND", "ABS", "Ndx"}
    }
    assert shown == functions_of_the_header() != set()
    dynamic = run("readelf", "--dynamic", "--wide", library).stdout
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
    assert {name.split(".so")[0] for name in needed} <= {"libc", "libm", "ld-linux-x86-64", "ld-linux-aarch64"}
    assert f"[{SONAME}]" in re.search(r"SONAME.*", dynamic)[0]
    assert "TEXTREL" not in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic
    assert "NODELETE" in dynamic and "SYMBOLIC" in dynamic
    segments = run("readelf", "--segments", "--wide", library).stdout
    (stack,) = [line for line in segments.splitlines() if "GNU_STACK" in line]
    assert "RWE" not in stack


def test_the_static_library_has_no_names_but_its_own(prefix):
    shown = run("nm", "--extern-only", "--defined-only", "--format=posix", prefix / "lib/libpglite.a").stdout
    names = {line.split()[0] for line in shown.splitlines() if len(line.split()) > 1}
    assert names >= functions_of_the_header()
    assert not {name for name in names if not re.match(r"pglite_[a-z]|_ZN6pglite", name)}


# --- Building against it ------------------------------------------------------------------------


@pytest.mark.parametrize("compiler", [CC, "gcc"])
def test_the_c_header_is_c_and_cplusplus(prefix, tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler} here")
    for standard in ("c11", "c17", "c++11", "c++20"):
        language = "c++" if "+" in standard else "c"
        source = tmp_path / f"main.{language}"
        source.write_text(
            "#include <pglite/pglite.h>\npglite_options options(void);\n"
            "pglite_options options(void) { pglite_options value = PGLITE_OPTIONS_INIT; return value; }\n")  # fmt: skip
        run(compiler, "-x", language, f"-std={standard}", *WARNINGS, *pkg_config(prefix, "--cflags"),
            "-fsyntax-only", source)  # fmt: skip


@pytest.mark.parametrize("compiler", [CXX, "g++"])
def test_each_cplusplus_header_stands_alone(prefix, tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip("there is no gcc here")
    source = tmp_path / "main.cc"
    for header in sorted((prefix / "include/pglite").glob("*.h")):
        source.write_text(f"#include <pglite/{header.name}>\n")
        run(compiler, "-std=c++20", *WARNINGS, f"-I{prefix}/include", "-fsyntax-only", source)


def test_the_example_in_c_with_pkg_config(prefix, tmp_path):
    program = tmp_path / "fruit"
    run(CC, "-std=c11", *WARNINGS, EXAMPLES / "fruit.c", "-o", program, "-pthread",
        *pkg_config(prefix, "--cflags", "--libs"))  # fmt: skip
    assert with_library(prefix, program).stdout == FRUIT
    assert run(program, expect=None).returncode != 0  # it is the installed library that it has


def test_the_example_in_c_linked_statically(prefix, tmp_path):
    program = tmp_path / "fruit"
    flags = pkg_config(prefix, "--cflags", "--static", "--libs")
    run(CC, "-static", "-std=c11", EXAMPLES / "fruit.c", "-o", program, "-pthread", *flags)
    assert "NEEDED" not in run("readelf", "--dynamic", program).stdout
    assert run(program).stdout == FRUIT


def test_the_static_library_does_not_meet_the_programs_own_names(prefix, tmp_path):
    source = tmp_path / "main.c"
    source.write_text("""
#include <pglite/pglite.h>
int inflate(void);
int SHA256Init(void);
int wasm_rt_trap(void);
int inflate(void) { return 1; }
int SHA256Init(void) { return 2; }
int wasm_rt_trap(void) { return 4; }
int main(void) {
  pglite_db *db;
  if (pglite_open(NULL, &db, NULL) != PGLITE_OK) return 100;
  if (pglite_query(db, "select 1", 0, NULL, NULL, NULL, NULL) != PGLITE_OK) return 101;
  if (pglite_close(db, NULL) != PGLITE_OK) return 102;
  return inflate() + SHA256Init() + wasm_rt_trap();
}
""")
    program = tmp_path / "main"
    run(CC, source, f"-I{prefix}/include", prefix / "lib/libpglite.a", "-lstdc++", "-lm", "-o", program)
    run(program, expect=7)


@pytest.fixture(scope="module")
def cmake_build(prefix, tmp_path_factory):
    """The examples, as a project that finds the library with CMake."""
    build = tmp_path_factory.mktemp("cmake")
    configured = run(
        "cmake", "-G", "Ninja", "-S", EXAMPLES, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_C_COMPILER={CC}", f"-DCMAKE_CXX_COMPILER={CXX}",
    )  # fmt: skip
    assert str(REPOSITORY / "build") not in configured.stdout
    run("cmake", "--build", build)
    return build


def test_the_examples_in_c_with_cmake(cmake_build):
    assert run(cmake_build / "fruit").stdout == FRUIT  # CMake has put the library's place into it
    assert run(cmake_build / "fruit_static").stdout == FRUIT


def test_the_example_in_cplusplus_and_a_snapshot_that_the_program_takes(prefix, cmake_build, tmp_path):
    snapshot = tmp_path / "migrated.snapshot"
    assert run(cmake_build / "fresh_databases").stdout == "11\n12\n13\n10\n"
    assert run(cmake_build / "fresh_databases", snapshot).stdout == "11\n12\n13\n10\n"
    sql = "select balance from account"
    assert run(prefix / "bin/pglite-port", "sql", "--snapshot", snapshot, "-Atc", sql).stdout == "10\n"


def test_another_version_is_not_found(prefix, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(p LANGUAGES C)\nfind_package(pglite_port 7.0 REQUIRED)\n")  # fmt: skip
    done = run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}",
               f"-DCMAKE_C_COMPILER={CC}", expect=None)  # fmt: skip
    assert done.returncode != 0 and 'compatible with requested version "7.0"' in " ".join(done.stderr.split())


# --- From other languages -----------------------------------------------------------------------


def python(prefix, *arguments, expect=0):
    return run(sys.executable, *arguments, PGLITE_LIBRARY=prefix / f"lib/{SONAME}",
               PYTHONPATH=EXAMPLES, PYTHONDONTWRITEBYTECODE=1, expect=expect)  # fmt: skip


def test_the_example_in_python(prefix):
    assert python(prefix, EXAMPLES / "pglite_ctypes.py").stdout == (
        "[('apple', '0.5'), ('quince', None)]\n"
        "22012: division by zero\n"
        "0 and 2\n"
        "INSERT INTO public.fruit VALUES ('apple', 0.5);\n")  # fmt: skip


USED = """
import ctypes, faulthandler, signal, sys, threading
from pglite_ctypes import Database
"""


def test_python_has_its_faults(prefix):
    """faulthandler, enabled before and behind the library, says where the fault of Python's was."""
    for order in ("faulthandler.enable(); Database().query('select 1')", "Database().query('select 1'); faulthandler.enable()"):
        done = python(prefix, "-c", f"{USED}{order}; ctypes.string_at(8)", expect=None)
        assert done.returncode == -11, done
        assert "Fatal Python error: Segmentation fault" in done.stderr
        assert "string_at" in done.stderr


def test_python_has_its_signals(prefix):
    done = python(prefix, "-c", USED + """
seen = []
for number in (signal.SIGALRM, signal.SIGURG, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: seen.append(number))
with Database() as database:
    database.query("set statement_timeout = '60s'")
    database.query("select pg_sleep(0.01)")
    for number in (signal.SIGALRM, signal.SIGURG, signal.SIGINT, signal.SIGUSR1):
        signal.raise_signal(number)
        database.query("select 1")
print(seen == [signal.SIGALRM, signal.SIGURG, signal.SIGINT, signal.SIGUSR1], signal.getsignal(signal.SIGURG) is not None)
""")  # fmt: skip
    assert done.stdout == "True True\n", done.stderr


def test_threads_of_pythons_have_databases_of_their_own(prefix):
    done = python(prefix, "-c", USED + """
results = [None] * 8
def work(i):
    with Database() as database:
        results[i] = [database.query("select $1::int + n from generate_series(1, 3) n", i) for _ in range(20)][-1]
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(results == [[(str(i + n),) for n in (1, 2, 3)] for i in range(8)])
""")  # fmt: skip
    assert done.stdout == "True\n", done.stderr


@pytest.fixture(scope="module")
def go_program(prefix, tmp_path_factory):
    if shutil.which("go") is None:
        pytest.skip("there is no Go here")
    program = tmp_path_factory.mktemp("go") / "fruit"
    run("go", "build", "-o", program, ".", directory=EXAMPLES / "go", GOFLAGS="-buildvcs=false",
        CGO_ENABLED=1, CC=CC, CGO_CFLAGS=f"-I{prefix}/include", CGO_LDFLAGS=f"-L{prefix}/lib")  # fmt: skip
    return program


def test_the_example_in_go(prefix, go_program):
    """Which has a fault of its own, too: a nil pointer is a panic as ever."""
    for environment in ({}, {"GODEBUG": "cgocheck=1"}, {"GOGC": "1"}):
        assert with_library(prefix, go_program, **environment).stdout == (
            "[[plum 0.25] [apple 0.50]]\n"
            "22012: division by zero\n"
            "57014: canceling statement due to user request\n"
            "[500500 2001000 4501500 8002000]\n"
            "recovered: runtime error: invalid memory address or nil pointer dereference\n")  # fmt: skip


def test_each_example_is_listed():
    there = {path.name for path in EXAMPLES.iterdir()}
    listed = set(re.findall(r"\]\(library/([^/)]+)", (EXAMPLES.parent / "README.md").read_text()))
    assert there == listed
