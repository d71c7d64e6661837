"""The manual page with man and mandoc, the completions in zsh and fish. By hand: make manual-test installs these."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs/man/pglite-port.1"


def test_mandoc_has_no_warning():
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", MANUAL], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


def test_man_has_no_warning_and_stays_within_80_columns():
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", MANUAL], capture_output=True, text=True, check=True,
                          env={"MANWIDTH": "80", "LANG": "C.UTF-8", "MAN_KEEP_FORMATTING": "", "PATH": "/usr/bin:/bin"})
    assert done.stderr == ""
    assert "EXIT STATUS" in done.stdout
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(("line", "offered"), [
    ("pglite-port se", {"serve"}),
    ("pglite-port -D x re", {"restore", "repair"}),
    ("pglite-port --durability ", {"full", "relaxed", "off"}),
    ("pglite-port sql --format c", {"csv"}),
    ("pglite-port serve --tls-", {"--tls-cert", "--tls-key"}),
    ("pglite-port serve --single", set()),
    ("pglite-port help du", {"dump"}),
])  # fmt: skip
def test_fish_completes(line, offered):
    script = f"source {ROOT}/completions/pglite-port.fish; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert {found.split("\t")[0] for found in done.stdout.splitlines()} == offered


@pytest.fixture
def zsh(tmp_path):
    (tmp_path / "book.tar").touch()
    shell = pexpect.spawn("zsh", ["-f"], cwd=str(tmp_path), encoding="utf-8", dimensions=(60, 200), timeout=20,
                          env={"TERM": "dumb", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"})
    shell.sendline(f"PS1='ready> '; fpath=({ROOT}/completions $fpath); autoload -Uz compinit; compinit -u -D; setopt nobeep; echo 'done'")
    shell.expect("done\r\n")
    shell.expect("ready> ")
    yield shell
    shell.close(force=True)


@pytest.mark.parametrize(("typed", "shown"), [
    ("pglite-port se", "serve "),
    ("pglite-port -D x resto", "restore "),
    ("pglite-port sql --format c", "csv "),
    ("pglite-port serve --tls-c", "--tls-cert "),
    ("pglite-port --framing pa", "packet4 "),
    ("pglite-port help du", "dump "),
    ("pglite-port restore -f bo", "book.tar "),
    ("pglite-port compile bo", "book.tar "),
])  # fmt: skip
def test_zsh_completes(zsh, typed, shown):
    zsh.send("echo " + "x" + "\n")
    zsh.expect("x\r\n")
    zsh.expect("ready> ")
    zsh.send(typed + "\t")
    zsh.expect_exact(typed[: -len(typed.split()[-1])])
    zsh.expect_exact(shown)
