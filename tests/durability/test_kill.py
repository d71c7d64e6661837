"""SIGKILL at random moments: no acknowledged commit is lost, none is there in part, and the
directory opens each time.

One writer works through a history that is known beforehand: transaction n does the same in every
run (`Model.apply`), one after the other, each in one of three shapes (one simple Query, a Query a
statement, extended protocol). After a kill exactly two outcomes are right: all transactions whose
COMMIT was acknowledged, or those and the one that was under way. Whatever the database holds is
compared with the model of that many transactions, row by row, by way of the heap and of the
indexes. Every fifth round the kill hits the start, with its recovery, instead of the writer. Rounds
alternate between `--durability full` and `relaxed`, which promise the same for a kill.

Another test kills starts that make a new directory with a role and a database of their own: the next
start that is let through finishes what they began.

At the end, and every 100 rounds, PGlite on Node opens a copy and runs amcheck over all its tables
and B-tree indexes (where node and PGLITE_NPM_DIR are there).

KILL_ROUNDS (25) and KILL_SEED (random) come from the environment: `make kill-test ROUNDS=1000`.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import pgwire as w  # noqa: E402

ROUNDS = int(os.environ.get("KILL_ROUNDS") or 25)
SEED = int(os.environ.get("KILL_SEED") or random.randrange(1 << 32))
ACCOUNTS = 50
ITEMS_LIVE, LARGE_LIVE, TABLES_LIVE = 60, 20, 30  # in transactions

SETUP = f"""
create table history (n int primary key, kind text not null);
create table account (id int primary key, amount int not null);
insert into account select g, 1000 from generate_series(1, {ACCOUNTS}) g;
create table item (n int, part int, body text, primary key (n, part));
create index item_body on item (body);
create table large (n int, part int, body text, primary key (n, part));
"""


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def large_digest(n: int, part: int) -> str:
    return md5("".join(md5(f"{n}.{part}.{g}") for g in range(1, 3001)))


@dataclass
class Model:
    """The database after transactions 1 to `n`."""

    n: int = 0
    account: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(1, ACCOUNTS + 1), 1000))
    item: dict[tuple[int, int], str] = field(default_factory=dict)
    large: dict[tuple[int, int], str] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)  # to their number of columns

    def apply(self, n: int) -> list[str]:
        """Makes the changes of transaction `n`; the statements that do the same."""
        assert n == self.n + 1
        self.n = n
        kind = ("items", "transfer", "items", "large", "transfer", "ddl")[n % 6]
        sql = [f"insert into history values ({n}, '{kind}')"]
        if kind == "items":
            for part in range(1, 8):
                self.item[n, part] = md5(f"{n}.{part}")
            sql.append(f"insert into item select {n}, g, md5('{n}.' || g) from generate_series(1, 3) g")
            sql.append(f"insert into item select {n}, g, md5('{n}.' || g) from generate_series(4, 7) g")
            old = n - ITEMS_LIVE
            self.item = {k: v for k, v in self.item.items() if k[0] > old}
            sql.append(f"delete from item where n <= {old}")
            for (at, part), body in self.item.items():
                if at == n - 12 and part == 2:
                    self.item[at, part] = body[::-1]
                    sql.append(f"update item set body = reverse(body) where n = {at} and part = 2")
        elif kind == "transfer":
            for step in range(3):
                source, target = 1 + (n * 7 + step) % ACCOUNTS, 1 + (n * 13 + step * 5) % ACCOUNTS
                self.account[source] -= n % 100
                sql.append(f"update account set amount = amount - {n % 100} where id = {source}")
                self.account[target] += n % 100
                sql.append(f"update account set amount = amount + {n % 100} where id = {target}")
        elif kind == "large":
            for part in (1, 2):
                self.large[n, part] = large_digest(n, part)
            sql.append(
                f"insert into large select {n}, p, (select string_agg(md5('{n}.' || p || '.' || g), ''"
                " order by g) from generate_series(1, 3000) g) from generate_series(1, 2) p"
            )
            self.large = {k: v for k, v in self.large.items() if k[0] > n - LARGE_LIVE}
            sql.append(f"delete from large where n <= {n - LARGE_LIVE}")
        else:
            self.tables[f"made_{n}"] = 2
            sql.append(f"create table made_{n} (a int primary key, b text)")
            sql.append(f"insert into made_{n} select g, g::text from generate_series(1, 100) g")
            before = f"made_{n - 6}"
            if before in self.tables:
                self.tables[before] = 3
                sql.append(f"alter table {before} add column c int default {n}")
                sql.append(f"create index on {before} (b, c)")
            if self.tables.pop(f"made_{n - TABLES_LIVE}", None):
                sql.append(f"drop table made_{n - TABLES_LIVE}")
        return sql


def run_transaction(port: w.PortProcess, n: int, statements: list[str]) -> None:
    """Returns when COMMIT is acknowledged; PortClosed when the port is gone."""
    shape = (n // 6) % 3
    if shape == 0:
        port.query("begin; " + "; ".join(statements) + "; commit").ok()
    elif shape == 1:
        for sql in ["begin", *statements, "commit"]:
            port.query(sql).ok()
    else:
        messages = [w.parse(s) + w.bind() + w.execute() for s in ["begin", *statements, "commit"]]
        result = port.request(b"".join(messages) + w.sync()).ok()
        assert result.tags[-1] == "COMMIT"


def rows(port: w.PortProcess, sql: str) -> list[tuple[str | None, ...]]:
    return port.query(sql).ok().rows


INDEXED = {
    "history": ("n", "n, kind"),
    "account": ("id", "id, amount"),
    "item": ("n, part", "n, part, body"),
    "item by body": ("body", "n, part, body"),
    "large": ("n, part", "n, part, length(body)"),
}


def verify(port: w.PortProcess, before: Model, under_way: Model | None) -> Model:
    """Which of the two it is; an AssertionError where it is neither."""
    count, last = rows(port, "select count(*), coalesce(max(n), 0) from history")[0]
    assert count == last, f"{count} transactions, the last is {last}"
    models = {m.n: m for m in (before, under_way) if m is not None}
    assert int(last) in models, f"transaction {last} is the last, not one of {sorted(models)}"
    model = models[int(last)]
    found = {int(i): int(a) for i, a in rows(port, "select id, amount from account")}
    assert found == model.account
    found = {(int(n), int(p)): b for n, p, b in rows(port, "select n, part, body from item")}
    assert found == model.item
    found = {(int(n), int(p)): b for n, p, b in rows(port, "select n, part, md5(body) from large")}
    assert found == model.large
    found = rows(
        port,
        "select relname, relnatts from pg_class where relname ~ '^made_[0-9]+$' and relkind = 'r'",
    )
    assert {name: int(columns) for name, columns in found} == model.tables
    for name in model.tables:
        assert rows(port, f"select count(*), sum(a), count(distinct b) from {name}") == [
            ("100", "5050", "100")
        ]
    compare_indexes(port)
    return model


def compare_indexes(port: w.PortProcess) -> None:
    """What a scan of each index gives is what a scan of its table gives."""
    for name, (order, columns) in INDEXED.items():
        table = name.split()[0]
        by_index = f"select {columns} from {table} order by {order}"
        port.query("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off").ok()
        plan = rows(port, "explain " + by_index)[0][0]
        assert "Index" in plan, plan
        of_index = rows(port, by_index)
        port.query("reset all; set enable_indexscan = off; set enable_indexonlyscan = off").ok()
        plan = "\n".join(row[0] for row in rows(port, "explain " + by_index))
        assert "Seq Scan" in plan, plan
        assert rows(port, by_index) == of_index, f"the index of {name} is not its table"
        port.query("reset all").ok()


AMCHECK = """
import { pathToFileURL } from 'node:url'
const [npmDir, dataDir] = process.argv.slice(1)
const load = (file) => import(pathToFileURL(`${npmDir}/dist/${file}`).href)
const { PGlite } = await load('index.js')
const { amcheck } = await load('contrib/amcheck.js')
const db = await PGlite.create({ dataDir, extensions: { amcheck } })
await db.exec('create extension amcheck')
const indexes = await db.query(`select count(bt_index_parent_check(c.oid, true, true))
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
  where a.amname = 'btree' and i.indisvalid`)
const tables = await db.query(`select count(distinct c.oid) as tables, count(v.blkno) as faults,
  string_agg(c.relname || ': ' || v.msg, '; ') as messages
  from pg_class c left join lateral verify_heapam(c.oid) v on true where c.relkind in ('r', 't')`)
console.log(JSON.stringify({ indexes: Number(indexes.rows[0].count), ...tables.rows[0] }))
await db.close()
"""


def run_amcheck(data: Path, work: Path) -> dict | None:
    npm = os.environ.get("PGLITE_NPM_DIR")
    if not npm or not shutil.which("node"):
        return None
    copy = work / "amcheck"
    shutil.copytree(data, copy)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", AMCHECK, npm, copy],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    shutil.rmtree(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["faults"] == 0, report
    return report


class Killer:
    """Kills the process after so many seconds, unless it was called off."""

    def __init__(self, port: w.PortProcess, seconds: float):
        self.timer = threading.Timer(seconds, port.process.send_signal, [signal.SIGKILL])
        self.timer.start()

    def join(self) -> None:
        self.timer.join()


def copy_of(model: Model) -> Model:
    return Model(
        model.n, dict(model.account), dict(model.item), dict(model.large), dict(model.tables)
    )


@pytest.mark.parametrize("rounds", [ROUNDS])
def test_kill(tmp_path, rounds):
    print(f"\nKILL_SEED={SEED}")
    chance = random.Random(SEED)
    data = tmp_path / "data"
    with w.PortProcess("-D", str(data)) as port:
        port.query(SETUP).ok()
        assert port.finish() == 0
    known, under_way = Model(), None
    figures = dict.fromkeys(("kills", "at start", "in doubt, kept", "in doubt, gone"), 0)
    slowest = 0.0
    began = time.monotonic()
    checked = None
    for round_ in range(1, rounds + 1):
        durability = ("full", "relaxed")[round_ % 2]
        at_start = round_ % 5 == 0
        port = w.PortProcess("-D", str(data), "--durability", durability)
        try:
            if at_start:
                # Starting takes about a tenth of a second.
                Killer(port, chance.uniform(0, 0.15)).join()
                port.wait()
                figures["at start"] += 1
                figures["kills"] += 1
                continue
            opened = time.monotonic()
            port.query("select 1", timeout=60).ok()
            slowest = max(slowest, time.monotonic() - opened)
            found = verify(port, known, under_way)
            if under_way is not None:
                figures["in doubt, kept" if found is under_way else "in doubt, gone"] += 1
            known, under_way = found, None
            killer = Killer(port, chance.uniform(0, 0.25))
            try:
                while True:
                    if known.n % 200 == 150:
                        port.query(("checkpoint", "vacuum")[known.n // 200 % 2]).ok()
                    under_way = copy_of(known)
                    statements = under_way.apply(known.n + 1)
                    run_transaction(port, under_way.n, statements)
                    known, under_way = under_way, None
            except w.PortClosed:
                pass
            killer.join()
            assert port.wait() == -signal.SIGKILL, port.stderr()
            figures["kills"] += 1
        except BaseException:
            kept = Path(os.environ.get("KILL_KEEP") or tmp_path) / f"failed-round-{round_}"
            shutil.copytree(data, kept, dirs_exist_ok=True)
            print(f"round {round_}, {durability}: the directory is kept in {kept}\n{port.stderr()}")
            raise
        finally:
            port.kill()
        if round_ % 100 == 99:  # the 100th hits a start
            checked = run_amcheck(data, tmp_path)
            print(f"round {round_}: {known.n} commits, {time.monotonic() - began:.0f} s, {figures}", flush=True)
    with w.PortProcess("-D", str(data)) as port:
        known = verify(port, known, under_way)
        assert port.finish() == 0
    checked = run_amcheck(data, tmp_path)
    print(
        f"{rounds} rounds in {time.monotonic() - began:.0f} s: {figures}, {known.n} commits acknowledged"
        f" or kept, 0 lost; slowest start {slowest:.2f} s; amcheck {checked}"
    )


def test_kill_of_new_directories(tmp_path):
    """Starts that make a directory, a role and a database are killed; one that is not killed finds or
    makes all three."""
    print(f"\nKILL_SEED={SEED}")
    chance = random.Random(SEED)
    rounds = max(5, ROUNDS // 5)
    names = ("-U", "alice", "-d", "shop")
    identity = "select current_user || ' ' || current_database()"
    seen = dict.fromkeys(("no cluster", "unfinished", "finished"), 0)
    whole = 0.3  # seconds that a start takes
    for round_ in range(rounds):
        data = tmp_path / f"new{round_}"
        durability = ("full", "relaxed")[round_ % 2]
        for _ in range(chance.randrange(1, 4)):
            port = w.PortProcess("-D", str(data), *names, "--durability", durability)
            Killer(port, chance.uniform(0, whole)).join()
            port.wait()
            if not (data / "PG_VERSION").exists():
                seen["no cluster"] += 1
            else:
                unfinished = (data / ".pglite-port-unfinished").exists()
                seen["unfinished" if unfinished else "finished"] += 1
        began = time.monotonic()
        with w.PortProcess("-D", str(data), *names, "--durability", durability) as port:
            assert port.value(identity) == "alice shop", (round_, port.stderr())
            whole = min(10.0, max(0.1, time.monotonic() - began))
            assert port.value("select rolsuper from pg_roles where rolname = current_user") == "t"
            assert port.finish() == 0
        assert not [p for p in os.listdir(data) if p.startswith(".pglite")]
        shutil.rmtree(data)
    print(f"{rounds} new directories, found after kills: {seen}")
