"""Runs workloads (workload.py) on engines, interleaved, and keeps their times.

Each run is a fresh database in a fresh process. An item's time counts when its rows have the same
checksum as the reference engine's.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable

import processes
import protocol
from engines import Native, NativeServer, Unavailable, fetch
from workload import Workload

REFERENCE = "native-fsync-off"
SERIAL = "native-our-settings"
HERE = pathlib.Path(__file__).parent


class Engine:
    """Something that runs workloads. prepare() says by Unavailable when it cannot."""

    title = ""
    where = ""  # where the data is, and what is between client and engine

    def __init__(self, bench: Bench):
        self.bench = bench

    def prepare(self) -> None:
        pass

    is_floor = False

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        """Only floors need `answer_bytes`: how long an item's answers are on average."""
        raise NotImplementedError

    def _replay(self, workload: pathlib.Path, *words: str) -> dict:
        return run_json([str(self.bench.replay()), str(workload), *words])


def run_json(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, env=processes.CLEAN,
                          timeout=1800)
    if done.returncode != 0:
        raise protocol.EngineError((done.stderr.strip() or "no message").replace("\0", " ")[-400:])
    return json.loads(done.stdout)


class Ours(Engine):
    title = "ours, in process"
    where = "memory://, pglite::Instance in the client's process"

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return self._replay(workload, "instance")


class OursPort(Engine):
    title = "ours, port"
    where = "memory://, packet4 over two pipes"

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return self._replay(workload, "port", self.bench.program)


class OursFull(Engine):
    title = "ours, durable"
    where = "a directory on disk, durability full (fsync on); in process"

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        directory = self.bench.directory("ours", self.bench.work)
        try:
            return self._replay(workload, "instance", str(directory / "data"))
        finally:
            shutil.rmtree(directory)


class Node(Engine):
    title = "PGlite on Node, in process"
    where = "memory://, execProtocolRawSync in the client's process"

    def prepare(self) -> None:
        node = shutil.which("node")
        if node is None:
            raise Unavailable("there is no node on this machine")
        self._command = [os.path.realpath(node), str(HERE / "replay.mjs")]
        self._package = fetch("@electric-sql/pglite")

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return run_json([*self._command, str(workload), str(self._package)])


class NativeEngine(Engine):
    settings: tuple[str, ...] = ()
    in_memory = False

    def prepare(self) -> None:
        self._native = self.bench.native()
        parent = self.bench.memory if self.in_memory else self._native.directory
        self._parent = self.bench.directory("native", parent)
        self._native.give(self._parent)
        self._cluster = self._native.initdb(str(self._parent / "cluster"))

    @contextlib.contextmanager
    def server(self) -> Iterator[NativeServer]:
        """A server on a new cluster, which answers."""
        data = self._parent / "data"
        subprocess.run(["cp", "-a", str(self._cluster), str(data)], check=True)
        if not self.in_memory:
            os.sync()  # the copy is not to be written while something is measured
        server = NativeServer(self._native, data, *self.settings)
        try:
            server.connect().close()
            yield server
        finally:
            server.close()
            shutil.rmtree(data)

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        with self.server() as server:
            return self._replay(workload, "unix", str(server.socket))


class NativeFsyncOff(NativeEngine):
    title = "native, fsync off"
    where = "tmpfs, unix socket; the settings of initdb but fsync=off"
    settings = ("fsync=off",)
    in_memory = True


class NativeOurSettings(NativeFsyncOff):
    title = "native, our settings"
    where = "tmpfs, unix socket; fsync off, no parallel workers, synchronous I/O: as ours"
    settings = ("fsync=off", "max_parallel_workers_per_gather=0",
                "max_parallel_maintenance_workers=0", "io_method=sync")


class NativeDefault(NativeEngine):
    title = "native, defaults"
    where = "a directory on disk, unix socket; the settings of initdb"


class PipeFloor(Engine):
    title = "floor: pipes"
    where = ("no database: a process that reads the same requests from a pipe and writes as many bytes "
             "as their answers have")
    is_floor = True

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return self._replay(workload, "pipes", *map(str, answer_bytes))


class MemcpyFloor(Engine):
    title = "floor: memcpy"
    where = "no database: the same bytes copied once"
    is_floor = True

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return self._replay(workload, "memcpy", *map(str, answer_bytes))


ENGINES: dict[str, type[Engine]] = {
    "ours": Ours,
    "port": OursPort,
    REFERENCE: NativeFsyncOff,
    SERIAL: NativeOurSettings,
    "node": Node,
    "ours-durable": OursFull,
    "native": NativeDefault,
    "floor-pipes": PipeFloor,
    "floor-memcpy": MemcpyFloor,
}


@dataclass
class Suite:
    name: str
    title: str
    about: str
    workload: Callable[[float], Workload]  # of a scale: 1 is the full size
    rounds: int
    # Both ends on one processor: between two, whatever answers, the wake-up would be most of a time.
    together: bool = False
    metric: str = "ms"  # what is compared: an item's "ms", or "p50_us", the median of its requests
    targets: dict[str, float] = field(default_factory=dict)  # engine: ratio to the reference
    target_items: str = ""  # the targets are for the items whose names begin so
    without: tuple[str, ...] = ()  # engines that this suite is not for


@dataclass
class Times:
    """What one suite gave: metric -> item -> engine -> samples."""

    suite: Suite
    items: list[str] = field(default_factory=list)
    samples: dict[str, dict[str, dict[str, list[float]]]] = field(
        default_factory=lambda: {"ms": {}, "p50_us": {}, "p99_us": {}})
    requests: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # engine: why it has no times here
    wrong: dict[str, list[str]] = field(default_factory=dict)  # engine: items with other rows
    _expected: dict[str, tuple] = field(default_factory=dict)

    def add(self, engine: str, result: dict) -> None:
        floor = ENGINES[engine].is_floor
        for item in result["items"]:
            name = item["name"]
            rows = (item["checksum"], item["rows"])
            if not floor and self._expected.setdefault(name, rows) != rows:
                if name not in self.wrong.setdefault(engine, []):
                    self.wrong[engine].append(name)
                continue
            if not floor:
                self.bytes[name] = item["bytes"]
            if not item["timed"]:
                continue
            if name not in self.items:
                self.items.append(name)
            self.requests[name] = item["requests"]
            for metric, table in self.samples.items():
                table.setdefault(name, {}).setdefault(engine, []).append(item[metric])

    def median(self, item: str, engine: str) -> float | None:
        samples = self.samples[self.suite.metric].get(item, {}).get(engine)
        return statistics.median(samples) if samples else None

    def ratio(self, item: str, engine: str) -> float | None:
        ours, reference = self.median(item, engine), self.median(item, REFERENCE)
        return ours / reference if ours is not None and reference else None

    def geometric_mean(self, engine: str, prefix: str = "") -> float | None:
        """Of the ratios of items whose names begin so; none when one has no ratio, and of floors."""
        if ENGINES[engine].is_floor:
            return None
        ratios = [self.ratio(item, engine) for item in self.items if item.startswith(prefix)]
        if not ratios or any(ratio is None for ratio in ratios):
            return None
        return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))

    def engines(self) -> list[str]:
        return [name for name in ENGINES if any(name in self.samples["ms"][item] for item in self.items)]


def _first(name: str) -> tuple[bool, bool]:
    """The order of the first round: the reference, to compare with; floors last, they need the sizes."""
    return ENGINES[name].is_floor, name != REFERENCE


class Bench:
    """What all suites share: the program, the compiled clients, the native installation."""

    def __init__(self, program: str, compiled: pathlib.Path | Unavailable, work: pathlib.Path):
        self.program = program
        self.work = work
        memory = pathlib.Path("/dev/shm")
        self.memory = pathlib.Path(
            tempfile.mkdtemp(prefix="pglite-bench-", dir=memory if memory.is_dir() else work))
        self.memory.chmod(0o711)
        self._compiled = compiled
        self._native: Native | None = None
        self._engines: dict[str, Engine | Unavailable] = {}

    def replay(self) -> pathlib.Path:
        if isinstance(self._compiled, Unavailable):
            raise self._compiled
        return self._compiled / "replay"

    def native(self) -> Native:
        if self._native is None:
            self._native = Native(self.work)
        return self._native

    @staticmethod
    def directory(prefix: str, parent: pathlib.Path) -> pathlib.Path:
        return pathlib.Path(tempfile.mkdtemp(prefix=prefix + "-", dir=parent))

    def engine(self, name: str) -> Engine:
        if name not in self._engines:
            engine = ENGINES[name](self)
            try:
                engine.prepare()
                self._engines[name] = engine
            except (Unavailable, OSError, KeyError) as why:
                self._engines[name] = Unavailable(str(why))
        found = self._engines[name]
        if isinstance(found, Unavailable):
            raise found
        return found

    def close(self) -> None:
        shutil.rmtree(self.memory, ignore_errors=True)

    def measure(self, suite: Suite, names: list[str], rounds: int, scale: float,
                progress: Callable[[str], None]) -> Times:
        times = Times(suite)
        file = self.work / f"{suite.name}.workload"
        progress(f"{suite.name}: writing the workload")
        workload = suite.workload(scale)
        workload.write(file)
        times.transactions = workload.transactions
        names = [name for name in names if name not in suite.without]
        order = random.Random(rounds)
        for r in range(rounds):
            # The reference comes first once, so that there is something to compare with.
            if r > 0:
                order.shuffle(names)
            for name in sorted(names, key=_first) if r == 0 else names:
                if name in times.absent:
                    continue
                progress(f"{suite.name}, round {r + 1} of {rounds}: {name}")
                together = (processes.on_one_processor() if suite.together
                            else contextlib.nullcontext())
                try:
                    with processes.before_others(), together:
                        answers = [times.bytes.get(item.name, 0) // max(len(item.requests), 1)
                                   for item in workload.items]
                        times.add(name, self.engine(name).run(file, answers))
                except (Unavailable, protocol.EngineError, OSError,
                        subprocess.SubprocessError) as why:
                    times.absent[name] = str(why)
                    progress(f"{suite.name}: {name}: {why}")
        file.unlink()
        return times
