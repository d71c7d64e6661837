#!/usr/bin/env python3
"""Measures pglite-port beside PGlite on Node and native PostgreSQL, all in one run.

usage: bench/run.py [--rounds N] [--program FILE] [--build-dir DIR] [--results DIR]

Builds the compiled half (instance_loop, round_trip) when it is not up to date, fetches the peers
(aot/fetch.py), interleaves the measurements, and writes DATE-NAME.md and .json into the results
directory. bench/README.md says what a figure means.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from engines import REPOSITORY, Unavailable
from results import as_json, as_markdown
from startup import TITLE, Startup


def output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def build(directory: pathlib.Path) -> pathlib.Path | Unavailable:
    """Where the compiled half is."""
    configure = ["cmake", "-S", str(REPOSITORY), "-B", str(directory), "-G", "Ninja",
                 "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_C_COMPILER=clang-22",
                 "-DCMAKE_CXX_COMPILER=clang++-22", "-DBUILD_TESTING=OFF"]
    make = ["cmake", "--build", str(directory), "--target", "instance_loop", "round_trip"]
    for command in (configure, make):
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return Unavailable(f"instance_loop and round_trip could not be built: {error}")
        if done.returncode != 0:
            print(done.stdout[-2000:], done.stderr[-2000:], sep="", file=sys.stderr)
            return Unavailable(f"instance_loop and round_trip could not be built ({command[1]})")
    return directory / "bench"


def cpu_model() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def filesystem(directory: pathlib.Path) -> str:
    return (output("df", "--output=fstype", str(directory)) or "unknown").splitlines()[-1]


def facts(program: pathlib.Path, work: pathlib.Path) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    binary = program.read_bytes()
    changed = output("git", "status", "--porcelain", "--", "src", "include", "aot", "CMakeLists.txt")
    commit = output("git", "rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    pages = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "CPU": f"{cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{memory / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}, transparent huge pages: "
                  + (pages.read_text().strip() if pages.exists() else "none"),
        "file system of the data directories": filesystem(work),
        "pglite-port": f"{output(str(program), '--version')}; {len(binary) / 1e6:.1f} MB, sha256 "
                       f"{hashlib.sha256(binary).hexdigest()[:12]}; work tree at {commit}",
        "Node": output("node", "--version") or "none",
        "Python": platform.python_version(),
    }


class OtherWork:
    """How busy the machine was with what is not ours."""

    def __init__(self):
        self._before = self._busy() - self._own()
        self._start = time.monotonic()

    @staticmethod
    def _busy() -> float:
        """user, nice, system, irq, softirq and steal of all processors, in seconds."""
        fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        ticks = sum(int(fields[i]) for i in (0, 1, 2, 5, 6, 7))
        return ticks / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _own() -> float:
        ours = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in ours)

    def describe(self) -> str:
        others = max(self._busy() - self._own() - self._before, 0)
        cores = others / (time.monotonic() - self._start)
        return f"{cores:.1f} of {os.cpu_count()} cores on average"


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--program", type=pathlib.Path,
                        default=REPOSITORY / "build" / "release" / "pglite-port")
    parser.add_argument("--build-dir", type=pathlib.Path, default=REPOSITORY / "build" / "bench")
    parser.add_argument("--results", type=pathlib.Path, default=REPOSITORY / "bench" / "results")
    options = parser.parse_args()
    if not options.program.is_file():
        print(f"run.py: {options.program} is not there; run `make build`", file=sys.stderr)
        return 64

    def progress(text: str) -> None:
        print(f"run.py: {text}", file=sys.stderr, flush=True)

    progress("building instance_loop and round_trip")
    compiled = build(options.build_dir)
    # A copy, so that a build in the meantime does not change what is measured.
    work = pathlib.Path(tempfile.mkdtemp(prefix="pglite-bench-"))
    work.chmod(0o711)  # the unprivileged user of native PostgreSQL passes through
    try:
        # Each data directory in a block group of its own, where ext4 can do that: without a journal
        # it is slow to make files where others were deleted in the last minutes.
        output("chattr", "+T", str(work))
        program = work / "pglite-port"
        shutil.copy2(options.program, program)
        machine = facts(program, work)
        suite = Startup(str(program), compiled, work)
        machine["scheduling"] = (
            ("SCHED_RR" if os.geteuid() == 0 else "as usual (not root)")
            + "; both ends of a round trip on one processor; all engines alike")
        started, others = time.monotonic(), OtherWork()
        try:
            progress("preparing")
            suite.prepare()
            suite.rehearse()
            suite.run(options.rounds, progress)
        finally:
            suite.finish()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    machine["rounds"] = str(options.rounds)
    machine["duration"] = f"{time.monotonic() - started:.0f} s"
    machine["other processes kept busy"] = others.describe()

    lines = list(suite.lines.values())
    options.results.mkdir(parents=True, exist_ok=True)
    stem = options.results / f"{datetime.date.today().isoformat()}-startup"
    result = as_json(TITLE, machine, lines, suite.details)
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = as_markdown(TITLE, machine, lines, suite.details)
    stem.with_suffix(".md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
