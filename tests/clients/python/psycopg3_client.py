import datetime
import decimal
import ipaddress
import threading
import time
import uuid

import psycopg
import psycopg_pool
from checks import CA, DATABASE, HOST, PASSWORD, PORT, USER, at_once, check
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

URL = f"host={HOST} port={PORT} user={USER} password={PASSWORD} dbname={DATABASE}"


def connect(extra="", **options):
    return psycopg.connect(URL + " " + extra, **options)


@check
def settings():
    with connect("application_name=me options='-c work_mem=5MB -c search_path=pg_catalog'") as c:
        assert c.execute("show work_mem").fetchone() == ("5MB",)
        assert c.execute("show search_path").fetchone() == ("pg_catalog",)
        assert c.execute("select application_name from pg_stat_activity where pid = %s",
                         [c.info.backend_pid]).fetchone() == ("me",)
        assert c.info.parameter_status("server_version").startswith("18")


@check
def protocol_3_2():
    if psycopg.pq.version() < 180000:
        return
    with connect("max_protocol_version=latest") as c:
        assert c.pgconn.full_protocol_version == 30002
        assert c.execute("select 1").fetchone() == (1,)


@check
def prepared():
    with connect() as c:
        for n in range(200):
            assert c.execute("select %s::int + 1", [n], prepare=True).fetchone() == (n + 1,)
        assert c.execute("select count(*) from pg_prepared_statements").fetchone()[0] >= 1


@check
def binary():
    values = [
        5, -(2**40), 2.5, decimal.Decimal("12345678901234567890.123"), "ünd", b"\0\1\xff", True, None,
        datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3, 456),
        datetime.datetime(2024, 2, 29, 1, 2, 3, 456, datetime.timezone.utc), datetime.timedelta(days=3, seconds=5),
        uuid.UUID(int=12345), [1, 2, None], [["a", "b"], ["c", "d"]], ipaddress.ip_address("10.0.0.1"),
        Range(1, 5, "[)"),
    ]
    for as_binary in (False, True):
        with connect() as c, c.cursor(binary=as_binary) as cursor:
            casts = [{list: "::text[]", Range: "::int4range"}.get(type(value), "") for value in values]
            casts[values.index([1, 2, None])] = "::int[]"
            mark = "%b" if as_binary else "%t"
            cursor.execute("select " + ", ".join(mark + cast for cast in casts), values)
            got = list(cursor.fetchone())
            assert got == values, [pair for pair in zip(got, values) if pair[0] != pair[1]]
            cursor.execute("select %s::jsonb", [Jsonb({"a": [1, None]})])
            assert cursor.fetchone() == ({"a": [1, None]},)


@check
def copy():
    with connect() as c:
        c.execute("create temp table t (n int, s text)")
        with c.cursor().copy("copy t from stdin") as copy:
            for n in range(50000):
                copy.write_row((n, f"row\t{n}"))
        with c.cursor().copy("copy t from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            for n in range(50000):
                copy.write_row((n, f"binary {n}"))
        assert c.execute("select count(*), sum(n) from t").fetchone() == (100000, 2 * sum(range(50000)))
        with c.cursor().copy("copy (select * from t order by n, s) to stdout") as copy:
            copy.set_types(["int4", "text"])
            rows = list(copy.rows())
        assert len(rows) == 100000 and rows[0] == (0, "binary 0")
        try:
            with c.cursor().copy("copy t from stdin") as copy:
                for n in range(100000):
                    copy.write_row(("x", "y"))
            raise AssertionError("no error")
        except psycopg.errors.InvalidTextRepresentation:
            c.rollback()


@check
def errors():
    with connect(autocommit=True) as c:
        c.execute("create temp table t (n int primary key)")
        c.execute("insert into t values (1)")
        for sql, error in [
            ("insert into t values (1)", psycopg.errors.UniqueViolation), ("selec", psycopg.errors.SyntaxError),
            ("select 1/0", psycopg.errors.DivisionByZero), ("table missing", psycopg.errors.UndefinedTable),
        ]:
            try:
                c.execute(sql)
                raise AssertionError(sql)
            except error as e:
                assert e.diag.severity == "ERROR" and e.diag.message_primary
        assert c.execute("select count(*) from t").fetchone() == (1,)


@check
def transactions():
    with connect() as c:
        c.execute("create temp table t (n int)")
        with c.transaction():
            c.execute("insert into t values (1)")
            try:
                with c.transaction():
                    c.execute("insert into t values (2)")
                    raise RuntimeError
            except RuntimeError:
                pass
        assert c.execute("select sum(n) from t").fetchone() == (1,)


@check
def two_phase():
    with connect() as c:
        c.execute("create table if not exists tpc (n int)")
        c.commit()
        c.tpc_begin("psycopg3")
        c.execute("insert into tpc values (1)")
        c.tpc_prepare()
        c.tpc_commit()
        assert c.execute("select count(*) from tpc").fetchone() == (1,)
        c.execute("drop table tpc")


@check
def pipeline():
    with connect(autocommit=True) as c:
        with c.pipeline(), c.cursor() as cursor:
            cursor.execute("create temp table t (n int)")
            cursor.executemany("insert into t values (%s)", [(n,) for n in range(5000)])
        assert c.execute("select count(*) from t").fetchone() == (5000,)
        try:
            with c.pipeline():
                c.execute("select 1/0")
                c.execute("select 1")
            raise AssertionError("no error")
        except psycopg.errors.DivisionByZero:
            pass
        assert c.execute("select 1").fetchone() == (1,)


@check
def cursors():
    with connect() as c, c.cursor(name="named") as cursor:
        cursor.itersize = 100
        cursor.execute("select generate_series(1, 10000)")
        assert sum(row[0] for row in cursor) == 50005000


@check
def cancel():
    for how in ("cancel", "cancel_safe"):
        with connect() as c:
            timer = threading.Timer(0.3, getattr(c, how))
            timer.start()
            began = time.monotonic()
            try:
                c.execute("select pg_sleep(30)")
                raise AssertionError("no error")
            except psycopg.errors.QueryCanceled:
                assert time.monotonic() - began < 10
            timer.join()
            c.rollback()
            assert c.execute("select 1").fetchone() == (1,)


@check
def notify():
    with connect(autocommit=True) as one, connect(autocommit=True) as two:
        one.execute("listen news")
        threading.Timer(0.2, lambda: two.execute("notify news, 'hello'")).start()
        got = list(one.notifies(timeout=10, stop_after=1))
        assert [(n.channel, n.payload, n.pid) for n in got] == [("news", "hello", two.info.backend_pid)]


@check
def pool():
    with connect(autocommit=True) as c:
        c.execute("drop table if exists counter")
        c.execute("create table counter (n int)")
        c.execute("insert into counter values (0)")
    with psycopg_pool.ConnectionPool(URL, min_size=10, max_size=10) as pool:
        def work(_):
            for _ in range(50):
                with pool.connection() as c:
                    c.execute("update counter set n = n + 1")

        at_once(20, work)
        with pool.connection() as c:
            assert c.execute("select n from counter").fetchone() == (1000,)
            c.execute("drop table counter")


@check
def tls():
    if CA:
        with connect(f"sslmode=verify-full sslrootcert={CA} host=localhost") as c:
            assert c.pgconn.ssl_in_use and c.execute("select 1").fetchone() == (1,)
        if psycopg.pq.version() >= 170000:
            with connect(f"sslmode=verify-full sslnegotiation=direct sslrootcert={CA} host=localhost") as c:
                assert c.execute("select 1").fetchone() == (1,)
