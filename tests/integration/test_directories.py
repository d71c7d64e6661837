"""File directories, configuration, shutdown."""

import os
import signal
import time
from pathlib import Path

import pgwire as w
import pytest


def port(*args, cwd=None, **env):
    return w.PortProcess(*args, cwd=cwd, env={k: str(v) for k, v in env.items()})


def test_data_is_there_after_a_restart(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    assert (data / "PG_VERSION").read_text() == "18\n"
    assert not (data / "postmaster.pid").exists()
    for round_ in range(3):
        with port("-D", str(data)) as p:
            assert p.value("select count(*) from t") == str(1 + round_)
            p.query("insert into t (v) values ('more')").ok()
            p.query(f"create table r{round_} as select * from t").ok()
            assert p.value("select nextval('s')") == str(2 + round_)
            assert p.finish() == 0
    with port("-D", str(data)) as p:
        assert p.query("select id from t order by id").rows == [("1",), ("2",), ("3",), ("4",)]
        assert p.value("select count(*) from r2") == "4"


def test_cumulative_statistics_are_there_after_a_restart(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    counted = "select n_tup_ins from pg_stat_user_tables where relname = 'counted'"
    with port("-D", str(data)) as p:
        p.query("create table counted as select generate_series(1, 100)").ok()
        p.query("select pg_stat_force_next_flush()").ok()
        assert p.value(counted) == "100"
        assert p.finish() == 0
    with port("-D", str(data)) as p:
        assert p.value(counted) == "100"


@pytest.mark.parametrize("form", ["absolute", "relative", "dot relative", "file url"])
def test_forms_of_a_path(tmp_path, form):
    value = {
        "absolute": str(tmp_path / "db"),
        "relative": "db",
        "dot relative": "./db",
        "file url": f"file://{tmp_path}/db",
    }[form]
    with port(PGLITE_DATA_DIR=value, cwd=tmp_path) as p:
        p.query("create table here (a int)").ok()
        assert p.finish() == 0
    assert (tmp_path / "db" / "PG_VERSION").exists()


def test_memory_leaves_nothing(tmp_path):
    for value in ("memory://", ""):
        with port(PGLITE_DATA_DIR=value, cwd=tmp_path) as p:
            p.query("create table t (a int)").ok()
            assert p.finish() == 0
    assert os.listdir(tmp_path) == []


def test_an_uncommitted_transaction_is_gone(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with port("-D", str(data)) as p:
        p.query("begin; delete from t; create table unfinished (a int)").ok()
        assert p.finish() == 0
    with port("-D", str(data)) as p:
        assert p.value("select count(*) from t") == "1"
        assert p.query("table unfinished").sqlstate == "42P01"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_shut_down_cleanly(tmp_path, copy_made, number):
    data = copy_made(tmp_path / "data")
    with port("-D", str(data)) as p:
        p.query("insert into t (v) values ('signalled')").ok()
        p.signal(number)
        assert p.wait() == 0, p.stderr()
        assert p.read_rest() == b""
    assert not (data / "postmaster.pid").exists()
    with port("-D", str(data)) as p:
        assert p.value("select count(*) from t") == "2"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_request_in_hand_finish(number):
    with port() as p:
        assert p.value("select 1") == "1"
        p.send_frame(w.query("select count(*) from generate_series(1, 3000000) g where g % 3 = 0"))
        p.drain()
        time.sleep(0.15)
        p.signal(number)
        assert w.Result(p.read_frame()).value == "1000000"
        assert p.wait() == 0


def test_a_signal_while_starting(tmp_path):
    """Whenever it comes, the end is orderly and the directory stays usable."""
    data = tmp_path / "data"
    for delay in (0.0, 0.05, 0.2):
        with port("-D", str(data)) as p:
            time.sleep(delay)
            p.signal(signal.SIGTERM)
            code = p.wait()
            # Before the handler is there the kernel ends us; nothing is written by then.
            assert code in (0, -signal.SIGTERM), p.stderr()
    with port("-D", str(data)) as p:
        assert p.value("select 1") == "1"


def test_a_directory_in_use_is_refused(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    with port("-D", str(data)) as first:
        assert first.value("select count(*) from t") == "1"
        done = w.run_port("-D", str(data), stdin=w.frame(w.query("delete from t")))
        assert done.returncode == 75, done
        assert str(data) in done.stderr.decode()
        assert b"ERROR: " in done.stdout
        assert first.value("select count(*) from t") == "1"
        assert first.finish() == 0
    with port("-D", str(data)) as again:
        assert again.value("select count(*) from t") == "1"


def tree(path: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in sorted(path.rglob("*"))
    }


def test_another_major_version_is_refused_untouched(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    (data / "PG_VERSION").write_text("17\n")
    before = tree(data)
    done = w.run_port("-D", str(data), stdin=w.frame(w.query("select 1")))
    assert done.returncode == 65, done
    assert "17" in done.stderr.decode() and "18" in done.stderr.decode()
    assert tree(data) == before


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_a_native_server_s_directory_is_refused_untouched(tmp_path, copy_made):
    """struct ControlFileData of PostgreSQL 18: float8ByVal at 248, the checksum at 292."""
    data = copy_made(tmp_path / "data")
    control = data / "global" / "pg_control"
    content = bytearray(control.read_bytes())
    assert crc32c(content[:292]) == int.from_bytes(content[292:296], "little")
    assert content[248] == 0
    content[248] = 1
    content[292:296] = crc32c(content[:292]).to_bytes(4, "little")
    control.write_bytes(content)
    before = tree(data)
    for args in (["sql", "-c", "select 1"], ["repair", "--reset-wal"], ["dump"]):
        done = w.run_port(*args, "-D", str(data))
        assert done.returncode == 65 and b"native PostgreSQL" in done.stderr, done
        assert b"pg_dump DATABASE | pglite-port sql" in done.stderr
    assert tree(data) == before


@pytest.mark.parametrize("name", ["pg_wal", "pg_tblspc/16400", "postgresql.conf", "base"])
def test_a_link_that_leads_out_is_named_and_nothing_is_called_damaged(name, tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    elsewhere = tmp_path / "elsewhere"
    if (data / name).exists():
        (data / name).rename(elsewhere)
    else:
        elsewhere.mkdir()
    (data / name).symlink_to(elsewhere)
    before = tree(tmp_path)
    for args in (["sql", "-c", "select 1"], ["repair", "--reset-wal"], ["repair", "--reset-wal", "--force"]):
        done = w.run_port(*args, "-D", str(data))
        assert done.returncode == 65, done
        message = done.stderr.decode()
        assert f'{name} is a symbolic link to "{elsewhere}"' in message and "nothing is damaged" in message
        assert "--reset-wal" not in message
    assert tree(tmp_path) == before
    (data / name).unlink()
    if "tblspc" not in name:
        elsewhere.rename(data / name)
    with port("-D", str(data)) as p:
        assert p.value("select v from t") == "kept"


def test_links_that_stay_inside_are_followed(tmp_path, copy_made):
    data = copy_made(tmp_path / "data")
    (data / "pg_wal").rename(data / "wal")
    (data / "pg_wal").symlink_to("wal")
    (data / "notes").symlink_to("/nowhere")  # nothing of PostgreSQL's
    with port("-D", str(data)) as p:
        assert p.value("select v from t") == "kept"
        p.query("insert into t (v) values ('more')").ok()
        assert p.finish() == 0
    assert (data / "pg_wal").is_symlink()


def test_a_foreign_directory_is_refused_untouched(tmp_path):
    data = tmp_path / "home"
    data.mkdir()
    (data / "thesis.txt").write_text("mine")
    before = tree(data)
    done = w.run_port("-D", str(data), stdin=w.frame(w.query("select 1")))
    assert done.returncode > 0, done
    assert str(data) in done.stderr.decode()
    assert tree(data) == before


def test_an_empty_directory_is_taken(tmp_path):
    with port("-D", str(tmp_path)) as p:
        assert p.value("select 1") == "1"
        assert p.finish() == 0
    assert (tmp_path / "PG_VERSION").exists()


@pytest.mark.parametrize("where", ["memory", "directory"])
@pytest.mark.parametrize("how", ["variables", "flags", "flags over variables"])
def test_user_and_database_are_created(tmp_path, where, how):
    place = "memory://" if where == "memory" else str(tmp_path / "data")
    args, env = [], {"PGLITE_DATA_DIR": place}
    if how == "variables":
        env |= {"PGLITE_USERNAME": "alice", "PGLITE_DATABASE": "shop"}
    else:
        args = ["-U", "alice", "--database", "shop"]
        if how == "flags over variables":
            env |= {"PGLITE_USERNAME": "wrong", "PGLITE_DATABASE": "wrong"}
    with port(*args, **env) as p:
        row = p.query("select current_user, session_user, current_database(), rolsuper from pg_roles where rolname = current_user")
        assert row.rows == [("alice", "alice", "shop", "t")] or row.rows == [("alice", "postgres", "shop", "t")]
        p.query("create table mine (a int)").ok()
        assert p.value("select tableowner from pg_tables where tablename = 'mine'") == "alice"
        assert p.finish() == 0
    if where == "directory":
        with port(*args, **env) as p:
            assert p.query("select current_user, current_database()").rows == [("alice", "shop")]
            assert p.value("select count(*) from mine") == "0"
            assert p.finish() == 0
        with port("-D", place) as p:
            assert p.query("select current_user, current_database()").rows == [("postgres", "postgres")]
            assert p.query("table mine").sqlstate == "42P01"


def test_names_that_need_quoting(tmp_path):
    with port("-U", 'O"Neil x', "-d", "My db") as p:
        assert p.query("select current_user, current_database()").rows == [('O"Neil x', "My db")]


def test_settings_for_postgres():
    with port(PGLITE_OPTIONS="-c work_mem=5MB -c application_name='two words'") as p:
        assert p.query("show work_mem").value == "5MB"
        assert p.query("show application_name").value == "two words"
    with port("-o", "-c work_mem=6MB", PGLITE_OPTIONS="-c work_mem=5MB") as p:
        assert p.query("show work_mem").value == "6MB"


def test_debug_levels():
    request = w.frame(w.query("/*needle*/select 1"))
    quiet = w.run_port(stdin=request).stderr
    assert quiet == b""
    lifecycle = w.run_port(stdin=request, env={"PGLITE_DEBUG": "1"}).stderr
    assert lifecycle and b"needle" not in lifecycle
    dump = w.run_port("--debug", "2", stdin=request).stderr
    assert b"needle" in dump or b"6e 65 65 64 6c 65" in dump
    for level in ("3", "5"):
        done = w.run_port("--debug", level, stdin=request)
        assert done.returncode == 0
        assert b"DEBUG" in done.stderr


def test_relaxed_and_full_durability_answer_alike(tmp_path):
    for level in ("full", "relaxed", "off"):
        with port("--durability", level, "-D", str(tmp_path / level)) as p:
            if level == "off" and not p.has_frame(0) and p.process.poll() not in (None, 0):
                continue  # `off` is memory's; whether it may be asked for is not in the contract
            p.query("create table t (a int); insert into t values (1)").ok()
            assert p.finish() == 0
        with port("-D", str(tmp_path / level)) as p:
            assert p.value("select a from t") == "1"


def test_the_directory_is_private(made):
    assert (made.stat().st_mode & 0o777) in (0o700, 0o750)
