"""Round trips: PGlite's twelve small statements (https://pglite.dev/benchmarks), as simple queries
and as prepared statements."""

from __future__ import annotations

import random
from typing import Callable

import protocol
from workload import Workload

SEED = 12
LARGE = 10_000  # bytes


def crud(scale: float) -> Workload:
    """Each item is one statement, run `count` times with other values."""
    count = max(int(1000 * scale), 20)
    random_ = random.Random(SEED)
    workload = Workload("crud")
    workload.statements("tables", [
        "CREATE TABLE small (id int PRIMARY KEY, name text NOT NULL, amount int NOT NULL)",
        "CREATE TABLE large (id int PRIMARY KEY, body text NOT NULL)"], timed=False)

    def name() -> str:
        return f"name {random_.randrange(10**6)}"

    def body() -> str:
        return "".join(random_.choices("abcdefghijklmnopqrstuvwxyz ", k=100)) * (LARGE // 100)

    # Name, statement, and the parameters of its n-th execution. Rows of the "ten" statements have
    # identifiers beyond all others.
    ten = 10 * count
    tens = ", ".join(f"($1::int + {i}, $2::text, $3::int)" for i in range(10))
    statements: list[tuple[str, str, Callable[[int], list[str]]]] = [
        ("insert a small row", "INSERT INTO small VALUES ($1::int, $2::text, $3::int)",
         lambda n: [str(n), name(), str(random_.randrange(1000))]),
        ("select a small row", "SELECT * FROM small WHERE id = $1::int", lambda n: [str(n)]),
        ("update a small row", "UPDATE small SET name = $2::text WHERE id = $1::int",
         lambda n: [str(n), name()]),
        ("delete a small row", "DELETE FROM small WHERE id = $1::int", lambda n: [str(n)]),
        ("insert a 10 kB row", "INSERT INTO large VALUES ($1::int, $2::text)",
         lambda n: [str(n), body()]),
        ("select a 10 kB row", "SELECT * FROM large WHERE id = $1::int", lambda n: [str(n)]),
        ("update a 10 kB row", "UPDATE large SET body = $2::text WHERE id = $1::int",
         lambda n: [str(n), body()]),
        ("delete a 10 kB row", "DELETE FROM large WHERE id = $1::int", lambda n: [str(n)]),
        ("insert 10 small rows", f"INSERT INTO small VALUES {tens}",
         lambda n: [str(ten + 10 * n), name(), str(random_.randrange(1000))]),
        ("select 10 small rows", "SELECT * FROM small WHERE id >= $1::int AND id < $1::int + 10 "
         "ORDER BY id", lambda n: [str(ten + 10 * n)]),
        ("update 10 small rows", "UPDATE small SET amount = amount + 1 "
         "WHERE id >= $1::int AND id < $1::int + 10", lambda n: [str(ten + 10 * n)]),
        ("delete 10 small rows", "DELETE FROM small WHERE id >= $1::int AND id < $1::int + 10",
         lambda n: [str(ten + 10 * n)]),
    ]

    def simple(statement: str, values: list[str]) -> bytes:
        for i, value in enumerate(values):
            text = value if value.isdigit() else f"'{value}'"
            statement = statement.replace(f"${i + 1}", text)
        return protocol.query(statement)

    for what, statement, values in statements:
        workload.requests(f"{what}, simple", [simple(statement, values(n)) for n in range(count)])
    workload.requests("prepare", [protocol.prepare(f"s{i}", statement)
                                  for i, (_, statement, _) in enumerate(statements)], timed=False)
    for i, (what, _, values) in enumerate(statements):
        workload.requests(f"{what}, prepared",
                          [protocol.execute(f"s{i}", *values(n)) for n in range(count)])
    return workload
