"""32 clients that come and leave all the time, for MINUTES: serve must be flat at the end.

    soak_clients.py MINUTES PROGRAM DIRECTORY

Two servers get the same load: one on a new data directory below DIRECTORY (durability full), one on memory://. A client
lives for some acts (Client.ACTS), as one of several roles in one of several databases, and leaves in one of several ways
(Client.LEAVE): in order, or abruptly in the middle of a message, a transaction, a COPY or a result. What the load keeps is
bounded. Every few seconds memory, descriptors, mappings, threads, what PostgreSQL's views show of sessions and locks, and
the sizes of data, WAL, temporary files and shared memory segments are noted, and judged at the end (soaking.py).

At the end nobody may be left, as many sessions as max_connections must open at once and one more must not, the accounts
must add up, and the server must end in order. An answer that no act expects is a failure, and so is an act that takes
TIMEOUT seconds. Exit code 1, with what failed or grew. SOAK_SEED repeats the choices (not their order between clients).
"""

import asyncio
import collections
import multiprocessing
import os
import random
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import pgwire as w  # noqa: E402
from serving import Refused, Server, cancel_request, eventually  # noqa: E402
from soaking import Figure, judge, status_line  # noqa: E402

CLIENTS = 32
CONNECTIONS = 100
TIMEOUT = 120.0
ACCOUNTS = 50
START = 1000
SAMPLE_EVERY = 3
SEED = int(os.environ.get("SOAK_SEED", "1"))
DATABASES = ("postgres", "shop", "other")
ROLES = ("postgres", "alice", "bob")
# Short, so that there are many rounds of house-keeping to compare.
SETTINGS = (
    f"-c max_connections={CONNECTIONS} -c max_wal_size=128MB -c min_wal_size=64MB -c checkpoint_timeout=30s"
    " -c autovacuum_naptime=10s -c deadlock_timeout=50ms -c log_min_messages=panic -c temp_file_limit=200MB"
    # Few, so that all of them have soon been used.
    " -c shared_buffers=32MB"
)

# Sessions differ in what they do and when they leave, so these go up and down by some. Grain as in soak.py.
FIGURES = {
    "rss": Figure(16), "pss": Figure(8), "page tables": Figure(2), "data": Figure(8), "wal": Figure(34),
    "temporary": Figure(4), "shared": Figure(4), "descriptors": Figure(30, "descriptors"),
    "mappings": Figure(60, "mappings"), "threads": Figure(2, "threads"), "segments": Figure(4, "segments"),
    "sessions": Figure(4, "sessions"), "processes": Figure(4, "processes"), "locks": Figure(30, "locks"),
    # Those of dropped tables stay until the next checkpoint. Orphans: of no database.
    "files": Figure(200, "files"), "orphans": Figure(1, "directories"), "relations": Figure(60, "relations"), "listening": Figure(5, "thousandths"),
}  # fmt: skip

ROLES_AND_DATABASES = """
create role alice login; create role bob login; grant alice to bob;
create database shop owner alice; create database other;
"""
SETUP = f"""
create table account (id int primary key, amount int not null);
insert into account select g, {START} from generate_series(1, {ACCOUNTS}) g;
create table event (id bigserial primary key, at timestamptz default now(), client int, body text);
create index on event (client, at);
create table copied (client int, a int, b text);
create index on copied (client);
grant all on all tables in schema public to public; grant all on all sequences in schema public to public;
grant all on schema public to public;
"""


class Gone(Exception):
    """The session has ended; `sqlstate` says why, if the server did."""

    def __init__(self, sqlstate: str = "", message: str = ""):
        super().__init__(f"{sqlstate} {message}")
        self.sqlstate = sqlstate


class Unexpected(Exception):
    """An answer that an act does not expect."""


class Soak:
    """One server, its clients, and what was noted."""

    def __init__(self, name: str, server: Server):
        self.name = name
        self.server = server
        self.acts = collections.Counter()
        self.ends = collections.Counter()
        self.errors = collections.Counter()
        self.failures: list[str] = []
        self.samples: list[dict[str, float]] = []
        self.stop_at = 0.0
        self.pids: set[int] = set()  # of sessions that another one may end
        self.terminated: set[int] = set()  # of those that one has ended

    def fail(self, text: str) -> None:
        self.failures.append(text)
        print(f"{self.name}: FAILURE: {text}", flush=True)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.stop_at or len(self.failures) > 20

    def prepare(self) -> None:
        self.server.sql(ROLES_AND_DATABASES.split("create database")[0]).ok()
        for statement in ROLES_AND_DATABASES.split(";"):
            if "create database" in statement:
                self.server.sql(statement).ok()
        for database in DATABASES:
            with self.server.connect(database=database) as client:
                client.query(SETUP).ok()

    # Figures --------------------------------------------------------------------------------------

    def sample(self, monitor) -> dict[str, float]:
        pid = self.server.pid
        rollup = {}
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, value = line.split(":")
            rollup[key] = int(value.split()[0]) * 1024

        def number(sql: str) -> float:
            return float(monitor.value(sql))

        files = "(select coalesce(sum((pg_stat_file('/dev/shm/' || n, true)).size), 0) from pg_ls_dir('/dev/shm') n)"
        row = monitor.query(f"""select
            (select sum(pg_database_size(d)) from unnest(array['{"','".join(DATABASES)}']::name[]) d),
            (select sum(size) from pg_ls_waldir()),
            (select coalesce(sum(size), 0) from pg_ls_tmpdir()),
            {files}, (select count(*) from pg_ls_dir('/dev/shm')),
            (select count(*) from pg_stat_activity where backend_type = 'client backend'),
            (select count(*) from pg_stat_activity), (select count(*) from pg_locks),
            (select sum((select count(*) from pg_ls_dir('base/' || oid, true, false))) from pg_database
              where datname in ('{"','".join(DATABASES)}')),
            (select count(*) from pg_ls_dir('base') d where d <> 'pgsql_tmp'
              and d not in (select oid::text from pg_database)),
            (select count(*) from pg_class), pg_notification_queue_usage() * 1000""").ok().rows[0]
        names = ("data", "wal", "temporary", "shared", "segments", "sessions", "processes", "locks", "files",
                 "orphans", "relations", "listening")
        values = dict(zip(names, map(float, row)))
        values |= {
            "rss": rollup["Rss"], "pss": rollup["Pss"], "page tables": self.server.memory("VmPTE"),
            "descriptors": self.server.descriptors(), "mappings": self.server.mappings(),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
        }  # fmt: skip
        return {key: values[key] for key in FIGURES}

    def watch(self) -> None:
        """Notes figures until the time is over; in a thread of its own."""
        began = time.monotonic()
        next_line = began
        with self.server.connect() as monitor:
            monitor.socket.settimeout(TIMEOUT)
            while not self.over:
                try:
                    self.samples.append(self.sample(monitor))
                except Exception as error:
                    self.fail(f"figures cannot be had: {error!r}")
                    return
                if time.monotonic() >= next_line:
                    next_line += 60
                    print(f"{self.name}: {time.monotonic() - began:.0f} s, {sum(self.ends.values())} sessions,"
                          f" {sum(self.acts.values())} acts; {status_line(self.samples[-1], FIGURES)}", flush=True)  # fmt: skip
                time.sleep(SAMPLE_EVERY)

    # Running --------------------------------------------------------------------------------------

    async def lives(self, number: int) -> None:
        chance = random.Random(SEED * 1000 + number)
        while not self.over:
            client = Client(self, number, chance)
            try:
                await client.live()
            except TimeoutError:
                self.fail(f"client {number}: no answer in {TIMEOUT:.0f} s: {client.doing}; {self.activity()}")
            except Gone as gone:
                # PostgreSQL says nothing where it is ended while its client does not read.
                expected = {"57P01", ""} if client.pid in self.terminated else client.may_end_with
                if gone.sqlstate not in expected:
                    self.fail(f"client {number}: the session has ended: {client.doing}: {gone}")
                self.ends[gone.sqlstate or "closed"] += 1
            except (Unexpected, w.ProtocolError, AssertionError) as error:
                self.fail(f"client {number}: {client.doing}: {error!r}")
            except OSError as error:
                self.fail(f"client {number}: {client.doing}: {error!r}")
                await asyncio.sleep(1)
            finally:
                client.drop()

    def activity(self) -> str:
        try:
            return self.server.sql(
                "select string_agg(concat_ws(' ', pid, datname, state, wait_event_type, wait_event, left(query, 60)), ' | ')"
                " from pg_stat_activity").ok().value  # fmt: skip
        except Exception as error:
            return f"and pg_stat_activity: {error!r}"

    async def load(self, minutes: float) -> None:
        self.stop_at = time.monotonic() + 60 * minutes
        watching = asyncio.create_task(asyncio.to_thread(self.watch))
        await asyncio.gather(*(self.lives(number) for number in range(CLIENTS)))
        await watching

    def end(self, before: dict[str, float]) -> None:
        """Everybody has left."""
        with self.server.connect() as monitor:
            def others() -> int:
                return int(monitor.value("select count(*) from pg_stat_activity where backend_type = 'client backend'")) - 1

            try:
                eventually(lambda: others() == 0, TIMEOUT)
            except AssertionError:
                self.fail(f"{others()} sessions are left: {self.activity()}")
            monitor.query("checkpoint").ok()  # the files of dropped tables stay until then
            after = self.sample(monitor)
            print(f"{self.name}: before: {status_line(before, FIGURES)}", flush=True)
            print(f"{self.name}: after:  {status_line(after, FIGURES)}", flush=True)
            # An autovacuum worker may be at work.
            strange = monitor.query("""select locktype, mode, pid from pg_locks where pid <> pg_backend_pid() and pid not in
                (select pid from pg_stat_activity where backend_type <> 'client backend')""").ok().rows
            if strange:
                self.fail(f"locks are left: {strange[:10]}")
            left = monitor.query("select relname from pg_class where relpersistence = 't'").ok().rows
            if left:
                self.fail(f"temporary relations are left: {left[:10]}")
        for database in DATABASES:
            total = self.server.sql("select sum(amount) from account", database=database).ok().value
            if total != str(START * ACCOUNTS):
                self.fail(f"the accounts of {database} are {total}, not {START * ACCOUNTS}")
        self.fill()

    def fill(self) -> None:
        """All sessions that there may be, at once: no entry of PostgreSQL's process array has been lost."""
        sessions = []
        try:
            eventually(lambda: self.server.sessions() == 0, TIMEOUT)

            def one_more() -> bool:
                # What has just left may still be leaving.
                try:
                    sessions.append(self.server.connect())
                except Refused as refused:
                    if refused.sqlstate != "53300":
                        raise
                return len(sessions) == CONNECTIONS

            eventually(one_more, TIMEOUT, lambda: f"only {len(sessions)} of {CONNECTIONS} sessions can be opened")
            for client in sessions:
                client.query("select 1").ok()
            try:
                self.server.connect().close()
                self.fail(f"there are more than {CONNECTIONS} sessions")
            except Refused as refused:
                if refused.sqlstate != "53300":
                    self.fail(f"one session too many is refused with {refused}")
        except (AssertionError, Refused, OSError) as error:
            self.fail(f"{len(sessions)} sessions could be opened at the end: {error}")
        finally:
            for client in sessions:
                client.close()


class Client:
    """One session from its start to its end."""

    def __init__(self, soak: Soak, number: int, chance: random.Random):
        self.soak, self.number, self.chance = soak, number, chance
        self.role, self.database = chance.choice(ROLES), chance.choice(DATABASES)
        self.reader = self.writer = None
        self.pid, self.key = 0, b""
        self.doing = "start"
        self.may_end_with: set[str] = set()

    # The connection -------------------------------------------------------------------------------

    async def open(self, database: str | None = None, role: str | None = None) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self.soak.server.tcp, limit=1 << 18)
        self.writer.write(w.startup(role or self.role, database or self.database, application_name=f"client {self.number}"))
        for m in await self.messages():
            if m.kind == "K":
                self.pid, self.key = struct.unpack_from("!I", m.body)[0], m.body[4:]

    async def message(self) -> w.Message:
        try:
            head = await self.reader.readexactly(5)
            body = await self.reader.readexactly(struct.unpack_from("!I", head, 1)[0] - 4)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Gone() from None
        m = w.Message(chr(head[0]), body)
        if m.kind == "E":
            fields = w.fields_of(m)
            if fields["S"] in ("FATAL", "PANIC"):
                raise Gone(fields["C"], fields["M"])
        return m

    async def messages(self, until: str = "Z") -> list[w.Message]:
        found = []
        while not found or found[-1].kind not in until:
            found.append(await self.message())
        return found

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def request(self, raw: bytes, *expected: str, until: str = "Z") -> w.Result:
        """The answer: without an error, or with one of the expected ones if there are any ('' is none)."""
        self.send(raw)
        result = w.Result(b"".join(m.encode() for m in await self.messages(until)))
        self.check(result, raw, expected)
        return result

    def check(self, result: w.Result, raw: bytes, expected: tuple[str, ...]) -> None:
        state = result.sqlstate or ""
        if state:
            self.soak.errors[state] += 1
        if state not in (expected or ("",)):
            raise Unexpected(f"{raw[:300]!r} is answered: {result.describe()[:600]}")

    async def run(self, sql: str, *expected: str) -> w.Result:
        return await self.request(w.query(sql), *expected)

    def drop(self, abruptly: bool = False) -> None:
        if self.writer is None:
            return
        if abruptly:  # a reset, without the goodbye of TCP
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # fmt: skip
            self.writer.transport.abort()
        else:
            self.writer.close()
        self.writer = None

    async def cancel(self) -> None:
        _, writer = await asyncio.open_connection(*self.soak.server.tcp)
        writer.write(cancel_request(self.pid, self.key))
        writer.close()

    # A life ---------------------------------------------------------------------------------------

    async def live(self) -> None:
        if self.chance.random() < 0.05:
            await self.do(Client.fail_to_open)
            return
        await self.do(Client.open)
        self.soak.pids.add(self.pid)
        self.soak.terminated.discard(self.pid)  # an earlier one with the same number
        try:
            for _ in range(self.chance.randrange(1, 12)):
                act = self.chance.choices(*zip(*self.ACTS))[0]
                await self.do(act)
                self.soak.acts[act.__name__] += 1
                if self.soak.over:
                    break
            leave = self.chance.choice(self.LEAVE)
            await self.do(leave)
            self.soak.ends[leave.__name__] += 1
        finally:
            self.soak.pids.discard(self.pid)

    async def do(self, what) -> None:
        self.doing = what.__name__
        async with asyncio.timeout(TIMEOUT):
            await what(self)

    async def fail_to_open(self) -> None:
        how = self.chance.randrange(5)
        self.doing = f"fail_to_open {how}"
        if how < 2:
            self.may_end_with = {"3D000"} if how else {"28000", "28P01"}
            await self.open(*(["missing", "postgres"] if how else ["postgres", "missing"]))
            raise Unexpected("it is let in")
        self.may_end_with = {"08P01", "0A000", ""}
        self.reader, self.writer = await asyncio.open_connection(*self.soak.server.tcp)
        if how == 2:  # half a startup packet
            self.send(w.startup()[:20])
            await asyncio.sleep(self.chance.random())
        elif how == 3:  # rubbish
            self.send(b"GET / HTTP/1.1\r\n\r\n")
            await self.reader.read()
        else:  # nothing but the start
            self.send(w.startup())
        self.drop(abruptly=self.chance.random() < 0.5)
        self.soak.ends[self.doing] += 1

    async def transfer(self) -> None:
        source, target = self.chance.sample(range(1, ACCOUNTS + 1), 2)
        amount = self.chance.randrange(1, 10)
        await self.run("begin")
        for sql in (f"update account set amount = amount - {amount} where id = {source}",
                    f"update account set amount = amount + {amount} where id = {target}"):  # fmt: skip
            if (await self.run(sql, "", "40P01")).errors:
                await self.run("rollback")
                return
        await self.run(self.chance.choice(("commit", "commit", "rollback")))

    async def events(self) -> None:
        await self.run(f"insert into event (client, body) select {self.number}, repeat(md5(g::text), 4) from generate_series(1, 20) g")
        await self.run(f"delete from event where client = {self.number} and id < (select max(id) - 5000 from event)")

    async def prepared(self) -> None:
        name = f"s{self.chance.randrange(10)}"
        await self.request(w.close_statement(name) + w.parse("select amount from account where id = $1", name)
                           + w.describe_statement(name) + w.sync())  # fmt: skip
        one = w.bind((str(self.chance.randrange(1, ACCOUNTS)),), name) + w.describe_portal() + w.execute()
        result = await self.request(one * 10 + w.sync())
        if len(result.raw_rows) != 10:
            raise Unexpected(result.describe())
        await self.request(w.bind(("x",), name) + w.execute() + w.sync(), "22P02")

    async def portals(self) -> None:
        await self.request(w.parse("select g, repeat('p', 100) from generate_series(1, 1000) g") + w.bind(portal="p")
                           + w.execute("p", 100) + w.flush(), until="s")  # fmt: skip
        await self.request(w.execute("p", 50) + w.flush(), until="s")
        await self.request(w.sync())

    async def copy(self) -> None:
        rows = "".join(f"{self.number}\t{i}\tvalue {i}\n" for i in range(300))
        await self.request(w.query("copy copied from stdin"), until="G")
        await self.request(w.copy_data(rows) + w.copy_done())
        out = await self.run(f"copy (select * from copied where client = {self.number}) to stdout")
        if out.copied.count(b"\n") < 300:
            raise Unexpected("COPY gives fewer rows than went in")
        await self.run(f"delete from copied where client = {self.number}")
        await self.request(w.query("copy copied from stdin"), until="G")
        ending = w.copy_fail("no more") if self.chance.random() < 0.5 else w.copy_data("no number\n") + w.copy_done()
        await self.request(w.copy_data(rows) + ending, "57014", "22P02")

    async def temporary(self) -> None:
        await self.run("create temp table if not exists scratch (a int, b text); insert into scratch select g, md5(g::text)"
                       " from generate_series(1, 500) g; create index on scratch (b)")  # fmt: skip
        if self.chance.random() < 0.5:
            await self.run("drop table scratch")
        await self.run("begin; create temp table short (a int) on commit drop; insert into short values (1); commit")

    async def notify(self) -> None:
        await self.run("listen news; listen other_news")
        await self.run(f"notify news, 'from {self.number}'; select pg_notify('other_news', repeat('n', 1000))")
        if self.chance.random() < 0.3:
            await self.run("unlisten *")

    async def errors(self) -> None:
        for sql, state in (("select 1/0", "22012"), ("select nonsense", "42703"), ("selec", "42601"),
                           ("insert into account values (1, 1)", "23505"), ("select * from missing", "42P01"),
                           ("select repeat('x', 2000000000)", "54000")):  # fmt: skip
            await self.run(sql, state)
        await self.request(w.parse("select $1::int") + w.bind(("x",)) + w.execute() + w.sync(), "22P02")

    async def aborted(self) -> None:
        await self.run("begin; insert into event (client, body) select 0, 'x' from generate_series(1, 100)")
        await self.run("select 1/0", "22012")
        await self.run("select 1", "25P02")
        await self.run("rollback")
        await self.run("begin; savepoint a; select count(*) from event")
        await self.run("savepoint b; select 1/0", "22012")
        await self.run("rollback to b; release a; commit")

    async def ddl(self) -> None:
        name = f"made_{self.number}"
        if self.role == "bob":
            await self.run("set role alice")
        await self.run(f"drop table if exists {name} cascade", "", "42501")
        result = await self.run(f"create table {name} (a int primary key, b text)", "", "42P07")
        if not result.errors:
            await self.run(f"insert into {name} select g, g::text from generate_series(1, 200) g; create index on {name} (b);"
                           f" alter table {name} add column c int default 3; create view seen_{self.number} as select * from {name}")  # fmt: skip
            await self.run(f"drop view seen_{self.number}")
            if self.chance.random() < 0.3:
                await self.run(f"vacuum analyze {name}")
            await self.run(f"drop table {name}")
        await self.run("reset role")

    async def database_ddl(self) -> None:
        """What only a superuser does, and seldom."""
        if self.role != "postgres":
            await self.run("create database no_such_right", "42501")
            return
        name = f"made_{self.number}"
        await self.run(f"drop database if exists {name}")
        await self.run(f"drop role if exists {name}")
        # Somebody may be connecting to the template, or making one, too.
        if not (await self.run(f"create database {name}", "", "55006")).errors:
            other = Client(self.soak, self.number, self.chance)
            try:
                await other.open(name, "postgres")
                await other.run("create table t (a int); insert into t select generate_series(1, 1000)")
                if self.chance.random() < 0.5:
                    other.drop()
                await self.run(f"drop database {name} with (force)")
            finally:
                other.drop()
        await self.run(f"create role {name} login; drop role {name}")

    async def house_keeping(self) -> None:
        if self.role == "postgres":
            await self.run(self.chance.choice(("vacuum account", "vacuum event", "analyze", "checkpoint", "reindex table account",
                                               "vacuum copied", "select pg_switch_wal()")), "", "40P01")  # fmt: skip

    async def spill(self) -> None:
        """A temporary file."""
        await self.run("set work_mem = '64kB'; select count(*) from (select g from generate_series(1, 30000) g order by md5(g::text)) t;"
                       " reset work_mem")  # fmt: skip

    async def parallel(self) -> None:
        """Parallel workers: segments of shared memory and processes."""
        await self.run("set debug_parallel_query = on; set max_parallel_workers_per_gather = 2")
        await self.run("select count(*), sum(length(body)) from event")
        await self.run("reset debug_parallel_query; reset max_parallel_workers_per_gather")

    async def cursor(self) -> None:
        await self.run("begin; declare c cursor for select * from account order by id; fetch 5 from c")
        await self.run("declare h cursor with hold for select g from generate_series(1, 5000) g; commit; fetch 3 from h")
        if self.chance.random() < 0.7:
            await self.run("close h")
        else:
            await self.run("close all")

    async def plpgsql(self) -> None:
        await self.run("do $$ begin for i in 1..100 loop begin if i % 20 = 0 then raise division_by_zero; end if;"
                       " perform amount from account where id = i % 50;"
                       " exception when division_by_zero then null; end; end loop; end $$")  # fmt: skip

    async def large(self) -> None:
        result = await self.run("select g, repeat('l', 100) from generate_series(1, 10000) g")
        if len(result.raw_rows) != 10000:
            raise Unexpected(f"{len(result.raw_rows)} rows of 10000")

    async def cancelled(self) -> None:
        sql = self.chance.choice((
            "select pg_sleep(100)", "select count(*) from generate_series(1, 2000000000)",
            "select g, repeat('c', 200) from generate_series(1, 100000000) g"))  # fmt: skip
        self.send(w.query(sql))
        await asyncio.sleep(self.chance.random() * 0.2)
        asking = asyncio.create_task(self.keep_cancelling())
        try:
            last = None
            while (m := await self.message()).kind != "Z":
                last = m if m.kind == "E" else last
        finally:
            asking.cancel()
        state = w.fields_of(last)["C"] if last else ""
        self.soak.errors[state] += 1
        if state != "57014":
            raise Unexpected(f"{sql!r} is cancelled with {state!r}")
        # A request that was late cancels what comes next.
        await asyncio.sleep(0.05)
        await self.run("select 1", "", "57014")
        await self.run("select 1", "", "57014")

    async def keep_cancelling(self) -> None:
        while True:
            await self.cancel()
            await asyncio.sleep(1)

    async def timed_out(self) -> None:
        await self.run("set statement_timeout = '30ms'")
        await self.run("select pg_sleep(10)", "57014")
        await self.run("set statement_timeout = 0", "", "57014")
        await self.run("reset statement_timeout", "", "57014")

    async def advisory(self) -> None:
        await self.run(f"select pg_advisory_lock({self.number}); select pg_try_advisory_lock(7), pg_advisory_lock_shared(8)")
        if self.chance.random() < 0.7:
            await self.run("select pg_advisory_unlock_all()")

    async def lock_timeout(self) -> None:
        await self.run("begin; set local lock_timeout = '20ms'")
        await self.run("lock table event in access exclusive mode", "", "55P03", "40P01", "42501")
        await self.run("rollback")

    async def end_another(self) -> None:
        if self.role == "postgres" and (pids := self.soak.pids - {self.pid}):
            pid = self.chance.choice(sorted(pids))
            self.soak.terminated.add(pid)
            await self.run(f"select pg_terminate_backend({pid})")

    async def idle(self) -> None:
        await asyncio.sleep(self.chance.random() * 0.3)

    ACTS = (
        (transfer, 20), (events, 8), (prepared, 10), (portals, 4), (copy, 6), (temporary, 5), (notify, 5), (errors, 5),
        (aborted, 5), (ddl, 3), (database_ddl, 0.3), (house_keeping, 1), (spill, 3), (parallel, 2), (cursor, 4), (plpgsql, 4),
        (large, 3), (cancelled, 4), (timed_out, 2), (advisory, 3), (lock_timeout, 2), (end_another, 0.5), (idle, 5),
    )  # fmt: skip

    # Its end --------------------------------------------------------------------------------------

    async def in_order(self) -> None:
        self.send(w.terminate())
        await self.writer.drain()
        self.drop()

    async def without_goodbye(self) -> None:
        self.drop(abruptly=self.chance.random() < 0.5)

    async def in_transaction(self) -> None:
        await self.run(f"begin; update account set amount = amount + 1 where id = {self.chance.randrange(1, ACCOUNTS)}", "", "40P01")
        self.drop(abruptly=self.chance.random() < 0.5)

    async def in_message(self) -> None:
        whole = w.query("select " + "1, " * 200 + "1")
        self.send(whole[: self.chance.randrange(1, len(whole))])
        await self.writer.drain()
        self.drop(abruptly=self.chance.random() < 0.5)

    async def in_copy(self) -> None:
        await self.request(w.query("copy copied from stdin"), until="G")
        self.send(w.copy_data(f"{self.number}\t1\tunfinished\n" * 1000))
        await self.writer.drain()
        self.drop(abruptly=self.chance.random() < 0.5)

    async def in_result(self) -> None:
        """The rest of a large result is not read."""
        self.send(w.query("select g, repeat('u', 500) from generate_series(1, 500000) g"))
        for _ in range(self.chance.randrange(1, 500)):
            await self.message()
        if self.chance.random() < 0.3:
            await asyncio.sleep(1)  # the server waits
        self.drop(abruptly=self.chance.random() < 0.5)

    async def in_query(self) -> None:
        # It ends by itself: nothing tells a session that computes that its client has gone.
        self.send(w.query(self.chance.choice((
            "select count(*) from generate_series(1, 300000)", "select pg_sleep(0.3)",
            "set work_mem = '64kB'; select g from generate_series(1, 100000) g order by md5(g::text)"))))  # fmt: skip
        await self.writer.drain()
        await asyncio.sleep(self.chance.random() * 0.1)
        self.drop(abruptly=self.chance.random() < 0.5)

    async def in_lock_wait(self) -> None:
        await self.run("begin; select pg_advisory_xact_lock_shared(99)")
        self.send(w.query("set lock_timeout = '500ms'; select pg_advisory_lock(99)"))
        await asyncio.sleep(0.05)
        self.drop(abruptly=self.chance.random() < 0.5)

    LEAVE = (in_order, in_order, in_order, without_goodbye, in_transaction, in_message, in_copy, in_result, in_query, in_lock_wait)


def soak(name: str, minutes: float, place: list[str]) -> int:
    with Server(*place, "-o", SETTINGS) as server:
        soak = Soak(name, server)
        soak.prepare()
        with server.connect() as monitor:
            before = soak.sample(monitor)
        asyncio.run(soak.load(minutes))
        grown = []
        if server.running():
            grown = judge(name, soak.samples, FIGURES) if len(soak.samples) >= 6 else []
            if len(soak.samples) < 6:
                soak.fail(f"{len(soak.samples)} samples are too few")
            soak.end(before)
            try:
                status = server.stop()
                if status != 0:
                    soak.fail(f"the server ends with {status}")
            except AssertionError as error:
                soak.fail(str(error)[-3000:])
        else:
            soak.fail(f"the server has ended with {server.returncode}")
        for title, counter in (("acts", soak.acts), ("ends", soak.ends), ("errors", soak.errors)):
            print(f"{name}: {title}: " + ", ".join(f"{key} {count}" for key, count in sorted(counter.items())), flush=True)
        if soak.failures:
            print(f"{name}: the server's log ends:\n{server.stderr()[-3000:]}", flush=True)
    if grown or soak.failures:
        print(f"{name}: FAILED: {len(soak.failures)} failures; grown: {', '.join(grown) or 'nothing'}", flush=True)
        return 1
    return 0


def run(name: str, minutes: float, place: list[str]) -> None:
    sys.exit(soak(name, minutes, place))


def main() -> int:
    minutes, program, directory = float(sys.argv[1]), sys.argv[2], sys.argv[3]
    os.environ["PGLITE_PORT"] = program
    with tempfile.TemporaryDirectory(prefix="soak-", dir=directory) as work:
        places = {"directory": ["-D", f"{work}/data", "--durability", "full"], "memory": []}
        children = [multiprocessing.Process(target=run, args=(name, minutes, place)) for name, place in places.items()]
        for child in children:
            child.start()
        for child in children:
            child.join()
        return int(any(child.exitcode for child in children))


if __name__ == "__main__":
    sys.exit(main())
