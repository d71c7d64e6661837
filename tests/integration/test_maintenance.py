"""House-keeping between requests (docs/maintenance.md), and that the session does not notice."""

import time

import pgwire as w
import pytest

QUICK = ("-o", "-c autovacuum_naptime=1s")


def until(condition, seconds: float = 60, pause: float = 0.1) -> None:
    """The waiting is the pause in which it is done."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(pause)


def counts(port, table: str = "t"):
    return port.query(
        "select autovacuum_count, autoanalyze_count, vacuum_count, analyze_count"
        f" from pg_stat_user_tables where relname = '{table}'"
    ).ok().rows[0]  # fmt: skip


def fill(port, table: str = "t", options: str = "") -> None:
    port.query(f"create table {table} (a int primary key, b text) {options}").ok()
    port.query(f"insert into {table} select g, 'x' from generate_series(1, 5000) g").ok()
    port.query(f"delete from {table} where a % 2 = 0").ok()


def test_vacuum_and_analyze_by_need():
    with w.PortProcess(*QUICK) as port:
        fill(port)
        fill(port, "off", "with (autovacuum_enabled = false)")
        until(lambda: int(counts(port)[0]) > 0 and int(counts(port)[1]) > 0, pause=1)
        assert counts(port)[2:] == ("0", "0")
        assert port.value("select n_dead_tup from pg_stat_user_tables where relname = 't'") == "0"
        assert counts(port, "off") == ("0", "0", "0", "0")
        assert port.value("select count(*) from t") == "2500"


def run_sql(data, *commands, args=()):
    done = w.run_port("sql", "-D", str(data), *args, *(word for c in commands for word in ("-c", c)))
    assert done.returncode == 0, done.stderr


def test_short_runs_keep_statistics_and_treat_tables(tmp_path):
    """Each is over long before the first look at the tables of one that goes on."""
    data = tmp_path / "d"
    run_sql(data, "create table t (a int primary key, b text)")
    run_sql(data, "insert into t select g, 'x' from generate_series(1, 5000) g")
    run_sql(data, "delete from t where a % 2 = 0", "select count(*) from t")
    run_sql(data, "create table off (a int)", args=("--autovacuum", "off"))
    run_sql(data, "insert into off select generate_series(1, 5000)", args=("--autovacuum", "off"))
    with w.PortProcess("-D", str(data)) as port:
        vacuumed, analysed, *by_hand = counts(port)
        assert int(vacuumed) > 0 and int(analysed) > 0 and by_hand == ["0", "0"]
        assert counts(port, "off") == ("0", "0", "0", "0")
        numbers = "select n_tup_ins, n_tup_del, n_dead_tup from pg_stat_user_tables where relname = "
        assert port.query(numbers + "'t'").rows == [("5000", "2500", "0")]
        assert port.query(numbers + "'off'").rows == [("5000", "0", "0")]
        assert port.value("select seq_scan > 0 from pg_stat_user_tables where relname = 't'") == "t"
        assert port.finish() == 0


def test_nothing_is_treated_at_the_end_in_an_open_transaction(tmp_path):
    data = tmp_path / "d"
    with w.PortProcess("-D", str(data)) as port:
        fill(port)
        port.query("begin; insert into t values (-1)").ok()
        assert port.finish() == 0
    with w.PortProcess("-D", str(data)) as port:
        assert port.value("select count(*) from t") == "2500"


@pytest.mark.parametrize(
    "options",
    [("-o", "-c autovacuum=off -c autovacuum_naptime=1s"), ("--autovacuum", "off", *QUICK)],
    ids=["setting", "option"],
)
def test_autovacuum_can_be_switched_off(options):
    with w.PortProcess(*options) as port:
        fill(port)
        time.sleep(7)
        assert counts(port) == ("0", "0", "0", "0")


def test_the_session_does_not_notice():
    with w.PortProcess(*QUICK) as port:
        fill(port)
        port.query("create role joe; create schema s; create table s.seen (a int)").ok()
        port.query("declare held cursor with hold for select g from generate_series(1, 9) g").ok()
        port.query("listen c; set role joe; set search_path = s, pg_catalog").ok()
        port.query("set statement_timeout = '1ms'; set lock_timeout = '1ms'").ok()
        port.query("set default_transaction_read_only = on; set idle_session_timeout = '40s'").ok()
        port.exchange(w.parse("select 43") + w.sync())
        time.sleep(8)
        assert not port.has_frame()
        unnamed = w.Result(port.exchange(w.bind() + w.execute() + w.sync()))
        assert unnamed.rows == [("43",)]
        assert port.query("fetch 2 from held").rows == [("1",), ("2",)]
        settings = ("role", "search_path", "statement_timeout", "lock_timeout", "idle_session_timeout")
        assert [port.value(f"show {name}") for name in settings] == [
            "joe", "s, pg_catalog", "1ms", "1ms", "40s",
        ]  # fmt: skip
        assert port.value("select current_user") == "joe"
        assert port.query("select * from pg_prepared_statements").rows == []
        port.query("reset role; reset all").ok()
        assert int(counts(port)[0]) > 0


def test_an_idle_session_is_ended_all_the_same():
    with w.PortProcess(*QUICK) as port:
        fill(port)
        port.query("set idle_session_timeout = '9s'").ok()
        error = w.Result(port.read_frame(timeout=60))
        assert error.sqlstate == "57P05"
        assert port.wait() == 70


def test_nothing_is_done_in_a_transaction_or_a_batch():
    with w.PortProcess(*QUICK) as port:
        fill(port)
        port.query("begin").ok()
        time.sleep(7)
        assert counts(port) == ("0", "0", "0", "0")
        port.query("commit").ok()
        # A failed batch: all is skipped until its Sync.
        port.exchange(w.parse("select nonsense") + w.flush())
        time.sleep(2)
        assert w.Result(port.exchange(w.parse("select 1"))).kinds == ""
        assert w.Result(port.exchange(w.sync())).kinds == "Z"
        until(lambda: int(counts(port)[0]) > 0, pause=1)


def wal_size(port) -> int:
    return int(port.value("select sum(size) from pg_ls_waldir()"))


LOAD = "insert into load select g, repeat('y', 500) from generate_series(1, 20000) g; truncate load"


def test_wal_in_memory_stays_short_under_constant_load():
    with w.PortProcess() as port:
        port.query("create table load (a int, b text)").ok()
        for _ in range(20):  # 12 MB each
            port.query(LOAD).ok()
            assert wal_size(port) <= 160 << 20
        assert int(port.value("select num_done from pg_stat_checkpointer")) >= 0


def test_wal_of_a_directory_stays_within_max_wal_size(tmp_path):
    with w.PortProcess(
        "-D", str(tmp_path / "data"), "--durability", "relaxed", "-o", "-c max_wal_size=64MB"
    ) as port:
        port.query("create table load (a int, b text)").ok()
        for _ in range(20):
            port.query(LOAD).ok()
            # A soft limit, and the more so on a busy machine; without one it would be three times that.
            assert wal_size(port) <= 160 << 20
        assert port.finish() == 0


def test_memory_gives_back_what_a_dropped_table_had():
    with w.PortProcess() as port:
        port.query("create table big (a int, b text)").ok()
        port.query("insert into big select g, repeat('y', 500) from generate_series(1, 400000) g").ok()
        port.query("create table small as select * from big limit 100").ok()
        before = port.rss()
        port.query("drop table big; checkpoint").ok()
        assert port.rss() < before - 150_000_000
        assert port.value("select count(*) from small") == "100"


def test_no_wal_is_kept_for_an_archiver_that_is_not_there(tmp_path):
    data = str(tmp_path / "data")
    with w.PortProcess("-D", data, "--durability", "relaxed") as port:
        port.query("alter system set archive_mode = on").ok()
        port.query("alter system set archive_command = 'true'").ok()
        assert port.finish() == 0
        assert "archive_mode" not in port.stderr()
    # As this program, too, left them before.
    status = tmp_path / "data" / "pg_wal" / "archive_status"
    (status / "000000010000000000000001.ready").touch()
    with w.PortProcess("-D", data, "-o", "-c max_wal_size=32MB -c min_wal_size=32MB") as port:
        assert port.value("show archive_mode") == "off"
        port.query("create table t (a int)").ok()
        for _ in range(8):
            port.query("insert into t values (1); select pg_switch_wal(); checkpoint").ok()
        assert wal_size(port) <= 64 << 20
        assert port.finish() == 0
        assert "archive_mode = on in the data directory's configuration is not followed" in port.stderr()
    assert not list(status.iterdir())


@pytest.mark.parametrize("name", ["archive_mode=on", "ARCHIVE-MODE=always"])
def test_archiving_is_refused(name):
    result = w.run_port("-o", f"-c {name}", stdin=w.frame(w.query("select 1")))
    assert result.returncode == 64
    assert b"nothing here archives WAL" in result.stderr


def test_a_checkpoint_by_time(tmp_path):
    with w.PortProcess("-D", str(tmp_path / "data"), "-o", "-c checkpoint_timeout=30s") as port:
        redo = "select redo_lsn from pg_control_checkpoint()"
        port.query("create table t (a int)").ok()
        before = port.value(redo)
        until(lambda: port.value(redo) != before, seconds=90, pause=5)
        assert port.finish() == 0


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_asynchronous_commits_reach_the_disk(tmp_path, durability):
    data = str(tmp_path / "data")
    with w.PortProcess("-D", data, "--durability", durability) as port:
        port.query("create table t (a int); set synchronous_commit = off").ok()
        for i in range(10):
            port.query(f"insert into t values ({i})").ok()
        # No request may tell: it could make PostgreSQL flush.
        time.sleep(3)
        port.kill()
    with w.PortProcess("-D", data) as port:
        assert port.value("select count(*) from t") == "10"
        assert port.finish() == 0


def test_a_flush_up_to_the_start_of_a_page(tmp_path):
    """There PostgreSQL's insert position is behind a page header that does not exist yet."""
    with w.PortProcess("-D", str(tmp_path / "data"), "--durability", "relaxed") as port:
        port.query("create table t (a int); set synchronous_commit = off").ok()
        for _ in range(5):
            port.query("insert into t values (1)").ok()
            port.query(
                "do $$ begin for i in 1..100000 loop"
                " exit when (pg_current_wal_insert_lsn() - '0/0') % 8192 = 24;"
                " perform pg_logical_emit_message(false, 'x', repeat('y', (random() * 100)::int));"
                " end loop; end $$"
            ).ok()
            time.sleep(0.5)
            assert port.value("select 1") == "1"
        assert port.finish() == 0


def burn(port, transactions: int) -> None:
    port.query(
        f"do $$ begin for i in 1..{transactions} loop"
        " perform pg_current_xact_id(); commit; end loop; end $$"
    ).ok()


def test_old_transaction_ids_are_frozen_even_with_autovacuum_off():
    with w.PortProcess("-o", "-c autovacuum_freeze_max_age=100000 -c autovacuum=off") as port:
        fill(port)
        burn(port, 110_000)
        until(lambda: int(port.value("select age(datfrozenxid) from pg_database"
                                     " where datname = 'postgres'")) < 100_000, pause=1)  # fmt: skip


def test_a_session_that_is_never_idle_is_vacuumed_too():
    with w.PortProcess(*QUICK) as port:
        fill(port)
        end = time.monotonic() + 60
        while int(counts(port)[0]) == 0:
            assert time.monotonic() < end
            for _ in range(100):
                port.query("insert into t values (0, '') on conflict (a) do update set b = ''").ok()


CACHES = "select sum(used_bytes) from pg_backend_memory_contexts where name = 'CacheMemoryContext'"
COLUMNS = [f"c{i}" for i in range(10)]
# Each table leaves ten entries: these columns have no statistics.
TABLES_COME_AND_GO = f"""do $$ begin for i in 1..4000 loop
  create temp table scratch ({", ".join(f"{c} int" for c in COLUMNS)});
  perform from scratch where {" and ".join(f"{c} = 1" for c in COLUMNS)};
  drop table scratch;
  commit;
end loop; end $$"""
# Each name leaves an entry.
UNKNOWN_NAMES = "do $$ begin for i in 1..50000 loop perform to_regclass('{}' || i); end loop; end $$"


def test_the_catalogue_caches_do_not_grow_with_tables_that_come_and_go():
    with w.PortProcess() as port:
        port.query("create temp table kept (a int); insert into kept values (7)").ok()
        port.query("prepare p as select a from kept; create function f() returns int"
                   " language plpgsql as 'begin return (select a from kept); end'").ok()  # fmt: skip
        port.query("declare held cursor with hold for select g from generate_series(1, 9) g").ok()
        port.query("create role joe; grant select on kept to joe").ok()
        assert port.value("select f()") == "7"
        port.query(TABLES_COME_AND_GO, timeout=300).ok()
        until(lambda: int(port.value(CACHES)) < 2 << 20, seconds=10)
        assert port.value("select f()") == "7"
        # 32 MB each: more than can wait for the next look.
        for letter in "abcd":
            port.query(UNKNOWN_NAMES.format(letter), timeout=300).ok()
            time.sleep(0.2)
            assert int(port.value(CACHES)) < 80 << 20
        port.query("set role joe").ok()
        assert port.query("execute p").rows == [("7",)]
        assert port.value("select f()") == "7"
        assert port.query("fetch 2 from held").rows == [("1",), ("2",)]
        assert port.value("select current_user") == "joe"


FOREIGN_KEYS_COME_AND_GO = """do $$ begin for i in 1..2000 loop
  create table p (a int primary key);
  create table c (a int references p);
  insert into p values (1);
  insert into c values (1);
  drop table c, p;
  commit;
end loop; end $$"""


def test_plans_of_foreign_keys_that_are_gone_are_dropped():
    with w.PortProcess() as port:
        port.query("create table parent (a int primary key); insert into parent values (1)").ok()
        port.query("create table child (a int references parent on delete cascade)").ok()
        plans = "select count(*) from pg_backend_memory_contexts where name = 'SPI Plan'"
        port.query("insert into child values (1)").ok()
        assert port.query("insert into child values (2)").sqlstate == "23503"
        port.query(FOREIGN_KEYS_COME_AND_GO, timeout=300).ok()
        until(lambda: int(port.value(plans)) < 20, seconds=30)
        assert port.query("insert into child values (2)").sqlstate == "23503"
        port.query("insert into child values (1); delete from parent").ok()
        assert port.value("select count(*) from child") == "0"


def private_memory(port) -> int:
    """Bytes that are this process's own."""
    with open(f"/proc/{port.pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) << 10 for line in rollup if line.startswith("Private_Dirty"))


def test_the_memory_of_a_large_query_is_given_back():
    with w.PortProcess() as port:
        port.query("create table t as select g from generate_series(1, 1000) g").ok()
        before = private_memory(port)
        port.query("select length(repeat('x', 300000000))").ok()
        assert private_memory(port) > before + (250 << 20)
        until(lambda: private_memory(port) < before + (60 << 20))
        # It is there again for the next one, and what was there is as it was.
        assert port.value("select length(repeat('y', 300000000))") == "300000000"
        assert port.value("select sum(g) from t") == "500500"
        until(lambda: private_memory(port) < before + (60 << 20))
        assert port.value("select md5(repeat('z', 100000000))") == "6fba51d8b267200e125b59e14ab9c8eb"
        assert port.finish() == 0
