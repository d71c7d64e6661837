"""The list of what an emulated processor cannot do (tests/emulated.py)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import emulated  # noqa: E402

LIST = """
[[skip]]
test = "test_some.py::test_memory[[]large]"
because = "the emulator's memory is in it"

[[skip]]
unit = "Files.*"
because = "the emulator has no such call"
"""

SOME = """
import pytest

@pytest.mark.parametrize("size", ["small", "large"])
def test_memory(size):
    pass
"""


def run(tmp_path, text, **environment):
    (tmp_path / "list.toml").write_text(text)
    (tmp_path / "test_some.py").write_text(SOME)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-p", "emulated", "."],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS), "PGLITE_EXPECTED_SKIPS": "", "PGLITE_EMULATED": "", **environment})


def test_what_the_list_names_is_skipped_with_its_reason(tmp_path):
    listed = LIST.replace("[[]", "[")
    done = run(tmp_path, listed, PGLITE_EMULATED=str(tmp_path / "list.toml"))
    assert done.returncode == 0 and "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "emulated: the emulator's memory is in it" in done.stdout


def test_elsewhere_nothing_is_skipped(tmp_path):
    assert "2 passed" in run(tmp_path, LIST).stdout


@pytest.mark.parametrize("text", ["[[skip]]\ntest = 'x'\n", "[[skip]]\nbecause = 'x'\n",
                                  "[[skip]]\ntest = 'x'\nunit = 'y'\nbecause = 'z'\n"])
def test_an_entry_without_a_name_or_a_reason_is_an_error(tmp_path, text):
    done = run(tmp_path, text, PGLITE_EMULATED=str(tmp_path / "list.toml"))
    assert done.returncode != 0 and "an entry has" in done.stdout + done.stderr


def test_the_expression_for_ctest_names_all_of_a_test(tmp_path):
    (tmp_path / "list.toml").write_text(LIST)
    expression = re.compile(emulated.excluded_by_ctest(emulated.load(tmp_path / "list.toml")))
    assert expression.search("Files.Devices")
    assert not expression.search("HostFiles.Devices") and not expression.search("FilesX")
    (tmp_path / "empty.toml").write_text("")
    assert not re.search(emulated.excluded_by_ctest(emulated.load(tmp_path / "empty.toml")), "Files.Devices")
