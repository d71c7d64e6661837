"""The session's role and the settings that roles and databases have, in the port and in `sql`."""

import pgwire
import pytest

WHO = "select session_user || ' ' || current_user"
WAYS_BACK = [
    "reset session authorization",
    "set session authorization default",
    "discard all",
]


@pytest.mark.parametrize("kind", ["memory", "directory", "snapshot"])
def test_the_session_comes_back_to_its_role(kind, tmp_path):
    args = ["-D", str(tmp_path / "d")] if kind == "directory" else []
    if kind == "snapshot":
        saved = str(tmp_path / "s")
        assert pgwire.run_port("sql", "--save-snapshot", saved, "-c", "select 1").returncode == 0
        args = ["--snapshot", saved]
    with pgwire.PortProcess(*args) as port:
        port.query("create role carl").ok()
        for back in WAYS_BACK:
            port.query("set session authorization carl").ok()
            assert port.value(WHO) == "carl carl"
            port.query(back).ok()
            assert port.value(WHO) == "postgres postgres", back
        port.query("begin; set session authorization carl; rollback").ok()
        assert port.value(WHO) == "postgres postgres"
        port.query("begin; set local session authorization carl; commit").ok()
        assert port.value(WHO) == "postgres postgres"


def test_another_role_is_come_back_to(tmp_path):
    data = str(tmp_path / "d")
    with pgwire.PortProcess("-D", data) as port:
        port.query("create role alice login; create role bob; grant bob to alice").ok()
    with pgwire.PortProcess("-D", data, "-U", "alice") as port:
        port.query("set role bob").ok()
        assert port.value(WHO) == "alice bob"
        for back in WAYS_BACK:
            port.query("set role bob").ok()
            port.query(back).ok()
            assert port.value(WHO) == "alice alice", back


WAYS_UP = [
    "set session authorization postgres",
    "set local session authorization postgres",
    "set role postgres",
    "reset session authorization; set session authorization postgres",
    "reset all; set role postgres",
    "begin; savepoint s; rollback to s; set session authorization postgres",
    "select set_config('session_authorization', 'postgres', false)",
    "alter role alice superuser",
]


@pytest.mark.parametrize("kind", ["directory", "snapshot"])
def test_a_role_is_a_boundary(kind, tmp_path):
    saved = str(tmp_path / "s")
    args = ["-D", str(tmp_path / "d")] if kind == "directory" else ["--snapshot", saved]
    first = args if kind == "directory" else ["--save-snapshot", saved]
    done = pgwire.run_port(
        "sql", *first, "-c", "create role alice", "-c", "create role bob", "-c", "create table secret (a int)")
    assert done.returncode == 0, done.stderr
    with pgwire.PortProcess(*args, "-U", "alice") as port:
        for way in WAYS_UP:
            assert port.query(way).sqlstate in ("42501", "25P02"), way
            port.query("rollback").ok()
            assert port.value(WHO) == "alice alice", way
            assert port.query("table secret").sqlstate == "42501", way
        assert port.value("show is_superuser") == "off"
        # What the program itself does as superuser goes on.
        port.query("create temporary table mine (a int); insert into mine values (1)").ok()
        port.query("set session authorization alice; set session authorization default").ok()
        assert port.finish() == 0


def test_the_session_of_a_snapshot_keeps_its_boundary(tmp_path):
    first, second = str(tmp_path / "1"), str(tmp_path / "2")
    create = ["-c", "create role alice", "-c", "create role bob"]
    assert pgwire.run_port("sql", "--save-snapshot", first, *create).returncode == 0
    done = pgwire.run_port("sql", "--snapshot", first, "-U", "alice", "--save-snapshot", second, "-c", "select 1")
    assert done.returncode == 0, done.stderr
    with pgwire.PortProcess("--snapshot", second) as port:
        assert port.value(WHO) == "alice alice"
        assert port.query("set session authorization postgres").sqlstate == "42501"
    # Whoever starts the program says whose the session is.
    with pgwire.PortProcess("--snapshot", second, "-U", "bob") as port:
        assert port.value(WHO) == "bob bob"
        assert port.query("set session authorization alice").sqlstate == "42501"
    done = pgwire.run_port("sql", "--snapshot", second, "-U", "nobody", "-c", "select 1")
    assert done.returncode == 64 and b'role "nobody" does not exist' in done.stderr


def test_settings_of_roles_and_databases(tmp_path):
    data = str(tmp_path / "d")
    with pgwire.PortProcess("-D", data) as port:
        for sql in (
            "create role alice login",
            "create database other",
            "alter role all set work_mem = '1MB'",
            "alter database postgres set work_mem = '2MB'",
            "alter role alice set work_mem = '3MB'",
            "alter role alice in database postgres set work_mem = '4MB'",
            "alter role all set lock_timeout = '7s'",
            "alter database postgres set search_path = abc",
            "alter role alice set my.own = 'x=y'",
            "alter role alice set client_encoding = 'LATIN1'",
            "alter role alice set default_transaction_read_only = on",
        ):
            port.query(sql).ok()
    show = "select current_setting('work_mem') || ' ' || current_setting('lock_timeout')"
    with pgwire.PortProcess("-D", data, "-o", "-c work_mem=9MB") as port:
        assert port.value(show) == "2MB 7s"
        assert port.value("show search_path") == "abc"
        port.query("set work_mem = '8MB'; reset work_mem").ok()
        assert port.value(show) == "2MB 7s"
    with pgwire.PortProcess("-D", data, "-U", "alice") as port:
        assert port.value(show) == "4MB 7s"
        assert port.value("show my.own") == "x=y"
        assert port.value("show client_encoding") == "UTF8"
        assert port.query("create table t (a int)").sqlstate == "25006"
    with pgwire.PortProcess("-D", data, "-U", "alice", "-d", "other") as port:
        assert port.value(show) == "3MB 7s"
    with pgwire.PortProcess("-D", data, "-d", "other") as port:
        assert port.value(show) == "1MB 7s"


def test_a_setting_that_cannot_be_followed_ends_nothing(tmp_path):
    data = str(tmp_path / "d")
    with pgwire.PortProcess("-D", data) as port:
        port.query("alter role all set default_tablespace = 'gone'").ok()
        port.query("alter role all set work_mem = '5MB'").ok()
        port.query("update pg_db_role_setting set setconfig = setconfig || '{nope=1,work_mem,=}'::text[]").ok()
    with pgwire.PortProcess("-D", data) as port:
        assert port.value("show work_mem") == "5MB"
        assert port.value("select 1") == "1"
        assert port.finish() == 0


def test_autovacuum_says_what_is():
    done = pgwire.run_port("sql", "--autovacuum", "off", "--format", "csv", "-c", "show autovacuum")
    assert done.stdout == b"autovacuum\noff\n"
