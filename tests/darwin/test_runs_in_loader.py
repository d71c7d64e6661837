"""The program for macOS on x86-64, run on Linux by tests/darwin/loader: its own code, on libSystem's functions as Linux's
play them (docs/macos.md says what that does not show).

PGLITE_DARWIN_LOADER, PGLITE_DARWIN_AMD64 and PGLITE_PORT name the loader, the program, and that for Linux, which opens what
the other has made (`make darwin-check` does). All of tests/integration takes the loader, too:
PGLITE_PORT="$PGLITE_DARWIN_LOADER $PGLITE_DARWIN_AMD64".
"""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import pgwire  # noqa: E402
import serving  # noqa: E402

LINUX = pgwire.port_command()


@pytest.fixture(autouse=True)
def darwin(monkeypatch):
    """The program for macOS, in the place of the one that the tests' helpers run."""
    command = [os.path.abspath(os.environ[name]) for name in ("PGLITE_DARWIN_LOADER", "PGLITE_DARWIN_AMD64")]
    for path in command:
        assert pathlib.Path(path).is_file(), f"{path} is not there: make darwin-check"
    monkeypatch.setenv("PGLITE_PORT", " ".join(command))
    return command


def run(command, *arguments):
    done = subprocess.run([*command, *map(str, arguments)], env=pgwire.port_environment(), capture_output=True, text=True,
                          timeout=120)
    assert "loader: " not in done.stderr, done.stderr
    return done


def sql(command, *arguments):
    done = run(command, *arguments[:-1], "sql", "--format", "csv", "-c", arguments[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_says_what_it_is(darwin):
    assert run(darwin, "--version").stdout == run(LINUX, "--version").stdout
    assert sql(darwin, "select version()")[1].startswith('"PostgreSQL ')


def test_it_computes_as_the_other_one_does(darwin):
    statements = ("create table t as select g, sqrt(g) r, md5(g::text) h, g * 1.1::float4 f from generate_series(1, 2000) g;"
                  "select sum(g), sum(r), min(h), avg(f), to_char(now(), 'TZ') from t; select 'ä' < 'z', upper('straße')")
    assert sql(darwin, statements) == sql(LINUX, statements)


def test_a_data_directory_goes_between_the_two(darwin, tmp_path):
    data = tmp_path / "data"
    sql(darwin, "-D", data, "create table t (made_by text); insert into t values ('darwin')")
    sql(LINUX, "-D", data, "insert into t values ('linux')")
    sql(darwin, "-D", data, "insert into t values ('darwin again')")
    expected = ["made_by", "darwin", "linux", "darwin again"]
    assert sql(darwin, "-D", data, "select * from t") == sql(LINUX, "-D", data, "select * from t") == expected


def test_it_opens_a_directory_that_was_made_here(darwin, tmp_path):
    sql(LINUX, "-D", tmp_path / "data", "create table t as select 42 as x")
    assert sql(darwin, "-D", tmp_path / "data", "select x from t") == ["x", "42"]


def test_a_data_directory_is_one_programs_at_a_time(darwin, tmp_path):
    data = tmp_path / "data"
    with pgwire.PortProcess(env={"PGLITE_DATA_DIR": str(data)}) as port:
        assert port.value("select 1") == "1"
        for other in (darwin, LINUX):
            assert run(other, "-D", data, "sql", "-c", "select 1").returncode != 0
        assert port.finish() == 0, port.stderr()


@pytest.mark.parametrize("saves_on_linux", [False, True])
def test_a_snapshot_goes_between_the_two(darwin, tmp_path, saves_on_linux):
    saves, opens = (LINUX, darwin) if saves_on_linux else (darwin, LINUX)
    sql(saves, "--save-snapshot", tmp_path / "snapshot", "create table t as select generate_series(1, 10) as x")
    for program in (saves, opens):
        assert sql(program, "--snapshot", tmp_path / "snapshot", "select sum(x) from t") == ["sum", "55"]


def test_the_session_goes_on_after_errors():
    with pgwire.PortProcess() as port:
        assert port.query("select 1/0").sqlstate == "22012"
        port.query("create function f(i int) returns int language plpgsql as 'begin return f(i + 1); end'").ok()
        assert port.query("select f(1)").sqlstate == "54001"
        assert port.value("select 6 * 7") == "42"


def test_timers_signal_the_thread():
    with pgwire.PortProcess() as port:
        port.query("set statement_timeout = '100ms'").ok()
        assert port.query("select count(*) from generate_series(1, 1000000000)").sqlstate == "57014"
        assert port.query("select pg_sleep(60)").sqlstate == "57014"
        port.query("set statement_timeout = 0").ok()
        assert port.value("select 1") == "1"


def test_a_signal_ends_the_port(tmp_path):
    data = tmp_path / "data"
    with pgwire.PortProcess(env={"PGLITE_DATA_DIR": str(data)}) as port:
        port.query("create table t as select 1 as x").ok()
        port.signal(signal.SIGTERM)
        port.wait()
        assert "loader: " not in port.stderr()
    assert sql(LINUX, "-D", data, "select x from t") == ["x", "1"]


def test_requests_are_framed(darwin):
    with pgwire.PortProcess("--framing", "packet4") as port:
        assert port.value("select 'framed'") == "framed"
        assert port.request(pgwire.extended("select $1::int + 1", ["41"])).value == "42"
        assert port.finish() == 0
    done = subprocess.run([*darwin, "--framing", "line"], input=b"select 1\nselect foo\n", env=pgwire.port_environment(),
                          capture_output=True, timeout=60)
    assert done.returncode == 0 and b"SELECT 1" in done.stdout and b"42703" in done.stdout


@pytest.mark.parametrize("where", ["socket", "tcp"])
def test_clients_are_served(tmp_path, where):
    place = ("--socket-dir", tmp_path) if where == "socket" else ("--listen", "127.0.0.1:0")
    with serving.Server(*place) as server:
        with server.connect() as one, server.connect() as two:
            one.query("create table t (x int)").ok()
            one.query("begin; insert into t values (1)").ok()
            assert two.query("select count(*) from t").value == "0"
            one.query("commit").ok()
            assert two.query("select count(*) from t").value == "1"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0, server.stderr()
        assert "loader: " not in server.stderr()


def test_psql_is_served(tmp_path):
    with serving.Server("--listen", "127.0.0.1:0") as server:
        done = serving.run_psql(f"postgresql://postgres@127.0.0.1:{server.port}/postgres", "-c", "select 6 * 7")
        assert (done.returncode, done.stdout) == (0, "42\n"), done.stderr
