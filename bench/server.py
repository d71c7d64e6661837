#!/usr/bin/env python3
"""Measures `pglite-port serve` beside native PostgreSQL 18.6, pglite-socket and pglite-oxide's server, in one run.

usage: bench/server.py [--servers NAME,...] [--only SECTION,...] [--rounds N] [--seconds S] [--tiny]
                       [--program FILE] [--results DIR] [--list]

Native PostgreSQL and pgbench are built from source once (tests/sessions/build_postgres.sh), the peers are installed or
built as for bench/run.py. All servers have a data directory on one file system and their own settings. They run all the
time; one is measured at a time, in an order that changes from round to round. A figure is the median of the rounds, a
ratio is to native PostgreSQL's. What a server cannot do is in the table, with the reason. One that fails or does not
answer is killed and gets a new data directory for what comes next.

Writes DATE-server.md, .json and a chart: to bench/results, with a summary in docs/server.md, for everything;
to build/bench-results otherwise. Exit code 1 if pglite-port failed anywhere.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Callable

import pgbench_runs as pg
import protocol
import run
import sessions
from engines import REPOSITORY, Unavailable
from pgbench_runs import Size
from results import number, summary
from servers import SERVERS, Client, Failed, Impossible, Native, Ours, Server, native_install

CLIENTS = (1, 2, 4, 8, 16, 32)
REFERENCE = Native.name
DIFFERENCES = ("MB kept afterwards",)  # may be nothing, or less: they have no ratio
TITLE = "serve beside other servers"
BEGIN = "<!-- bench/server.py writes from here -->"
SETTINGS = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "io_method", "max_parallel_workers_per_gather")


@dataclass
class Measurement:
    title: str
    run: Callable[[Server, Size], dict[str, float]]
    connections: int = 1  # at once
    own_sessions: bool = False  # whether they must have transactions of their own at once
    targets: dict[str, float] = field(default_factory=dict)  # figure: at most this, for ours
    summary: tuple[str, ...] = ()  # figures that docs/server.md shows
    curve: tuple[str, int] | None = None  # script and clients: a point of the chart


def _curve() -> list[Measurement]:
    return [
        Measurement(f"{script}, {clients} client{'s' if clients > 1 else ''}",
                    lambda server, size, script=script, clients=clients: pg.transactions(server, size, script, clients),
                    clients, summary=("tps",) if clients in (1, 8, 32) else (), curve=(script, clients))
        for script in ("TPC-B-like", "select-only") for clients in CLIENTS]


def _resting(server: Server, size: Size) -> dict[str, float]:
    """A server that has just been started, and has no client."""
    server.stop()
    server.start()
    time.sleep(size.pause)
    memory = server.memory()
    return {"MB private": memory["private"], "MB, with page tables": memory["all"]}


SECTIONS: dict[str, tuple[str, list[Measurement]]] = {
    "pgbench": ("pgbench", [
        *_curve(),
        Measurement("connect, one query, disconnect", pg.connect_rate, summary=("connections/s",)),
        Measurement("round trip, Unix socket", lambda server, size: pg.round_trip(server, size, tcp=False)),
        Measurement("round trip, TCP", lambda server, size: pg.round_trip(server, size, tcp=True)),
    ]),
    "sessions": ("Many sessions", [
        Measurement("sessions one after another, connect to ready", sessions.one_after_another, summary=("p50 ms",)),
        Measurement("`select 1`", sessions.small_query),
        Measurement("`select 1` beside idle sessions",
                    lambda server, size: sessions.small_query(server, size, size.idle), 101),
        Measurement(f"{sessions.WRITERS} writers on one table", sessions.writers, sessions.WRITERS, summary=("commits/s",)),
        Measurement(f"{sessions.WRITERS} writers on one table, commit_delay = 1000",
                    lambda server, size: sessions.writers(server, size, "-c commit_delay=1000"), sessions.WRITERS),
        Measurement("a row lock is handed over by COMMIT", sessions.lock_hand_over, 3, True,
                    summary=("p50 ms",)),
        Measurement("the same with synchronous_commit = off",
                    lambda server, size: sessions.lock_hand_over(server, size, "-c synchronous_commit=off"), 3, True),
        Measurement("small query beside a long one",
                    lambda server, size: sessions.beside_long_queries(server, size, 1), 2,
                    targets={"p99 ms": 10.0}, summary=("p99 ms",)),
        Measurement("small query beside 4 long ones",
                    lambda server, size: sessions.beside_long_queries(server, size, 4), 5,
                    targets={"p99 ms": 10.0}, summary=("p99 ms",)),
        Measurement("sessions at once", sessions.at_once, 100, summary=("MB private each",)),
    ]),
    "memory": ("Memory", [Measurement("a server without clients", _resting, summary=("MB private",))]),
}


class Results:
    """Samples by measurement, figure and server, and why there are none."""

    def __init__(self, servers: list[type[Server]]):
        self.servers = servers
        self.samples: dict[tuple[str, str, str], list[float]] = {}
        self.absent: dict[tuple[str, str], str] = {}
        self.settings: dict[str, str] = {}
        self.failed: set[str] = set()  # servers

    def add(self, title: str, server: str, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.samples.setdefault((title, name, server), []).append(value)

    def leave_out(self, title: str, server: str, why: str, failed: bool) -> None:
        """No more is asked of the server there, and what it gave before does not count."""
        self.absent[title, server] = ("failed: " if failed else "not possible: ") + why
        if failed:
            self.failed.add(server)
        for key in [key for key in self.samples if key[0] == title and key[2] == server]:
            del self.samples[key]

    def names(self, title: str) -> list[str]:
        """Of the figures; one empty one where no server has any."""
        return list(dict.fromkeys(name for t, name, _ in self.samples if t == title)) or [""]

    def median(self, title: str, name: str, server: str) -> float | None:
        samples = self.samples.get((title, name, server))
        return statistics.median(samples) if samples else None

    def ratio(self, title: str, name: str, server: str) -> float | None:
        value, reference = (self.median(title, name, s) for s in (server, REFERENCE))
        if value is None or not reference or name in DIFFERENCES:
            return None
        return value / reference

    def cell(self, title: str, name: str, server: str) -> str:
        value = self.median(title, name, server)
        if value is None:
            return " ".join(self.absent.get((title, server), "").split()).replace("|", "/")
        ratio = self.ratio(title, name, server)
        return digits(value) if server == REFERENCE or ratio is None else f"{digits(value)} ({digits(ratio)})"

    def heading(self, server: type[Server]) -> str:
        """Its name, and what it does by default about fsync."""
        fsync = next((s for s in self.settings.get(server.name, "").split(", ") if s.startswith("fsync ")), "")
        return server.title + (f"<br>{fsync}" if fsync else "")


def digits(value: float) -> str:
    return number(value) if abs(value) >= 1 else f"{value:.3g}"


def met(measurement: Measurement, name: str, results: Results) -> bool | None:
    target, ours = measurement.targets.get(name), results.median(measurement.title, name, Ours.name)
    return None if target is None or ours is None else ours <= target


def _target(measurement: Measurement, name: str, results: Results) -> str:
    verdict = met(measurement, name, results)
    if verdict is None:
        return ""
    return f"≤ {measurement.targets[name]:g}: " + ("met" if verdict else "**missed**")


def table(measurements: list[Measurement], results: Results, shown: Callable[[Measurement, str], bool]) -> list[str]:
    order = sorted(results.servers, key=lambda server: server.name != REFERENCE)
    out = ["| | | " + " | ".join(results.heading(server) for server in order) + " | target |", "|---" * (len(order) + 3) + "|"]
    for measurement in measurements:
        title = measurement.title
        for name in results.names(title):
            if shown(measurement, name):
                cells = [title, name, *(results.cell(title, name, server.name) for server in order),
                         _target(measurement, name, results)]
                out.append("| " + " | ".join(cells) + " |")
    return out


def as_json(sections: list[str], results: Results, machine: dict[str, str]) -> dict:
    lines, curve = [], {}
    for section in sections:
        for measurement in SECTIONS[section][1]:
            title = measurement.title
            for name in results.names(title):
                per_server = {
                    server.name: {**summary(samples), "ratio": results.ratio(title, name, server.name),
                                  "samples": [round(sample, 4) for sample in samples]}
                    for server in results.servers if (samples := results.samples.get((title, name, server.name)))}
                lines.append({"section": section, "what": title, "figure": name, "target": measurement.targets.get(name),
                              "met": met(measurement, name, results), "servers": per_server,
                              "absent": {server: why for (t, server), why in results.absent.items() if t == title}})
                if measurement.curve and name == "tps":
                    script, clients = measurement.curve
                    for server in per_server:
                        points = curve.setdefault(script, {}).setdefault(server, [])
                        points.append([clients, results.median(title, name, server)])
    return {"title": TITLE, "machine": machine, "settings": results.settings, "lines": lines, "curve": curve}


ABOUT = (
    "Medians of the rounds; in brackets how many times native PostgreSQL's figure. What is a second (tps, commits/s, "
    "connections/s) is better higher, all else lower. MB are 10^6 bytes: private ones are mapped by no other process, and "
    "not twice by one; the others are PSS and page tables of all processes. Written by `bench/server.py`; the JSON file "
    "beside this one holds all samples.")


def as_markdown(sections: list[str], results: Results, machine: dict[str, str], chart: str) -> str:
    out = [f"# {TITLE}", "", ABOUT, ""]
    out += [f"- {name}: {value}" for name, value in machine.items()]
    out += ["", "All data directories are on this file system. Each server has its own settings, so `fsync` is as it comes:",
            ""]
    out += [f"- **{server.title}**: {results.settings.get(server.name, 'was not run')}. {server.note}".rstrip()
            for server in results.servers]
    for section in sections:
        title, measurements = SECTIONS[section]
        out += ["", f"## {title}", ""] + table(measurements, results, lambda measurement, name: True)
    if chart:
        out += ["", f"![Throughput over clients]({chart})"]
    out += ["", "<details><summary>Spread: least - most</summary>", ""]
    for section in sections:
        for measurement in SECTIONS[section][1]:
            for name in results.names(measurement.title):
                spread = [f"{server.title} {digits(min(samples))} - {digits(max(samples))}" for server in results.servers
                          if (samples := results.samples.get((measurement.title, name, server.name)))]
                if spread:
                    out.append(f"- {measurement.title}, {name}: " + "; ".join(spread))
    return "\n".join([*out, "", "</details>"]) + "\n"


def measure(server: Server, measurement: Measurement, size: Size, results: Results, progress) -> None:
    title = measurement.title
    if (title, server.name) in results.absent:
        return
    try:
        server.needs(measurement.connections, measurement.own_sessions)
        results.add(title, server.name, measurement.run(server, size))
        return
    except Impossible as why:
        results.leave_out(title, server.name, str(why), failed=False)
        return
    except (Failed, OSError, protocol.EngineError) as why:
        results.leave_out(title, server.name, str(why), failed=True)
        progress(f"{server.title}, {title}: {why}")
    try:
        server.renew()
        pg.initialize(server, size)
    except (Failed, OSError) as why:
        give_up(server, results, f"it could not be started again after {title!r}: {why}")


def give_up(server: Server, results: Results, why: str) -> None:
    for _, measurements in SECTIONS.values():
        for measurement in measurements:
            if not any(key[0] == measurement.title and key[2] == server.name for key in results.samples):
                results.absent.setdefault((measurement.title, server.name), f"failed: {why}")
    results.failed.add(server.name)
    server.kill()


def run_all(servers: list[Server], sections: list[str], size: Size, rounds: int, results: Results, progress) -> None:
    running = []
    try:
        for server in servers:
            progress(f"{server.title} is prepared")
            try:
                server.prepare()
                server.start()
                with Client(server) as client:
                    values = [f"{name} {client.value(f'show {name}')}" for name in SETTINGS
                              if client.value(f"select count(*) from pg_settings where name = '{name}'") == "1"]
                results.settings[server.name] = ", ".join(values)
                pg.initialize(server, size)
                running.append(server)
            except (Unavailable, Failed, OSError, subprocess.SubprocessError) as why:
                give_up(server, results, str(why))
        for round_ in range(rounds):
            order = running[round_ % len(running):] + running[: round_ % len(running)] if running else []
            for section in sections:
                for measurement in SECTIONS[section][1]:
                    progress(f"round {round_ + 1} of {rounds}: {measurement.title}")
                    for server in order:
                        if server.process is not None:
                            measure(server, measurement, size, results, progress)
    finally:
        for server in servers:
            server.close()


def chosen(text: str | None, known: list[str], what: str) -> list[str]:
    names = known if text is None else text.split(",")
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"server.py: no {what} {', '.join(unknown)}; there are: {', '.join(known)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--servers")
    parser.add_argument("--only")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--program", type=pathlib.Path, default=REPOSITORY / "build/release/pglite-port")
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    names = chosen(options.servers, list(SERVERS), "server")
    sections = chosen(options.only, list(SECTIONS), "section")
    if options.list:
        for name, server in SERVERS.items():
            print(f"server   {name:15} {server.title}")
        for name, (title, measurements) in SECTIONS.items():
            print(f"section  {name:15} {title}: {'; '.join(measurement.title for measurement in measurements)}")
        return 0
    if not options.program.is_file():
        print(f"server.py: {options.program} is not there; run `make build`", file=sys.stderr)
        return 64
    size = Size.tiny() if options.tiny else Size()
    if options.seconds:
        size.seconds = options.seconds
    rounds = options.rounds or (1 if options.tiny else 3)
    whole = not (options.servers or options.only or options.rounds or options.seconds or options.tiny)
    directory = options.results or REPOSITORY / ("bench/results" if whole else "build/bench-results")
    directory.mkdir(parents=True, exist_ok=True)
    stem = directory / f"{datetime.date.today()}-server"

    def progress(text: str) -> None:
        print(f"server.py: {text}", file=sys.stderr, flush=True)

    # pgbench is native PostgreSQL's. Without that one, whatever pgbench there is.
    install = native_install() if REFERENCE in names or shutil.which("pgbench") is None else None
    results = Results([SERVERS[name] for name in names])
    (REPOSITORY / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "build", prefix="bench-") as temporary:
        work = pathlib.Path(temporary)
        work.chmod(0o755)
        machine = run.facts(options.program, work)
        started, others = time.monotonic(), run.OtherWork()
        servers = []
        for name in names:
            (work / name).mkdir()
            kind = SERVERS[name]
            if issubclass(kind, Ours):
                # A copy, so that a build in the meantime changes nothing, and no other process shares its pages.
                program = pathlib.Path(shutil.copy2(options.program, work / name / "pglite-port"))
                servers.append(kind(install, work / name, program))
            else:
                servers.append(kind(install, work / name))
        run_all(servers, sections, size, rounds, results, progress)
        machine["runs"] = (f"{rounds} rounds; pgbench {size.seconds} s a run, scale factor {size.factor} (so many "
                           f"branches, each of which one transaction at a time may change), prepared statements; {size.sessions} "
                           f"sessions one after another, {size.at_once} at once, {size.idle} idle ones")
        machine["duration"] = f"{time.monotonic() - started:.0f} s"
        machine["other processes kept busy"] = others.describe()

    file = stem.with_suffix(".json")
    result = as_json(sections, results, machine)
    file.write_text(json.dumps(result, indent=1) + "\n")
    chart = f"{stem.name}-curve.svg" if result["curve"] and run.draw(file) else ""
    text = as_markdown(sections, results, machine, chart)
    stem.with_suffix(".md").write_text(text)
    print(text)
    if whole:
        where = f"../bench/results/{stem.name}"
        everything = [measurement for section in sections for measurement in SECTIONS[section][1]]
        lines = [f"{machine['date']}, {machine['CPU']}, medians of {rounds} rounds; in brackets how many times native "
                 "PostgreSQL's figure.", f"Settings, fsync among them, and the rest: [the result]({where}.md).", ""]
        lines += table(everything, results, lambda measurement, name: name in measurement.summary)
        lines += ["", f"![Throughput over clients]({where}-curve.svg)"] if chart else []
        run.put_summary(REPOSITORY / "docs/server.md", lines, BEGIN)
    return int(Ours.name in results.failed)


if __name__ == "__main__":
    sys.exit(main())
