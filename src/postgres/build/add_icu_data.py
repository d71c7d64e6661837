#!/usr/bin/env python3
"""Adds to PGlite's files what they lack of ICU's data: the orders of languages and attributes of locales.

usage: add_icu_data.py BUNDLE DATA

PGlite's files (BUNDLE) have the order of ICU's root locale. DATA is ICU's own file of the same version, of which this is
taken, as ICU finds it in a directory: how languages sort, which locales there are, what their attributes mean, where
words begin (initcap), and what languages and regions are called in English (the comments of initdb's collations).

The format is that of ICU's data files (icu4c/source/common/ucmndata.h): a header, and a table of names and places.
"""

import fnmatch
import pathlib
import struct
import sys

WANTED = (
    "res_index.res", "keyTypeData.res", "timezoneTypes.res", "coll/*",
    # Without its dictionaries, for languages that put no spaces between words and know no capitals either.
    "brkitr/*.res", "brkitr/word*.brk",
    "lang/pool.res", "lang/root.res", "lang/en.res", "region/pool.res", "region/root.res", "region/en.res",
)  # fmt: skip


def items_of(data: bytes) -> dict[str, bytes]:
    header, magic = struct.unpack_from("<HH", data)
    if magic != 0x27DA or data[12:16] != b"CmnD":
        sys.exit("add_icu_data.py: this is no data file of ICU")
    (count,) = struct.unpack_from("<I", data, header)
    places = [struct.unpack_from("<II", data, header + 4 + 8 * i) for i in range(count)]
    ends = [begin for _, begin in places[1:]] + [len(data) - header]
    names = [data[header + at : data.index(0, header + at)].decode() for at, _ in places]
    return {name: data[header + begin : header + end] for name, (_, begin), end in zip(names, places, ends, strict=True)}


def main() -> None:
    (directory,) = (pathlib.Path(sys.argv[1]) / "pglite" / "icu").glob("icudt*")
    items = {name.removeprefix(f"{directory.name}/"): content
             for name, content in items_of(pathlib.Path(sys.argv[2]).read_bytes()).items()}  # fmt: skip
    for file in directory.rglob("*"):
        name = str(file.relative_to(directory))
        # Orders are kept in indexes on disk: they must be those of the version that PGlite has.
        if file.is_file() and items.get(name) != file.read_bytes():
            sys.exit(f"add_icu_data.py: {directory.name}/{name} of PGlite's is not ICU's: another version is needed")
    for name, content in items.items():
        if any(fnmatch.fnmatch(name, wanted) for wanted in WANTED):
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_bytes(content)


if __name__ == "__main__":
    main()
