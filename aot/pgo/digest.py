#!/usr/bin/env python3
"""Which generated C a profile belongs to: prints a SHA-256 over it.

usage: digest.py DIRECTORY     the build's aot/modules
"""

import hashlib
import pathlib
import sys


def of(directory: pathlib.Path) -> str:
    result = hashlib.sha256()
    for file in sorted(directory.glob("*/*.[ch]")):
        result.update(f"{file.relative_to(directory)} {file.stat().st_size}\n".encode())
        result.update(file.read_bytes())
    return result.hexdigest()


if __name__ == "__main__":
    print(of(pathlib.Path(sys.argv[1])))
