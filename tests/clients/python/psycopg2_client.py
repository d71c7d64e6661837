import io
import select
import threading
import time

import psycopg2
import psycopg2.errors
import psycopg2.extras
import psycopg2.pool
from checks import CA, DATABASE, HOST, PASSWORD, PORT, USER, at_once, check


def connect(**options):
    return psycopg2.connect(
        **{"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "dbname": DATABASE} | options)


def one(connection, sql, values=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


@check
def settings():
    c = connect(application_name="me", options="-c work_mem=5MB")
    assert one(c, "show work_mem") == "5MB" and one(c, "show application_name") == "me"
    c.close()


@check
def prepared():
    c = connect()
    with c.cursor() as cursor:
        cursor.execute("prepare plus (int) as select $1 + 1")
        for n in range(100):
            cursor.execute("execute plus (%s)", [n])
            assert cursor.fetchone() == (n + 1,)
    c.close()


@check
def binary():
    c = connect()
    data = bytes(range(256)) * 1000
    assert bytes(one(c, "select %s::bytea", [psycopg2.Binary(data)])) == data
    psycopg2.extras.register_uuid()
    assert one(c, "select %s::jsonb", [psycopg2.extras.Json({"a": [1]})]) == {"a": [1]}
    assert one(c, "select %s", [[1, None, 3]]) == [1, None, 3]
    c.close()


@check
def copy():
    c = connect()
    with c.cursor() as cursor:
        cursor.execute("create temp table t (n int, s text)")
        cursor.copy_expert("copy t from stdin", io.StringIO("".join(f"{n}\trow {n}\n" for n in range(100000))))
        out = io.StringIO()
        cursor.copy_expert("copy t to stdout", out)
        assert out.getvalue().count("\n") == 100000
        try:
            cursor.copy_expert("copy t from stdin", io.StringIO("x\ty\n" * 100000))
            raise AssertionError("no error")
        except psycopg2.errors.InvalidTextRepresentation:
            c.rollback()
    c.close()


@check
def errors():
    c = connect()
    for sql, error in [("selec", psycopg2.errors.SyntaxError), ("select 1/0", psycopg2.errors.DivisionByZero),
                       ("table missing", psycopg2.errors.UndefinedTable)]:
        try:
            one(c, sql)
            raise AssertionError(sql)
        except error:
            c.rollback()
    try:
        connect(dbname="missing")
        raise AssertionError("no error")
    except psycopg2.OperationalError as e:
        assert 'database "missing" does not exist' in str(e)
    c.close()


@check
def transactions():
    c = connect()
    with c, c.cursor() as cursor:
        cursor.execute("create table tx2 (n int)")
    try:
        with c, c.cursor() as cursor:
            cursor.execute("insert into tx2 values (1)")
            raise RuntimeError
    except RuntimeError:
        pass
    assert one(c, "select count(*) from tx2") == 0
    c.set_session(isolation_level="SERIALIZABLE", readonly=True) if c.rollback() is None else None
    assert one(c, "show transaction_isolation") == "serializable"
    c.rollback()
    c.set_session(readonly=False)
    with c, c.cursor() as cursor:
        cursor.execute("drop table tx2")
    c.close()


@check
def two_phase():
    c = connect()
    xid = c.xid(1, "global", "branch")
    c.tpc_begin(xid)
    assert one(c, "select 1") == 1
    c.tpc_prepare()
    c.reset()
    c.close()
    c = connect()
    assert [x.gtrid for x in c.tpc_recover()] == ["global"]
    c.tpc_rollback(xid)
    assert c.tpc_recover() == []
    c.close()


@check
def cursors():
    c = connect()
    with c.cursor("named", scrollable=True) as cursor:
        cursor.itersize = 100
        cursor.execute("select generate_series(1, 10000)")
        assert sum(row[0] for row in cursor) == 50005000
        cursor.scroll(0, mode="absolute")
        assert cursor.fetchone() == (1,)
    c.close()


@check
def cancel():
    c = connect()
    timer = threading.Timer(0.3, c.cancel)
    timer.start()
    began = time.monotonic()
    try:
        one(c, "select pg_sleep(30)")
        raise AssertionError("no error")
    except psycopg2.errors.QueryCanceled:
        assert time.monotonic() - began < 10
    timer.join()
    c.rollback()
    assert one(c, "select 1") == 1
    c.close()


@check
def notify():
    a, b = connect(), connect()
    a.autocommit = b.autocommit = True
    a.cursor().execute("listen news")
    b.cursor().execute("notify news, 'hello'")
    assert select.select([a], [], [], 10)[0]
    a.poll()
    assert [(n.channel, n.payload) for n in a.notifies] == [("news", "hello")]
    a.close()
    b.close()


@check
def pool():
    pool = psycopg2.pool.ThreadedConnectionPool(
        10, 10, host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=DATABASE)
    c = pool.getconn()
    with c, c.cursor() as cursor:
        cursor.execute("create table counter2 (n int); insert into counter2 values (0)")
    pool.putconn(c)

    def work(_):
        for _ in range(50):
            c = pool.getconn()
            with c, c.cursor() as cursor:
                cursor.execute("update counter2 set n = n + 1")
            pool.putconn(c)

    at_once(10, work)
    c = pool.getconn()
    assert one(c, "select n from counter2") == 500
    with c, c.cursor() as cursor:
        cursor.execute("drop table counter2")
    pool.closeall()


@check
def encodings():
    c = connect()
    c.set_client_encoding("LATIN1")
    assert one(c, "select 'ü'") == "ü"
    c.close()


@check
def tls():
    if CA:
        c = connect(sslmode="verify-full", sslrootcert=CA, host="localhost")
        assert c.info.ssl_in_use and one(c, "select 1") == 1
        c.close()
