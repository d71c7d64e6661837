#!/usr/bin/env python3
"""Runs a command that is silent for minutes, and says from time to time that it goes on.

usage: progress.py TITLE CACHE COMMAND...

CACHE is where the command leaves a file for each part of the work it has done: how many are new is told. A command that
finds everything there ends before anything is said. The exit status is the command's.
"""

import pathlib
import subprocess
import sys
import time

EVERY = 15  # seconds


def files(directory: pathlib.Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()} if directory.is_dir() else set()


def main() -> int:
    title, cache, *command = sys.argv[1:]
    directory = pathlib.Path(cache)
    before = files(directory)
    began = time.monotonic()
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait(EVERY)
            except subprocess.TimeoutExpired:
                print(f"{title}: {time.monotonic() - began:.0f} s, {len(files(directory) - before)} files done",
                      flush=True)


if __name__ == "__main__":
    sys.exit(main())
