"""`pglite-port dump --sql`: what pg_dump makes of a database, and that it can be read again."""

import gzip
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pgwire as w
import pytest

SCHEMA = Path(__file__).with_name("dump_schema.sql")
SCRIPT = Path(__file__).with_name("pglite_dump.mjs")


def run(*args, stdin=b"", **env):
    # What is tested is what is written, not the disk.
    env.setdefault("PGLITE_DURABILITY", "relaxed")
    return w.run_port(*map(str, args), stdin=stdin, env=env)


def dump(data: Path, *arguments, options=()) -> str:
    done = run("dump", "--sql", "-D", data, *options, *(["--", *arguments] if arguments else []))
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def without_keys(text: str) -> str:
    """pg_dump makes a new key each time."""
    return re.sub(r"^(\\(?:un)?restrict) \w+$", r"\1 KEY", text, flags=re.M)


def one_line(done) -> str:
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, done
    return lines[0]


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A directory with something of everything, closed."""
    data = tmp_path_factory.mktemp("rich") / "data"
    done = run("sql", "-D", data, "-f", SCHEMA)
    assert done.returncode == 0, done.stderr.decode()
    return data


@pytest.fixture(scope="module")
def rich_dump(rich):
    return dump(rich)


def make_roles(data: Path) -> None:
    """Roles are a cluster's, not a database's: pg_dump leaves them out."""
    done = run("sql", "-D", data, "-c", "create role reader; create role writer login")
    assert done.returncode == 0, done


def restore(data: Path, text: str) -> None:
    make_roles(data)
    done = run("sql", "-D", data, stdin=text.encode())
    assert done.returncode == 0, done.stderr.decode()


# --- There and back ---


def test_what_is_restored_dumps_the_same(tmp_path, rich, rich_dump):
    restore(tmp_path / "data", rich_dump)
    assert without_keys(dump(tmp_path / "data")) == without_keys(rich_dump)


def test_all_kinds_of_objects_are_in_it(rich_dump):
    for statement in (
        "CREATE SCHEMA \"Späte Schicht\"", "CREATE TYPE public.mood AS ENUM",
        "CREATE DOMAIN public.positive", "CREATE TYPE public.address AS", "CREATE TYPE public.float_range AS RANGE",
        "CREATE SEQUENCE public.counter", "CREATE TABLE public.fruit", "GENERATED ALWAYS AS IDENTITY",
        "GENERATED ALWAYS AS ((price * (2)::numeric)) STORED", "CREATE TABLE public.\"Odd \"\"name\"\"\"",
        "PARTITION BY RANGE (at)", "ATTACH PARTITION public.measure_2021_rest DEFAULT", "INHERITS (public.parent)",
        "CREATE UNLOGGED TABLE", "CREATE VIEW public.cheap WITH (security_barrier='true')", "CREATE MATERIALIZED VIEW",
        "CREATE FUNCTION public.twice(n integer, OUT result integer)", "BEGIN ATOMIC", "CREATE PROCEDURE",
        "CREATE TRIGGER fruit_noted", "DISABLE TRIGGER fruit_noted", "CREATE AGGREGATE", "CREATE OPERATOR public.===",
        "CREATE CAST", "CREATE COLLATION", "CREATE TEXT SEARCH CONFIGURATION", "CREATE RULE quiet",
        "CREATE EVENT TRIGGER watch", "FOREIGN KEY (fruit) REFERENCES public.fruit(id)", "NOT VALID",
        "CREATE STATISTICS", "CREATE POLICY own", "GRANT UPDATE(price) ON TABLE public.fruit TO reader", "WITH GRANT OPTION", "ALTER DEFAULT PRIVILEGES",
        "OWNER TO writer", "COMMENT ON TABLE public.fruit IS 'sweet'", "lo_create('4711')", "CREATE PUBLICATION pub",
        "REFRESH MATERIALIZED VIEW", "SELECT pg_catalog.setval('public.counter'", "COPY public.fruit",
    ):  # fmt: skip
        assert statement in rich_dump, statement


LOOK = '''
    select (select md5(string_agg(t::text, ',' order by id)) from fruit t),
           (select md5(string_agg(t::text, ',' order by at)) from measure t),
           (select md5(lo_get(4711))), (select md5(string_agg(t::text, ',')) from "Odd ""name""" t),
           (select nextval('counter')), twice(21), (select n from totals)
'''


def look(data: Path, copy: Path) -> str:
    """A line that tells what is in it; the sequence moves, in a copy."""
    shutil.copytree(data, copy)
    done = run("sql", "-D", copy, "--format", "csv", "-c", LOOK)
    assert done.returncode == 0, done
    line = done.stdout.decode().splitlines()[1]
    assert line.endswith(",42,4")
    return line


def test_values_come_back(tmp_path, rich, rich_dump):
    restore(tmp_path / "data", rich_dump)
    assert look(rich, tmp_path / "old") == look(tmp_path / "data", tmp_path / "new")


@pytest.mark.parametrize("form", ["--inserts", "--column-inserts", "--rows-per-insert=3"])
def test_inserts_are_restored_too(tmp_path, rich, rich_dump, form):
    text = dump(rich, form)
    assert "COPY public" not in text
    restore(tmp_path / "data", text)
    assert without_keys(dump(tmp_path / "data")) == without_keys(rich_dump)


def test_clean_create_and_another_database(tmp_path):
    data = tmp_path / "data"
    for sql in ("create database shop", "create table in_postgres (a int)"):
        assert run("sql", "-D", data, "-c", sql).returncode == 0
    assert run("sql", "-D", data, "-d", "shop", "-c", "create table in_shop (a int)").returncode == 0
    text = dump(data, "--clean", "--if-exists", options=["-d", "shop"])
    assert "in_shop" in text and "in_postgres" not in text
    done = run("sql", "-D", data, "-d", "shop", stdin=text.encode())
    assert done.returncode == 0, done
    assert "CREATE DATABASE shop" in dump(data, "--create", options=["-d", "shop"])


def test_a_large_table_takes_little_memory(tmp_path):
    """An answer is not collected before pg_dump gets it."""
    data = tmp_path / "data"
    sql = "create table big as select repeat(md5(g::text), 300) as a from generate_series(1, 20000) g"
    assert run("sql", "-D", data, "-c", sql).returncode == 0
    process = subprocess.Popen(
        [*w.port_command(), "dump", "--sql", "-D", data], stdout=subprocess.PIPE, env=w.port_environment()
    )
    size = peak = 0
    while piece := process.stdout.read(1 << 20):
        size += len(piece)
        # Not ru_maxrss: it begins with what the process was that forked.
        high = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        peak = max(peak, int(high[1]) if high else 0)
    assert process.wait(timeout=60) == 0 and size > 190_000_000
    assert 5_000 < peak < 300_000, f"{peak} KiB"


# --- Options ---


def test_pg_dump_s_options(rich):
    text = dump(rich, "--schema-only", "-t", "fruit")
    assert "CREATE TABLE public.fruit" in text and "basket" not in text and "COPY" not in text
    text = dump(rich, "-a", "-t", "measure*", "--no-owner", "-x")
    assert "COPY public.measure_2020" in text and "CREATE" not in text and "OWNER" not in text
    assert 'CREATE TABLE "public"."fruit"' in dump(rich, "--quote-all-identifiers")
    assert "-- Started on" in run("dump", "--sql", "-D", rich, "--", "-v", "-t", "parent").stdout.decode()
    assert dump(rich, "--version").startswith("pg_dump (PostgreSQL) 18.")
    assert "\\restrict abc\n" in dump(rich, "--restrict-key=abc")


def test_the_same_database_makes_the_same_bytes(rich):
    assert dump(rich, "--restrict-key=k") == dump(rich, "--restrict-key=k")


def test_other_formats(rich, tmp_path):
    custom = run("dump", "--sql", "-D", rich, "--", "-Fc")
    assert custom.returncode == 0 and custom.stdout[:5] == b"PGDMP"
    file = tmp_path / "x.tar"
    assert run("dump", "--sql", "-D", rich, "-o", file, "--", "-Ft").returncode == 0
    names = subprocess.run(["tar", "tf", file], capture_output=True, text=True, check=True).stdout.split()
    assert "toc.dat" in names and "restore.sql" in names
    done = run("dump", "--sql", "-D", rich, "--", "-Fd", "-f", "/tmp/x")
    assert done.returncode == 64 and "wrote to a file of its own" in done.stderr.decode()


def test_pg_dump_s_own_compression(rich):
    done = run("dump", "--sql", "-D", rich, "--", "-Z", "gzip", "-t", "parent")
    assert done.returncode == 0
    assert b"CREATE TABLE public.parent" in gzip.decompress(done.stdout)


def test_gzip(rich, rich_dump, tmp_path):
    file = tmp_path / "dump.sql.gz"
    done = run("dump", PGLITE_DATA_DIR=str(rich), PGLITE_DUMP_SQL="1", PGLITE_DUMP_GZIP="1", PGLITE_DUMP_FILE=str(file))
    assert done.returncode == 0, done
    assert without_keys(gzip.decompress(file.read_bytes()).decode()) == without_keys(rich_dump)


def test_what_pg_dump_refuses(rich):
    for arguments, message in (
        (["--nonsense"], "pg_dump: unrecognized option: nonsense"),
        (["-t"], "pg_dump: option requires an argument: t"),
        (["-t", "nowhere"], "pg_dump: error: no matching tables were found"),
        (["-s", "-a"], "pg_dump: error: options -s/--schema-only and -a/--data-only cannot be used together"),
        (["-Z", "zstd"], "this build does not support compression with ZSTD"),
        (["-j", "2"], "pg_dump: error: parallel backup only supported by the directory format"),
        (["--role", "nobody"], 'role "nobody" does not exist'),
        (["--filter=-"], "could not read from filter file"),
        (["--filter=/etc/passwd"], 'could not open filter file "/etc/passwd": No such file'),
        (["-d", "other"], 'this session is role "postgres" in database "postgres", not "postgres" in "other"'),
        (["other"], 'not "postgres" in "other"'),
        (["-U", "reader"], 'not "reader" in "postgres"'),
        (["-h", "127.0.0.1"], "there is no network"),
        (["-d", "host=example.org"], "example.org"),
    ):
        done = run("dump", "--sql", "-D", rich, "--", *arguments)
        lines = done.stderr.decode().splitlines()
        assert done.returncode == 1 and done.stdout == b"", (arguments, done)
        assert any(message in line for line in lines), (arguments, lines)
        assert lines[-1] == "pglite-port: pg_dump failed", (arguments, lines)


def test_a_dump_into_pg_dump_s_own_file_is_refused(rich, tmp_path):
    done = run("dump", "--sql", "-D", rich, "-o", tmp_path / "x", "--", "-f", "/tmp/x")
    assert done.returncode == 64 and "wrote to a file of its own" in one_line(done)
    assert os.listdir(tmp_path) == []


def test_our_own_options(rich, tmp_path):
    done = run("dump", "-D", rich, "--", "--schema-only")
    assert done.returncode == 64 and "for dump --sql" in one_line(done)
    done = run("sql", "--", "x")
    assert done.returncode == 64 and "'x' behind --" in one_line(done)
    done = run("dump", "--sql", "-D", rich, "--schema-only")
    assert done.returncode == 64 and "unknown option '--schema-only'" in one_line(done)
    done = run("dump", "--sql")
    assert done.returncode == 64 and "dump needs a directory" in one_line(done)
    done = run("dump", "-D", rich, PGLITE_DUMP_SQL="maybe")
    assert done.returncode == 64 and "--sql (PGLITE_DUMP_SQL) is 'maybe'" in one_line(done)


def test_a_user_who_may_not_read_everything(rich):
    done = run("dump", "--sql", "-D", rich, "-U", "reader")
    assert done.returncode == 1 and done.stdout == b""
    assert "permission denied for" in done.stderr.decode()


def test_from_a_snapshot(tmp_path):
    snapshot = tmp_path / "s"
    sql = "create table kept as select 7 as a"
    assert run("sql", "--save-snapshot", snapshot, "-c", sql).returncode == 0
    done = run("dump", "--sql", "--snapshot", snapshot)
    assert done.returncode == 0 and b"COPY public.kept (a) FROM stdin;\n7\n\\.\n" in done.stdout
    done = run("dump", "--snapshot", snapshot)
    assert done.returncode == 64 and "needs a directory" in one_line(done)


# --- What goes wrong ---


def test_directories_that_are_none(tmp_path, rich):
    done = run("dump", "--sql", "-D", tmp_path / "missing")
    assert done.returncode == 74 and "No such file" in one_line(done)
    (tmp_path / "empty").mkdir()
    done = run("dump", "--sql", "-D", tmp_path / "empty")
    assert done.returncode == 65 and "is empty" in one_line(done)
    assert sorted(os.listdir(tmp_path)) == ["empty"] and os.listdir(tmp_path / "empty") == []
    done = run("dump", "--sql", "-D", rich, "-d", "nowhere", "-o", tmp_path / "x")
    assert done.returncode == 64 and 'database "nowhere" does not exist' in done.stderr.decode()
    done = run("dump", "--sql", "-D", rich, "-U", "nobody", "-o", tmp_path / "x")
    assert done.returncode == 64 and 'role "nobody" does not exist' in done.stderr.decode()
    assert os.listdir(tmp_path) == ["empty"]


def test_a_directory_in_use(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with w.PortProcess("-D", str(data)) as p:
        assert p.value("select 1") == "1"
        done = run("dump", "--sql", "-D", data, "-o", tmp_path / "dump.sql")
        assert done.returncode == 75 and f"process {p.pid}" in one_line(done), done
        assert p.finish() == 0
    assert os.listdir(tmp_path) == ["data"]


def test_a_killed_cluster_is_recovered(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with w.PortProcess("-D", str(data)) as p:
        p.query("insert into t (v) values ('killed')").ok()
        p.kill()
    assert "killed" in dump(data)


def test_damaged_data_is_no_dump(tmp_path):
    data = tmp_path / "data"
    sql = "create table t as select g, repeat('x', 100) from generate_series(1, 5000) g; checkpoint"
    done = run("sql", "-D", data, "--format", "csv", "-c", sql, "-c", "select pg_relation_filepath('t')")
    path = data / done.stdout.decode().split()[-1]
    with path.open("r+b") as file:
        file.seek(8192 * 40)
        file.write(b"\xff" * 8192)
    done = run("dump", "--sql", "-D", data, "-o", tmp_path / "dump.sql")
    assert done.returncode == 1 and "invalid page" in done.stderr.decode(), done
    assert done.stderr.decode().endswith("pglite-port: pg_dump failed\n")
    assert os.listdir(tmp_path) == ["data"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_told(rich):
    done = run("dump", "--sql", "-D", rich, "-o", "/dev/full")
    assert done.returncode == 74 and "No space left" in done.stderr.decode().splitlines()[-1]


def test_a_limit_on_file_sizes_leaves_the_old_file(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    sql = "create table big as select md5(g::text) from generate_series(1, 300000) g"
    assert run("sql", "-D", data, "-c", sql).returncode == 0
    file = tmp_path / "dump.sql"
    file.write_text("the old one")
    limit = 20 << 20  # PostgreSQL needs 16 MB for a WAL segment
    done = subprocess.run(
        [*w.port_command(), "dump", "--sql", "-D", data, "-o", file, "--", "--rows-per-insert=1", "--column-inserts"],
        env=w.port_environment(), capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 74 and b"File too large" in done.stderr.splitlines()[-1], done
    assert file.read_text() == "the old one"
    assert sorted(os.listdir(tmp_path)) == ["data", "dump.sql"]


def test_a_reader_that_goes_away(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    sql = "create table big as select md5(g::text) from generate_series(1, 300000) g"
    assert run("sql", "-D", data, "-c", sql).returncode == 0
    process = subprocess.Popen(
        [*w.port_command(), "dump", "--sql", "-D", data],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=w.port_environment(),
    )  # fmt: skip
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.wait(60) == 74
    assert b"Broken pipe" in process.stderr.read().splitlines()[-1]
    assert "big" in dump(data, "-s")


def test_a_killed_dump_leaves_nothing(tmp_path, rich):
    for delay in (0.05, 0.2, 0.4):
        process = subprocess.Popen(
            [*w.port_command(), "dump", "--sql", "-D", rich, "-o", tmp_path / "dump.sql"], env=w.port_environment()
        )
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert set(os.listdir(tmp_path)) <= {"dump.sql"}
    done = run("dump", "--sql", "-D", rich, "-o", tmp_path / "dump.sql")
    assert done.returncode == 0
    assert (tmp_path / "dump.sql").read_text().rstrip().splitlines()[-1].startswith("\\unrestrict ")
    assert (tmp_path / "dump.sql").stat().st_mode & 0o777 == 0o600


# --- Others ---

node_only = pytest.mark.skipif(
    not os.environ.get("PGLITE_NPM_DIR") or not shutil.which("node"),
    reason="needs node and PGLITE_NPM_DIR, the unpacked npm package of PGlite",
)


def fetched(package: str) -> str:
    fetch = w.REPOSITORY / "aot" / "fetch.py"
    done = subprocess.run([sys.executable, fetch, package], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{package} cannot be fetched: {done.stderr}")
    return done.stdout.strip()


def node(*args) -> str:
    tools = fetched("@electric-sql/pglite-tools")
    done = subprocess.run(
        ["node", SCRIPT, os.environ["PGLITE_NPM_DIR"], tools, *map(str, args)],
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.decode()  # as it is, carriage returns too


def without_commands(text: str) -> str:
    """As pglite-tools leaves a dump: Node's exec() knows no psql commands."""
    return re.sub(r"^\\(?:un)?restrict .*\n", "", text, flags=re.M)


@node_only
@pytest.mark.parametrize("arguments", [[], ["--schema-only"], ["-a", "-t", "measure*"], ["--quote-all-identifiers"]])
def test_node_s_pg_dump_writes_the_same(tmp_path, rich, arguments):
    shutil.copytree(rich, tmp_path / "data")
    there = node("dump", tmp_path / "data", *arguments)
    assert without_commands(dump(rich, *arguments, "--inserts")) == there


@node_only
def test_node_restores_it(tmp_path, rich, rich_dump):
    text = without_commands(dump(rich, "--inserts"))
    (tmp_path / "dump.sql").write_text("create role reader; create role writer login;\n" + text)
    node("restore", tmp_path / "data", tmp_path / "dump.sql")
    assert without_keys(dump(tmp_path / "data")) == without_keys(rich_dump)


@pytest.fixture
def native_server():
    """A native PostgreSQL 18; gives what psql needs to reach it."""
    sys.path.append(str(w.REPOSITORY / "bench"))
    import engines

    if not shutil.which("psql"):
        pytest.skip("needs psql")
    # Below /tmp itself: the server's user is not ours, and pytest's directories are.
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        try:
            native = engines.Native(Path(work))
            server = engines.NativeServer(native, native.initdb("data"))
        except engines.Unavailable as reason:
            pytest.skip(str(reason))
        try:
            server.connect()
            yield ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", str(server.socket.parent)]
        finally:
            server.close()


def test_a_native_server_restores_it(tmp_path, rich, rich_dump, native_server):
    def psql(*arguments, stdin=""):
        done = subprocess.run([*native_server, *arguments], input=stdin.encode(), capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    psql("-c", "create role reader; create role writer login", "-c", "create database restored")
    psql("-d", "restored", stdin=rich_dump)
    assert psql("-d", "restored", "--csv", "-t", "-c", LOOK).strip() == look(rich, tmp_path / "copy")
