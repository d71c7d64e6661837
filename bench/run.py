#!/usr/bin/env python3
"""Measures pglite-port beside PGlite on Node, native PostgreSQL and others, all in one run.

usage: bench/run.py [--only SUITE,...] [--engines ENGINE,...] [--rounds N] [--quick] [--scale X]
                    [--program FILE] [--build-dir DIR] [--results DIR] [--list]
       bench/run.py --only SUITE --write FILE [--items PREFIX] [--scale X]

Builds what is compiled in the program's build directory, fetches the peers (aot/fetch.py),
interleaves the measurements, and writes DATE.md, DATE.json and charts (and DATE-startup.md and .json)
into the results directory: bench/results for everything at full size, with the summary in
docs/performance.md; build/bench-results otherwise.
--quick is one round at a fiftieth of the size: it shows that everything runs. --list names the
suites and engines. --write writes a suite's workload for `replay`, to profile an engine with;
of its timed items only those whose names begin with PREFIX. bench/README.md says what a figure means.
"""

from __future__ import annotations

import argparse
import contextlib
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

import protocol
import tables
from contenders import ENGINES
from engines import REPOSITORY, Port, Unavailable
from results import as_json, as_markdown
from startup import TITLE, Startup
from suites import SUITES
from throughput import Bench, Times


def output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


TOOLS = ("instance_loop", "replay", "round_trip")


def build(directory: pathlib.Path, work: pathlib.Path) -> pathlib.Path | Unavailable:
    """Where the compiled clients are: copies, so that a build in the meantime changes nothing."""
    command = ["cmake", "--build", str(directory), "--target", "pglite-port", *TOOLS]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return Unavailable(f"{', '.join(TOOLS)} could not be built: {error}")
    if done.returncode != 0:
        print(done.stdout[-2000:], done.stderr[-2000:], sep="", file=sys.stderr)
        return Unavailable(f"{', '.join(TOOLS)} could not be built")
    for tool in TOOLS:
        shutil.copy2(directory / "bench" / tool, work / tool)
    return work


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


def settings_differences(bench: Bench) -> dict[str, str]:
    """What native PostgreSQL is set to where it differs from us, for the settings that matter."""
    names = ("shared_buffers work_mem maintenance_work_mem effective_cache_size temp_buffers "
             "wal_buffers max_wal_size fsync synchronous_commit full_page_writes wal_level "
             "io_method jit max_parallel_workers_per_gather max_parallel_maintenance_workers "
             "autovacuum data_checksums default_statistics_target random_page_cost").split()
    sql = ("select string_agg(name || '=' || current_setting(name), ', ' order by name) "
           "from pg_settings where name in (" + ", ".join(f"'{name}'" for name in names) + ")")

    def ask(channel) -> dict[str, str]:
        answer = protocol.check(channel.exchange(protocol.query(sql)))
        row = answer[answer.index(b"D", answer.index(b"T") + 1 + 4 + 20) :]
        text = row[11 : 1 + int.from_bytes(row[1:5], "big")].decode()
        return dict(pair.split("=", 1) for pair in text.split(", "))

    port = Port(bench.program)
    ours = ask(port.channel)
    port.close()
    found = {"ours": ", ".join(f"{name} {value}" for name, value in ours.items())}
    for name in ("native-fsync-off", "native"):
        with contextlib.suppress(Unavailable, KeyError), bench.engine(name).server() as server:
            stream = server.connect()
            theirs = ask(stream)
            stream.close()
            found[ENGINES[name].title] = ", ".join(
                f"{key} {value}" for key, value in theirs.items() if ours.get(key) != value)
    return found


def chosen(text: str | None, known: list[str], what: str) -> list[str]:
    names = known if text is None else [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"run.py: no {what} {', '.join(unknown)}; there are: {', '.join(known)}")
    return names


def measure_startup(program: str, compiled: pathlib.Path | Unavailable, work: pathlib.Path,
                    rounds: int, machine: dict, stem: pathlib.Path, progress) -> None:
    suite = Startup(program, compiled, work)
    try:
        progress("start-up: preparing")
        suite.prepare()
        suite.rehearse()
        suite.run(rounds, lambda text: progress("start-up: " + text))
    finally:
        suite.finish()
    machine = {**machine, "rounds": str(rounds)}
    lines = list(suite.lines.values())
    result = as_json(TITLE, machine, lines, suite.details)
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = as_markdown(TITLE, machine, lines, suite.details)
    stem.with_suffix(".md").write_text(text)
    print(text)


def draw(result: pathlib.Path) -> bool:
    """The charts, with a Python that has matplotlib: Debian's, where ours has not."""
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            if subprocess.run([python, "-c", "import matplotlib"], capture_output=True).returncode == 0:
                charts = REPOSITORY / "bench" / "charts.py"
                return subprocess.run([python, str(charts), str(result)]).returncode == 0
    print("run.py: no charts: matplotlib is not there (scripts/setup bench)", file=sys.stderr)
    return False


BEGIN, END = "<!-- bench/run.py writes from here -->", "<!-- to here -->"


def put_summary(page: pathlib.Path, lines: list[str], begin: str = BEGIN) -> None:
    before, rest = page.read_text().split(begin)
    _, after = rest.split(END)
    page.write_text("\n".join([before + begin, *lines, END + after]))


def summary(all_times: list[Times], machine: dict, stem: pathlib.Path, charts: bool) -> list[str]:
    """For docs/performance.md: geometric means and where the rest is."""
    where = f"../bench/results/{stem.name}"
    out = [f"{machine['date']}, {machine['CPU']}, {machine['pglite-port'].split(';')[0]}.",
           "Geometric means of the ratios to native PostgreSQL with fsync off on tmpfs; lower is better.",
           f"Items, spread and settings: [the result]({where}.md), [start-up]({where}-startup.md).", ""]
    out += tables.summary_table(all_times)
    if charts:
        out += ["", f"![Geometric means]({where}-summary.svg)"]
    absent: dict[str, list[str]] = {}
    for times in all_times:
        for engine, why in times.absent.items():
            absent.setdefault(f"{ENGINES[engine].title}: {why}", []).append(times.suite.title)
    if absent:
        out += ["", "Not run:", ""]
        out += [f"- {text}" + ("" if len(suites) == len(all_times) else f" ({', '.join(suites)})")
                for text, suites in absent.items()]
    return out


def report(all_times: list[Times], machine: dict, settings: dict, stem: pathlib.Path,
           page: pathlib.Path | None) -> None:
    result = {"machine": machine, "settings": settings,
              "suites": [tables.as_json(times) for times in all_times]}
    file = stem.with_suffix(".json")
    file.write_text(json.dumps(result, indent=1) + "\n")
    charts = draw(file)
    out = ["# Throughput", "",
           "Geometric means of the ratios to native PostgreSQL with fsync off; lower is better. "
           "Written by `bench/run.py`;", "the JSON file beside this one holds all samples.", ""]
    out += tables.summary_table(all_times)
    if charts:
        out += ["", f"![Geometric means]({stem.name}-summary.svg)"]
        for times in all_times:
            times.charted = f"{stem.name}-{times.suite.name}.svg"
    out += ["", "## Machine", ""] + [f"- {name}: {value}" for name, value in machine.items()]
    out += ["", "## Engines", ""]
    for name, engine in ENGINES.items():
        if any(name in times.engines() for times in all_times):
            out.append(f"- **{engine.title}** (`{name}`): {engine.where}")
    out += ["", "Settings:", ""] + [
        f"- {name}: {value or 'nothing else'}" for name, value in settings.items()]
    text = "\n".join(out) + "\n\n" + "\n".join(tables.as_markdown(times) for times in all_times)
    stem.with_suffix(".md").write_text(text)
    if page is not None:
        put_summary(page, summary(all_times, machine, stem, charts))
    print(text)


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--only")
    parser.add_argument("--engines")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scale", type=float)
    parser.add_argument("--program", type=pathlib.Path,
                        default=REPOSITORY / "build" / "release" / "pglite-port")
    parser.add_argument("--build-dir", type=pathlib.Path)
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--items", default="")
    options = parser.parse_args()
    if options.list:
        for name, title in [("startup", TITLE), *((s.name, s.title) for s in SUITES.values())]:
            print(f"suite   {name:20} {title}")
        for name, engine in ENGINES.items():
            print(f"engine  {name:20} {engine.title}: {engine.where}")
        return 0
    if options.write:
        names = chosen(options.only, list(SUITES), "suite")
        if len(names) != 1:
            sys.exit("run.py: --write is for one suite: --only SUITE")
        workload = SUITES[names[0]].workload(options.scale or 1)
        workload.keep(options.items)
        workload.write(options.write)
        return 0
    if not options.program.is_file():
        print(f"run.py: {options.program} is not there; run `make build`", file=sys.stderr)
        return 64
    suites = chosen(options.only, ["startup", *SUITES], "suite")
    engines = chosen(options.engines, list(ENGINES), "engine")
    if options.quick and not options.engines:
        engines = [name for name in engines if not ENGINES[name].needs_long_build]
    scale = options.scale or (0.02 if options.quick else 1)
    rounds = options.rounds or (1 if options.quick else None)
    whole = not (options.only or options.engines or options.rounds or scale != 1)
    results = options.results or REPOSITORY / ("bench/results" if whole else "build/bench-results")
    results.mkdir(parents=True, exist_ok=True)
    stem = results / datetime.date.today().isoformat()

    def progress(text: str) -> None:
        print(f"run.py: {text}", file=sys.stderr, flush=True)

    work = pathlib.Path(tempfile.mkdtemp(prefix="pglite-bench-"))
    bench = None
    try:
        work.chmod(0o711)  # the unprivileged user of native PostgreSQL passes through
        for directory in (work / "startup", work / "throughput"):
            directory.mkdir(mode=0o711)
            # Each data directory in a block group of its own, where ext4 can do that: without a
            # journal it is slow to make files where others were deleted in the last minutes.
            output("chattr", "+T", str(directory))
        progress("building")
        compiled = build(options.build_dir or options.program.parent, work)
        # A copy, so that a build in the meantime does not change what is measured.
        program = work / "pglite-port"
        shutil.copy2(options.program, program)
        machine = facts(program, work)
        machine["scheduling"] = "SCHED_RR" if os.geteuid() == 0 else "as usual (not root)"
        started, others = time.monotonic(), OtherWork()
        if "startup" in suites:
            measure_startup(str(program), compiled, work / "startup", rounds or 20, machine,
                            stem.with_name(stem.name + "-startup"), progress)
        bench = Bench(str(program), compiled, work / "throughput")
        if set(suites) != {"startup"}:
            bench.prepare(engines, progress)
        all_times = [bench.measure(suite, engines, rounds or suite.rounds, scale, progress)
                     for suite in SUITES.values() if suite.name in suites]
        machine["scale"] = str(scale)
        machine["duration"] = f"{time.monotonic() - started:.0f} s"
        machine["other processes kept busy"] = others.describe()
        if all_times:
            page = REPOSITORY / "docs" / "performance.md" if whole else None
            report(all_times, machine, settings_differences(bench), stem, page)
    finally:
        if bench is not None:
            bench.close()
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
