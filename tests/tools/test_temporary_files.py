"""What tests write goes with them (tests/temporary_files.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

SOME = """
import pytest

@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    path = tmp_path_factory.mktemp("shared") / "file"
    path.write_text("for the module")
    return path

@pytest.mark.parametrize("value", ["a", "b"])
def test_good(tmp_path, shared, value):
    (tmp_path / "file").write_text(shared.read_text() + value)

def test_bad(tmp_path, shared):
    (tmp_path / "evidence").write_text("here")
    assert False
"""

OTHER = """
from pathlib import Path

def test_before(tmp_path):
    session = tmp_path.parent
    found = [p for p in session.glob("*/*") if not p.parent.is_symlink()]
    print("left:", sorted(str(p.relative_to(session)) for p in found))
"""


@pytest.fixture
def run_pytest(tmp_path):
    (tmp_path / "suite").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "suite" / "test_a.py").write_text(SOME)
    (tmp_path / "suite" / "test_b.py").write_text(OTHER)

    def run(**variables):
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "temporary_files",
             tmp_path / "suite"],
            env=os.environ | {"PYTHONPATH": str(TESTS), "TMPDIR": str(tmp_path / "tmp")} | variables,
            cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run


def test_only_what_failed_is_left(run_pytest):
    done = run_pytest()
    assert "1 failed, 3 passed" in done.stdout, done.stdout
    assert "left: ['test_bad0/evidence']" in done.stdout, done.stdout


def test_it_is_in_force_for_every_directory_of_tests():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--fixtures", TESTS / "tools"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "fixtures defined from temporary_files" in done.stdout, done.stdout


def test_too_little_space_is_told_before_anything_runs(tmp_path, run_pytest):
    (tmp_path / "suite" / "conftest.py").write_text(
        "import temporary_files\ntemporary_files.lack_of_space.__defaults__ = (1 << 60,)\n"
    )
    done = run_pytest()
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert f"and {tmp_path / 'tmp'} has " in done.stderr and "set TMPDIR" in done.stderr
    assert "passed" not in done.stdout
