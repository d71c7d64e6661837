import asyncio
import datetime
import decimal
import ipaddress
import ssl
import uuid

import asyncpg
from checks import CA, DATABASE, HOST, PASSWORD, PORT, USER, report

OPTIONS = {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "database": DATABASE, "ssl": False}


def connect(**options):
    return asyncpg.connect(**OPTIONS | options)


async def settings():
    c = await connect(server_settings={"application_name": "me", "work_mem": "5MB"})
    assert await c.fetchval("show work_mem") == "5MB"
    assert c.get_settings().application_name == "me"
    await c.close()


async def prepared():
    c = await connect()
    plus = await c.prepare("select $1::int + 1")
    for n in range(200):
        assert await plus.fetchval(n) == n + 1
    assert plus.get_parameters()[0].name == "int4"
    await c.execute("create temp table t (n int)")
    await c.executemany("insert into t values ($1)", [(n,) for n in range(5000)])
    assert await c.fetchval("select count(*) from t") == 5000
    await c.close()


async def binary():
    c = await connect()
    for type_, value in [
        ("int8", -(2**40)), ("float8", 2.5), ("numeric", decimal.Decimal("12345678901234567890.123")),
        ("text", "ünd"), ("bytea", bytes(range(256))), ("bool", True), ("date", datetime.date(2024, 2, 29)),
        ("timestamptz", datetime.datetime(2024, 2, 29, 1, 2, 3, 456, datetime.timezone.utc)),
        ("interval", datetime.timedelta(days=3, seconds=5)), ("uuid", uuid.UUID(int=12345)), ("int[]", [1, None, 3]),
        ("text[]", [["a", "b"], ["c", "d"]]), ("inet", ipaddress.ip_interface("10.0.0.1/8")),
        ("int4range", asyncpg.Range(1, 5)), ("jsonb", '{"a": [1, null]}'), ("point", asyncpg.Point(1, 2)),
    ]:
        assert await c.fetchval(f"select $1::{type_}", value) == value, type_
    await c.execute("drop type if exists mood; create type mood as enum ('sad', 'happy')")
    assert await c.fetchval("select $1::mood", "happy") == "happy"
    await c.execute("drop type if exists pair; create type pair as (a int, b text)")
    assert tuple(await c.fetchval("select $1::pair", (1, "x"))) == (1, "x")
    await c.execute("drop type mood, pair")
    await c.close()


async def copy():
    c = await connect()
    await c.execute("create temp table t (n int, s text)")
    await c.copy_records_to_table("t", records=[(n, f"row {n}") for n in range(50000)])
    chunks = []

    async def keep(data):
        chunks.append(data)

    await c.copy_from_query("select * from t", output=keep, format="csv")
    assert b"".join(chunks).count(b"\n") == 50000

    async def lines():
        for n in range(1000):
            yield b"".join(b"%d\trow\n" % (n * 100 + m) for m in range(100))

    assert await c.copy_to_table("t", source=lines()) == "COPY 100000"

    async def wrong():
        for _ in range(1000):
            yield b"x\ty\n" * 1000

    try:
        await c.copy_to_table("t", source=wrong())
        raise AssertionError("no error")
    except asyncpg.InvalidTextRepresentationError:
        pass
    assert await c.fetchval("select count(*) from t") == 150000
    await c.close()


async def errors():
    c = await connect()
    for sql, error in [("selec", asyncpg.PostgresSyntaxError), ("select 1/0", asyncpg.DivisionByZeroError),
                       ("table missing", asyncpg.UndefinedTableError)]:
        try:
            await c.fetch(sql)
            raise AssertionError(sql)
        except error:
            pass
    try:
        await connect(password="wrong")
        raise AssertionError("no error")
    except asyncpg.InvalidPasswordError:
        pass
    await c.close()


async def transactions():
    c = await connect()
    await c.execute("create temp table t (n int)")
    async with c.transaction(isolation="serializable"):
        await c.execute("insert into t values (1)")
        try:
            async with c.transaction():
                await c.execute("insert into t values (2)")
                raise RuntimeError
        except RuntimeError:
            pass
    assert await c.fetchval("select sum(n) from t") == 1
    async with c.transaction():
        total = 0
        async for row in c.cursor("select generate_series(1, 10000) as n", prefetch=100):
            total += row["n"]
    assert total == 50005000
    await c.close()


async def cancel():
    c = await connect()
    try:
        await c.fetch("select pg_sleep(30)", timeout=0.3)
        raise AssertionError("no error")
    except asyncio.TimeoutError:
        pass
    assert await c.fetchval("select 1") == 1
    task = asyncio.create_task(c.fetch("select pg_sleep(30)"))
    await asyncio.sleep(0.2)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    assert await c.fetchval("select 2") == 2
    await c.close()


async def notify():
    a, b = await connect(), await connect()
    got = asyncio.get_running_loop().create_future()
    await a.add_listener("news", lambda *args: got.set_result(args[2:]))
    await b.execute("notify news, 'hello'")
    assert await asyncio.wait_for(got, 10) == ("news", "hello")
    await a.close()
    await b.close()


async def pool():
    async with asyncpg.create_pool(min_size=10, max_size=10, **OPTIONS) as pool:
        await pool.execute("create table counter_a (n int); insert into counter_a values (0)")

        async def work():
            for _ in range(50):
                async with pool.acquire() as c:
                    await c.execute("update counter_a set n = n + $1", 1)

        await asyncio.gather(*(work() for _ in range(20)))
        assert await pool.fetchval("select n from counter_a") == 1000
        await pool.execute("drop table counter_a")


async def tls():
    if CA:
        context = ssl.create_default_context(cafile=CA)
        c = await connect(ssl=context, host="localhost")
        assert await c.fetchval("select 1") == 1
        await c.close()
        c = await connect(ssl=context, host="localhost", direct_tls=False)
        await c.close()


async def main():
    for one in (settings, prepared, binary, copy, errors, transactions, cancel, notify, pool, tls):
        try:
            await asyncio.wait_for(one(), 60)
            report(one.__name__)
        except Exception as failure:
            report(one.__name__, failure)


asyncio.run(main())
