#!/usr/bin/env python3
"""Holds the floors of docs/architecture.md: what includes what, and who calls the system.

usage: check_floors.py [ROOT]

Prints each include that goes up (or sideways between floors that do not know each other), and each
name that only one system has outside src/os, with file and line; the exit code is 1 if there is any.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# What each floor may include besides itself. The longest matching prefix of a path is its floor.
BELOW_POSTGRES = {"os", "wire", "tarball", "wasm", "vfs", "emscripten", "postgres"}
BELOW_SNAPSHOT = BELOW_POSTGRES | {"postgres/cluster", "postgres/guest"}
BELOW_BUILD = BELOW_SNAPSHOT | {
    "postgres/snapshot", "postgres/sessions", "postgres/upkeep", "postgres/programs"}
MAY_INCLUDE = {
    "os": set(),
    "wire": set(),
    "tarball": set(),
    "wasm": {"os"},
    "vfs": {"os"},
    "emscripten": {"os", "wasm", "vfs"},
    # Files right in src/postgres: names and versions.
    "postgres": set(),
    "postgres/cluster": BELOW_POSTGRES,
    "postgres/guest": BELOW_POSTGRES | {"postgres/cluster"},
    "postgres/snapshot": BELOW_SNAPSHOT,
    "postgres/sessions": BELOW_SNAPSHOT,
    "postgres/upkeep": BELOW_SNAPSHOT,
    "postgres/programs": BELOW_SNAPSHOT,
    "postgres/build": BELOW_BUILD,
    "pglite": BELOW_BUILD | {"postgres/build"},
    "port": {"os", "wire"},
    "server": {"os", "wire"},
    "client": {"os", "wire"},
    "cli": {"os", "wire", "port", "server", "client"},
}
# The public headers that only name things; the others are for src/pglite and up.
VOCABULARY = {"status.h", "bytes.h", "options.h", "snapshot.h"}
NO_PUBLIC_HEADERS = {"os", "wire", "wasm", "vfs", "emscripten"}
ALL_PUBLIC_HEADERS = {"pglite", "port", "server", "cli"}

# Names of Linux's own, or that it has its own way. The guest imports a __syscall_fchmodat2, which is
# Emscripten's.
SYSTEM_NAMES = re.compile(
    r"openat2|signalfd|timer_create|timerfd|SIGEV_THREAD_ID|memfd|O_TMPFILE|\bO_PATH\b|/proc/"
    r"|syncfs|getrandom|getentropy|makedev|MADV_|madvise|\bfallocate\s*\(|(?<!syscall_)fchmodat2|AT_EMPTY_PATH|eventfd|\bepoll|prctl"
    r"|<linux/|<sys/random\.h>|<sys/syscall\.h>|<sys/sysmacros\.h>|<sys/vfs\.h>|<link\.h>|gettid"
    r"|__linux__|__APPLE__")

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]')


def floor_of(path: str) -> str | None:
    """The floor that the file src/`path` belongs to."""
    for length in (2, 1):
        floor = "/".join(path.split("/")[:-1][:length])
        if floor in MAY_INCLUDE:
            return floor
    return None


def allowed(floor: str, include: str) -> bool:
    if include.startswith("pglite/") and include.removeprefix("pglite/") in PUBLIC:
        name = include.removeprefix("pglite/")
        if floor in ALL_PUBLIC_HEADERS:
            return True
        return name in VOCABULARY and floor not in NO_PUBLIC_HEADERS
    target = floor_of(include)
    return target is None or target == floor or target in MAY_INCLUDE[floor]


PUBLIC: set[str] = set()


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    PUBLIC.update(path.name for path in (root / "include/pglite").glob("*.h"))
    wrong = []
    files = sorted([*(root / "src").rglob("*.cc"), *(root / "src").rglob("*.h"), *(root / "include").rglob("*.h")])
    for file in files:
        name = str(file.relative_to(root))
        floor = floor_of(name.removeprefix("src/")) if name.startswith("src/") else "pglite"
        if floor is None:
            wrong.append(f"{name}: belongs to no floor that scripts/check_floors.py knows")
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            include = INCLUDE.match(line)
            if include and not allowed(floor, include[1]):
                below = ", ".join(sorted(MAY_INCLUDE[floor])) or "no other floor"
                wrong.append(f"{name}:{number}: {floor} may not include {include[1]}; it may include {below}")
            system = SYSTEM_NAMES.search(line)
            if system and floor != "os":
                wrong.append(f"{name}:{number}: {system[0]} is one system's own and belongs in src/os")
    print("\n".join(wrong) if wrong else f"{len(files)} files keep to their floors")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
