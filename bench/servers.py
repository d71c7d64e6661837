"""Servers as clients see them: ours, native PostgreSQL, and the peers that have one. They have their data directories on
one file system, and each its own settings, but for the number of connections."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import contenders
import processes
import protocol
from engines import REPOSITORY, Unavailable

USER = "postgres"
CONNECTIONS = 200
LIMIT = 60.0  # seconds for a start, an end, or an answer


class Impossible(Exception):
    """The server cannot do what is measured, by what it is; the message says why."""


class Failed(Exception):
    """The server should have done it; the message says how it did not."""


class Client:
    """A connection that has a session. No wait is longer than LIMIT."""

    def __init__(self, server: Server, options: str = "", start: bool = True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT)
        try:
            self.socket.connect(str(server.path))
            self.socket.sendall(protocol.startup(USER, "postgres", options))
            if start:
                self.answer()
        except (OSError, protocol.EngineError) as error:
            self.socket.close()
            raise Failed(f"no session: {error}") from None
        except BaseException:
            self.socket.close()
            raise

    def answer(self) -> bytes:
        """All up to ReadyForQuery; an error in it is Failed."""
        answer = b""
        while answer[-6:-1] != protocol.READY:
            try:
                part = self.socket.recv(1 << 16)
            except OSError as error:
                raise Failed(f"no answer: {error}") from None
            if not part:
                with contextlib.suppress(Exception):
                    protocol.check(answer)
                raise Failed("the server has closed a connection")
            answer += part
        try:
            return protocol.check(answer)
        except protocol.EngineError as error:
            raise Failed(str(error)) from None

    def send(self, sql: str) -> None:
        self.socket.sendall(protocol.query(sql))

    def query(self, sql: str) -> bytes:
        self.send(sql)
        return self.answer()

    def value(self, sql: str) -> str:
        """The only column of the only row."""
        return protocol.first_value(self.query(sql))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(protocol.message(b"X"))
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Server:
    """A server with a data directory in `work`, at a Unix socket in a directory of its own, and at a port of 127.0.0.1."""

    name = ""
    title = ""
    connections: int | None = None  # at once; None: as many as are asked for
    own_sessions = True  # for each connection
    both = True  # it listens at the socket and the port at once
    mode = "prepared"  # pgbench's -M
    initialize = "dtgvp"  # pgbench's -I
    note = ""  # what is not as with the others

    def __init__(self, install: pathlib.Path | None, work: pathlib.Path):
        self.install = install  # of native PostgreSQL
        self.work = work
        self.data = work / "data"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
        self.directory.chmod(0o777)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.path = self.directory / f".s.PGSQL.{self.port}"
        self.process: subprocess.Popen | None = None

    def prepare(self) -> None:
        """Installs or builds what it needs; Unavailable says why it cannot."""

    def command(self, tcp: bool) -> list:
        """`tcp`: at the port, for those that do not listen at both."""
        raise NotImplementedError

    def make_data(self) -> None:
        pass

    def start(self, tcp: bool = False) -> None:
        self.make_data()
        self.path.unlink(missing_ok=True)
        with open(self.work / "log", "ab") as log:
            self.process = subprocess.Popen(self.command(tcp), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment())
        deadline = time.monotonic() + LIMIT
        while True:
            if self.process.poll() is not None:
                raise Failed(f"it ended with {self.process.returncode} when it was started; {self.last_words()}")
            try:
                return self.ask(tcp)
            except (OSError, Failed) as error:
                if time.monotonic() > deadline:
                    self.kill()
                    raise Failed(f"it did not start in {LIMIT:.0f} s: {error}") from None
            time.sleep(0.05)

    def ask(self, tcp: bool) -> None:
        if tcp and not self.both:
            socket.create_connection(("127.0.0.1", self.port), LIMIT).close()
        else:
            with Client(self) as client:
                client.query("select 1")

    def environment(self) -> dict[str, str]:
        return processes.CLEAN

    def last_words(self) -> str:
        text = (self.work / "log").read_text(errors="replace").strip()
        return text[-300:]

    def stop(self) -> None:
        """Ends it in order, or kills it."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        if self.process is not None:
            for pid in reversed(self.pids()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            self.process.wait()
            self.process = None

    def renew(self) -> None:
        """After a failure: killed, and started on a new data directory."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        self.start()

    def close(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def needs(self, connections: int, own_sessions: bool = False) -> None:
        if self.connections is not None and connections > self.connections:
            raise Impossible("one connection at a time" if self.connections == 1 else
                             f"{self.connections} connections at most")
        if own_sessions and not self.own_sessions:
            raise Impossible("all connections share one session")

    # What the kernel says -------------------------------------------------------------------------

    def pids(self) -> list[int]:
        return processes.family(self.process.pid)

    def memory(self) -> dict[str, float]:
        """MB of all its processes: `private` is mapped nowhere else; `all` has what is shared once, and page tables."""
        private = everything = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                rollup = processes.rollup(pid)
                private += rollup["Private_Clean"] + rollup["Private_Dirty"]
                everything += rollup["Pss"] + processes.page_tables(pid)
        return {"private": private, "all": everything}


class Ours(Server):
    name = "ours"
    title = "pglite-port serve"

    def __init__(self, install: pathlib.Path | None, work: pathlib.Path, program: pathlib.Path):
        super().__init__(install, work)
        self.program = program

    def command(self, tcp: bool) -> list:
        return [self.program, "serve", "-D", self.data, "--listen", f"127.0.0.1:{self.port}", "--socket-dir",
                self.directory, "--socket-port", str(self.port), "-o", f"-c max_connections={CONNECTIONS}"]


class OursRelaxed(Ours):
    name = "ours-relaxed"
    title = "pglite-port serve, relaxed"
    note = "`--durability relaxed`, to be compared with those that have fsync off."

    def command(self, tcp: bool) -> list:
        return [*super().command(tcp), "--durability", "relaxed"]


class Native(Server):
    name = "native"
    title = "native PostgreSQL"

    def environment(self) -> dict[str, str]:
        return clean_environment(self.install)

    @staticmethod
    def _as_user() -> list[str]:
        # PostgreSQL does not run as root. In a user namespace it is another user, for itself only.
        return ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []

    def make_data(self) -> None:
        if not self.data.exists():
            with open(self.work / "log", "ab") as log:
                subprocess.run([*self._as_user(), self.install / "bin/initdb", "-U", USER, "--auth=trust",
                                "--encoding=UTF8", "--locale=C.UTF-8", "-D", self.data], check=True, stdout=log,
                               stderr=log, env=self.environment())

    def command(self, tcp: bool) -> list:
        return [*self._as_user(), self.install / "bin/postgres", "-D", self.data, "-k", self.directory, "-p",
                str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", f"max_connections={CONNECTIONS}"]

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(2)  # fast: smart waits for clients
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(LIMIT)
        super().stop()


class NodeSocket(Server):
    name = "pglite-socket"
    title = "pglite-socket"
    both = False
    own_sessions = False
    mode = "simple"
    initialize = "dtGvp"
    note = ("All its connections share one session of PGlite's: one transaction at a time, and the name of a statement that "
             "somebody prepared is taken, also when the connection has gone. So pgbench's statements are simple queries (`-M "
             "simple`; with `-M extended` several clients get errors). Its tables are filled by the server (`-I G`), because "
             "COPY from pgbench ends the connection.")

    def prepare(self) -> None:
        self._command = contenders.pglite_socket()

    def command(self, tcp: bool) -> list:
        where = ["--host=127.0.0.1", f"--port={self.port}"] if tcp else [f"--path={self.path}"]
        return [*self._command, f"--db={self.data}", f"--max-connections={CONNECTIONS}", *where]


class Oxide(Server):
    name = "pglite-oxide"
    title = "pglite-oxide"
    connections = 1
    both = False
    note = "It is PostgreSQL 17.5 in Wasmer; a second connection waits until the first has gone."

    def prepare(self) -> None:
        self._program = contenders.build_oxide() / "oxide_serve"

    def command(self, tcp: bool) -> list:
        where = ["tcp", f"127.0.0.1:{self.port}"] if tcp else ["unix", self.path]
        return [self._program, self.data, *where]


SERVERS = {server.name: server for server in (Ours, OursRelaxed, Native, NodeSocket, Oxide)}


def clean_environment(install: pathlib.Path | None) -> dict[str, str]:
    kept = {name: value for name, value in processes.CLEAN.items() if not name.startswith("PG")}
    return kept | ({"LD_LIBRARY_PATH": str(install / "lib")} if install else {})


def native_install() -> pathlib.Path:
    done = subprocess.run(["sh", str(REPOSITORY / "tests/sessions/build_postgres.sh")], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"native PostgreSQL could not be built: {done.stderr.strip()[-300:]}")
    return pathlib.Path(done.stdout.strip())
