"""What tests write goes with them, so that a small /tmp is enough: the whole of `make test` stays below 1 GB.

A plugin of pytest, and a program for those who start tests: `temporary_files.py` fails where too little space is free.

`tmp_path` is removed when its test has passed, and kept when it has failed. What a module got of `tmp_path_factory` is
removed behind its last test, so a fixture for the whole session cannot use it. (pytest alone keeps all of the last three
sessions.) TMPDIR says where this is, as for every program.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

NEEDED = 1 << 30

_failed = pytest.StashKey[bool]()


def lack_of_space(needed: int = NEEDED) -> str | None:
    """What to tell where less than `needed` bytes are free for temporary files."""
    directory = tempfile.gettempdir()
    free = shutil.disk_usage(directory).free
    if free >= needed:
        return None
    return (f"the tests need {needed >> 20} MiB for temporary files, and {directory} has {free >> 20} MiB free: "
            "make room there, or set TMPDIR to a directory with more")  # fmt: skip


def remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def pytest_sessionstart(session):
    lack = lack_of_space()
    if lack:
        raise pytest.UsageError(lack)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    if outcome.get_result().failed:
        item.stash[_failed] = True


class Directories:
    """pytest's tmp_path_factory, as far as it is used, for the tests of one module."""

    def __init__(self, factory):
        self._factory = factory
        self.made = []

    def mktemp(self, name: str) -> Path:
        self.made.append(self._factory.mktemp(name))
        return self.made[-1]


@pytest.fixture(scope="module")
def tmp_path_factory(tmp_path_factory):
    directories = Directories(tmp_path_factory)
    yield directories
    for path in directories.made:
        remove(path)


@pytest.fixture
def tmp_path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(re.sub(r"\W", "_", request.node.name)[:30])
    yield path
    if _failed in request.node.stash:
        tmp_path_factory.made.remove(path)
    else:
        remove(path)


def main() -> int:
    lack = lack_of_space()
    if lack:
        print(f"{Path(sys.argv[0]).name}: {lack}", file=sys.stderr)
    return 1 if lack else 0


if __name__ == "__main__":
    sys.exit(main())
