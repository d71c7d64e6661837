"""Without random bytes (a system call filter, an old kernel) the program says so and ends: no two
clusters and no two sessions may be alike, and it must not ask for ever."""

import subprocess
import sys
from pathlib import Path

import pgwire as w
import pytest

WITHOUT_GETRANDOM = [sys.executable, str(Path(__file__).with_name("without_system_call.py")), "getrandom"]
NO_RANDOM_BYTES = "the system gives no random bytes"
IO_ERROR = 74


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*WITHOUT_GETRANDOM, *w.port_command()[:1], *arguments],
        env=w.port_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", [["sql", "-c", "select 1"], ["port"]])
def test_memory_does_not_start(command):
    done = run(*command)
    assert done.returncode == IO_ERROR, done
    assert f"{NO_RANDOM_BYTES}, which a cluster's identity needs: Function not implemented\n" in done.stderr


def test_no_directory_is_made(tmp_path):
    done = run("initdb", "-D", str(tmp_path / "new"))
    assert done.returncode == IO_ERROR, done
    assert NO_RANDOM_BYTES in done.stderr
    # Nothing of it is a cluster; with random bytes, it is made.
    assert not (tmp_path / "new" / "PG_VERSION").exists()
    subprocess.run([*w.port_command()[:1], "initdb", "-D", str(tmp_path / "new")], env=w.port_environment(), check=True)
    assert (tmp_path / "new" / "PG_VERSION").exists()


def test_a_session_has_no_cancel_key_of_zeros(copy_made, tmp_path):
    """A directory has its identity; a session of it needs a key that nobody can guess."""
    done = run("sql", "-D", str(copy_made(tmp_path / "data")), "-c", "select 1")
    assert done.returncode == IO_ERROR, done
    assert f"{NO_RANDOM_BYTES}, which a session's cancel key needs" in done.stderr
