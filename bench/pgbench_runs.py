"""PostgreSQL's own pgbench, run on servers (servers.py)."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import tempfile
from dataclasses import dataclass

from servers import LIMIT, USER, Failed, Server, clean_environment


@dataclass
class Size:
    """How much of everything."""

    seconds: float = 5  # of each run of pgbench
    factor: int = 32  # pgbench's scale factor: as many branches as clients, as its manual asks
    trips: int = 20000
    queries: int = 5000
    sessions: int = 300
    at_once: int = 100
    idle: int = 100
    hand_overs: int = 100
    pause: float = 1  # for what ends by itself

    @classmethod
    def tiny(cls) -> Size:
        """A thousandth or so: shows that everything runs."""
        return cls(seconds=0, factor=1, trips=20, queries=10, sessions=3, at_once=4, idle=3, hand_overs=2, pause=0.1)

    def duration(self) -> list[str]:
        return ["-T", str(round(self.seconds))] if self.seconds else ["-t", "10"]


def percentile(values: list[float], fraction: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * fraction))]


def figure(text: str, name: str) -> float:
    found = re.search(rf"^{name} = ([0-9.]+)", text, re.M)
    if found is None:
        raise Failed(f"pgbench does not say its {name}")
    return float(found[1])


def run_pgbench(server: Server, size: Size, *words: str, tcp: bool = False, options: str = "",
                limit: float | None = None) -> str:
    """Its output. One that does not end in time is killed."""
    program = server.install / "bin/pgbench" if server.install else "pgbench"
    command = [str(program), "-h", "127.0.0.1" if tcp else str(server.directory), "-p", str(server.port), "-U", USER,
               *words, "postgres"]
    environment = clean_environment(server.install) | ({"PGOPTIONS": options} if options else {})
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment,
                              timeout=limit or size.seconds + LIMIT)
    except subprocess.TimeoutExpired:
        raise Failed(f"pgbench {' '.join(words)} has not ended") from None
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or [f"exit code {done.returncode}"]
        raise Failed(errors[0].removeprefix("pgbench: ").removeprefix("error: "))
    return done.stdout


def initialize(server: Server, size: Size) -> None:
    run_pgbench(server, size, "-i", "-I", server.initialize, "-q", "-s", str(size.factor), limit=300)


def transactions(server: Server, size: Size, script: str, clients: int) -> dict[str, float]:
    """`script`: "TPC-B-like" or "select-only"."""
    server.needs(clients)
    threads = min(clients, max(1, (os.cpu_count() or 1) // 2))
    with tempfile.TemporaryDirectory() as directory:
        text = run_pgbench(server, size, *(["-S"] if script == "select-only" else []), "-M", server.mode, "-c",
                           str(clients), "-j", str(threads), *size.duration(), "-n", "--log", f"--log-prefix={directory}/log")
        times = latencies(log.read_text() for log in pathlib.Path(directory).iterdir())
    return {"tps": figure(text, "tps"), "p50 ms": percentile(times, 0.5), "p99 ms": percentile(times, 0.99)}


def latencies(logs) -> list[float]:
    """Milliseconds: the third column of pgbench's logs is microseconds."""
    return [int(line.split()[2]) / 1000 for log in logs for line in log.splitlines()]


def connect_rate(server: Server, size: Size) -> dict[str, float]:
    text = run_pgbench(server, size, "-S", "-C", "-c", "1", *size.duration(), "-n")
    return {"connections/s": figure(text, "tps")}


def round_trip(server: Server, size: Size, tcp: bool) -> dict[str, float]:
    if tcp and not server.both:
        server.stop()
        server.start(tcp=True)
    try:
        text = run_pgbench(server, size, "-S", "-M", server.mode, "-c", "1", "-t", str(size.trips), "-n", tcp=tcp)
    finally:
        if tcp and not server.both:
            server.stop()
            server.start()
    return {"us": figure(text.replace(" ms", ""), "latency average") * 1000}
