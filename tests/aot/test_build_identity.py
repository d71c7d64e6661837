"""The identity of a build: the same for all processors, another for other sources or images."""

import pathlib
import re
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "src/postgres/build/build_identity.py"


class Build:
    """A directory of sources and one of images, as two builds of the same sources have them."""

    def __init__(self, root: pathlib.Path, images: pathlib.Path):
        self.root, self.images = root, images
        for directory, name in ((root, "b.cc"), (root, "a.h"), (images, "one.image"), (images, "two.image")):
            directory.mkdir(exist_ok=True)
            (directory / name).write_text(name)

    def run(self, *more: str, sources=("b.cc", "a.h")) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, SCRIPT, self.root / "out.cc", "--root", self.root,
             "--images", self.images / "one.image", self.images / "two.image", *more, "--sources", *sources],
            capture_output=True, text=True)

    def identity(self, *more: str, **arguments) -> bytes:
        done = self.run(*more, **arguments)
        assert done.returncode == 0, done.stderr
        digits = re.search(r'\{"((?:\\x[0-9a-f]{2}){32})", 32\}', (self.root / "out.cc").read_text())
        return bytes.fromhex(digits[1].replace("\\x", ""))

    def snapshot(self, identity: bytes) -> pathlib.Path:
        file = self.images / "boot.snapshot"
        file.write_bytes(b"PGLPSNAP" + bytes(8) + identity + bytes(100))
        return file


@pytest.fixture
def build(tmp_path):
    return Build(tmp_path / "sources", tmp_path / "images")


def test_it_does_not_depend_on_the_place_or_the_order(build, tmp_path):
    elsewhere = Build(tmp_path / "elsewhere", build.images)
    assert elsewhere.identity(sources=("a.h", "b.cc")) == build.identity()


@pytest.mark.parametrize("changed", ["sources/a.h", "sources/b.cc", "images/one.image", "images/two.image"])
def test_a_change_makes_another(build, tmp_path, changed):
    before = build.identity()
    (tmp_path / changed).write_text("changed")
    assert build.identity() != before


def test_a_file_that_gets_another_name_makes_another(build):
    before = build.identity()
    (build.root / "a.h").rename(build.root / "c.h")
    assert build.identity(sources=("b.cc", "c.h")) != before


def test_images_of_other_sources_are_refused(build):
    snapshot = build.snapshot(build.identity())
    build.identity("--snapshot", str(snapshot))
    (build.root / "b.cc").write_text("changed")
    done = build.run("--snapshot", str(snapshot))
    assert done.returncode == 1
    assert str(build.images) in done.stderr and "pglite_images" in done.stderr


def test_the_identity_is_where_a_snapshot_has_it():
    header = (SCRIPT.parents[1] / "snapshot/snapshot_format.h").read_text()
    fields = re.search(r"struct SnapshotHeader \{\n(.*?)build;", header, re.S)[1]
    assert re.findall(r"[^;\s/][^;]*;", fields) == [
        "std::array<char, 8> magic;", "uint32_t format;", "SnapshotKind kind;"], fields
