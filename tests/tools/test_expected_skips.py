"""The count of skipped tests (tests/expected_skips.py)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

LIST = """
[[skip]]
test = "test_some.py::test_mount[ext*]"
says = "cannot be mounted"
because = "there are no loop devices"

[[skip]]
test = "Files.Devices"
says = "cannot be made"
because = "it takes privileges"
"""

SOME = """
import pytest

def test_good():
    pass

@pytest.mark.parametrize("kind", ["ext4"])
def test_mount(kind):
    pytest.skip("ext4 cannot be mounted here")

@pytest.mark.xfail
def test_expected_failure():
    assert False
"""


def run_pytest(tmp_path, text, expected=LIST):
    (tmp_path / "test_some.py").write_text(text)
    (tmp_path / "list.toml").write_text(expected)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "expected_skips", tmp_path],
        env=os.environ | {"PYTHONPATH": str(TESTS), "PGLITE_EXPECTED_SKIPS": str(tmp_path / "list.toml")},
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_listed_skips_are_counted(tmp_path):
    done = run_pytest(tmp_path, SOME)
    assert done.returncode == 0, done.stdout
    assert "skipped: test_some.py::test_mount[ext4]" in done.stdout
    assert "1 skipped, as expected" in done.stdout
    assert "1 passed, 1 skipped, 1 xfailed" in done.stdout


@pytest.mark.parametrize(
    "extra",
    [
        "def test_other(): pytest.skip('ext4 cannot be mounted here')",
        "@pytest.mark.skipif(True, reason='no node')\ndef test_marked(): pass",
        "pytest.skip('a whole module', allow_module_level=True)",
    ],
)
def test_another_skip_fails_the_session(tmp_path, extra):
    done = run_pytest(tmp_path, SOME + extra)
    assert done.returncode != 0, done.stdout
    assert "SKIPPED, which nobody expected: test_some.py" in done.stdout
    assert "not all of them expected" in done.stdout


def test_another_reason_fails_the_session(tmp_path):
    done = run_pytest(tmp_path, SOME, LIST.replace("cannot be mounted", "is not there"))
    assert done.returncode == 1, done.stdout


def test_without_a_list_nothing_changes(tmp_path):
    (tmp_path / "test_some.py").write_text(SOME)
    environment = {k: v for k, v in os.environ.items() if k != "PGLITE_EXPECTED_SKIPS"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "expected_skips", tmp_path],
        env=environment | {"PYTHONPATH": str(TESTS)}, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "expected\n" not in done.stdout


def test_it_is_in_force_for_every_directory_of_tests(tmp_path):
    """Also where only one is named on the command line."""
    (tmp_path / "list.toml").write_text("[[skip]]\nwrong = 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "-k", "no_such_test",
         TESTS / "tools"],
        env=os.environ | {"PGLITE_EXPECTED_SKIPS": str(tmp_path / "list.toml")},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "an entry has `test`, `says` and `because`" in done.stdout + done.stderr


# As ctest 3.25 writes it.
JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="(empty)" tests="2" failures="0" disabled="0" skipped="1">
  <testcase name="Files.Round" classname="Files.Round" time="0.1" status="run"><system-out>ok</system-out></testcase>
  <testcase name="{name}" classname="{name}" time="0.1" status="notrun">
    <skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
    <system-out>[ RUN      ] {name}
files_test.cc:228: Skipped
device nodes cannot be made here

[  SKIPPED ] {name} (0 ms)
</system-out>
  </testcase>
</testsuite>
"""


@pytest.mark.parametrize(("name", "status"), [("Files.Devices", 0), ("Files.Other", 1)])
def test_ctest(tmp_path, name, status):
    (tmp_path / "list.toml").write_text(LIST)
    (tmp_path / "ctest.xml").write_text(JUNIT.format(name=name))
    done = subprocess.run(
        [sys.executable, TESTS / "expected_skips.py", tmp_path / "list.toml", tmp_path / "ctest.xml"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert f"{name}: device nodes cannot be made here" in done.stdout
