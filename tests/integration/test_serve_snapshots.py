"""Servers that start from snapshots, and snapshots that servers leave behind."""

import signal
import struct
import subprocess

import pgwire
import pytest
from serving import PasswordWanted, Refused, Server

TWO_PHASE = ("-o", "-c max_prepared_transactions=4")

SEED = (
    "create table t (id serial primary key, v text);"
    "insert into t (v) select 'row ' || g from generate_series(1, 1000) g;"
    "create unlogged table u as select 7 as a;"
    "create function twice(i int) returns int language plpgsql as $$ begin return 2 * i; end $$;"
    "create sequence s; select nextval('s'), nextval('s'), nextval('s')"
)
# What SEED, and what is made beside it, must look like.
EXPECTED = [
    ("select count(*) || ' ' || max(v) from t", "1000 row 999"),
    ("select a from u", "7"),
    ("select twice(21)", "42"),
    ("select nextval('s')", "4"),
    ("select nextval('t_id_seq')", "1001"),
    ("select convert_from(lo_get(4711), 'UTF8')", "a large object"),
    ("select string_agg(datname, ' ' order by datname) from pg_database where not datistemplate", "one postgres two"),
    ("select current_setting('work_mem')", "5MB"),
]


def seed(client) -> None:
    """Through anything that has query()."""
    client.query(SEED).ok()
    client.query("select lo_from_bytea(4711, 'a large object')").ok()
    client.query("create role app login password 'secret'").ok()
    client.query("create role reader").ok()
    client.query("grant select on t to reader; grant reader to app").ok()
    client.query("create database one owner app").ok()
    client.query("create database two template one").ok()
    client.query("alter system set work_mem = '5MB'").ok()


def check(client) -> None:
    for sql, expected in EXPECTED:
        assert client.value(sql) == expected, sql


@pytest.fixture(scope="module")
def by_port(tmp_path_factory):
    """The snapshot of a session."""
    path = tmp_path_factory.mktemp("snapshots") / "port.snapshot"
    with pgwire.PortProcess("--save-snapshot", str(path)) as port:
        seed(port)
        port.query("create temporary table gone (a int); prepare p as select 1; set search_path = pg_catalog").ok()
        assert port.finish() == 0, port.stderr()
    return path


@pytest.fixture(scope="module")
def by_server(tmp_path_factory):
    """The snapshot of a server."""
    path = tmp_path_factory.mktemp("snapshots") / "serve.snapshot"
    with Server("--save-snapshot", path) as server:
        with server.connect() as client:
            seed(client)
            client.query("create temporary table gone (a int); prepare p as select 1").ok()
        with server.connect(user="app", database="one") as client:
            client.query("create table mine as select 'of one' as v").ok()
        assert server.stop() == 0, server.stderr()
    return path


@pytest.fixture(params=["by_port", "by_server"])
def seeded(request):
    return request.getfixturevalue(request.param)


def test_a_server_has_what_was_seeded(seeded):
    with Server("--snapshot", seeded, "--auth", "scram") as server:
        with pytest.raises(PasswordWanted):
            server.connect(user="app")
        with pytest.raises(Refused) as refused:
            server.connect(user="app", password="wrong")
        assert refused.value.sqlstate == "28P01"
        with server.connect(user="app", password="secret") as app:
            assert app.value("select count(*) from t") == "1000"
            assert app.query("delete from t").sqlstate == "42501"
    with Server("--snapshot", seeded) as server, server.connect() as client:
        # ALTER SYSTEM counts: a server reads the configuration when it boots.
        check(client)
        assert client.value("select count(*) from pg_prepared_statements") == "0"
        assert client.value("select count(*) from pg_class where relname = 'gone'") == "0"
        assert client.value("show search_path") == '"$user", public'
        assert client.value("select pg_is_in_recovery()") == "f"
        for sql in ("insert into t (v) values ('more')", "vacuum full t", "checkpoint"):
            client.query(sql).ok()
        assert server.stop() == 0


def test_nothing_has_to_be_recovered(seeded):
    """Recovery would empty unlogged tables, and take time with every start."""
    with Server("--snapshot", seeded, "--debug", "1") as server:
        assert "was shut down at" in server.stderr()
        assert "not properly shut down" not in server.stderr()


def test_a_port_has_what_a_server_left(by_server):
    with pgwire.PortProcess("--snapshot", str(by_server)) as port:
        check(port)
        assert port.value("select count(*) from pg_class where relname = 'gone'") == "0"
        assert port.value("select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = 'app'") == "t"
        assert port.finish() == 0, port.stderr()


def test_a_port_may_choose_database_role_and_settings(by_server):
    with pgwire.PortProcess(
        "--snapshot", str(by_server), "-d", "one", "-U", "app", "-o", "-c work_mem=7MB"
    ) as port:
        assert port.value("select v from mine") == "of one"
        assert port.value("select current_user || ' ' || current_setting('work_mem')") == "app 7MB"
        assert port.finish() == 0
    done = pgwire.run_port("sql", "--snapshot", str(by_server), "-d", "nowhere", "-c", "select 1")
    assert done.returncode == 64 and b'database "nowhere" does not exist' in done.stderr, done


def test_an_own_snapshot_of_a_servers(by_server, tmp_path):
    """Migrate over serve, then keep a session, from which ports start at once."""
    path = tmp_path / "session.snapshot"
    done = pgwire.run_port(
        "sql", "--snapshot", str(by_server), "-d", "one", "--save-snapshot", str(path), "-c", "select v from mine")
    assert done.returncode == 0, done.stderr
    with pgwire.PortProcess("--snapshot", str(path)) as port:
        assert port.value("select v from mine") == "of one"
    with Server("--snapshot", path) as server:
        assert server.sql("select v from mine", database="one").value == "of one"
        assert server.sql("select count(*) from t").value == "1000"


def test_a_dump_of_a_servers_snapshot(by_server):
    done = pgwire.run_port("dump", "--sql", "--snapshot", str(by_server), "-d", "one", "--", "--inserts")
    assert done.returncode == 0, done.stderr
    assert b"of one" in done.stdout


def test_no_two_copies_share_an_identity(by_server, by_port):
    found = []
    for path in [by_server] * 5 + [by_port] * 3:
        with Server("--snapshot", path) as server, server.connect() as client:
            found.append({
                "cancel key": client.key,
                "system identifier": client.value("select system_identifier from pg_control_system()"),
                "uuid": client.value("select gen_random_uuid()"),
                "random()": client.value("select random()"),
                "server start": client.value("select pg_postmaster_start_time()"),
            })
            with server.connect() as walsender:
                assert walsender.value("select system_identifier from pg_control_system()") == \
                    found[-1]["system identifier"]
    for _ in range(2):
        with pgwire.PortProcess("--snapshot", str(by_server)) as port:
            found.append({"system identifier": port.value("select system_identifier from pg_control_system()")})
    for name in found[0]:
        values = [one[name] for one in found if name in one]
        assert len(set(values)) == len(values), name


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_what_was_committed_is_kept(how, tmp_path):
    path = tmp_path / "x.snapshot"
    with Server("--save-snapshot", path) as server:
        with server.connect() as client, server.connect() as other:
            client.query("create table t (a int); insert into t values (1)").ok()
            client.query("set synchronous_commit = off; insert into t values (2)").ok()
            other.query("begin; insert into t values (3)").ok()
            server.signal(how)
            if how == signal.SIGTERM:  # it waits for its clients
                server.wait_for_log("waits for its clients")
                client.query("insert into t values (4)").ok()
                assert not path.exists()
            else:
                assert other.last_words().sqlstate == "57P01"
        assert server.wait() == 0, server.stderr()
    assert path.stat().st_mode & 0o777 == 0o600
    expected = "1 2 4" if how == signal.SIGTERM else "1 2"
    with Server("--snapshot", path) as server:
        assert server.sql("select string_agg(a::text, ' ' order by a) from t").value == expected


def test_a_prepared_transaction_is_kept(tmp_path):
    path = tmp_path / "x.snapshot"
    with Server("--save-snapshot", path, *TWO_PHASE) as server:
        with server.connect() as client:
            client.query("create table t (a int primary key)").ok()
            client.query("begin; insert into t values (1); prepare transaction 'pending'").ok()
        assert server.stop() == 0
    for end, rows in (("commit", "1"), ("rollback", "0")):
        with Server("--snapshot", path, *TWO_PHASE) as server, server.connect() as client:
            assert client.value("select gid from pg_prepared_xacts") == "pending"
            assert client.value("select count(*) from t") == "0"
            client.query(f"{end} prepared 'pending'").ok()
            assert client.value("select count(*) from t") == rows
    with pgwire.PortProcess("--snapshot", str(path), *TWO_PHASE) as port:
        port.query("commit prepared 'pending'").ok()
        assert port.value("select count(*) from t") == "1"
    done = pgwire.run_port("serve", "--listen", "127.0.0.1:0", "--snapshot", str(path), "--run", "true")
    assert done.returncode == 70 and b"prepared transactions reached" in done.stderr, done


@pytest.mark.parametrize("status", [0, 3])
def test_after_a_command_of_any_status(status, tmp_path):
    path = tmp_path / "x.snapshot"
    done = pgwire.run_port(
        "serve", "--listen", "127.0.0.1:0", "--save-snapshot", str(path), "--run",
        f'psql -X -q "$DATABASE_URL" -c "create table t as select 5 as a"; exit {status}')
    assert done.returncode == status, done
    done = pgwire.run_port("sql", "--format", "csv", "--snapshot", str(path), "-c", "select a from t")
    assert done.stdout == b"a\n5\n", done


def test_a_snapshot_may_be_replaced_by_the_server_that_started_from_it(by_server, tmp_path):
    path = tmp_path / "x.snapshot"
    path.write_bytes(by_server.read_bytes())
    for expected in ("1001", "1002", "1003"):
        with Server("--snapshot", path, "--save-snapshot", path) as server:
            with server.connect() as client:
                client.query("insert into t (v) values ('more')").ok()
                assert client.value("select count(*) from t") == expected
            assert server.stop() == 0, server.stderr()
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_kept_of_a_server_that_was_cut_off(tmp_path):
    path = tmp_path / "x.snapshot"
    with Server("--save-snapshot", path) as server:
        assert server.sql("select 1").value == "1"
        assert server.stop(signal.SIGQUIT) == 128 + signal.SIGQUIT
        assert "no snapshot is saved" in server.stderr()
    assert not list(tmp_path.iterdir())


def test_a_snapshot_that_cannot_be_written(tmp_path):
    path = tmp_path / "nowhere" / "x.snapshot"
    with Server("--save-snapshot", path) as server:
        assert server.stop() == 74
        assert f'snapshot "{path}" cannot be written: No such file' in server.stderr()


@pytest.mark.parametrize("option", ["--snapshot", "--save-snapshot"])
def test_snapshots_are_of_memory(option, by_server, tmp_path):
    done = pgwire.run_port("serve", "--listen", "127.0.0.1:0", option, str(by_server), "-D", str(tmp_path / "d"))
    assert done.returncode == 64 and b"memory://" in done.stderr, done
    assert not (tmp_path / "d").exists()


def refused(path) -> subprocess.CompletedProcess:
    done = pgwire.run_port("serve", "--listen", "127.0.0.1:0", "--snapshot", str(path), "--run", "true", timeout=30)
    assert done.returncode == 65, done
    return done


def test_a_damaged_snapshot_is_refused(by_server, tmp_path):
    content = by_server.read_bytes()
    header = 152
    (tree,) = struct.unpack_from("<Q", content, 72)
    nodes, references, names = struct.unpack_from("<III", content, tree + 12)
    index = 64 + 48 * nodes + 4 * references + names
    path = tmp_path / "x.snapshot"
    for at in [0, 8, 12, 20, 48, 56, 64, 72, 80, header - 1, tree, tree + index // 2, tree + index - 1]:
        damaged = bytearray(content)
        damaged[at] ^= 0x41
        path.write_bytes(damaged)
        assert b"snapshot" in refused(path).stderr, at
        done = pgwire.run_port("sql", "--snapshot", str(path), "-c", "select 1")
        assert done.returncode == 65 and b"snapshot" in done.stderr, (at, done)
    for size in (0, 100, header, tree, len(content) - 1):
        path.write_bytes(content[:size])
        assert b"snapshot" in refused(path).stderr, size


def test_a_snapshot_of_another_build_is_refused(seeded, tmp_path):
    content = bytearray(seeded.read_bytes())
    content[16:48] = bytes(32)  # the build's identity
    path = tmp_path / "x.snapshot"
    path.write_bytes(content)
    assert b"another build" in refused(path).stderr


def test_files_that_are_no_cluster_end_in_an_error(by_server, tmp_path):
    """Contents are not covered by a checksum."""
    content = by_server.read_bytes()
    path = tmp_path / "x.snapshot"
    damaged = bytearray(content)
    (tree,) = struct.unpack_from("<Q", content, 72)
    (pages_offset,) = struct.unpack_from("<Q", content, tree + 40)
    for at in range(tree + pages_offset, len(content), 8192):
        version, catalog = struct.unpack_from("<II", content, at + 8)
        if (version, catalog) == (1800, 202506291):  # of pg_control
            damaged[at + 100] ^= 0xFF
    assert damaged != content
    path.write_bytes(damaged)
    assert b"pg_control" in refused(path).stderr


def smaps(pid: int, path=None) -> dict[str, int]:
    """Sums in bytes: of all mappings, or of those of a file."""
    found: dict[str, int] = {}
    counts = False
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            words = line.split()
            if not words[0].endswith(":"):
                counts = path is None or words[-1] == str(path)
            elif counts and words[-1] == "kB":
                found[words[0][:-1]] = found.get(words[0][:-1], 0) + int(words[1]) * 1024
    return found


@pytest.mark.heavy
def test_20_servers_of_one_snapshot_share_its_pages(tmp_path):
    path = tmp_path / "large.snapshot"
    with Server("--save-snapshot", path) as server:
        server.sql(
            "create table t as select g as a, repeat(md5(g::text), 60) as v from generate_series(1, 35000) g").ok()
        server.sql("vacuum freeze t").ok()
        assert server.stop() == 0, server.stderr()
        table = 35000 // 4 * 8192  # four rows a page
    assert path.stat().st_size > table
    servers = []
    try:
        for _ in range(20):
            servers.append(Server("--snapshot", path))
        for i, server in enumerate(servers):
            # Whoever reads a table that is larger than a quarter of shared_buffers keeps little of it there.
            assert server.sql("select sum(length(v)) from t").value == str(35000 * 60 * 32)
            server.sql(f"insert into t values (0, 'of {i}')").ok()
        for i, server in enumerate(servers):
            assert server.sql("select v from t where a = 0").value == f"of {i}"
            mapped, all_memory = smaps(server.pid, path), smaps(server.pid)
            assert mapped["Rss"] > table * 0.9, mapped
            # A page that was written to is no longer the file's. (Private_Dirty says nothing on a tmpfs.)
            assert mapped["Anonymous"] == 0, mapped
            # Of each page that was read there is one for all.
            assert mapped["Pss"] < mapped["Rss"] / 10, mapped
            assert all_memory["Private_Dirty"] < table / 2, all_memory
        for server in servers:
            assert server.stop() == 0
    finally:
        for server in servers:
            server.kill()
