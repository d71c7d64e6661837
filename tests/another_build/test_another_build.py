"""Another build of PGlite in place of the linked one: PGLITE_WASM_PATH (make another-build-test, three minutes).

It compiles PGlite 0.5.15, its side modules, and extensions for it, into a cache of its own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/integration"))
import pgwire as w  # noqa: E402
from serving import Server  # noqa: E402


def package(name: str) -> Path:
    found = subprocess.run([sys.executable, REPOSITORY / "aot/fetch.py", name], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip())


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The environment of a program that runs the other build."""
    cache = tmp_path_factory.mktemp("cache")
    wasm = package("@electric-sql/pglite@0.5.15") / "dist/pglite.wasm"
    environment = {"XDG_CACHE_HOME": str(cache), "PGLITE_WASM_PATH": str(wasm)}
    done = w.run_port("compile", str(wasm), env={"XDG_CACHE_HOME": str(cache)}, timeout=3000)
    assert done.returncode == 0, done.stderr
    return environment


def extension(other: dict[str, str], file: Path) -> Path:
    done = w.run_port("compile", str(file), env=other, timeout=3000)
    assert done.returncode == 0 and b"built in" not in done.stderr, done.stderr
    return file


def test_it_runs(other):
    with w.PortProcess(env=other) as port:
        assert "(PGlite 0.5.15)" in port.value("select version()")
        port.query("create function f(i int) returns int language plpgsql as $$begin return i / 0; end$$").ok()
        assert port.query("select f(1)").sqlstate == "22012"
        assert port.value("select to_tsvector('english', 'running')::text") == "'run':1"
        port.query("set client_encoding = 'LATIN1'").ok()
        assert port.value("select convert_from('\\xe9', 'LATIN1') = chr(233)") == "t"


def test_a_directory_goes_from_one_build_to_the_other(other, tmp_path):
    data = ["-D", str(tmp_path / "data")]
    assert w.run_port("sql", *data, "-c", "create table t as select 1 as a", env=other).returncode == 0
    assert w.run_port("sql", *data, "-c", "insert into t values (2)").returncode == 0
    found = w.run_port("sql", *data, "--format", "csv", "-c", "select sum(a) from t", env=other)
    assert found.stdout == b"sum\n3\n", found.stderr


def test_sessions(other):
    with Server(env=other) as server:
        one, two = server.connect(), server.connect()
        one.query("create table t (a int)").ok()
        one.query("begin; insert into t values (1)").ok()
        assert two.query("select count(*) from t").rows == [("0",)]
        one.query("commit").ok()
        assert two.query("select count(*) from t").rows == [("1",)]


def test_extensions_for_it(other):
    vector = extension(other, next((package("@electric-sql/pglite-pgvector") / "dist").glob("*.tar.gz")))
    hstore = extension(other, package("@electric-sql/pglite@0.5.15") / "dist/hstore.tar.gz")
    with w.PortProcess("--extension-path", f"{vector}:{hstore}", env=other) as port:
        port.query("create extension vector; create extension hstore").ok()
        assert port.value("select '[1,2]'::vector <-> '[4,6]'") == "5"
        assert port.value("select 'a=>1'::hstore -> 'a'") == "1"


def test_a_session_of_it_has_no_snapshot(other, tmp_path):
    done = w.run_port("sql", "--save-snapshot", str(tmp_path / "s"), "-c", "select 1", env=other)
    assert done.returncode == 64 and b"only instances of the built-in module have snapshots" in done.stderr


def test_a_build_that_is_too_different_is_refused(tmp_path):
    wasm = package("@electric-sql/pglite@0.3.16") / "dist/pglite.wasm"
    done = w.run_port("compile", str(wasm), env={"XDG_CACHE_HOME": str(tmp_path)}, timeout=3000)
    assert done.returncode == 65, done.stderr
    assert b"pglite.wasm" in done.stderr.splitlines()[-1]
    refused = w.run_port("sql", "--wasm", str(wasm), "-c", "select 1", env={"XDG_CACHE_HOME": str(tmp_path)})
    assert refused.returncode == 65 and b"is not the PGlite 0.5.16" in refused.stderr


