"""Runs workloads (workload.py) on engines (contenders.py), interleaved, and keeps their times.

An item's time counts when its rows have the same
checksum as the reference engine's.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import Callable

import processes
import protocol
from contenders import ENGINES, REFERENCE, Engine
from engines import Native, Unavailable
from workload import Workload


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
    charted: str = ""  # the file name of its chart
    absent: dict[str, str] = field(default_factory=dict)  # engine: why it has no times here
    wrong: dict[str, list[str]] = field(default_factory=dict)  # engine: items with other rows
    failed: dict[str, dict[str, str]] = field(default_factory=dict)  # engine: item: its error
    _expected: dict[str, tuple] = field(default_factory=dict)

    def add(self, engine: str, result: dict) -> None:
        floor = ENGINES[engine].is_floor
        for item in result["items"]:
            name = item["name"]
            rows = (item["checksum"], item["rows"])
            if item["error"]:
                self.failed.setdefault(engine, {})[name] = item["error"]
                continue
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

    def prepare(self, names: list[str], progress: Callable[[str], None]) -> None:
        """Before anything is measured: this installs and builds."""
        for name in names:
            progress(f"preparing {name}")
            engine = ENGINES[name](self)
            try:
                engine.prepare()
                self._engines[name] = engine
            except (Unavailable, OSError, KeyError) as why:
                self._engines[name] = Unavailable(str(why))
                progress(f"{name}: {why}")

    def engine(self, name: str) -> Engine:
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
        for name in names:
            if isinstance(found := self._engines[name], Unavailable):
                times.absent[name] = str(found)
        order = random.Random(rounds)
        for r in range(rounds):
            # The reference comes first once, so that there is something to compare with.
            if r > 0:
                order.shuffle(names)
            for name in sorted(names, key=_first) if r == 0 else names:
                if name in times.absent or r >= ENGINES[name].rounds:
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
