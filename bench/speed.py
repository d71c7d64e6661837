"""The speed suite: 18 scripts in the manner of SQLite's speedtest, as PGlite publishes it
(https://pglite.dev/benchmarks); statements of our own making, from a seed.

`speed` sends each script as one Query message, as PGlite's own benchmark does with db.exec; so a
script without BEGIN is one transaction too. `speed-statements` sends each statement by itself and
waits for its answer, as most programs do.
"""

from __future__ import annotations

import random
from typing import Callable

from workload import Workload

SEED = 20261123
_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
         "nineteen"]
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def words(n: int) -> str:
    """1234 -> "one thousand two hundred thirty four"."""
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + (" " + _ONES[n % 10] if n % 10 else "")
    if n < 1000:
        return f"{_ONES[n // 100]} hundred" + (" " + words(n % 100) if n % 100 else "")
    return f"{words(n // 1000)} thousand" + (" " + words(n % 1000) if n % 1000 else "")


def scripts(scale: float) -> list[tuple[str, list[str]]]:
    """Names and statements. `scale` 1 is the full size."""
    random_ = random.Random(SEED)
    thousand, most = max(int(1000 * scale), 10), max(int(25000 * scale), 50)
    some, few, many = max(int(100 * scale), 5), max(int(12000 * scale), 25), max(int(5000 * scale), 10)

    def transaction(statements: list[str]) -> list[str]:
        return ["BEGIN", *statements, "COMMIT"]

    def table(name: str) -> str:
        return f"CREATE TABLE {name}(a INTEGER, b INTEGER, c VARCHAR(100))"

    def number() -> int:
        return random_.randrange(100000)

    def rows(count: int) -> list[str]:
        numbers = [number() for _ in range(count)]
        return [f"({i + 1}, {b}, '{words(b)}')" for i, b in enumerate(numbers)]

    def inserts(name: str, count: int) -> list[str]:
        return [f"INSERT INTO {name} VALUES{row}" for row in rows(count)]

    def one_insert(name: str, count: int) -> str:
        return f"INSERT INTO {name} VALUES " + ", ".join(rows(count))

    return [
        ("1 1,000 inserts", [table("t1"), *inserts("t1", thousand)]),
        ("2 25,000 inserts in a transaction", transaction([table("t2"), *inserts("t2", most)])),
        ("2.1 25,000 rows in one insert", transaction(
            [table("t2_1"), one_insert("t2_1", most)])),
        ("3 25,000 inserts into an indexed table", transaction(
            [table("t3"), "CREATE INDEX i3 ON t3(b)", *inserts("t3", most)])),
        ("3.1 25,000 rows in one insert, indexed", transaction(
            [table("t3_1"), "CREATE INDEX i3_1 ON t3_1(b)", one_insert("t3_1", most)])),
        ("4 100 selects without an index", transaction(
            [f"SELECT count(*), avg(b) FROM t2 WHERE b>={100 * i} AND b<{100 * i + 1000}"
             for i in range(some)])),
        ("5 100 selects on a string comparison", transaction(
            [f"SELECT count(*), avg(b) FROM t2 WHERE c LIKE '%{words(i + 1)}%'"
             for i in range(some)])),
        ("6 creating indexes", ["CREATE INDEX i2a ON t2(a)", "CREATE INDEX i2b ON t2(b)"]),
        ("7 5,000 selects with an index",
         [f"SELECT count(*), avg(b) FROM t2 WHERE b>={100 * (i % 1000)} AND b<{100 * (i % 1000) + 100}"
          for i in range(many)]),
        ("8 1,000 updates without an index", transaction(
            [f"UPDATE t1 SET b=b*2 WHERE a>={10 * i} AND a<{10 * i + 10}" for i in range(thousand)])),
        ("9 25,000 updates with an index", transaction(
            [f"UPDATE t2 SET b={number()} WHERE a={i + 1}" for i in range(most)])),
        ("10 25,000 text updates with an index", transaction(
            [f"UPDATE t2 SET c='{words(number())}' WHERE a={i + 1}" for i in range(most)])),
        ("11 inserts from selects", transaction(
            ["INSERT INTO t1 SELECT b,a,c FROM t2", "INSERT INTO t2 SELECT b,a,c FROM t1"])),
        ("12 delete without an index", ["DELETE FROM t2 WHERE c LIKE '%fifty%'"]),
        ("13 delete with an index", ["DELETE FROM t2 WHERE a>10 AND a<20000"]),
        ("14 big insert after big delete", ["INSERT INTO t2 SELECT * FROM t1"]),
        ("15 big delete, many small inserts", transaction(
            ["DELETE FROM t1", *inserts("t1", few)])),
        ("16 drop table", ["DROP TABLE t1", "DROP TABLE t2", "DROP TABLE t3"]),
    ]


CHECK = [f"SELECT count(*), sum(a::bigint), sum(b::bigint), sum(hashtext(c)::bigint) FROM {table}"
         for table in ("t1", "t2", "t2_1", "t3", "t3_1")]


def _workload(name: str, scale: float, add: Callable) -> Workload:
    workload = Workload(name)
    for script, statements in scripts(scale):
        if script.startswith("16 "):
            # What is there when all is done; not before, because reading a table makes later
            # readers quicker (hint bits).
            workload.statements("check", CHECK, timed=False)
        add(workload, script, statements)
    return workload


def speed(scale: float) -> Workload:
    return _workload("speed", scale, Workload.script)


def speed_statements(scale: float) -> Workload:
    return _workload("speed-statements", scale, Workload.statements)
