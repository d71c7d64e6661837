#!/usr/bin/env python3
"""Writes ICU's table of the attributes that a locale may name (keyTypeData), which PGlite leaves out.

usage: make_icu_key_types.py BUNDLE

PGlite's files (BUNDLE) have the order of ICU's root locale, but not the table by which "ks-level2" in
"und-u-ks-level2" means colStrength=secondary. Without it ICU takes no notice of such attributes, and
says nothing. The table is written to where ICU looks for it.

The table is CLDR's (common/bcp47/collation.xml), of which only the keys of collations matter here.
The format is ICU's resource bundle 1.1 (icu4c/source/common/uresdata.h).
"""

import pathlib
import struct
import sys

YES_NO = {"no": "false", "yes": "true"}
# An empty name is the same in both worlds.
KEY_TYPES = {
    "keyMap": {
        "colalternate": "ka",
        "colbackwards": "kb",
        "colcasefirst": "kf",
        "colcaselevel": "kc",
        "collation": "co",
        "colnormalization": "kk",
        "colnumeric": "kn",
        "colreorder": "kr",
        "colstrength": "ks",
    },
    "typeMap": {
        "colalternate": {"non-ignorable": "noignore", "shifted": ""},
        "colbackwards": YES_NO,
        "colcasefirst": {"lower": "", "no": "false", "upper": ""},
        "colcaselevel": YES_NO,
        "collation": {"dictionary": "dict", "gb2312han": "gb2312", "phonebook": "phonebk",
                      "traditional": "trad"},
        "colnormalization": YES_NO,
        "colnumeric": YES_NO,
        "colreorder": {"REORDER_CODE": ""},
        "colstrength": {"identical": "identic", "primary": "level1", "quaternary": "level4",
                        "secondary": "level2", "tertiary": "level3"},
    },
}  # fmt: skip

STRING, TABLE = 0, 2
NO_FALLBACK = 1
INDEX_COUNT = 6


def keys_of(table: dict) -> set[str]:
    nested = (keys_of(value) for value in table.values() if isinstance(value, dict))
    return set(table).union(*nested)


def pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def bundle(root: dict) -> bytes:
    begin = 4 * (1 + INDEX_COUNT)  # of the keys, behind the root's word and the indexes
    offsets = {}
    keys = b""
    for key in sorted(keys_of(root)):
        offsets[key] = begin + len(keys)
        keys += key.encode() + b"\0"
    keys = pad(keys)
    resources = b""
    largest = 0

    def put(resource: bytes, kind: int) -> int:
        nonlocal resources
        place = (begin + len(keys) + len(resources)) // 4
        resources += pad(resource)
        return kind << 28 | place

    def word(value: dict | str) -> int:
        nonlocal largest
        if value == "":
            return 0
        if isinstance(value, str):
            return put(struct.pack("<i", len(value)) + (value + "\0").encode("utf-16-le"), STRING)
        words = [word(value[key]) for key in sorted(value)]
        largest = max(largest, len(value))
        head = struct.pack(f"<{1 + len(value)}H", len(value), *(offsets[k] for k in sorted(value)))
        return put(pad(head) + struct.pack(f"<{len(words)}I", *words), TABLE)

    top = word(root)
    keys_top = (begin + len(keys)) // 4
    end = keys_top + len(resources) // 4
    indexes = [INDEX_COUNT, keys_top, end, end, largest, NO_FALLBACK]
    return struct.pack(f"<I{INDEX_COUNT}I", top, *indexes) + keys + resources


def file_of(root: dict) -> bytes:
    little_endian, ascii_family, unit_size = 0, 0, 2
    info = struct.pack("<HHBBBB", 20, 0, little_endian, ascii_family, unit_size, 0)
    info += b"ResB" + bytes([1, 1, 0, 0]) + bytes([1, 4, 0, 0])
    header = struct.pack("<HBB", 32, 0xDA, 0x27) + info
    return header.ljust(32, b"\0") + bundle(root)


def main() -> None:
    (directory,) = (pathlib.Path(sys.argv[1]) / "pglite" / "icu").glob("icudt*")
    target = directory / "keyTypeData.res"
    if target.exists():
        sys.exit("make_icu_key_types.py: PGlite has ICU's key types now: this one has to go")
    target.write_bytes(file_of(KEY_TYPES))


if __name__ == "__main__":
    main()
