"""The version stands in CMakeLists.txt; whatever else names it says the same."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("PGLITE_PORT", ROOT / "build/release/pglite-port")).resolve()
(VERSION,) = re.findall(r"^project\(pglite_port VERSION (\d+\.\d+\.\d+)", (ROOT / "CMakeLists.txt").read_text(), re.M)


def found(path: str, pattern: str) -> list[str]:
    return re.findall(pattern, (ROOT / path).read_text(), re.M)


def test_it_is_the_same_everywhere():
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"pglite-port {VERSION} (PGlite ")
    assert found("elixir/mix.exs", r'@version "(.*)"') == [VERSION]
    assert found("docs/man/pglite-port.1", r'^\.Os "pglite-port (.*)"') == [VERSION]


def test_the_changelog_comes_to_it():
    # A heading of its own when it is released; until then it is what is not released yet.
    released = found("CHANGELOG.md", r"^## \[(\d+\.\d+\.\d+)\]")
    unreleased = found("CHANGELOG.md", r"^What will be (\d+\.\d+\.\d+)")
    assert (unreleased + released)[0] == VERSION
