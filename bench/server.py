#!/usr/bin/env python3
"""Measures `pglite-port serve` beside native PostgreSQL 18.6, in one run, with PostgreSQL's own pgbench.

usage: bench/server.py [--program FILE] [--rounds N] [--seconds S] [--results FILE]

Native PostgreSQL and pgbench are built from source once (tests/sessions/build_postgres.sh). Both servers
have a data directory, fsync on, on one file system, a Unix socket and a port on 127.0.0.1, and PostgreSQL's
default settings. Rounds alternate between the servers; figures are medians. Prints Markdown; --results
writes it, too.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import pathlib
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import protocol

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SCALE = 5
CLIENTS = (1, 8, 32)
USER = "postgres"


def clean_environment(install: pathlib.Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LD_LIBRARY_PATH": str(install / "lib")}


class Server:
    """A running server; `socket` is its Unix socket's directory."""

    def __init__(self, install: pathlib.Path, work: pathlib.Path):
        self.install = install
        self.data = work / "data"
        self.socket = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
        self.socket.chmod(0o777)
        self.log = open(work / "log", "ab")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen | None = None

    def pids(self) -> list[int]:
        """Its processes."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True)
        return [self.process.pid, *map(int, children.stdout.split())]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.socket, ignore_errors=True)


class Ours(Server):
    title = "pglite-port serve"

    def __init__(self, install, work, program: pathlib.Path):
        super().__init__(install, work)
        read, write = os.pipe()
        self.process = subprocess.Popen(
            [program, "serve", "-D", self.data, "--listen", f"127.0.0.1:{self.port}", "--socket-dir", self.socket,
             "--socket-port", str(self.port), "--ready-fd", str(write), "-o", "-c max_connections=200"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=[write])
        os.close(write)
        with selectors.DefaultSelector() as selector:
            selector.register(read, selectors.EVENT_READ)
            if not selector.select(60) or not os.read(read, 100):
                raise RuntimeError("pglite-port does not start")
        os.close(read)


class Native(Server):
    title = "native PostgreSQL"

    def __init__(self, install, work):
        super().__init__(install, work)
        # PostgreSQL does not run as root. In a user namespace it is another user, for itself only.
        as_user = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
        environment = clean_environment(install)
        subprocess.run([*as_user, install / "bin/initdb", "-U", USER, "--auth=trust", "--encoding=UTF8",
                        "--locale=C.UTF-8", "-D", self.data], check=True, stdout=self.log, stderr=self.log,
                       env=environment)
        self.process = subprocess.Popen(
            [*as_user, install / "bin/postgres", "-D", self.data, "-k", self.socket, "-p", str(self.port),
             "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket / f".s.PGSQL.{self.port}"))
                break
            if time.monotonic() > deadline:
                raise RuntimeError("native PostgreSQL does not start")
            time.sleep(0.05)
        time.sleep(0.5)


def pgbench(server: Server, *options: str, host: str | None = None) -> str:
    command = [str(server.install / "bin/pgbench"), "-h", host or str(server.socket), "-p", str(server.port),
               "-U", USER, *options, "postgres"]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(server.install))
    if done.returncode != 0:
        raise RuntimeError(f"pgbench {' '.join(options)} on {server.title}: {done.stderr.strip()[-500:]}")
    return done.stdout


def figure(text: str, name: str) -> float:
    return float(re.search(rf"^{name} = ([0-9.]+)", text, re.M)[1])


def percentile(values: list[float], fraction: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * fraction))]


class Client:
    """A connection over the Unix socket."""

    def __init__(self, server: Server):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(server.socket / f".s.PGSQL.{server.port}"))
        body = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
        self.socket.sendall((len(body) + 4).to_bytes(4, "big") + body)
        self.answer()

    def answer(self) -> bytes:
        answer = b""
        while not answer.endswith((b"Z\0\0\0\5I", b"Z\0\0\0\5T", b"Z\0\0\0\5E")):
            part = self.socket.recv(1 << 16)
            if not part:
                raise RuntimeError("the server has closed a connection")
            answer += part
        return answer

    def query(self, sql: str) -> bytes:
        self.socket.sendall(protocol.query(sql))
        return self.answer()

    def close(self) -> None:
        self.socket.close()


def tpcb(server: Server, clients: int, seconds: int, script: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        options = ["-S"] if script == "select-only" else []
        text = pgbench(server, *options, "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(seconds), "-n",
                       "--log", f"--log-prefix={directory}/log")
        times = [int(line.split()[2]) / 1000 for log in pathlib.Path(directory).iterdir()
                 for line in log.read_text().splitlines()]
    return {"tps": figure(text, "tps"), "p50 ms": percentile(times, 0.5), "p99 ms": percentile(times, 0.99)}


def connect_rate(server: Server, seconds: int) -> dict[str, float]:
    text = pgbench(server, "-S", "-C", "-c", "1", "-T", str(seconds), "-n")
    return {"tps": figure(text, "tps")}


def round_trip(server: Server, host: str | None, count: int) -> dict[str, float]:
    text = pgbench(server, "-S", "-M", "prepared", "-c", "1", "-t", str(count), "-n", host=host)
    return {"us": figure(text.replace(" ms", ""), "latency average") * 1000}


def memory(server: Server, connections: int) -> dict[str, float]:
    def private() -> int:
        total = 0
        for pid in server.pids():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith(("Private_Dirty:", "Private_Clean:")):
                        total += int(line.split()[1])
        return total

    before = private()
    clients = [Client(server) for _ in range(connections)]
    for client in clients:
        client.query("select count(*) from pgbench_branches")
    after = private()
    for client in clients:
        client.close()
    return {"MB": (after - before) / connections / 1024}


def beside_long_query(server: Server, seconds: int) -> dict[str, float]:
    """A small query, again and again, while another session computes."""
    other = Client(server)
    stop = False

    def compute() -> None:
        while not stop:
            other.query("select count(*) from generate_series(1, 2000000)")

    thread = threading.Thread(target=compute)
    thread.start()
    client = Client(server)
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        client.query("select 1")
        times.append((time.monotonic() - start) * 1000)
        time.sleep(0.001)
    stop = True
    thread.join()
    client.close()
    other.close()
    return {"p50 ms": percentile(times, 0.5), "p99 ms": percentile(times, 0.99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=pathlib.Path, default=REPOSITORY / "build/release/pglite-port")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    install = pathlib.Path(subprocess.run(["sh", str(REPOSITORY / "tests/sessions/build_postgres.sh")], check=True,
                                          capture_output=True, text=True).stdout.strip())

    seconds = options.seconds
    measurements = {
        "round trip, Unix socket": lambda s: round_trip(s, None, 20000),
        "round trip, TCP": lambda s: round_trip(s, "127.0.0.1", 20000),
        "connect, one query, disconnect": lambda s: connect_rate(s, seconds),
        **{f"{script}, {clients} client{'s' if clients > 1 else ''}":
           (lambda s, c=clients, k=script: tpcb(s, c, seconds, k))
           for script in ("TPC-B-like", "select-only") for clients in CLIENTS},
        "select 1 beside a long query": lambda s: beside_long_query(s, seconds),
        "private memory a connection, 100 connections": lambda s: memory(s, 100),
    }
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as directory:
        work = pathlib.Path(directory)
        work.chmod(0o755)
        (work / "ours").mkdir()
        (work / "native").mkdir()
        servers = [Ours(install, work / "ours", options.program), Native(install, work / "native")]
        results: dict[tuple[str, str, str], list[float]] = {}
        try:
            for server in servers:
                pgbench(server, "-i", "-q", "-s", str(SCALE))
            for round_ in range(options.rounds):
                for name, measure in measurements.items():
                    for server in servers if round_ % 2 == 0 else reversed(servers):
                        for unit, value in measure(server).items():
                            results.setdefault((name, unit, server.title), []).append(value)
        finally:
            for server in servers:
                server.close()

    lines = [f"pglite-port serve beside native PostgreSQL 18.6, {datetime.date.today()}: {os.cpu_count()} processors, "
             f"{options.rounds} rounds of {seconds} s, medians, scale factor {SCALE}, prepared statements, one thread of "
             "pgbench, fsync on.", "", "| | unit | pglite-port | native | ratio |", "|---|---|---|---|---|"]
    for name, unit in dict.fromkeys((name, unit) for name, unit, _ in results):
        ours, native = (statistics.median(results[name, unit, title]) for title in (Ours.title, Native.title))
        lines.append(f"| {name} | {unit} | {ours:,.3g} | {native:,.3g} | {ours / native:.2f} |"
                     if max(ours, native) < 1000 else
                     f"| {name} | {unit} | {ours:,.0f} | {native:,.0f} | {ours / native:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.results:
        options.results.write_text(text)


if __name__ == "__main__":
    main()
