"""What is made at build time by running PostgreSQL is the same bytes each time, wherever and whenever.

The whole program is compared by scripts/build_release.sh --verify.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("PGLITE_PORT", ROOT / "build/release/pglite-port")).resolve().parent
MAKERS = BUILD / "src/postgres"
IMAGES = BUILD / "images"


def make(maker: Path, directory: Path, **environment: str) -> bytes:
    directory.mkdir(parents=True)
    # The program's own path lies in its memory and on its stack.
    program = shutil.copy(maker, directory / maker.name)
    subprocess.run([program, "image"], cwd=directory, check=True, env=environment)
    made = (directory / "image").read_bytes()
    shutil.rmtree(directory)
    return made


@pytest.mark.parametrize(("maker", "image"), [
    ("make_data_directory", "data_directory.image"),
    ("make_boot_snapshot", "boot.snapshot"),
])  # fmt: skip
def test_an_image_is_the_same_bytes_again(tmp_path, maker, image):
    built = (IMAGES / image).read_bytes()
    first = make(MAKERS / maker, tmp_path / "a")
    second = make(MAKERS / maker, tmp_path / "another" / "directory" / "with a longer name", TZ="America/New_York",
                  LANG="C.UTF-8", HOME="/nowhere", USER="somebody", MALLOC_PERTURB_="165")
    assert first == built
    assert second == built


def test_the_bundle_does_not_depend_on_times_and_order_and_umask(tmp_path):
    for name, order in {"a": ["x", "y/z"], "b": ["y/z", "x"]}.items():
        for place in order:
            file = tmp_path / name / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(place)
    for place in ("x", "y", "."):
        os.utime(tmp_path / "b" / place, (1, 1))
    (tmp_path / "a/x").chmod(0o555)
    (tmp_path / "b/x").chmod(0o500)
    (tmp_path / "b/y").chmod(0o700)
    made = []
    for name in "ab":
        subprocess.run([MAKERS / "make_bundle_image", tmp_path / name, tmp_path / f"{name}.image"], check=True)
        made.append((tmp_path / f"{name}.image").read_bytes())
    assert made[0] == made[1]


def test_the_toolkit_does_not_depend_on_times_and_place(tmp_path):
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        script = tmp_path / name / "glue.py"
        script.write_text("pass\n")
        script.chmod(0o600 if name == "a" else 0o755)
        os.utime(script, (1, 1) if name == "a" else None)
        subprocess.run(["python3", ROOT / "aot/pack_toolkit.py", tmp_path / f"{name}.tar.gz", f"glue.py={script}"], check=True)
        made.append((tmp_path / f"{name}.tar.gz").read_bytes())
    assert made[0] == made[1]


def test_the_program_names_no_directory_of_the_builder():
    program = (BUILD / "pglite-port").read_bytes()
    for directory in (ROOT, Path.home()):
        if len(directory.parts) > 2:  # "/root" could be anybody's
            assert f"{directory}/".encode() not in program, directory
