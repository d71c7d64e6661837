"""The Erlang VM opens the program with {:packet, 4}: see erlang_port.exs."""

import shutil
import subprocess
from pathlib import Path

import pgwire as w

SCRIPT = Path(__file__).with_name("erlang_port.exs")


def test_erlang_port():
    elixir = shutil.which("elixir")
    assert elixir, "elixir is not installed; this test needs it (Debian: apt-get install elixir)"
    command = w.port_command()
    program = shutil.which(command[0]) or command[0]
    environment = w.port_environment({"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"})
    done = subprocess.run(
        [elixir, str(SCRIPT), program, *command[1:]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all is well" in done.stdout
