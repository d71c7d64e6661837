#!/usr/bin/env python3
"""Unpacks PGlite's file bundle and its extensions, and prints the side modules: a line each,
`core PATH` or `extension PATH`.

usage: bundle.py PACKAGE_DIRECTORY TARGET_DIRECTORY ARCHIVE...

pglite.data is a plain concatenation of files; their names and places are in a table inside
pglite.js (Emscripten's file packager writes it). Each ARCHIVE is one extension, a .tar.gz as
PGlite takes it: lib/ and share/ of an installation.
"""

import pathlib
import re
import sys
import tarfile

ENTRY = re.compile(r'\{filename:"(/[^"]+)",start:(\d+(?:e\d+)?),end:(\d+(?:e\d+)?)\}')
# Modes that PGlite sets after unpacking.
MODES = {"/home/postgres/.pgpass": 0o600, "/pglite/bin/initdb": 0o555, "/pglite/bin/postgres": 0o555}
PREFIX = "/pglite/"  # where PGlite lays extensions
# What PostgreSQL reads of an extension; the rest is headers, programs and their documentation.
INSTALLED = ("lib/postgresql/", "share/postgresql/")


def core_files(directory: pathlib.Path) -> dict[str, bytes]:
    """Of the directory with pglite.data."""
    data = (directory / "pglite.data").read_bytes()
    files = {}
    for name, start, end in ENTRY.findall((directory / "pglite.js").read_text()):
        first, last = int(float(start)), int(float(end))
        if ".." in name or last > len(data) or first > last:
            sys.exit(f"bundle.py: {name}: {first} to {last} of {len(data)} bytes is not valid")
        files[name] = data[first:last]
    covered = sum(len(content) for content in files.values())
    if covered != len(data):
        sys.exit(f"bundle.py: the table covers {covered} of {len(data)} bytes")
    return files


def extension_files(archive: pathlib.Path) -> dict[str, bytes]:
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isdir() or not name.startswith(INSTALLED):
                continue
            if not member.isfile() or ".." in name:
                sys.exit(f"bundle.py: {archive.name}: {member.name} is not a plain file")
            files[PREFIX + name] = tar.extractfile(member).read()
    return files


def write(target: pathlib.Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        file = target / name[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_bytes() != content:
            file.unlink(missing_ok=True)
            file.write_bytes(content)
        file.chmod(MODES.get(name, 0o644))
    for file in target.rglob("*"):
        if file.is_file() and f"/{file.relative_to(target)}" not in files:
            file.unlink()  # of an earlier version


def main() -> None:
    package, target, *archives = map(pathlib.Path, sys.argv[1:])
    core = core_files(package / "dist")
    extensions: dict[str, bytes] = {}
    for archive in archives:
        for name, content in extension_files(archive).items():
            if name in core or name in extensions:
                sys.exit(f"bundle.py: {archive.name} has {name}, which is there already")
            extensions[name] = content
    write(target, core | extensions)
    for kind, files in (("core", core), ("extension", extensions)):
        for name in sorted(files):
            if name.endswith(".so"):
                print(kind, target / name[1:])


if __name__ == "__main__":
    main()
