"""pgbench's two standard scripts, TPC-B-like and select-only: its tables at scale factor 1, one
client, values drawn beforehand from a seed. simple and prepared are pgbench's -M."""

from __future__ import annotations

import random

import protocol
from workload import Workload

SEED = 1990

SCHEMA = [
    "CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, "
    "filler char(22))",
    "CREATE TABLE pgbench_tellers (tid int NOT NULL, bid int, tbalance int, filler char(84)) "
    "WITH (fillfactor=100)",
    "CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84)) "
    "WITH (fillfactor=100)",
    "CREATE TABLE pgbench_branches (bid int NOT NULL, bbalance int, filler char(88)) "
    "WITH (fillfactor=100)",
]
# Name, statement with pgbench's variables in order of appearance.
TPCB = [
    ("BEGIN", ()),
    ("UPDATE pgbench_accounts SET abalance = abalance + {} WHERE aid = {}", ("delta", "aid")),
    ("SELECT abalance FROM pgbench_accounts WHERE aid = {}", ("aid",)),
    ("UPDATE pgbench_tellers SET tbalance = tbalance + {} WHERE tid = {}", ("delta", "tid")),
    ("UPDATE pgbench_branches SET bbalance = bbalance + {} WHERE bid = {}", ("delta", "bid")),
    ("INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ({}, {}, {}, {}, "
     "CURRENT_TIMESTAMP)", ("tid", "bid", "aid", "delta")),
    ("END", ()),
]
SELECT_ONLY = [("SELECT abalance FROM pgbench_accounts WHERE aid = {}", ("aid",))]


def pgbench(scale: float) -> Workload:
    accounts = 100_000 if scale >= 1 else max(int(100_000 * scale), 1000)
    random_ = random.Random(SEED)
    workload = Workload("pgbench")
    workload.statements("pgbench -i", [
        *SCHEMA,
        "INSERT INTO pgbench_branches SELECT 1, 0, ''",
        "INSERT INTO pgbench_tellers SELECT t, 1, 0, '' FROM generate_series(1, 10) t",
        f"INSERT INTO pgbench_accounts SELECT a, 1, 0, '' FROM generate_series(1, {accounts}) a",
        *(f"VACUUM ANALYZE pgbench_{table}"
          for table in ("branches", "tellers", "accounts", "history")),
        "ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid)",
        "ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid)",
        "ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid)"], timed=False)

    def draw() -> dict[str, int]:
        return {"aid": random_.randint(1, accounts), "bid": 1, "tid": random_.randint(1, 10),
                "delta": random_.randint(-5000, 5000)}

    for what, script, count in (("TPC-B-like", TPCB, max(int(3000 * scale), 20)),
                                ("select-only", SELECT_ONLY, max(int(20000 * scale), 20))):
        simple, prepared = [], []
        for requests, prefix in ((simple, ""), (prepared, what)):
            for _ in range(count):
                values = draw()
                for i, (statement, names) in enumerate(script):
                    words = [str(values[name]) for name in names]
                    requests.append(protocol.execute(f"{prefix}{i}", *words) if prefix
                                    else protocol.query(statement.format(*words)))
        workload.requests(f"{what}, simple", simple)
        workload.requests("prepare", [
            protocol.prepare(f"{what}{i}", statement.format(*(f"${n + 1}" for n in range(len(names)))))
            for i, (statement, names) in enumerate(script)], timed=False)
        workload.requests(f"{what}, prepared", prepared)
        for mode in ("simple", "prepared"):
            workload.transactions[f"{what}, {mode}"] = count
    workload.statements("check", [
        "SELECT sum(abalance), count(*) FROM pgbench_accounts", "SELECT sum(delta), count(*) FROM "
        "pgbench_history", "SELECT sum(tbalance) FROM pgbench_tellers"], timed=False)
    return workload
