#!/usr/bin/env python3
"""Runs the fuzz targets of a build (`make fuzz`), some at a time, and says how to repeat what they find.

What a target has found interesting stays in BUILD/fuzzing/corpus, so that the next run goes on from there.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def fuzz(build: Path, name: str, seconds: int) -> tuple[bool, str]:
    """Whether nothing was found, and a line about the run."""
    programs = build / "tests" / "fuzz"
    work = build / "fuzzing"
    corpus, seeds, crashes, log = (work / kind / name for kind in ("corpus", "seeds", "crashes", "logs"))
    for directory in (corpus, seeds, crashes, log.parent):
        directory.mkdir(parents=True, exist_ok=True)
    subprocess.run([programs / f"replay_{name}", "--write-seeds", seeds], check=True)
    command = [
        programs / f"fuzz_{name}", f"-max_total_time={seconds}", f"-artifact_prefix={crashes}/", "-timeout=30",
        "-rss_limit_mb=4096", "-print_final_stats=1",
    ]  # fmt: skip
    dictionary = HERE / f"{name}.dict"
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    regressions = HERE / "regressions" / name
    command += [corpus, seeds, *([regressions] if regressions.exists() else [])]
    before = set(crashes.iterdir())
    began = time.monotonic()
    with log.open("wb") as out:
        done = subprocess.run(["nice", *command], stdout=out, stderr=subprocess.STDOUT, check=False)
    took = time.monotonic() - began
    text = log.read_text(errors="replace")
    executed = re.findall(r"number_of_executed_units: (\d+)", text) or re.findall(r"#(\d+)\s", text) or ["0"]
    coverage = (re.findall(r"cov: (\d+)", text) or ["?"])[-1]
    line = f"{name}: {executed[-1]} inputs in {took:.0f} s, {coverage} edges"
    found = sorted(set(crashes.iterdir()) - before)
    if done.returncode == 0 and not found:
        return True, line
    lines = [f"{line}: FAILED, exit code {done.returncode}; the whole log: {log}", *text.splitlines()[-40:]]
    for file in found:
        lines += [
            f"repeat: {os.path.relpath(command[0])} {os.path.relpath(file)}",
            f"keep:   cp {os.path.relpath(file)} {os.path.relpath(regressions)}/",
        ]
    return False, "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="the build directory of the preset `fuzz`")
    parser.add_argument("targets", nargs="*", help="all, where none is named")
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    there = sorted(path.name.removeprefix("fuzz_") for path in (build / "tests" / "fuzz").glob("fuzz_*"))
    targets = arguments.targets or there
    if not targets or not set(targets) <= set(there):
        print(f"there is no such target: the build has {', '.join(there) or 'none'}", file=sys.stderr)
        return 64
    good = True
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [pool.submit(fuzz, build, name, arguments.seconds) for name in targets]
        for run in concurrent.futures.as_completed(runs):
            passed, text = run.result()
            good = good and passed
            print(text, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
