"""Extensions that the program was not built with: `pglite-port compile` and --extension-path; and --preload."""

import contextlib
import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pgwire as w
import pytest
from serving import Server

DIST = Path(os.environ["PGLITE_NPM_DIR"]) / "dist"
# Changes what a module is known by, and not what it does.
CUSTOM_SECTION = b"\0\5\4test"


def archive(path: Path, extension: str, change=lambda module: module + CUSTOM_SECTION) -> Path:
    """A bundle of PGlite's with another module in it."""
    with tarfile.open(DIST / f"{extension}.tar.gz") as old, tarfile.open(path, "w:gz") as new:
        for member in old:
            if not member.isfile():
                continue
            content = old.extractfile(member).read()
            if member.name.endswith(".so"):
                content = change(content)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def hstore(tmp_path_factory, cache):
    path = archive(tmp_path_factory.mktemp("hstore") / "hstore.tar.gz", "hstore")
    done = compile_(cache, path)
    assert done.returncode == 0, done.stderr
    assert b"hstore.so: compiled in " in done.stderr
    return path


def in_cache(cache: Path, **more: str) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(cache), **more}


def compile_(cache: Path, *arguments, timeout: float = 300, **more: str):
    return w.run_port("compile", *map(str, arguments), env=in_cache(cache, **more), timeout=timeout)


def sql(cache: Path, *arguments, timeout: float = 60, **more: str):
    return w.run_port("sql", "--format", "csv", *map(str, arguments), env=in_cache(cache, **more), timeout=timeout)


def libraries(cache: Path) -> list[Path]:
    return sorted((cache / "pglite-port/modules").glob("*/*.so"))


USES = ("-c", "create extension hstore", "-c", "select 'a=>1,b=>2'::hstore -> 'b' as b")


def test_it_is_used_in_memory(cache, hstore):
    done = sql(cache, "--extension-path", hstore, *USES)
    assert done.stdout == b"b\n2\n", done.stderr


def test_what_was_compiled_is_not_compiled_again(cache, hstore):
    before = [(p, p.stat().st_mtime_ns) for p in libraries(cache)]
    done = compile_(cache, hstore)
    assert (done.returncode, done.stderr) == (0, f"{hstore}: compiled already\n".encode())
    assert [(p, p.stat().st_mtime_ns) for p in libraries(cache)] == before
    assert len(before) == 1 and before[0][0].stat().st_mode & 0o777 == 0o600
    assert not list(before[0][0].parent.glob(".*")), "nothing is left of the work"


def test_it_is_used_in_a_directory_that_is_opened_again(cache, hstore, tmp_path):
    data = ["-D", tmp_path / "data", "--durability", "relaxed", "--extension-path", hstore]
    made = sql(cache, *data, "-c", "create extension hstore; create table t (h hstore);"
               "insert into t select hstore('k', i::text) from generate_series(1, 1000) i;"
               "create index on t using gin (h)")
    assert made.returncode == 0, made.stderr
    found = sql(cache, *data, "-c", "set enable_seqscan = off; select count(*) from t where h @> 'k=>7'")
    assert found.stdout.endswith(b"count\n1\n"), found.stderr


def test_it_is_used_in_a_snapshot(cache, hstore, tmp_path):
    made = sql(cache, "--extension-path", hstore, "--save-snapshot", tmp_path / "s", *USES)
    assert made.returncode == 0, made.stderr
    query = ("-c", "select hstore('x', 'y') -> 'x' as x")
    assert sql(cache, "--snapshot", tmp_path / "s", "--extension-path", hstore, *query).stdout == b"x\ny\n"
    # The library is found without its archive, but not without the library.
    assert sql(cache, "--snapshot", tmp_path / "s", *query).stdout == b"x\ny\n"
    gone = sql(tmp_path, "--snapshot", tmp_path / "s", *query)
    assert gone.returncode == 65 and b"it has a library that is not there" in gone.stderr, gone.stderr


def test_sessions_of_a_server_use_it(cache, hstore):
    with Server("--extension-path", hstore, env=in_cache(cache)) as server:
        one, two = server.connect(), server.connect()
        one.query("create extension hstore; create table t as select 'a=>1'::hstore h").ok()
        assert two.query("select h -> 'a' from t").rows == [("1",)]
        assert one.query("select h || 'b=>2' from t").rows == [('"a"=>"1", "b"=>"2"',)]


def test_a_directory_of_extensions(cache, hstore):
    done = sql(cache, *USES, PGLITE_EXTENSION_PATH=f"{hstore.parent}")
    assert done.stdout == b"b\n2\n", done.stderr
    empty = sql(cache, *USES, PGLITE_EXTENSION_PATH=f"{cache}")
    assert empty.returncode == 64 and b"--extension-path (PGLITE_EXTENSION_PATH)" in empty.stderr


def test_it_must_be_compiled_first(tmp_path, hstore):
    done = sql(tmp_path, "--extension-path", hstore, *USES)
    assert done.returncode == 65
    assert b"is not compiled yet for this program: give it to \"pglite-port compile\"" in done.stderr


def test_what_is_built_in_needs_no_compiler(tmp_path):
    done = compile_(tmp_path, DIST / "hstore.tar.gz", CC="/bin/false")
    assert done.returncode == 0 and done.stderr == b"hstore.so: built in\n"
    assert sql(tmp_path, "--extension-path", DIST / "hstore.tar.gz", *USES).stdout == b"b\n2\n"


# --- What cannot be compiled ---


def test_bad_input_is_named(tmp_path):
    module = tarfile.open(DIST / "hstore.tar.gz").extractfile("lib/postgresql/hstore.so").read()

    def failure(name: str, content: bytes) -> tuple[int, str]:
        (tmp_path / name).write_bytes(content)
        done = compile_(tmp_path / "cache", tmp_path / name)
        assert not libraries(tmp_path / "cache")
        return done.returncode, done.stderr.decode().splitlines()[-1]

    assert failure("empty.so", b"")[0] == 74
    for name, content, message in (
        ("text.so", b"text", "text.so is no module that can be compiled: not a WebAssembly 1.0 module"),
        ("cut.so", module[: len(module) // 2], "cut.so is no module that can be compiled: it is truncated or damaged"),
        ("program.wasm", (DIST / "initdb.wasm").read_bytes() + CUSTOM_SECTION,
         "program.wasm is no side module, which lives in another module's memory"),
        ("text.tar.gz", b"text", "text.tar.gz is no extension, a tar file with lib/ and share/: "),
        ("cut.tar.gz", (DIST / "hstore.tar.gz").read_bytes()[:9000], "cut.tar.gz is no extension"),
        ("other.tar.gz", gzip.compress(bytes(10240)), "other.tar.gz is no extension: it has neither lib/ nor share/"),
        ("dylink.so", module.replace(b"dylink.0", b"dylink.9"), "dylink.so is no module that can be compiled: it "
         "does not begin with a dylink.0 section"),
        ("pglite.wasm", (DIST / "pglite.wasm").read_bytes() + CUSTOM_SECTION, "pglite.js of its package is not beside"),
    ):
        code, said = failure(name, content)
        assert code == 65 and message in said, said
    missing = compile_(tmp_path, tmp_path / "none.tar.gz")
    assert missing.returncode == 74 and b"none.tar.gz" in missing.stderr
    assert compile_(tmp_path).returncode == 64


def test_programs_that_are_missing_are_named(tmp_path, hstore):
    tools = tmp_path / "tools"
    tools.mkdir()
    nothing = compile_(tmp_path, hstore, PATH=str(tools))
    assert nothing.returncode == 69 and b"python3 is needed and cannot be started" in nothing.stderr
    (tools / "python3").symlink_to(os.path.realpath(sys.executable))
    no_compiler = compile_(tmp_path, hstore, PATH=str(tools), CC="")
    assert no_compiler.returncode == 69, no_compiler.stderr
    assert b'a C compiler is needed and none was found' in no_compiler.stderr
    assert b'apt-get install clang' in no_compiler.stderr
    failing = compile_(tmp_path, hstore, CC="false")
    assert failing.returncode == 1 and b"hstore.so: false failed" in failing.stderr


def renamed(old: bytes, new: bytes):
    """An import has another name; a name of the same length keeps the sections as they are."""

    def change(module: bytes) -> bytes:
        assert len(old) == len(new) and module.count(b"\x03env" + bytes([len(old)]) + old) == 1
        return module.replace(b"\x03env" + bytes([len(old)]) + old, b"\x03env" + bytes([len(new)]) + new)

    return change


def test_a_function_that_nobody_has_is_an_error_when_it_is_called(cache, tmp_path):
    path = archive(tmp_path / "tablefunc.tar.gz", "tablefunc",
                   renamed(b"pg_prng_double", b"pg_prng_dooble"))
    assert compile_(cache, path).returncode == 0
    with w.PortProcess("--extension-path", str(path), env=in_cache(cache)) as port:
        port.query("create extension tablefunc").ok()
        failed = port.query("select normal_rand(1, 5, 3)")
        assert failed.sqlstate == "0A000" and "pg_prng_dooble" in failed.error["M"], failed.describe()
        assert port.value("select 1") == "1"


def test_an_address_that_nobody_has_is_an_error_when_it_is_loaded(cache, tmp_path):
    def change(module: bytes) -> bytes:
        old = b"\x07GOT.mem\x14CurrentMemoryContext"
        assert module.count(old) == 1
        return module.replace(old, old[:-1] + b"x")

    path = archive(tmp_path / "hstore.tar.gz", "hstore", change)
    assert compile_(cache, path).returncode == 0
    with w.PortProcess("--extension-path", str(path), env=in_cache(cache)) as port:
        failed = port.query("create extension hstore")
        assert "undefined symbol: CurrentMemoryContexx" in failed.error["M"], failed.describe()
        assert port.value("select 1") == "1"


# --- The cache ---


def only_library(extension: Path, cache: Path) -> Path:
    assert compile_(cache, extension).returncode == 0
    (library,) = libraries(cache)
    return library


def test_a_cache_that_others_can_write_to_is_not_used(hstore, tmp_path):
    library = only_library(hstore, tmp_path / "cache")
    for path in (library, library.parent):
        mode = path.stat().st_mode
        path.chmod(mode | 0o022)
        done = sql(tmp_path / "cache", "--extension-path", hstore, *USES)
        assert done.returncode != 0 and b"others than you can write to" in done.stderr, done.stderr
        path.chmod(mode)
    library.parent.chmod(0o777)
    assert b"others than you can write to" in compile_(tmp_path / "cache", hstore).stderr


def test_a_damaged_or_foreign_library_is_an_error_and_the_session_goes_on(hstore, tmp_path):
    library = only_library(hstore, tmp_path / "cache")
    whole = library.read_bytes()
    identity = library.parent.name.encode()
    for content, message in (
        (whole[: len(whole) // 2], "is truncated"),
        (b"text", "is no ELF file"),
        (whole.replace(identity, b"0" * len(identity)), "is of another program or module"),
        (whole.replace(library.stem.encode(), b"0" * 64), "is of another program or module"),
    ):
        library.unlink()
        library.write_bytes(content)
        library.chmod(0o600)
        with w.PortProcess("--extension-path", str(hstore), env=in_cache(tmp_path / "cache")) as port:
            failed = port.query("create extension hstore")
            assert message in failed.error["M"], failed.describe()
            assert port.value("select 1") == "1"


def test_a_compilation_that_is_killed_leaves_nothing_half_done(tmp_path):
    path = archive(tmp_path / "pgcrypto.tar.gz", "pgcrypto")
    process = subprocess.Popen([*w.port_command(), "compile", str(path)], env=w.port_environment(in_cache(tmp_path)),
                               stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr.readline() == b"pgcrypto.so: translating\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (directory,) = (tmp_path / "pglite-port/modules").iterdir()
    assert [p.name[:6] for p in directory.iterdir()] == [".work-"]
    time.sleep(0.1)
    small = archive(tmp_path / "lo.tar.gz", "lo")
    assert compile_(tmp_path, small).returncode == 0
    assert sorted(p.suffix for p in directory.iterdir()) == [".image", ".so"]


def named_by_processes(path) -> list[str]:
    """What runs with the path in its command line."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = file.read_bytes().replace(b"\0", b" ").decode()
            if str(path) in command:
                found.append(command)
    return found


def test_a_compilation_ends_with_its_program_alone(tmp_path):
    path = archive(tmp_path / "pgcrypto.tar.gz", "pgcrypto")
    process = subprocess.Popen([*w.port_command(), "compile", str(path)], env=w.port_environment(in_cache(tmp_path)),
                               stderr=subprocess.PIPE)
    for stage in (b"translating", b"compiling"):
        assert stage in process.stderr.readline()
    process.kill()
    process.wait()
    (directory,) = (tmp_path / "pglite-port/modules").iterdir()
    end = time.monotonic() + 30
    while left := named_by_processes(tmp_path) + list(directory.iterdir()):
        assert time.monotonic() < end, left
        time.sleep(0.1)


# --- --preload ---


PRELOADED = ("-c", "create extension if not exists pg_stat_statements", "-c", "select 1 as one",
             "-c", "select calls from pg_stat_statements where query like 'select $1 as one'")


@pytest.mark.parametrize("place", ["memory", "directory", "snapshot"])
def test_libraries_are_loaded_at_the_start(place, tmp_path):
    where = ["-D", str(tmp_path / "data"), "--durability", "relaxed"] if place == "directory" else []
    again = where
    if place == "snapshot":
        where, again = ["--save-snapshot", str(tmp_path / "s")], ["--snapshot", str(tmp_path / "s")]
    first = w.run_port("sql", "--format", "csv", "--preload", "pg_stat_statements", *where, *PRELOADED)
    assert first.stdout == b"one\n1\ncalls\n1\n", first.stderr
    second = w.run_port("sql", "--format", "csv", *again, *PRELOADED, env={"PGLITE_PRELOAD": "pg_stat_statements"})
    assert second.returncode == 0 and second.stdout.startswith(b"one\n1\ncalls\n"), second.stderr


def test_several_libraries_and_settings_beside_them():
    done = w.run_port("sql", "--format", "csv", "--preload", "pg_stat_statements, auto_explain",
                      "-o", "-c auto_explain.log_min_duration=0", "-c", "show shared_preload_libraries")
    assert done.stdout == b'shared_preload_libraries\n"pg_stat_statements, auto_explain"\n', done.stderr


def test_a_session_from_a_snapshot_has_what_it_was_started_with(tmp_path):
    made = w.run_port("sql", "--save-snapshot", str(tmp_path / "s"), "-c", "select 1")
    assert made.returncode == 0
    done = w.run_port("sql", "--snapshot", str(tmp_path / "s"), "--preload", "auto_explain", "-c", "select 1")
    assert done.returncode == 64 and b"give the same libraries when the snapshot is made" in done.stderr


def test_a_library_that_is_not_there_is_named():
    done = w.run_port("sql", "--preload", "nothing", "-c", "select 1")
    assert done.returncode != 0 and b'could not access file "nothing"' in done.stderr, done.stderr
