#!/usr/bin/env python3
"""Packs files into a gzipped tar file whose bytes depend on nothing but theirs.

usage: pack_toolkit.py ARCHIVE NAME=FILE...
"""

import gzip
import io
import pathlib
import sys
import tarfile


def main() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for argument in sys.argv[2:]:
            name, file = argument.split("=", 1)
            content = pathlib.Path(file).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    pathlib.Path(sys.argv[1]).write_bytes(gzip.compress(out.getvalue(), mtime=0))


if __name__ == "__main__":
    main()
