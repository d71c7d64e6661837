#!/usr/bin/env python3
"""Unpacks PGlite's file bundle and prints its side modules, one path a line.

usage: bundle.py PACKAGE_DIRECTORY TARGET_DIRECTORY

dist/pglite.data is a plain concatenation of files; their names and places are in a table inside
dist/pglite.js (Emscripten's file packager writes it).
"""

import pathlib
import re
import sys

ENTRY = re.compile(r'\{filename:"(/[^"]+)",start:(\d+(?:e\d+)?),end:(\d+(?:e\d+)?)\}')
# Modes that PGlite sets after unpacking.
MODES = {"/home/postgres/.pgpass": 0o600, "/pglite/bin/initdb": 0o555, "/pglite/bin/postgres": 0o555}


def main() -> None:
    package, target = map(pathlib.Path, sys.argv[1:3])
    data = (package / "dist/pglite.data").read_bytes()
    entries = ENTRY.findall((package / "dist/pglite.js").read_text())
    covered = 0
    for name, start, end in entries:
        first, last = int(float(start)), int(float(end))
        if ".." in name or last > len(data) or first > last:
            sys.exit(f"bundle.py: {name}: {first} to {last} of {len(data)} bytes is not valid")
        covered += last - first
        file = target / name[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        content = data[first:last]
        if not file.exists() or file.read_bytes() != content:
            file.unlink(missing_ok=True)
            file.write_bytes(content)
        file.chmod(MODES.get(name, 0o644))
    if covered != len(data):
        sys.exit(f"bundle.py: the table covers {covered} of {len(data)} bytes")
    for name in sorted(name for name, _, _ in entries if name.endswith(".so")):
        print(target / name[1:])


if __name__ == "__main__":
    main()
