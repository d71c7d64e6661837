"""The program for Linux on 64-bit ARM, and the one for this machine whose images it has: make arm64-test.

PGLITE_PORT names the first, NATIVE_PORT the second.
"""

import os
import struct
import subprocess
from pathlib import Path

import pytest

PROGRAM, NATIVE = os.environ.get("PGLITE_PORT", ""), os.environ.get("NATIVE_PORT", "")
EM_AARCH64, PT_LOAD, PT_INTERP = 183, 1, 3
SIZES = (4096, 16384, 65536)  # of pages
LARGEST_PAGE = SIZES[-1]


def sql(program: str, *arguments, page_size: int = 4096) -> str:
    done = subprocess.run([program, "sql", "-Atq", *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "QEMU_PAGESIZE": str(page_size)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def program_headers():
    head = Path(PROGRAM).read_bytes()[:4096]
    (machine,) = struct.unpack_from("<H", head, 18)
    (offset,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    return machine, [struct.unpack_from("<IIQQQQQQ", head, offset + i * size) for i in range(count)]


def test_it_is_for_that_processor_and_needs_no_library():
    machine, headers = program_headers()
    assert machine == EM_AARCH64
    assert PT_INTERP not in [header[0] for header in headers]


def test_it_can_be_loaded_whatever_pages_the_system_has():
    for kind, _, offset, address, _, _, _, alignment in program_headers()[1]:
        if kind == PT_LOAD:
            assert alignment >= LARGEST_PAGE and offset % LARGEST_PAGE == address % LARGEST_PAGE


def test_the_builders_paths_are_not_in_it():
    assert b"sysroot/arm64/" not in Path(PROGRAM).read_bytes()


@pytest.mark.parametrize("one, other", [(NATIVE, PROGRAM), (PROGRAM, NATIVE)], ids=["from-here", "from-there"])
def test_a_snapshot_of_one_opens_in_the_other(tmp_path, one, other):
    snapshot = tmp_path / "snapshot"
    sql(one, "--save-snapshot", snapshot, "-c",
        "create extension pg_trgm; create table t as select n, md5(n::text) as v from generate_series(1, 5000) as n;"
        "create index on t using gin (v gin_trgm_ops)")
    answer = sql(other, "--snapshot", snapshot, "-c", "select sum(n), max(v), similarity('word', 'words') from t")
    assert answer == "12502500|ffeed84c7cb1ae7bf4ec4bd78275bb98|0.5714286\n"


@pytest.mark.parametrize("one, other", [(NATIVE, PROGRAM), (PROGRAM, NATIVE)], ids=["from-here", "from-there"])
def test_a_directory_of_one_opens_in_the_other(tmp_path, one, other):
    data = tmp_path / "data"
    sql(one, "-D", data, "-c", "create table t as select n / 7.0 as v from generate_series(1, 1000) as n")
    sql(other, "-D", data, "-c", "insert into t values (0)")
    for program in (one, other):
        assert sql(program, "-D", data, "-c", "select count(*), round(sum(v), 6) from t") == "1001|71500.000000\n"


def test_the_system_may_have_large_pages(tmp_path):
    """qemu shows the program pages of another size than its own; it maps as if it had them."""
    snapshot = tmp_path / "snapshot"
    for made_by in SIZES:
        sql(PROGRAM, "--save-snapshot", snapshot, "-c", "create table t as select 42 as n", page_size=made_by)
        for opened_by in SIZES:
            assert sql(PROGRAM, "--snapshot", snapshot, "-c", "table t", page_size=opened_by) == "42\n", (made_by, opened_by)
