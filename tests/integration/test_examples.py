"""The programs in examples/ do what they say, where their runtime is there."""

import importlib.util
import shutil
import subprocess

import pgwire as w
import pytest

EXAMPLES = w.REPOSITORY / "examples"
SEEN = {
    "shell.sh": (["sh"], "the dearest fruit is: quince\n1\na copy with plum\na copy with pear\n"),
    "server.sh": (["sh"], "55\n"),
    "port.py": (["python3"], "[('apple', '0.5'), ('quince', None)]\n22012: division by zero\nexit code 0\n"),
    "port.mjs": (["node"], '[["apple","0.5"],["quince",null]]\ndivision by zero\nexit code 0\n'),
    "psycopg_client.py": (["python3"], "[('apple', Decimal('0.5')), ('quince', None)]\n"),
}


def can_run(name):
    if name == "psycopg_client.py":
        return importlib.util.find_spec("psycopg") is not None
    return shutil.which(SEEN[name][0][0]) is not None


@pytest.mark.parametrize("name", list(filter(can_run, SEEN)))
def test_example(name):
    command, seen = SEEN[name]
    done = subprocess.run(
        [*command, EXAMPLES / name],
        env={**w.port_environment(), "PGLITE_PORT": w.port_command()[0]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, seen), done.stderr


def test_each_example_is_run_and_listed():
    there = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}  # library: tests/install
    assert there == set(SEEN)
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"]({name})" in listed for name in there)
