"""Replication out of a cluster: native PostgreSQL subscribes to it, and its clients receive WAL and take backups.

By hand (make replication-test): it needs the native build of build_postgres.sh. PGLITE_PORT names another program; with
BRIDGE, which names one, it is the bridge.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import threading
import time

import pytest
from servers import Bridge, Native, Serve

HERE = pathlib.Path(__file__).parent
PORT = pathlib.Path(os.environ.get("PGLITE_PORT", HERE.parent.parent / "build/release/pglite-port"))
PUBLISHER = ["wal_level=logical", "logical_decoding_work_mem=64kB", "wal_sender_timeout=10s", "max_wal_size=256MB"]
SUBSCRIBER = ["max_worker_processes=20", "max_logical_replication_workers=16", "wal_retrieve_retry_interval=200ms",
              "max_prepared_transactions=10"]
PATIENCE = 90  # seconds


@pytest.fixture(scope="session")
def install() -> pathlib.Path:
    done = subprocess.run([HERE / "build_postgres.sh"], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(done.stdout.strip())


def cluster(work: pathlib.Path, install: pathlib.Path, data: str, settings: list[str]):
    if program := os.environ.get("BRIDGE"):
        return Bridge(work, install, pathlib.Path(program).absolute(), data, settings)
    return Serve(work, install, PORT.absolute(), data, settings)


@contextlib.contextmanager
def opened(work: pathlib.Path, install: pathlib.Path, data: pathlib.Path, *settings: str):
    server = cluster(work, install, str(data), [*PUBLISHER, *settings])
    server.start()
    try:
        yield server
        assert server.stop() == "", server.log.read_text()[-2000:]
    finally:
        server.close()


@pytest.fixture(scope="module")
def publisher(tmp_path_factory, install):
    work = tmp_path_factory.mktemp("publisher")
    with opened(work, install, work / "data") as server:
        yield server


@pytest.fixture(scope="module")
def subscriber(tmp_path_factory, install):
    server = Native(tmp_path_factory.mktemp("subscriber"), install, SUBSCRIBER)
    server.start()
    yield server
    server.stop()
    server.close()


def sql(server, *commands: str, database: str = "postgres") -> str:
    done = server.psql(database, *commands)
    assert done.returncode == 0, done.stderr
    return done.stdout


def both(publisher, subscriber, *commands: str) -> None:
    for server in (publisher, subscriber):
        sql(server, *commands)


def until(what, expected) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := what()) != expected:
        assert time.monotonic() < deadline, f"{found!r}, not {expected!r}"
        time.sleep(0.1)


def until_same(publisher, subscriber, query: str) -> None:
    until(lambda: sql(subscriber, query), sql(publisher, query))


@contextlib.contextmanager
def subscription(publisher, subscriber, name: str, publications: str, options: str = "", database: str = "postgres"):
    """Copied to the end when it is entered."""
    where = f"host={publisher.sockets} port={publisher.port} user=postgres dbname=postgres application_name={name}"
    sql(subscriber, f"create subscription {name} connection '{where}' publication {publications}"
                    + (f" with ({options})" if options else ""), database=database)
    until(lambda: sql(subscriber, "select count(*) from pg_subscription_rel r join pg_subscription s on"
                                  f" s.oid = srsubid where subname = '{name}' and srsubstate <> 'r'",
                      database=database), "0\n")
    try:
        yield
    finally:
        sql(subscriber, f"drop subscription {name}", database=database)


# --- Logical ---

MANY_TYPES = """
create type mood as enum ('sad', 'ok', 'happy');
create domain positive as int check (value > 0);
create type pair as (a int, b text);
create table {name} (id int primary key, gone int, t text, n numeric, j jsonb, a text[], b bytea, ts timestamptz,
                     f float8, u uuid, m mood, p positive, c pair, large text,
                     g int generated always as (id * 2) stored);
alter table {name} alter large set storage external;
alter table {name} drop gone;
"""
FILL = """
insert into {name} select i, 'text ' || i, i / 7.0, jsonb_build_object('i', i), array['a', null, i::text],
  decode(lpad(to_hex(i), 8, '0'), 'hex'), timestamptz '2024-01-01' + i * interval '1 minute', i / 3.0,
  md5(i::text)::uuid, (array['sad', 'ok', 'happy']::mood[])[1 + i % 3], i, (i, 'é' || i)::pair,
  case when i % 10 = 0 then repeat(md5(i::text), 500) end
from generate_series({first}, {last}) i
"""


@pytest.mark.parametrize("binary", ["false", "true"])
def test_a_copy_and_all_changes(publisher, subscriber, binary):
    name = f"many_{binary}"
    both(publisher, subscriber, f"create schema {name}",
         f"set search_path to {name}; " + MANY_TYPES.format(name="changed"))
    sql(publisher, f"set search_path to {name};" + FILL.format(name="changed", first=1, last=100),
        f"create publication {name} for table {name}.changed")
    query = f"select md5(string_agg(r::text, ',' order by id)), count(*) from {name}.changed r"
    with subscription(publisher, subscriber, name, name, f"binary = {binary}"):
        until_same(publisher, subscriber, query)
        sql(publisher, f"set search_path to {name};" + FILL.format(name="changed", first=101, last=300),
            # A large value that does not change is not sent.
            f"update {name}.changed set t = t || '!' where id % 10 = 0",
            f"update {name}.changed set large = null, id = id + 1000 where id between 20 and 40",
            f"delete from {name}.changed where id % 7 = 0")
        until_same(publisher, subscriber, query)
        # The same without a key. Generated columns that are not sent cannot identify a row.
        both(publisher, subscriber, f"alter table {name}.changed drop g, replica identity full")
        sql(publisher, f"update {name}.changed set n = n + 1 where id < 50",
            f"delete from {name}.changed where id % 5 = 0")
        until_same(publisher, subscriber, query)
        sql(publisher, f"truncate {name}.changed", f"set search_path to {name};"
            + FILL.format(name="changed", first=5, last=9))
        until_same(publisher, subscriber, query)
    both(publisher, subscriber, f"drop schema {name} cascade")


def test_an_index_may_identify_rows(publisher, subscriber):
    both(publisher, subscriber, "create table by_index (a int, b text not null, c int not null)",
         "create unique index by_index_key on by_index (c, b)",
         "alter table by_index replica identity using index by_index_key")
    sql(publisher, "create publication by_index for table by_index")
    with subscription(publisher, subscriber, "by_index", "by_index"):
        sql(publisher, "insert into by_index select i, 'b' || i, i from generate_series(1, 50) i",
            "update by_index set a = -a where c > 20", "update by_index set c = c + 100 where a > 10",
            "delete from by_index where a = 3")
        until_same(publisher, subscriber, "select * from by_index order by b")
    both(publisher, subscriber, "drop table by_index")


def test_row_filters(publisher, subscriber):
    both(publisher, subscriber, "create table filtered (id int primary key, kind text, secret text)",
         "create table filtered_too (id int primary key, v int generated always as (id + 1))")
    sql(publisher, "alter table filtered replica identity full",
        "create publication filtered for table filtered where (kind = 'public')",
        "create publication filtered_too for table filtered_too where (v > 10) with (publish = 'insert')",
        "insert into filtered select i, case when i % 2 = 0 then 'public' else 'private' end, 's' from"
        " generate_series(1, 20) i", "insert into filtered_too select generate_series(1, 20)")
    with subscription(publisher, subscriber, "filtered", "filtered, filtered_too"):
        # A row that begins to match is inserted there, one that no longer does is deleted.
        sql(publisher, "update filtered set kind = 'public' where id = 1",
            "update filtered set kind = 'private' where id = 2", "delete from filtered where id in (3, 4)",
            "insert into filtered values (21, 'public', 'x'), (22, 'private', 'y')",
            "update filtered set secret = 'changed' where id > 10", "insert into filtered_too values (0), (30)")
        for query in ("select * from filtered where kind = 'public' order by id",
                      "select id from filtered_too where v > 10 order by id"):
            until_same(publisher, subscriber, query)
            everything = query.split(" where ")[0] + " order by id"
            assert sql(subscriber, everything) == sql(publisher, query)
    both(publisher, subscriber, "drop table filtered, filtered_too")
    sql(publisher, "drop publication filtered, filtered_too")


def test_columns_that_are_not_published_stay_away(publisher, subscriber):
    sql(publisher, "create table listed (id int primary key, a int, secret text,"
                   " g int generated always as (a * 3) stored)",
        "create publication listed for table listed (id, g)", "insert into listed values (1, 1, 's')",
        "create table generated (id int primary key, g int generated always as (id * 3) stored)",
        "create publication generated for table generated with (publish_generated_columns = stored)")
    sql(subscriber, "create table listed (id int primary key, a int, secret text, g int)",
        "create table generated (id int primary key, g int)")
    with subscription(publisher, subscriber, "listed", "listed, generated"):
        sql(publisher, "insert into listed values (2, 2, 's')", "update listed set a = 7 where id = 1",
            "insert into generated values (5)")
        until(lambda: sql(subscriber, "select * from listed order by id"), "1|||21\n2|||6\n")
        until(lambda: sql(subscriber, "select * from generated"), "5|15\n")
    both(publisher, subscriber, "drop table listed, generated")
    sql(publisher, "drop publication listed, generated")


def test_partitions_schemas_and_all_tables(publisher, subscriber):
    both(publisher, subscriber, "create schema parts",
         "create table parts.root (id int, part int, t text, primary key (id, part)) partition by list (part)",
         "create table parts.p1 partition of parts.root for values in (1)",
         # Its columns are in another order.
         "create table parts.p2 (t text, part int not null, id int not null)",
         "alter table parts.root attach partition parts.p2 for values in (2)")
    sql(publisher, "create publication parts for tables in schema parts with (publish_via_partition_root)")
    query = "select id, part, t from parts.root order by id"
    with subscription(publisher, subscriber, "parts", "parts"):
        sql(publisher, "insert into parts.root select i, 1 + i % 2, 't' || i from generate_series(1, 20) i",
            "update parts.root set part = 3 - part where id < 5", "delete from parts.root where id = 6")
        until_same(publisher, subscriber, query)
    sql(publisher, "drop publication parts", "create publication everything for all tables")
    sql(subscriber, "truncate parts.root")
    with subscription(publisher, subscriber, "everything", "everything"):
        sql(publisher, "insert into parts.root values (100, 2, 'by leaf')", "truncate parts.p1")
        until_same(publisher, subscriber, query)
    both(publisher, subscriber, "drop schema parts cascade")
    sql(publisher, "drop publication everything")


def test_a_publication_changes_while_it_is_followed(publisher, subscriber):
    both(publisher, subscriber, "create table first (id int primary key)", "create table second (id int primary key)")
    sql(publisher, "create publication changing for table first")
    with subscription(publisher, subscriber, "changing", "changing"):
        sql(publisher, "insert into first values (1)", "insert into second values (1)",
            "alter publication changing add table second")
        sql(subscriber, "alter subscription changing refresh publication")
        sql(publisher, "insert into first values (2)", "insert into second values (2)")
        until(lambda: sql(subscriber, "select * from second order by id"), "1\n2\n")
        sql(publisher, "alter publication changing drop table first", "insert into first values (3)",
            "insert into second values (3)")
        until(lambda: sql(subscriber, "select * from second order by id"), "1\n2\n3\n")
        assert sql(subscriber, "select * from first order by id") == "1\n2\n"
        sql(publisher, "alter publication changing set (publish = 'insert')", "delete from second",
            "insert into second values (4)")
        until(lambda: sql(subscriber, "select * from second order by id"), "1\n2\n3\n4\n")
        both(publisher, subscriber, "alter table second add t text default 'd'")
        sql(publisher, "insert into second values (5, 'five')")
        until(lambda: sql(subscriber, "select t from second where id = 5"), "five\n")
        # Under a new name it is another one, which is noticed without a change of the table.
        sql(publisher, "alter publication changing rename to renamed", "insert into second values (6)",
            "alter publication renamed rename to changing", "insert into second values (7)")
        until(lambda: sql(subscriber, "select id from second where id > 5 order by id"), "7\n")
    both(publisher, subscriber, "drop table first, second")
    sql(publisher, "drop publication changing")


@pytest.mark.parametrize("streaming", ["off", "on", "parallel"])
def test_a_large_transaction(publisher, subscriber, streaming):
    name = f"large_{streaming}"
    both(publisher, subscriber, f"create table {name} (id int primary key, t text)")
    sql(publisher, f"create publication {name} for table {name}")
    with subscription(publisher, subscriber, name, name, f"streaming = {streaming}"):
        sql(publisher, "begin; "
            f"insert into {name} select i, 'row ' || i from generate_series(1, 50000) i; savepoint s;"
            f"update {name} set t = 'wrong'; rollback to s;"
            f"update {name} set t = t || '!' where id % 2 = 0; commit",
            f"begin; delete from {name} where id <= 10000; rollback",
            f"insert into {name} values (0, 'after')")
        until_same(publisher, subscriber,
                   f"select count(*), md5(string_agg({name}::text, ',' order by id)) from {name}")
        spilled = sql(publisher, "select pg_stat_force_next_flush()",
                      "select stream_txns > 0, spill_txns > 0 from pg_stat_replication_slots"
                      f" where slot_name = '{name}'")
        # What comes before the subscriber streams is spilled, on a slow machine.
        assert spilled.split() in ([["f|t"]] if streaming == "off" else [["t|f"], ["t|t"]]), spilled
    both(publisher, subscriber, f"drop table {name}")
    sql(publisher, f"drop publication {name}")


@pytest.mark.parametrize("streaming", ["off", "on"])
def test_prepared_transactions(publisher, subscriber, streaming):
    both(publisher, subscriber, "create table prepared (id int primary key)")
    sql(publisher, "create publication prepared for table prepared")
    with subscription(publisher, subscriber, "prepared", "prepared", f"two_phase = true, streaming = {streaming}"):
        rows = 3 if streaming == "off" else 5000
        sql(publisher, f"begin; insert into prepared select generate_series(1, {rows}); prepare transaction 'one'",
            "begin; insert into prepared values (10001); prepare transaction 'two'")
        until(lambda: sql(subscriber, "select count(*) from pg_prepared_xacts"), "2\n")
        sql(publisher, "commit prepared 'one'", "rollback prepared 'two'", "insert into prepared values (10002)")
        until_same(publisher, subscriber, "select count(*), sum(id) from prepared")
        until(lambda: sql(subscriber, "select count(*) from pg_prepared_xacts"), "0\n")
    both(publisher, subscriber, "drop table prepared")
    sql(publisher, "drop publication prepared")


def test_origins_and_messages(publisher, subscriber):
    both(publisher, subscriber, "create table origins (id int primary key)")
    sql(publisher, "create publication origins for table origins", "select pg_replication_origin_create('elsewhere')")
    from_elsewhere = ("begin; select pg_replication_origin_session_setup('elsewhere');"
                      "select pg_replication_origin_xact_setup('0/1234', '2024-01-01');"
                      "insert into origins values ({}); commit; select pg_replication_origin_session_reset()")
    with subscription(publisher, subscriber, "origins", "origins", "origin = none"):
        sql(publisher, from_elsewhere.format(1))
        sql(publisher, "insert into origins values (2)")
        until(lambda: sql(subscriber, "select * from origins"), "2\n")
    sql(publisher, "select pg_create_logical_replication_slot('messages', 'pgoutput')")
    sql(publisher, from_elsewhere.format(3))
    sql(publisher, "select pg_logical_emit_message(true, 'here', 'a message')")
    changes = sql(publisher, "select encode(data, 'escape') from pg_logical_slot_get_binary_changes('messages', null,"
                             " null, 'proto_version', '4', 'publication_names', 'origins', 'messages', 'true')").split("\n")
    assert any(line.startswith("O") and "elsewhere" in line for line in changes), changes
    assert any(line.startswith("M") and "a message" in line for line in changes), changes
    sql(publisher, "select pg_drop_replication_slot('messages')", "drop publication origins",
        "select pg_replication_origin_drop('elsewhere')")
    both(publisher, subscriber, "drop table origins")


@pytest.mark.parametrize("encoding, text", [("LATIN1", "café"), ("WIN1252", "€ naïve"), ("EUC_JP", "日本語 かな"),
                                            ("LATIN2", "Łódź")])
def test_a_subscriber_with_another_encoding(publisher, subscriber, encoding, text):
    database = f"encoded_{encoding.lower()}"
    sql(subscriber, f"create database {database} encoding '{encoding}' locale 'C' template template0")
    sql(publisher, "create table encoded (id int primary key, t text)", "create publication encoded for table encoded",
        f"insert into encoded values (1, '{text}')")
    sql(subscriber, "create table encoded (id int primary key, t text)", database=database)
    with subscription(publisher, subscriber, f"s_{encoding.lower()}", "encoded", database=database):
        sql(publisher, f"insert into encoded values (2, '{text} again')", "insert into encoded values (3, 'ascii')")
        until(lambda: sql(subscriber, "set client_encoding = utf8", "select t from encoded order by id",
                          database=database), f"{text}\n{text} again\nascii\n")
    sql(subscriber, f"drop database {database}")
    sql(publisher, "drop publication encoded", "drop table encoded")


def test_what_a_walsender_shows_of_itself(publisher, subscriber):
    both(publisher, subscriber, "create table shown (id int primary key)")
    sql(publisher, "create publication shown for table shown")
    with subscription(publisher, subscriber, "shown", "shown"):
        sql(publisher, "insert into shown select generate_series(1, 100)")
        until(lambda: sql(publisher, "select application_name, state, sync_state, flush_lsn = pg_current_wal_lsn()"
                                     " from pg_stat_replication"), "shown|streaming|async|t\n")
        assert sql(publisher, "select backend_type, wait_event_type, wait_event from pg_stat_activity"
                              " where application_name = 'shown'") == "walsender|Client|WalSenderWaitForWal\n"
        assert sql(publisher, "select plugin, active, wal_status from pg_replication_slots"
                              " where slot_name = 'shown'") == "pgoutput|t|reserved\n"
        # It outlives its timeout, and ends when it is told to; the subscriber comes again.
        time.sleep(12)
        pid = sql(publisher, "select pid from pg_stat_replication")
        sql(publisher, f"select pg_terminate_backend({pid})", "insert into shown values (1000)")
        until_same(publisher, subscriber, "select count(*) from shown")
        assert sql(publisher, "select pid from pg_stat_replication") != pid
    both(publisher, subscriber, "drop table shown")
    sql(publisher, "drop publication shown")


def test_a_commit_waits_for_a_synchronous_subscriber(tmp_path, install, subscriber):
    with opened(tmp_path, install, tmp_path / "data", "synchronous_standby_names=synchronous") as publisher:
        both(publisher, subscriber, "set synchronous_commit = local; create table synchronous (id int primary key)")
        sql(publisher, "set synchronous_commit = local; create publication synchronous for table synchronous")
        with subscription(publisher, subscriber, "synchronous", "synchronous"):
            sql(publisher, "insert into synchronous values (1)")
            assert sql(subscriber, "select * from synchronous") == "1\n"
            assert sql(publisher, "select sync_state from pg_stat_replication") == "sync\n"
            sql(subscriber, "alter subscription synchronous disable")
            until(lambda: sql(publisher, "select count(*) from pg_stat_replication"), "0\n")
            writer = threading.Thread(target=lambda: sql(publisher, "insert into synchronous values (2)"))
            writer.start()
            until(lambda: sql(publisher, "select wait_event from pg_stat_activity where query like 'insert%'"),
                  "SyncRep\n")
            sql(subscriber, "alter subscription synchronous enable")
            writer.join(PATIENCE)
            assert not writer.is_alive()
        sql(subscriber, "drop table synchronous")


@pytest.mark.parametrize("ending", ["in order", "crash"])
def test_nothing_is_lost_when_the_publisher_starts_again(tmp_path, install, subscriber, ending):
    name = "again_" + ending[:2]
    server = cluster(tmp_path, install, str(tmp_path / "data"), PUBLISHER)
    server.start()
    try:
        both(server, subscriber, f"create table {name} (id int primary key)")
        sql(server, f"create publication {name} for table {name}")
        with subscription(server, subscriber, name, name, "streaming = on"):
            confirmed, stop = [], threading.Event()

            def write():
                number = 0
                while not stop.is_set():
                    # What was not answered may have been committed.
                    done = server.psql("postgres", f"insert into {name} values ({number}) on conflict do nothing")
                    if done.returncode == 0:
                        confirmed.append(number)
                        number += 1
                    else:
                        time.sleep(0.05)

            writer = threading.Thread(target=write)
            writer.start()
            for large in range(1, 4):
                time.sleep(2)
                sql(server, f"insert into {name} select 1000000 * {large} + i from generate_series(1, 10000) i")
                if ending == "crash":
                    server.kill()
                else:
                    assert server.stop() == ""
                server.start()
            stop.set()
            writer.join(60)
            assert len(confirmed) > 10
            until_same(server, subscriber, f"select count(*), sum(id) from {name}")
            present = set(map(int, sql(subscriber, f"select id from {name}").split()))
            assert present >= set(confirmed)
        assert server.stop() == ""
    finally:
        server.close()
    sql(subscriber, f"drop table {name}")


def test_a_server_ends_when_only_walsenders_are_left(tmp_path, install, subscriber):
    server = Serve(tmp_path, install, PORT.absolute(), str(tmp_path / "data"), PUBLISHER)
    server.start()
    try:
        both(server, subscriber, "create table served (id int primary key)")
        sql(server, "create publication served for table served")
        with subscription(server, subscriber, "served", "served"):
            for number in range(3):
                last = subprocess.Popen(
                    [install / "bin/psql", "-X", "-q", "postgres", "-c", "select pg_sleep(2)", "-c",
                     f"insert into served values ({number})"], env=server.environment())
                until(lambda: sql(server, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"), "1\n")
                # SIGTERM waits for clients that do something.
                assert server.stop() == ""
                assert last.wait() == 0
                server.start()
            until_same(server, subscriber, "select count(*) from served")
        assert server.stop() == ""
    finally:
        server.close()
    sql(subscriber, "drop table served")


def test_pg_recvlogical(publisher, install, tmp_path):
    sql(publisher, "create table received (id int primary key, t text)",
        "create publication received for table received")
    program = [install / "bin/pg_recvlogical", "-d", "postgres", "--slot", "received"]
    options = ["-o", "proto_version=1", "-o", "publication_names=received"]
    subprocess.run([*program, "--create-slot", "-P", "pgoutput"], env=publisher.environment(), check=True)
    sql(publisher, "insert into received values (1, 'one')", "truncate received",
        "insert into received values (2, 'two')")
    end = sql(publisher, "select pg_current_wal_lsn()").strip()
    output = tmp_path / "received"
    subprocess.run([*program, "--start", "-f", output, "--endpos", end, "--no-loop", *options],
                   env=publisher.environment(), check=True, timeout=PATIENCE)
    found = output.read_bytes()
    begins = [line[:1] for line in found.split(b"\n")]
    for message in (b"B", b"R", b"I", b"T", b"C"):
        assert message in begins, found
    assert b"one" in found and b"two" in found
    subprocess.run([*program, "--drop-slot"], env=publisher.environment(), check=True)
    sql(publisher, "drop publication received", "drop table received")


# --- Physical ---


def test_a_base_backup_is_a_cluster(publisher, install, tmp_path):
    sql(publisher, "create table backed_up (id int primary key, t text)",
        "insert into backed_up select i, 'row ' || i from generate_series(1, 10000) i")
    stop = threading.Event()

    def write():
        number = 20000
        while not stop.is_set():
            sql(publisher, f"insert into backed_up values ({number}, 'meanwhile')")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    copy = tmp_path / "backup"
    try:
        subprocess.run([install / "bin/pg_basebackup", "-D", copy, "-X", "stream", "-c", "fast"],
                       env=publisher.environment(), check=True, timeout=PATIENCE)
    finally:
        stop.set()
        writer.join()
    # Its WAL, too, is read.
    subprocess.run([install / "bin/pg_verifybackup", copy], check=True, timeout=PATIENCE)
    with opened(tmp_path, install, copy) as restored:
        assert sql(restored, "select count(*), max(t) from backed_up where id <= 10000") == "10000|row 9999\n"
        inserted = int(sql(restored, "select count(*) from backed_up where id >= 20000"))
        assert sql(restored, "select min(id), max(id) from backed_up where id >= 20000") == (
            f"20000|{19999 + inserted}\n")
        sql(restored, "insert into backed_up values (0, 'goes on')", "select pg_switch_wal()", "checkpoint")
    sql(publisher, "drop table backed_up")


def test_pg_receivewal(publisher, install, tmp_path):
    received = tmp_path / "wal"
    received.mkdir()
    # From here on its WAL is kept.
    sql(publisher, "select pg_create_physical_replication_slot('received_wal', true)")
    first = sql(publisher, "select pg_walfile_name(pg_current_wal_lsn())").strip()
    sql(publisher, "create table received_wal as select generate_series(1, 100000)", "select pg_switch_wal()")
    end = sql(publisher, "create table received_more as select generate_series(1, 1000)",
              "select pg_current_wal_flush_lsn()").strip()
    sql(publisher, "create table received_last as select generate_series(1, 1000)")
    subprocess.run([install / "bin/pg_receivewal", "-D", received, "--slot", "received_wal", "--endpos", end,
                    "--no-loop", "--synchronous"], env=publisher.environment(), check=True, timeout=PATIENCE)
    names = sorted(file.name for file in received.iterdir())
    assert first in names and any(name.endswith(".partial") for name in names), names
    original = pathlib.Path(publisher.data_dir) / "pg_wal" / first
    assert (received / first).read_bytes() == original.read_bytes()
    until(lambda: sql(publisher, "select active from pg_replication_slots where slot_name = 'received_wal'"), "f\n")
    sql(publisher, "select pg_drop_replication_slot('received_wal')",
        "drop table received_wal, received_more, received_last")
