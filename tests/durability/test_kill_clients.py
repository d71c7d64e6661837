"""SIGKILL at random moments of `pglite-port serve` while 16 clients write: no acknowledged commit of any of them is
lost, none is there in part, and the directory opens each time.

Each client has a history of its own: transaction n of client c inserts its rows, and moves money between accounts
that all clients use, so that they wait for each other, are rolled back by deadlocks, and share flushes of the WAL.
After a kill a client knows which of its transactions were acknowledged, and which one was under way: there must be
exactly these, with or without the last. The accounts must be what the journal of all that is there says, by way of the
heap and of the indexes. Rounds alternate between `--durability full` and `relaxed`; every fifth kill hits the start.

At the end the cluster is dumped as SQL, and PGlite on Node runs amcheck (test_kill.py), where it is there.

A fifth of KILL_ROUNDS (25) rounds are run, five at least: `make kill-test ROUNDS=1000` runs 200. KILL_SEED repeats a
history of moments.
"""

import os
import random
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import pgwire as w  # noqa: E402
from serving import Closed, Refused, Server  # noqa: E402
from test_kill import ROUNDS, SEED, Killer, md5, run_amcheck  # noqa: E402

CLIENTS = 16
ACCOUNTS = 20
START = 1000

SETUP = f"""
create table account (id int primary key, amount int not null);
insert into account select g, {START} from generate_series(1, {ACCOUNTS}) g;
create table journal (client int, n int, source int not null, target int not null, amount int not null, primary key (client, n));
create index journal_target on journal (target);
create table item (client int, n int, part int, body text not null, primary key (client, n, part));
create index item_body on item (body);
"""


class Writer:
    """One client and what it knows of itself, over all rounds."""

    def __init__(self, number: int):
        self.number = number
        self.chance = random.Random(SEED * 100 + number)
        self.done = 0  # the last transaction that was acknowledged
        self.under_way = False  # whether the next one was sent and not answered
        self.deadlocks = 0
        self.failure = None

    def statements(self, n: int) -> list[str]:
        source, target = self.chance.sample(range(1, ACCOUNTS + 1), 2)
        amount = self.chance.randrange(1, 10)
        body = md5(f"{self.number}.{n}")
        size = 400 if n % 20 == 0 else 1
        return [
            f"insert into journal values ({self.number}, {n}, {source}, {target}, {amount})",
            f"insert into item select {self.number}, {n}, part, repeat('{body}', {size}) || part"
            f" from generate_series(1, {1 + n % 5}) part",
            f"update account set amount = amount - {amount} where id = {source}",
            f"update account set amount = amount + {amount} where id = {target}",
        ]

    def run(self, server: Server) -> None:
        try:
            with server.connect() as client:
                while True:
                    n = self.done + 1
                    statements = self.statements(n)
                    self.under_way = True
                    if n % 3 == 0:
                        result = client.query("begin; " + "; ".join(statements) + "; commit")
                    elif n % 3 == 1:
                        result = client.request(b"".join(
                            w.parse(s) + w.bind() + w.execute() for s in ["begin", *statements, "commit"]) + w.sync())
                    else:
                        for sql in ("begin", *statements, "commit"):
                            result = client.query(sql)
                            if result.errors:
                                break
                    if result.errors:
                        # Of two that wait for each other one gives way.
                        assert result.sqlstate == "40P01", result.describe()
                        client.query("rollback").ok()
                        self.deadlocks += 1
                    else:
                        assert result.tags[-1] == "COMMIT", result.tags
                        self.done = n
                    self.under_way = False
        except (Closed, Refused, OSError):
            pass
        except BaseException as failure:
            self.failure = failure


def rows(client, sql: str):
    return client.query(sql).ok().rows


def verify(server: Server, writers: list[Writer], figures: dict) -> None:
    with server.connect() as client:
        found = {int(c): (int(count), int(last)) for c, count, last in
                 rows(client, "select client, count(*), max(n) from journal group by client")}
        items = {int(c): (int(count), int(wrong)) for c, count, wrong in rows(client, """
            select client, count(*), count(*) filter (where body <>
              repeat(md5(client || '.' || n), case when n % 20 = 0 then 400 else 1 end) || part)
            from item group by client""")}
        for writer in writers:
            count, last = found.get(writer.number, (0, 0))
            possible = {writer.done} | ({writer.done + 1} if writer.under_way else set())
            assert count == last and last in possible, (
                f"client {writer.number} has {count} transactions up to {last}, acknowledged are {writer.done}")
            if writer.under_way:
                figures["in doubt, kept" if last > writer.done else "in doubt, gone"] += 1
            writer.done, writer.under_way = last, False
            expected = sum(1 + n % 5 for n in range(1, last + 1))
            assert items.get(writer.number, (0, 0)) == (expected, 0), (writer.number, items.get(writer.number), expected)
        wrong = rows(client, f"""
            select id, amount from account a where amount <> {START}
              - coalesce((select sum(amount) from journal where source = a.id), 0)
              + coalesce((select sum(amount) from journal where target = a.id), 0)""")
        assert wrong == [], wrong
        for table, columns, order in (
            ("account", "id, amount", "id"), ("journal", "client, n, target", "client, n"),
            ("journal", "target, client, n", "target"), ("item", "client, n, part, body", "client, n, part"),
            ("item", "body", "body"),
        ):
            digest = f"select md5(string_agg(t::text, ' ' order by t::text)) from (select {columns} from {table} order by {order}) t"
            client.query("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off").ok()
            by_index = client.value(digest)
            client.query("reset all; set enable_indexscan = off; set enable_indexonlyscan = off; set enable_bitmapscan = off").ok()
            assert client.value(digest) == by_index, f"an index of {table} is not its table"
            client.query("reset all").ok()


def test_kill_with_many_clients(tmp_path):
    print(f"\nKILL_SEED={SEED}")
    chance = random.Random(SEED + 1)
    rounds = max(5, ROUNDS // 5)
    data = tmp_path / "data"
    place = ("-D", data, "--socket-dir", tmp_path, "-o", "-c deadlock_timeout=20ms")
    with Server(*place) as server:
        server.sql(SETUP).ok()
        assert server.stop() == 0
    writers = [Writer(number) for number in range(1, CLIENTS + 1)]
    figures = dict.fromkeys(("kills", "at start", "in doubt, kept", "in doubt, gone"), 0)
    began = time.monotonic()
    for round_ in range(1, rounds + 1):
        durability = ("full", "relaxed")[round_ % 2]
        at_start = round_ % 5 == 0
        server = Server(*place, "--durability", durability, wait=not at_start)
        try:
            if at_start:
                Killer(server, chance.uniform(0, 0.15)).join()
                server.wait()
                figures["at start"] += 1
            else:
                verify(server, writers, figures)
                threads = [threading.Thread(target=writer.run, args=(server,)) for writer in writers]
                killer = Killer(server, chance.uniform(0.05, 0.8))
                for thread in threads:
                    thread.start()
                killer.join()
                for thread in threads:
                    thread.join()
                for writer in writers:
                    if writer.failure:
                        raise writer.failure
                assert server.wait() == -signal.SIGKILL, server.stderr()
            figures["kills"] += 1
        except BaseException:
            kept = Path(os.environ.get("KILL_KEEP") or tmp_path) / f"failed-round-{round_}"
            shutil.copytree(data, kept, dirs_exist_ok=True)
            print(f"round {round_}, {durability}: the directory is kept in {kept}\n{server.stderr()}")
            raise
        finally:
            server.kill()
        if round_ % 50 == 0:
            print(f"round {round_}: {sum(o.done for o in writers)} commits, {time.monotonic() - began:.0f} s, {figures}", flush=True)
    with Server(*place) as server:
        verify(server, writers, figures)
        assert server.stop() == 0
    dump = w.run_port("dump", "--sql", "-D", str(data), timeout=300)
    assert dump.returncode == 0, dump.stderr
    assert dump.stdout.count(b"\n") > sum(writer.done for writer in writers)
    checked = run_amcheck(data, tmp_path)
    print(
        f"{rounds} rounds in {time.monotonic() - began:.0f} s: {figures}, {sum(o.done for o in writers)} commits of"
        f" {CLIENTS} clients acknowledged or kept, 0 lost; {sum(o.deadlocks for o in writers)} deadlocks; amcheck {checked}")
