"""What many sessions of one server are like: their start, what they cost each other, locks between them, commits together.

Each function measures one server once and gives figures by name, which begins with or is a unit.
"""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
import threading
import time
from collections.abc import Iterator

import protocol
from pgbench_runs import Size, figure, percentile, run_pgbench
from servers import Client, Failed, Server

WRITERS = 8
LONG_QUERY = "select count(*) from generate_series(1, 2000000)"
SMALL_QUERY = "select 1"


def milliseconds(times: list[float]) -> dict[str, float]:
    return {"p50 ms": percentile(times, 0.5) * 1000, "p99 ms": percentile(times, 0.99) * 1000}


@contextlib.contextmanager
def clients(server: Server, count: int) -> Iterator[list[Client]]:
    opened: list[Client] = []
    try:
        for _ in range(count):
            opened.append(Client(server))
        yield opened
    finally:
        for client in opened:
            client.close()


def timed(client: Client, sql: str) -> float:
    start = time.perf_counter()
    client.query(sql)
    return time.perf_counter() - start


def one_after_another(server: Server, size: Size) -> dict[str, float]:
    """From connect() to ReadyForQuery, and what the sessions leave behind."""
    with Client(server) as client:
        client.query(SMALL_QUERY)
    before = server.memory()["all"]
    times = []
    for _ in range(size.sessions):
        start = time.perf_counter()
        client = Client(server)
        times.append(time.perf_counter() - start)
        client.close()
    time.sleep(size.pause)  # the last ones end
    return milliseconds(times) | {"MB kept afterwards": server.memory()["all"] - before}


def at_once(server: Server, size: Size) -> dict[str, float]:
    before = server.memory()
    opened: list[Client] = []
    try:
        start = time.perf_counter()
        for _ in range(size.at_once):
            opened.append(Client(server, start=False))
        for client in opened:
            client.answer()
        seconds = time.perf_counter() - start
        for client in opened:
            client.query("select count(*) from pgbench_branches")
        after = server.memory()
    finally:
        for client in opened:
            client.close()
    return {"ms until all are ready": seconds * 1000,
            "MB private each": (after["private"] - before["private"]) / size.at_once,
            "MB each, with page tables": (after["all"] - before["all"]) / size.at_once}


def small_query(server: Server, size: Size, idle: int = 0) -> dict[str, float]:
    with clients(server, idle) as others, Client(server) as client:
        for other in others:
            other.query(SMALL_QUERY)
        times = [timed(client, SMALL_QUERY) for _ in range(size.queries)]
    return {"p50 us": percentile(times, 0.5) * 1e6, "p99 us": percentile(times, 0.99) * 1e6}


def writers(server: Server, size: Size, options: str = "") -> dict[str, float]:
    """Commits of one row each, into one table."""
    with Client(server) as client:
        client.query("drop table if exists bench_written; create table bench_written (id bigserial primary key, at timestamptz, v int)")
    with tempfile.TemporaryDirectory() as directory:
        script = pathlib.Path(directory) / "insert.sql"
        script.write_text("\\set v random(1, 1000000)\ninsert into bench_written (at, v) values (now(), :v);\n")
        text = run_pgbench(server, size, "-f", str(script), "-M", server.mode, "-c", str(WRITERS), "-j", "1",
                           *size.duration(), "-n", options=options)
    return {"commits/s": figure(text, "tps")}


def lock_hand_over(server: Server, size: Size, options: str = "") -> dict[str, float]:
    """A holds a row, B waits for it: from A's COMMIT to B's answer."""
    with Client(server, options) as one, Client(server, options) as other, Client(server) as monitor:
        one.query("drop table if exists bench_lock; create table bench_lock as select 1 as id, 0 as n")
        waiting = f"select count(*) from pg_stat_activity where pid = {other.value('select pg_backend_pid()')} and wait_event_type = 'Lock'"
        times = []
        for _ in range(size.hand_overs):
            one.query("begin; update bench_lock set n = n + 1 where id = 1")
            other.query("begin")
            other.send("select n from bench_lock where id = 1 for update")
            deadline = time.monotonic() + 30
            while monitor.value(waiting) != "1":
                if time.monotonic() > deadline:
                    raise Failed("the second session does not wait for the lock")
                time.sleep(0.001)
            start = time.perf_counter()
            one.send("commit")
            other.answer()
            times.append(time.perf_counter() - start)
            one.answer()
            other.query("commit")
    return milliseconds(times)


def beside_long_queries(server: Server, size: Size, count: int) -> dict[str, float]:
    """A small query, again and again, while others compute."""
    stop = threading.Event()
    failures: list[Exception] = []

    def compute(client: Client) -> None:
        try:
            while not stop.is_set():
                client.query(LONG_QUERY)
        except (Failed, OSError, protocol.EngineError) as error:
            failures.append(error)

    with clients(server, count) as others, Client(server) as client:
        threads = [threading.Thread(target=compute, args=(other,)) for other in others]
        for thread in threads:
            thread.start()
        times = []
        try:
            end = time.monotonic() + size.seconds
            while time.monotonic() < end or not times:
                times.append(timed(client, SMALL_QUERY))
                time.sleep(0.001)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    if failures:
        raise Failed(f"a long query: {failures[0]}")
    return milliseconds(times)
