"""The engines as they run workloads. Each run is a fresh database in a fresh process."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Protocol

import processes
import protocol
from engines import REPOSITORY, Native, NativeServer, Unavailable, fetch

REFERENCE = "native-fsync-off"
SERIAL = "native-our-settings"
HERE = pathlib.Path(__file__).parent
PEERS = REPOSITORY / "build" / "peers"  # what is installed or built of them
LIMIT = 900  # seconds for a run


class Surroundings(Protocol):
    """What an engine needs of throughput.Bench."""

    program: str
    work: pathlib.Path  # on disk
    memory: pathlib.Path  # on tmpfs

    def replay(self) -> pathlib.Path: ...

    def native(self) -> Native: ...

    def directory(self, prefix: str, parent: pathlib.Path) -> pathlib.Path: ...


class Engine:
    """Something that runs workloads. prepare() says by Unavailable when it cannot."""

    title = ""
    where = ""  # where the data is, and what is between client and engine

    def __init__(self, bench: Surroundings):
        self.bench = bench

    def prepare(self) -> None:
        pass

    is_floor = False
    rounds = 99  # at most: fewer for what takes long
    needs_long_build = False

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        """Only floors need `answer_bytes`: how long an item's answers are on average."""
        raise NotImplementedError

    def _replay(self, workload: pathlib.Path, *words: str) -> dict:
        return run_json([str(self.bench.replay()), str(workload), *words])


def run_json(command: list[str], environment: dict[str, str] | None = None) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT,
                          env={**processes.CLEAN, **(environment or {})})
    if done.returncode != 0:
        text = done.stderr.strip() or f"exit code {done.returncode}, no message"
        raise protocol.EngineError(text[-400:])
    return json.loads(done.stdout)


class Ours(Engine):
    title = "ours, in process"
    where = "memory://, pglite::Instance in the client's process"

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return self._replay(workload, "instance")


class OursPort(Engine):
    title = "ours, port"
    where = "memory://, packet4 over two pipes"

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return self._replay(workload, "port", self.bench.program)


class OursFull(Engine):
    title = "ours, durable"
    where = "a directory on disk, durability full (fsync on); in process"

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        directory = self.bench.directory("ours", self.bench.work)
        try:
            return self._replay(workload, "instance", str(directory / "data"))
        finally:
            shutil.rmtree(directory)


class Node(Engine):
    title = "PGlite on Node, in process"
    where = "memory://, execProtocolRawSync in the client's process"
    rounds = 3

    def prepare(self) -> None:
        node = shutil.which("node")
        if node is None:
            raise Unavailable("there is no node on this machine")
        self._command = [os.path.realpath(node), str(HERE / "replay.mjs")]
        self._package = fetch("@electric-sql/pglite")

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return run_json([*self._command, str(workload), str(self._package)])


class NativeEngine(Engine):
    settings: tuple[str, ...] = ()
    in_memory = False

    def prepare(self) -> None:
        self._native = self.bench.native()
        parent = self.bench.memory if self.in_memory else self._native.directory
        self._parent = self.bench.directory("native", parent)
        self._native.give(self._parent)
        self._cluster = self._native.initdb(str(self._parent / "cluster"))

    @contextlib.contextmanager
    def server(self) -> Iterator[NativeServer]:
        """A server on a new cluster, which answers."""
        data = self._parent / "data"
        subprocess.run(["cp", "-a", str(self._cluster), str(data)], check=True)
        if not self.in_memory:
            os.sync()  # the copy is not to be written while something is measured
        server = NativeServer(self._native, data, *self.settings)
        try:
            server.connect().close()
            yield server
        finally:
            server.close()
            shutil.rmtree(data)

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        with self.server() as server:
            return self._replay(workload, "unix", str(server.socket))


class NativeFsyncOff(NativeEngine):
    title = "native, fsync off"
    where = "tmpfs, unix socket; the settings of initdb but fsync=off"
    settings = ("fsync=off",)
    in_memory = True


class NativeOurSettings(NativeFsyncOff):
    title = "native, our settings"
    where = "tmpfs, unix socket; fsync off, no parallel workers, synchronous I/O: as ours"
    settings = ("fsync=off", "max_parallel_workers_per_gather=0",
                "max_parallel_maintenance_workers=0", "io_method=sync")


class NativeDefault(NativeEngine):
    title = "native, defaults"
    where = "a directory on disk, unix socket; the settings of initdb"


def pglite_socket() -> list[str]:
    """Installs it; the command of its server, to which a database and an address are added."""
    node = shutil.which("node")
    if node is None:
        raise Unavailable("there is no node on this machine")
    source, target = HERE / "peers" / "socket", PEERS / "socket"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy2(source / name, target / name)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--silent"], cwd=target, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable("npm ci failed for pglite-socket")
    script = target / "node_modules/@electric-sql/pglite-socket/dist/scripts/server.js"
    return [os.path.realpath(node), str(script)]


def build_oxide() -> pathlib.Path:
    """Builds our programs on pglite-oxide; the directory they are in."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Unavailable("there is no cargo on this machine")
    target = PEERS / "oxide"
    done = subprocess.run(["nice", "-n", "19", cargo, "build", "--release", "--locked"],
                          cwd=HERE / "peers" / "oxide", capture_output=True, text=True,
                          env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
        raise Unavailable("cargo build failed: " + (errors or ["no message"])[0])
    return target / "release"


class NodeSocket(Engine):
    title = "pglite-socket"
    where = "PGlite on Node, memory://, behind @electric-sql/pglite-socket 0.2.17 on a unix socket"
    rounds = 2

    def prepare(self) -> None:
        self._command = [*pglite_socket(), "--db=memory://"]

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        directory = self.bench.directory("socket", self.bench.memory)
        path = directory / "socket"
        server = subprocess.Popen([*self._command, f"--path={path}"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env=processes.CLEAN)
        try:
            deadline = time.monotonic() + 60
            while not path.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise protocol.EngineError("pglite-socket did not start")
                time.sleep(0.05)
            return self._replay(workload, "unix", str(path))
        finally:
            server.kill()
            server.wait()
            shutil.rmtree(directory)


class Oxide(Engine):
    title = "pglite-oxide"
    where = ("the Rust crate pglite-oxide 0.5.1 (PostgreSQL 17.5, Wasmer) in the client's process: "
             "temporary database on tmpfs, relaxed durability")
    rounds = 2
    needs_long_build = True

    def prepare(self) -> None:
        self._program = build_oxide() / "oxide_replay"

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        directory = self.bench.directory("oxide", self.bench.memory)
        try:
            return run_json([str(self._program), str(workload)], {"TMPDIR": str(directory)})
        finally:
            shutil.rmtree(directory)


class Go(Engine):
    """pglite-go could not be had when this was written, so there is no client for it."""

    module = "github.com/moriyoshi/pglite-go@v0.2.3"
    where = f"the Go module {module}"
    needs_long_build = True

    def prepare(self) -> None:
        go = shutil.which("go")
        if go is None:
            raise Unavailable("there is no go on this machine")
        done = subprocess.run([go, "list", "-m", self.module], cwd="/", capture_output=True, text=True)
        if done.returncode != 0:
            why = "403 Forbidden" if "403 Forbidden" in done.stderr else "an error"
            raise Unavailable(f"the module proxy gives {why} for {self.module}")
        raise Unavailable(f"{self.module} is there, but bench has no client for it yet")


class GoWasmtime(Go):
    title = "pglite-go, wasmtime"


class GoWazero(Go):
    title = "pglite-go, wazero"


class PipeFloor(Engine):
    title = "floor: pipes"
    where = ("no database: a process that reads the same requests from a pipe and writes as many bytes "
             "as their answers have")
    is_floor = True

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return self._replay(workload, "pipes", *map(str, answer_bytes))


class MemcpyFloor(Engine):
    title = "floor: memcpy"
    where = "no database: the same bytes copied once"
    is_floor = True

    def run(self, workload: pathlib.Path, answer_bytes: list[int]) -> dict:
        return self._replay(workload, "memcpy", *map(str, answer_bytes))


ENGINES: dict[str, type[Engine]] = {
    "ours": Ours,
    "port": OursPort,
    REFERENCE: NativeFsyncOff,
    SERIAL: NativeOurSettings,
    "node": Node,
    "ours-durable": OursFull,
    "native": NativeDefault,
    "pglite-socket": NodeSocket,
    "pglite-oxide": Oxide,
    "pglite-go-wasmtime": GoWasmtime,
    "pglite-go-wazero": GoWazero,
    "floor-pipes": PipeFloor,
    "floor-memcpy": MemcpyFloor,
}


