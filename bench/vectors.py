#!/usr/bin/env python3
"""Measures pgvector beside PGlite on Node and native PostgreSQL: prints a table.

usage: vectors.py [--program FILE] [--vectors N] [--queries N] [--rounds N] [--engines NAME,...]
                  [--pgvector DIR]

Vectors of 128 dimensions, around a hundred centres, from a seed; queries are such vectors, too. Measured are the load
(COPY), an exact search of the 10 nearest, the builds of HNSW (m 16, ef_construction 64) and of IVFFlat (100 lists), and
for some ef_search and probes the recall beside the exact search, and the queries of one client in a second. All engines
get the same bytes and build with one process; they may find other neighbours, as the builds draw random numbers.

Ours and PGlite on Node answer over packet4 pipes, from memory. Native PostgreSQL is 18.6 with the same pgvector
(build_pgvector.sh; --pgvector names a directory with its sources, where Debian's cannot be had), on tmpfs without fsync,
over a Unix socket. What cannot be run is listed with the reason.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import engines
import protocol
from bulk import copy_in
from processes import Process, before_others

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent
DIMENSIONS = 128
CENTRES = 100
NEAREST = 10
EF_SEARCH = (10, 40, 100, 200)
PROBES = (1, 5, 10, 20)
SETTINGS = "set maintenance_work_mem = '256MB'; set max_parallel_maintenance_workers = 0; set max_parallel_workers_per_gather = 0"
SETTINGS += "; set enable_seqscan = off"  # a small table would not be looked for in its index


def data(vectors: int, queries: int) -> tuple[list[str], list[str]]:
    draw = random.Random(128)
    centres = [[draw.gauss(0, 0.3) for _ in range(DIMENSIONS)] for _ in range(CENTRES)]

    def one() -> str:
        return "[" + ",".join(f"{value + draw.gauss(0, 1):.4f}" for value in draw.choice(centres)) + "]"
    return [one() for _ in range(vectors)], [one() for _ in range(queries)]


def rows(answer: bytes) -> list[bytes]:
    """The first columns."""
    found, at = [], 0
    while at < len(protocol.check(answer)):
        (length,) = struct.unpack_from("!I", answer, at + 1)
        if answer[at : at + 1] == b"D":
            (size,) = struct.unpack_from("!i", answer, at + 7)
            found.append(answer[at + 11 : at + 11 + size])
        at += 1 + length
    return found


def search(channel, queries: list[str]) -> tuple[list[set[bytes]], float]:
    """What each query finds, and the queries in a second."""
    requests = [protocol.query(f"select id from item order by embedding <-> '{query}' limit {NEAREST}") for query in queries]
    channel.exchange(requests[0])
    began = time.monotonic()
    answers = [channel.exchange(request) for request in requests]
    seconds = time.monotonic() - began
    return [set(rows(answer)) for answer in answers], len(queries) / seconds


def timed(channel, *requests: bytes) -> float:
    began = time.monotonic()
    for request in requests:
        protocol.check(channel.exchange(request))
    return time.monotonic() - began


def measure(channel, vectors: list[str], queries: list[str]) -> dict[str, float]:
    """Figures by name; those of a search are its recall and its queries a second."""
    for statement in (SETTINGS, "create extension vector",
                      f"create table item (id int primary key, embedding vector({DIMENSIONS}))"):
        timed(channel, protocol.query(statement))
    frames = copy_in("copy item from stdin", [f"{number}\t{vector}\n".encode() for number, vector in enumerate(vectors)])
    # A server's answers come at the end of COPY; a port's with each frame.
    figures = {"load, s": timed(channel, b"".join(frames))}
    timed(channel, protocol.query("analyze item"))
    exact, figures["exact, queries/s"] = search(channel, queries)

    def searches(index: str, setting: str, values: tuple[int, ...]) -> None:
        plan = b" ".join(rows(channel.exchange(protocol.query(
            f"explain select id from item order by embedding <-> '{queries[0]}' limit {NEAREST}"))))
        if index.encode() not in plan:
            raise protocol.EngineError(f"{index} is not used")
        for value in values:
            timed(channel, protocol.query(f"set {setting} = {value}"))
            found, figures[f"{setting} {value}, queries/s"] = search(channel, queries)
            figures[f"{setting} {value}, recall"] = statistics.fmean(
                len(ours & best) / len(best) for ours, best in zip(found, exact, strict=True))

    figures["HNSW built, s"] = timed(channel, protocol.query("create index item_hnsw on item using hnsw (embedding vector_l2_ops)"))
    searches("item_hnsw", "hnsw.ef_search", EF_SEARCH)
    timed(channel, protocol.query("drop index item_hnsw"))
    figures["IVFFlat built, s"] = timed(
        channel, protocol.query("create index item_ivf on item using ivfflat (embedding vector_l2_ops) with (lists = 100)"))
    searches("item_ivf", "ivfflat.probes", PROBES)
    return figures


class Ours:
    title = "ours, port"

    def __init__(self, program: str, work: pathlib.Path, sources: str):
        self.command = [program]

    def run(self, *work) -> dict[str, float]:
        process = Process(self.command)
        channel = protocol.Packet4(process.to, process.from_)
        try:
            with before_others(process.pid):
                return measure(channel, *work)
        finally:
            channel.close()
            process.wait()


class Node(Ours):
    title = "PGlite on Node"

    def __init__(self, program: str, work: pathlib.Path, sources: str):
        node = shutil.which("node")
        if node is None:
            raise engines.Unavailable("there is no node on this machine")
        archive = engines.fetch("@electric-sql/pglite-pgvector") / "dist" / "vector.tar.gz"
        self.command = [os.path.realpath(node), str(HERE / "pglite_port.mjs"), str(engines.fetch("@electric-sql/pglite")),
                        str(archive)]


class Built(engines.Native):
    """What build_pgvector.sh makes, where another user can run it."""

    def __init__(self, work: pathlib.Path, sources: str):
        done = subprocess.run([str(HERE / "build_pgvector.sh"), *([sources] if sources else [])], capture_output=True, text=True)
        if done.returncode != 0:
            raise engines.Unavailable(f"pgvector could not be built: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
        self.directory = work / "native"
        for part in ("bin", "lib", "share"):
            shutil.copytree(pathlib.Path(done.stdout.strip()) / part, self.directory / part, symlinks=True)
        self.bin = self.directory / "bin"
        self.be_unprivileged()


class NativeServer:
    title = "native PostgreSQL"

    def __init__(self, program: str, work: pathlib.Path, sources: str):
        self.native = Built(work, sources)
        self.round = 0

    def run(self, *work) -> dict[str, float]:
        self.round += 1
        server = engines.NativeServer(self.native, self.native.initdb(f"data{self.round}"), "fsync=off")
        try:
            channel = server.connect()
            with before_others():
                return measure(channel, *work)
        finally:
            server.close()


ENGINES = {"ours": Ours, "node": Node, "native": NativeServer}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=REPOSITORY / "build/release/pglite-port")
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(ENGINES))
    parser.add_argument("--pgvector", default="", help="a directory with its sources")
    arguments = parser.parse_args()
    work = data(arguments.vectors, arguments.queries)
    measured: dict[str, list[dict[str, float]]] = {}
    absent: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as temporary:
        directory = pathlib.Path(temporary)
        directory.chmod(0o755)
        program = directory / "pglite-port"
        shutil.copy2(arguments.program, program)
        made = {}
        for name in arguments.engines:
            try:
                made[name] = ENGINES[name](str(program), directory, arguments.pgvector)
            except (engines.Unavailable, OSError) as reason:
                absent[name] = str(reason)
        for number in range(arguments.rounds):
            turn = list(made)[number % len(made):] + list(made)[:number % len(made)]
            for name in turn:
                try:
                    figures = made[name].run(*work)
                    measured.setdefault(name, []).append(figures)
                except protocol.EngineError as reason:
                    absent[name] = str(reason)
                    del made[name]
    print(f"{arguments.vectors:,} vectors of {DIMENSIONS} dimensions, {arguments.queries} queries, "
          f"medians of {arguments.rounds} rounds\n")
    print("| | " + " | ".join(ENGINES[name].title for name in measured) + " |")
    print("|---|" + "---|" * len(measured))
    for figure in next((rounds[0] for rounds in measured.values()), {}):
        medians = [statistics.median(one[figure] for one in measured[name]) for name in measured]
        print(f"| {figure} | " + " | ".join(f"{value:.3f}" if value < 10 else f"{value:,.0f}" for value in medians) + " |")
    for name, reason in absent.items():
        print(f"\n{ENGINES[name].title}: not run: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
