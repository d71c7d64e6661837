"""Snapshots: copies of a database in memory, and what no two instances may share."""

import os
import resource
import shutil
import socket
import struct
import subprocess

import pgwire
import pytest

SEED = (
    "create table t (id serial primary key, v text);"
    "insert into t (v) select 'row ' || g from generate_series(1, 1000) g;"
    "create function twice(i int) returns int language plpgsql as $$ begin return 2 * i; end $$;"
    "select twice(1)"
)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots") / "seed.snapshot"
    done = pgwire.run_port("sql", "--save-snapshot", str(path), "-c", SEED)
    assert done.returncode == 0, done.stderr
    return path


def identities(port) -> dict[str, str]:
    """What must differ between any two instances."""
    answer = port.exchange(pgwire.startup())
    keys = [m.body[4:] for m in pgwire.split(answer) if m.kind == "K"]
    assert len(keys) == 1
    return {
        "cancel key": keys[0].hex(),
        "system identifier": port.value("select system_identifier from pg_control_system()"),
        "random()": port.value("select random()"),
        "random_normal()": port.value("select random_normal()"),
        "uuid": port.value("select gen_random_uuid()"),
        "server start": port.value("select pg_postmaster_start_time()"),
        "session start": port.value(
            "select backend_start from pg_stat_get_activity(pg_backend_pid())"),
    }  # fmt: skip


def assert_all_different(found: list[dict[str, str]]) -> None:
    for name in found[0]:
        values = [one[name] for one in found]
        assert len(set(values)) == len(values), f"{name} is shared: {sorted(values)[:4]}"


def test_no_two_of_100_instances_share_an_identity():
    found = []
    for _ in range(100):
        with pgwire.PortProcess() as port:
            found.append(identities(port))
    assert_all_different(found)


def test_no_two_copies_of_a_used_instance_share_an_identity(tmp_path):
    path = tmp_path / "used.snapshot"
    done = pgwire.run_port(
        "sql", "--save-snapshot", str(path), "-c", "select random(), setseed(0.5), random()")
    assert done.returncode == 0, done.stderr
    found = []
    for _ in range(20):
        with pgwire.PortProcess("--snapshot", str(path)) as port:
            found.append(identities(port))
    assert_all_different(found)


def test_start_times_are_those_of_the_instance():
    with pgwire.PortProcess() as port:
        for start in (
            "pg_postmaster_start_time()",
            "(select backend_start from pg_stat_get_activity(pg_backend_pid()))",
        ):
            age = f"extract(epoch from clock_timestamp() - {start})"
            assert port.value(f"select {age} between 0 and 60") == "t", start


def test_new_directories_have_identities_of_their_own(tmp_path):
    found = set()
    for name in ("a", "b"):
        for _ in range(2):  # the second start finds it as it was
            with pgwire.PortProcess("-D", str(tmp_path / name)) as port:
                found.add((name, port.value("select system_identifier from pg_control_system()")))
                assert port.finish() == 0
    assert len({identifier for _, identifier in found}) == 2
    assert len(found) == 2


def test_a_copy_has_what_was_seeded_and_is_independent(seeded):
    with (
        pgwire.PortProcess("--snapshot", str(seeded)) as one,
        pgwire.PortProcess(env={"PGLITE_SNAPSHOT": str(seeded)}) as two,
    ):
        for port in (one, two):
            assert port.value("select count(*) || ' ' || max(v) from t") == "1000 row 999"
            assert port.value("select twice(21)") == "42"
        one.query("delete from t where id <= 500").ok()
        two.query("insert into t (v) select 'more' from generate_series(1, 100)").ok()
        one.query("drop function twice(int)").ok()
        assert one.value("select count(*) from t") == "500"
        assert two.value("select count(*) || ' ' || max(id) from t") == "1100 1100"
        assert two.value("select twice(1)") == "2"
        for port in (one, two):
            for sql in ("checkpoint", "vacuum full t", "reindex table t"):
                port.query(sql).ok()
            assert port.finish() == 0


def test_the_port_keeps_a_snapshot_when_its_input_ends(tmp_path):
    path = tmp_path / "port.snapshot"
    with pgwire.PortProcess(env={"PGLITE_SAVE_SNAPSHOT": str(path)}) as port:
        port.query("create table kept (a int); insert into kept values (7)").ok()
        port.query("prepare p as select a from kept").ok()
        assert port.finish() == 0, port.stderr()
    with pgwire.PortProcess("--snapshot", str(path)) as copy:
        assert copy.value("execute p") == "7"


def test_tablespaces_are_in_the_snapshot_or_refused(tmp_path):
    saved = str(tmp_path / "s")
    outside = pgwire.run_port("sql", "--save-snapshot", saved, "-c", "create tablespace ts location '/tmp'")
    assert outside.returncode == 1 and b"42501" in outside.stderr
    assert not (tmp_path / "s").exists()
    inside = pgwire.run_port(
        "sql", "--save-snapshot", saved,
        *("-c", "set allow_in_place_tablespaces = on"),
        *("-c", "create tablespace ts location ''"),
        *("-c", "create table x (a int) tablespace ts"),
        *("-c", "insert into x values (1)"),
    )  # fmt: skip
    assert inside.returncode == 0, inside.stderr
    with pgwire.PortProcess("--snapshot", saved) as port:
        assert port.value("table x") == "1"
        port.query("insert into x values (2)").ok()
        assert port.value("select count(*) from x") == "2"


def test_a_copy_of_a_copy(seeded, tmp_path):
    path = tmp_path / "second.snapshot"
    done = pgwire.run_port(
        "sql", "--snapshot", str(seeded), "--save-snapshot", str(path),
        "-c", "update t set v = v || '!' where id > 990; create table u as select 1 as a")  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pgwire.PortProcess("--snapshot", str(path)) as copy:
        assert copy.value("select v from t where id = 1000") == "row 1000!"
        assert copy.value("select v from t where id = 1") == "row 1"
        assert copy.value("select a from u") == "1"


def test_a_snapshot_may_be_replaced_while_copies_run(seeded, tmp_path):
    path = tmp_path / "moving.snapshot"
    shutil.copy(seeded, path)
    with pgwire.PortProcess("--snapshot", str(path)) as copy:
        assert copy.value("select 1") == "1"
        path.unlink()
        assert copy.value("select sum(length(v)) from t") == "6893"
        copy.query("create table after as select * from t").ok()


def test_an_open_transaction_is_not_kept(tmp_path):
    path = tmp_path / "none.snapshot"
    done = pgwire.run_port("sql", "--save-snapshot", str(path), "-c", "begin")
    assert done.returncode == 64
    assert b"transaction is open" in done.stderr
    assert not path.exists()


def test_a_failed_script_keeps_nothing(tmp_path):
    path = tmp_path / "none.snapshot"
    done = pgwire.run_port("sql", "--save-snapshot", str(path), "-c", "select 1/0")
    assert done.returncode == 1
    assert not path.exists()


@pytest.mark.parametrize("option", ["--snapshot", "--save-snapshot"])
def test_snapshots_are_of_memory(option, seeded, tmp_path):
    done = pgwire.run_port("sql", option, str(seeded), "-D", str(tmp_path / "d"), "-c", "select 1")
    assert done.returncode == 64
    assert b"memory://" in done.stderr
    assert not (tmp_path / "d").exists()


def start_from(path, timeout: float = 60) -> subprocess.CompletedProcess:
    return pgwire.run_port("sql", "--snapshot", str(path), "-c", "select 1", timeout=timeout)


def test_any_flipped_byte_in_the_header_is_refused(seeded, tmp_path):
    """The header, and samples of the tables that its checksum covers as well."""
    content = bytearray(seeded.read_bytes())
    state_size, tables_size = struct.unpack_from("<QQ", content, 56)
    header = 152
    covered = header + state_size + tables_size
    damaged = tmp_path / "damaged.snapshot"
    damaged.write_bytes(content)
    with damaged.open("r+b") as file:
        for at in [*range(header), *range(header, covered, (covered - header) // 60)]:
            file.seek(at)
            file.write(bytes([content[at] ^ 0x41]))
            file.flush()
            done = start_from(damaged)
            assert done.returncode == 65, f"byte {at}: {done}"
            assert b"snapshot" in done.stderr, f"byte {at}: {done.stderr}"
            assert not done.stdout
            file.seek(at)
            file.write(bytes([content[at]]))
    assert start_from(damaged).returncode == 0


def test_a_truncated_snapshot_is_refused(seeded, tmp_path):
    content = seeded.read_bytes()
    for size in (0, 1, 100, 151, 152, 5000, len(content) // 2, len(content) - 1):
        cut = tmp_path / "cut.snapshot"
        cut.write_bytes(content[:size])
        done = start_from(cut)
        assert done.returncode == 65, f"{size} bytes: {done}"
        assert b"snapshot" in done.stderr


def test_a_snapshot_of_another_build_is_refused(seeded, tmp_path):
    content = bytearray(seeded.read_bytes())
    content[16:48] = bytes(32)  # the build's identity
    other = tmp_path / "other.snapshot"
    other.write_bytes(content)
    done = start_from(other)
    assert done.returncode == 65
    assert b"another build" in done.stderr


@pytest.mark.parametrize("what", ["missing", "something else"])
def test_what_is_no_snapshot(what, tmp_path):
    path = tmp_path / "x"
    if what == "something else":
        path.write_bytes(b"not a snapshot" * 1000)
    done = start_from(path)
    assert done.returncode in (65, 74)
    assert str(path).encode() in done.stderr


@pytest.mark.parametrize("what", ["a directory", "a FIFO", "a socket", "a device"])
def test_what_is_no_file_is_refused_at_once(what, tmp_path):
    path = tmp_path / "x"
    with socket.socket(socket.AF_UNIX) as bound:
        if what == "a directory":
            path.mkdir()
        elif what == "a FIFO":
            os.mkfifo(path)
        elif what == "a socket":
            bound.bind(str(path))
        else:
            path = "/dev/zero"
        done = start_from(path, timeout=20)
    assert done.returncode == 65, done
    assert f'"{path}" is not a snapshot: '.encode() in done.stderr


def test_too_little_address_space_is_an_error():
    limit = 1 << 30
    done = subprocess.run(
        [*pgwire.port_command(), "sql", "-c", "select 1"],
        env=pgwire.port_environment(), capture_output=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))  # fmt: skip
    assert done.returncode == 70, done
    assert b"RLIMIT_AS" in done.stderr
    assert not done.stdout


@pytest.mark.heavy
def test_50_instances_at_once():
    ports = []
    try:
        for i in range(50):
            port = pgwire.PortProcess()
            ports.append(port)
            port.query(f"create table t as select {i} as a").ok()
        for i, port in enumerate(ports):
            assert port.value("select a from t") == str(i)
    finally:
        for port in ports:
            port.kill()
