"""The manual page and the completions say what the program does. They are made by scripts/make_manual.py.

tests/manual shows them to the programs that read them.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("PGLITE_PORT", ROOT / "build/release/pglite-port")).resolve()
MANUAL = ROOT / "docs/man/pglite-port.1"
MADE = ["docs/man/pglite-port.1", "completions/pglite-port.bash", "completions/_pglite-port", "completions/pglite-port.fish"]
COMMANDS = ["port", "serve", "sql", "initdb", "dump", "restore", "repair", "compile", "help"]


def helped(*arguments: str) -> str:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=True, env={}).stdout


ALL_HELP = [["--help"], *(["help", command] for command in COMMANDS[:-1])]


def test_they_are_what_the_program_says_now(tmp_path):
    subprocess.run([ROOT / "scripts/make_manual.py", PROGRAM, tmp_path], check=True)
    stale = [name for name in MADE if (tmp_path / name).read_bytes() != (ROOT / name).read_bytes()]
    assert stale == [], "make manual"


# Read here with other eyes than the script's: what stands where an option stands, and what stands in brackets.
def test_no_option_and_no_variable_is_missing_or_too_many():
    text = "\n".join(helped(*arguments) for arguments in ALL_HELP)
    flags = {flag for line in text.splitlines() if re.match(r"  (    )?-", line) for flag in
             re.findall(r"(?<![\w'-])--?\w[\w-]*", re.split(r"(?<=\S)  ", line)[0].split(" '")[0])}
    variables = set(re.findall(r"\[(PGLITE_\w+)\]", text))
    assert {"-D", "--data-dir", "--listen", "-1", "-o", "--reset-wal"} <= flags
    items = re.findall(r"^\.It (Fl .*)$", MANUAL.read_text(), re.M)
    listed = {"-" + flag for item in items for flag in re.findall(r"Fl (\S+)", item)}
    assert listed == flags
    environment = MANUAL.read_text().split(".Sh ENVIRONMENT")[1].split(".Sh FILES")[0]
    assert set(re.findall(r"^\.It Ev (\S+)", environment, re.M)) == variables


def test_the_manual_has_each_command_and_the_exit_codes():
    text = MANUAL.read_text()
    assert re.findall(r"^\.Ss (\S+)", text, re.M) == COMMANDS
    codes = re.findall(r"^\| (\d+) \|", (ROOT / "docs/configuration.md").read_text(), re.M)
    status = text.split(".Sh EXIT STATUS")[1].split(".Sh EXAMPLES")[0]
    assert codes and re.findall(r"^\.It (\d+)", status, re.M) == codes


@pytest.mark.parametrize("arguments", ALL_HELP, ids=" ".join)
def test_help_fits_a_terminal_and_has_examples_first(arguments):
    text = helped(*arguments)
    assert [line for line in text.splitlines() if len(line) > 79] == []
    assert text.index("  pglite-port ") < re.search(r"^(Commands|Options)", text, re.M).start()


def complete(*words: str, directory: Path = ROOT) -> list[str]:
    """What bash offers for the last of the words."""
    script = f"""
        source {ROOT}/completions/pglite-port.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _pglite_port && printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script, "bash", "pglite-port", *words], capture_output=True, text=True,
                          cwd=directory, check=True)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(("words", "offered"), [
    (["se"], ["serve"]),
    (["-D", "x", "re"], ["restore", "repair"]),
    (["--dur"], ["--durability"]),
    (["--durability", ""], ["full", "relaxed", "off"]),
    (["sql", "--format", "=", "c"], ["csv"]),
    (["sql", "--sin"], ["--single-transaction"]),
    (["serve", "--sin"], []),
    (["serve", "--fram"], []),
    (["serve", "--tls-"], ["--tls-cert", "--tls-key"]),
    (["help", "d"], ["dump"]),
    (["serve", "-D", "b"], ["bin"]),
    (["dump", "-o", "b"], ["bin", "book.tar"]),
    (["sql", "-o", "b"], []),
    (["compile", "b"], ["bin", "book.tar"]),
])  # fmt: skip
def test_bash_completes(tmp_path, words, offered):
    (tmp_path / "bin").mkdir()
    (tmp_path / "book.tar").touch()
    assert sorted(complete(*words, directory=tmp_path)) == sorted(offered)


def test_bash_offers_every_option_of_a_command():
    for command in COMMANDS[:-1]:
        listed = set()
        for line in helped("help", command).splitlines():
            if re.match(r"  (    )?-", line):
                listed |= set(re.findall(r"(?<![\w'-])--?\w[\w-]*", re.split(r"(?<=\S)  ", line)[0].split(" '")[0]))
        assert set(complete(command, "-")) == listed, command
