"""Tests that an emulated processor cannot pass, by a list in TOML that says why, and no others.

A plugin of pytest, which skips what the list in PGLITE_EMULATED names; and a program for ctest, which takes a regular
expression: `ctest -E "$(python3 tests/emulated.py LIST)"`. An entry `[[skip]]` has `test` or `unit`, a pattern of
names of pytest's or of GoogleTest's, and `because`.
"""

import fnmatch
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest


def load(path) -> list[dict]:
    entries = tomllib.loads(Path(path).read_text()).get("skip", [])
    for entry in entries:
        if set(entry) not in ({"test", "because"}, {"unit", "because"}):
            raise ValueError(f"{path}: an entry has `test` or `unit`, and `because`: {entry}")
    return entries


def reason_for(entries: list[dict], nodeid: str) -> str | None:
    # Square brackets are pytest's parameters, not a set of characters.
    return next((entry["because"] for entry in entries
                 if "test" in entry and fnmatch.fnmatchcase(nodeid, entry["test"].replace("[", "[[]"))), None)


def excluded_by_ctest(entries: list[dict]) -> str:
    patterns = [re.escape(entry["unit"]).replace("\\*", ".*") for entry in entries if "unit" in entry]
    return "^(" + "|".join(patterns) + ")$" if patterns else "^$"


def pytest_collection_modifyitems(config, items):
    path = os.environ.get("PGLITE_EMULATED")
    if not path:
        return
    entries = load(path)
    for item in items:
        reason = reason_for(entries, item.nodeid)
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"emulated: {reason}"))


if __name__ == "__main__":
    print(excluded_by_ctest(load(sys.argv[1])))
