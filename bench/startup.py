"""Start-up, memory and the trivial round trip: the figures of the issue "Start in milliseconds,
live in megabytes", for us, PGlite on Node and native PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import subprocess
import time
from dataclasses import dataclass
from typing import Callable

import processes
import protocol
from engines import Native, NativeServer, Node, Port, Unavailable, fetch
from results import FLOOR, NATIVE, NODE, OURS, Line

TITLE = "Start-up, memory and the trivial round trip"

SELECT_1 = protocol.query("select 1")
ONE = b"\0\x01\0\0\0\x011"  # the DataRow's column
WRITE = "create table {0} (id int primary key, name text); insert into {0} values (1, 'one')"
PREPARED = "select $1::int+1"

TABLES, ROWS = 100, 1000
CLONE_SQL = "select count(*) from item_042"
CLONE_COUNT = b"\0\x01\0\0\0\x041000"

FURTHER = 20
MANY = 200


def seed_sql() -> str:
    statements = []
    for table in range(TABLES):
        name = f"item_{table:03}"
        statements.append(f"create table {name} (id int primary key, name text not null, "
                          "price numeric(10,2), created timestamptz);")
        statements.append(f"insert into {name} select i, 'item ' || i, i * 0.01, "
                          "timestamptz '2026-01-01 00:00:00Z' + i * interval '1 minute' "
                          f"from generate_series(1, {ROWS}) i;")
    return "\n".join(statements) + "\n"


@dataclass
class Task:
    """Something to run `repeats` times, spread evenly over the run. The lines and engines that it
    gives figures for are told, so that a failure can be shown there."""

    run: Callable[[], None]
    repeats: int
    engine: str
    lines: list[str]
    # Both ends on one processor: a round trip between processors costs seven times as much here.
    together: bool = False


class Startup:
    def __init__(self, program: str, compiled: pathlib.Path | Unavailable, work: pathlib.Path):
        self.program = program
        self.work = work  # data directories stay there until the end: run.py says why
        self.details: dict[str, object] = {}
        self._compiled = compiled
        self._serial = 0
        self._recording = True
        self._native: Native | Unavailable
        self._node: pathlib.Path | Unavailable
        self._server: NativeServer | None = None
        self._usage: list = []
        self._sizes: tuple[int, int] | None = None
        self.lines = {line.key: line for line in self._lines()}

    # What is measured -----------------------------------------------------------------------------

    @staticmethod
    def _lines() -> list[Line]:
        initdb = "initdb --no-sync, then the server's start; fsync off"
        opened = "node process that imports PGlite, opens the database and prints the answer"
        clone = f"{TABLES} tables, {TABLES * ROWS:,} rows; the answer counts one table's rows"
        client = "compiled client, the same for all (round_trip.cc)"
        return [
            Line("start.memory", "memory://: process start → first answer", "ms", 4, notes={
                OURS: "posix_spawn to the answer's last byte, `select 1` over packet4 pipes",
                NODE: opened, NATIVE: f"nearest equivalent: a new cluster ({initdb})",
                FLOOR: "a static process that only echoes, started by the same code"}),
            Line("write.memory", "memory://: and its first write", "ms", 3, notes={
                OURS: "create table with primary key and insert, one simple Query, after `select 1`"}),
            Line("start.existing", "existing file directory → first answer", "ms", 100, notes={
                OURS: "cleanly closed, durability full", NODE: "NodeFS; " + opened,
                NATIVE: "server start to `select 1` on its unix socket, fsync off; the client tries "
                "to connect every 0.2 ms"}),
            Line("write.existing", "existing file directory: and its first write", "ms", notes={
                OURS: "durability full, so with fsync", NATIVE: "fsync off"}),
            Line("start.new", "new file directory → first answer", "ms", 150, notes={
                OURS: "durability full", NODE: "NodeFS", NATIVE: initdb,
                FLOOR: "a script that makes the same directories and files of the same sizes, "
                "without fsync"}),
            Line("native.initdb", "of that, initdb", "ms"),
            Line("start.cold", "memory:// without a snapshot → first answer", "ms", 200, notes={
                OURS: "`-o '-c search_path=public'`: settings force a full boot"}),
            Line("clone.process", "process start from a snapshot file → first answer", "ms", 8, notes={
                OURS: f"--snapshot; {clone}",
                NODE: "clone() in the running process, the nearest equivalent",
                NATIVE: "CREATE DATABASE ... TEMPLATE and a connection to it, server running"}),
            Line("clone.instance", "Instance::clone() → first answer", "ms", 8, notes={
                OURS: f"in process; {clone}", NODE: "clone() in process"}),
            Line("memory.rss", "first idle instance, VmRSS", "MB", 20, notes={
                OURS: "after one query"}),
            Line("memory.first", "first idle instance, PSS", "MB", notes={
                OURS: "smaps_rollup, no other instance running",
                NATIVE: "all processes of the server, one client"}),
            Line("memory.further", "each further idle instance, PSS", "MB", 6, notes={
                OURS: f"(sum of PSS of {1 + FURTHER} - PSS of the first alone) / {FURTHER}",
                NODE: "two more Node processes, the same way"}),
            Line("memory.many", f"{MANY} instances at once, sum of PSS", "MB", 1500, notes={
                OURS: "each has answered and is kept"}),
            Line("memory.many_all", f"{MANY} instances at once, with their page tables", "MB", 1500,
                 notes={OURS: "sum of PSS and VmPTE"}),
            Line("many.time", f"{MANY} instances at once: all started and answered", "ms"),
            Line("loop.time", "in process: Instance opened, one query, closed", "ms", 4, notes={
                OURS: "a loop of 1,000, every time a sample",
                NODE: "PGlite.create, one query, close in one process"}),
            Line("loop.growth", "in process: growth of RSS from the 100th to the 1,000th", "MB", 0.5,
                 notes={OURS: "the target `no leak` is read as at most 0.5 MB in 900 instances"}),
            Line("trip.instance", "in process: prepared trivial query, median", "us", 10, notes={
                OURS: f"`{PREPARED}`: Bind, Execute, Sync; the speed issue wants 2.0 us",
                NODE: "execProtocolRawSync"}),
            Line("trip.instance99", "in process: prepared trivial query, p99", "us"),
            Line("trip.port", "prepared trivial round trip", "us", times_floor=1.3, notes={
                OURS: f"port, packet4 pipes; the target is the speed issue's; {client}", NATIVE: f"unix socket; {client}",
                FLOOR: "two-process pipe ping-pong of the same sizes, the same client"}),
            Line("trip.port99", "prepared trivial round trip, p99", "us"),
            Line("trip.python", "prepared trivial round trip, Python client", "us", notes={
                OURS: "port; the same Python code for all, its own time is in every figure",
                NATIVE: "unix socket", FLOOR: "ping-pong with the echo process"}),
        ]

    def tasks(self) -> list[Task]:
        memory_lines = ["memory.rss", "memory.first"]
        native_new = ["start.memory", "start.new", "native.initdb", "write.memory"]
        trip = ["trip.port", "trip.port99"]
        return [
            Task(self.floor_start, 20, FLOOR, ["start.memory"]),
            Task(self.port_memory, 20, OURS, ["start.memory", "write.memory"]),
            Task(self.port_existing, 20, OURS, ["start.existing", "write.existing"]),
            Task(self.port_new, 20, OURS, ["start.new"]),
            Task(self.floor_new, 20, FLOOR, ["start.new"]),
            Task(self.port_cold, 20, OURS, ["start.cold"]),
            Task(self.port_clone, 20, OURS, ["clone.process"]),
            Task(self.port_footprint, 20, OURS, memory_lines),
            Task(self.port_further, 5, OURS, ["memory.further"]),
            Task(self.port_many, 3, OURS, ["memory.many", "memory.many_all", "many.time"]),
            Task(self.library_clone, 4, OURS, ["clone.instance"]),
            Task(self.library_loop, 2, OURS, ["loop.time", "loop.growth"]),
            Task(self.library_trip, 20, OURS, ["trip.instance", "trip.instance99"]),
            Task(self.port_trip, 20, OURS, trip, together=True),
            Task(self.floor_trip, 20, FLOOR, trip, together=True),
            Task(self.native_trip, 20, NATIVE, trip, together=True),
            Task(self.port_trip_python, 20, OURS, ["trip.python"], together=True),
            Task(self.floor_trip_python, 20, FLOOR, ["trip.python"], together=True),
            Task(self.native_trip_python, 20, NATIVE, ["trip.python"], together=True),
            Task(self.node_memory, 6, NODE, ["start.memory", "start.cold", "write.memory", *memory_lines]),
            Task(self.node_new, 3, NODE, ["start.new"]),
            Task(self.node_existing, 3, NODE, ["start.existing", "write.existing"]),
            Task(self.node_further, 1, NODE, ["memory.further"]),
            Task(self.node_session, 2, NODE, ["clone.process", "clone.instance", "loop.time",
                                              "trip.instance", "trip.instance99"]),
            Task(self.native_existing, 20, NATIVE, ["start.existing", "write.existing", "memory.first"]),
            Task(self.native_new, 8, NATIVE, native_new),
            Task(self.native_template, 8, NATIVE, ["clone.process"]),
        ]

    # Preparation ----------------------------------------------------------------------------------

    def prepare(self) -> None:
        self.seed = self.work / "seed.sql"
        self.seed.write_text(seed_sql())
        self.snapshot = self.work / "seed.snapshot"
        self.existing = self.work / "existing"
        port = Port(self.program, "-D", str(self.existing))
        protocol.check(port.channel.exchange(protocol.query(WRITE.format("before"))))
        port.close()
        # What a data directory consists of: names, and allocated bytes (None: a directory).
        self._tree: list[tuple[str, int | None]] = []
        for path in sorted(self.existing.rglob("*")):
            size = None if path.is_dir() else path.stat().st_blocks * 512
            self._tree.append((str(path.relative_to(self.existing)), size))
        files = [size for _, size in self._tree if size is not None]
        self.details["a data directory"] = f"{len(files)} files, {sum(files) / 1e6:.1f} MB on disk"
        start = time.perf_counter()
        done = subprocess.run(
            [self.program, "sql", "--save-snapshot", str(self.snapshot), "-f", str(self.seed)],
            capture_output=True, text=True, env=processes.CLEAN)
        self._snapshot_error = None
        if done.returncode != 0 or not self.snapshot.exists():
            self._snapshot_error = "sql --save-snapshot failed: " + done.stderr.strip()[-200:]
        else:
            status = self.snapshot.stat()
            self.details["snapshot file with the seed"] = (
                f"{status.st_size / 1e6:.1f} MB long, {status.st_blocks * 512 / 1e6:.1f} MB on disk; "
                f"seeding and saving took {time.perf_counter() - start:.2f} s")
        try:
            self._node = fetch("@electric-sql/pglite")
            self._node_existing = self.work / "node-existing"
            node = Node(self._node, str(self._node_existing))
            node.close()
        except (Unavailable, protocol.EngineError) as why:
            self._node = Unavailable(str(why))
        try:
            native = Native(self.work)
            self.details["native"] = native.run("postgres", "--version")
            self._native_existing = native.initdb("existing")
            server = NativeServer(native, native.initdb("seeded"), "fsync=off")
            self._server = server
            stream = server.connect()
            protocol.check(stream.exchange(protocol.query("create database seed")))
            stream.close()
            stream = server.connect("seed")
            protocol.check(stream.exchange(protocol.query(self.seed.read_text())))
            stream.close()
            self._native = native
        except (Unavailable, protocol.EngineError, OSError, KeyError) as why:
            self._native = Unavailable(str(why))
        os.sync()  # what was copied here is not to be written while something is measured

    def finish(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._usage:
            usage = self._usage[len(self._usage) // 2]
            self.details["a memory:// port from start to end (one query, one write)"] = (
                f"{usage.ru_minflt} minor faults, {usage.ru_majflt} major, "
                f"{(usage.ru_utime + usage.ru_stime) * 1e3:.1f} ms of processor time")

    def rehearse(self) -> None:
        """Runs what is quick once without keeping its figures: warms the page cache."""
        self._recording = False
        for task in self.tasks():
            if task.repeats >= 20:
                self._attempt(task)
        self._recording = True

    def run(self, rounds: int, progress: Callable[[str], None]) -> None:
        tasks = self.tasks()
        order = random.Random(rounds)
        for r in range(rounds):
            progress(f"round {r + 1} of {rounds}")
            order.shuffle(tasks)  # what a task leaves behind (dirty pages) is not always the same's
            for task in tasks:
                times = min(task.repeats, rounds)
                if r * times // rounds != (r + 1) * times // rounds:
                    self._attempt(task)

    def _attempt(self, task: Task) -> None:
        server = processes.family(self._server.pid) if self._server else []
        together = (processes.on_one_processor(*server) if task.together
                    else contextlib.nullcontext())
        try:
            with processes.before_others(*server), together:
                task.run()
        except (Unavailable, protocol.EngineError, OSError, TimeoutError) as why:
            if self._recording:
                for key in task.lines:
                    self.lines[key].absent[task.engine] = str(why)

    def _record(self, key: str, engine: str, *values: float) -> None:
        if self._recording:
            self.lines[key].samples.setdefault(engine, []).extend(values)

    def _next(self, prefix: str) -> str:
        self._serial += 1
        return f"{prefix}_{self._serial}"

    # Ours -----------------------------------------------------------------------------------------

    def _port_start(self, *options: str, request: bytes = SELECT_1, expected: bytes = ONE):
        """A port and the milliseconds from before its start to its first answer."""
        start = time.perf_counter()
        port = Port(self.program, *options)
        answer = port.channel.exchange(request)
        elapsed = (time.perf_counter() - start) * 1e3
        expect(answer, expected)
        return port, elapsed

    def _port_write(self, port: Port) -> float:
        request = protocol.query(WRITE.format(self._next("t")))
        start = time.perf_counter()
        answer = port.channel.exchange(request)
        elapsed = (time.perf_counter() - start) * 1e3
        protocol.check(answer)
        return elapsed

    def port_memory(self) -> None:
        port, elapsed = self._port_start()
        write = self._port_write(port)
        self._usage.append(port.close())
        self._record("start.memory", OURS, elapsed)
        self._record("write.memory", OURS, write)

    def port_existing(self) -> None:
        port, elapsed = self._port_start("-D", str(self.existing))
        write = self._port_write(port)
        port.close()
        self._record("start.existing", OURS, elapsed)
        self._record("write.existing", OURS, write)

    def port_new(self) -> None:
        directory = self.work / self._next("new")
        port, elapsed = self._port_start("-D", str(directory))
        port.close()
        self._record("start.new", OURS, elapsed)

    def port_cold(self) -> None:
        port, elapsed = self._port_start("-o", "-c search_path=public")
        port.close()
        self._record("start.cold", OURS, elapsed)

    def port_clone(self) -> None:
        if self._snapshot_error:
            raise Unavailable(self._snapshot_error)
        port, elapsed = self._port_start("--snapshot", str(self.snapshot),
                                         request=protocol.query(CLONE_SQL), expected=CLONE_COUNT)
        port.close()
        self._record("clone.process", OURS, elapsed)

    def port_footprint(self) -> None:
        port, _ = self._port_start()
        self._record("memory.rss", OURS, processes.resident(port.pid))
        rollup = processes.rollup(port.pid)
        self._record("memory.first", OURS, rollup["Pss"])
        self.details["the first idle instance"] = _rollup_text(rollup, port.pid)
        port.close()

    def port_further(self) -> None:
        ports = [self._port_start()[0]]
        alone = processes.rollup(ports[0].pid)["Pss"]
        ports += [self._port_start()[0] for _ in range(FURTHER)]
        total = sum(processes.rollup(port.pid)["Pss"] for port in ports)
        self.details[f"one of {1 + FURTHER} idle instances"] = _rollup_text(
            processes.rollup(ports[-1].pid), ports[-1].pid)
        for port in ports:
            port.close()
        self._record("memory.further", OURS, (total - alone) / FURTHER)

    def port_many(self) -> None:
        start = time.perf_counter()
        ports = []
        try:
            for _ in range(MANY):
                ports.append(Port(self.program))
                ports[-1].channel.send(SELECT_1)
            for port in ports:
                expect(port.channel.receive(), ONE)
            elapsed = (time.perf_counter() - start) * 1e3
            total = sum(processes.rollup(port.pid)["Pss"] for port in ports)
            tables = sum(processes.page_tables(port.pid) for port in ports)
        finally:
            for port in ports:
                port.close()
        self._record("memory.many", OURS, total)
        self._record("memory.many_all", OURS, total + tables)
        self._record("many.time", OURS, elapsed)

    def _tool(self, name: str, *arguments: str) -> dict:
        if isinstance(self._compiled, Unavailable):
            raise self._compiled
        done = subprocess.run([str(self._compiled / name), *arguments], capture_output=True,
                              text=True, env=processes.CLEAN)
        if done.returncode != 0:
            raise Unavailable(f"{name} {arguments[0]} failed: {done.stderr.strip()[-300:]}")
        return json.loads(done.stdout)

    def library_loop(self) -> None:
        result = self._tool("instance_loop", "open-close", "1000")
        _, tenth, last = result["resident_kib"]
        self._record("loop.time", OURS, *(us / 1e3 for us in result["samples_us"]))
        self._record("loop.growth", OURS, (last - tenth) * 1024 / 1e6)
        self.details["RSS in the loop after 1, 100 and 1,000 instances"] = ", ".join(
            f"{kib * 1024 / 1e6:.1f}" for kib in result["resident_kib"]) + " MB"
        self.details["the loop's first instance"] = f"{result['samples_us'][0] / 1e3:.2f} ms"

    def library_clone(self) -> None:
        result = self._tool("instance_loop", "clone", str(self.seed), "5", CLONE_SQL)
        self._record("clone.instance", OURS, *(us / 1e3 for us in result["samples_us"]))

    def library_trip(self) -> None:
        result = self._tool("instance_loop", "round-trip", "20000")
        self._record("trip.instance", OURS, result["median_us"])
        self._record("trip.instance99", OURS, result["p99_us"])

    def _record_trip(self, engine: str, result: dict) -> None:
        self._record("trip.port", engine, result["median_us"])
        self._record("trip.port99", engine, result["p99_us"])

    def port_trip(self) -> None:
        result = self._tool("round_trip", "port", "5000", self.program)
        self._sizes = (result["request_bytes"], result["answer_bytes"])
        self._record_trip(OURS, result)

    @staticmethod
    def _trips(exchange: Callable[[], bytes], count: int = 2000) -> float:
        """The median in microseconds."""
        times = []
        clock = time.perf_counter_ns
        for _ in range(count):
            start = clock()
            exchange()
            times.append(clock() - start)
        return sorted(times)[count // 2] / 1e3

    def _trips_through(self, channel) -> float:
        protocol.check(channel.exchange(protocol.prepare("s", PREPARED)))
        request = protocol.execute("s", "41")
        expect(channel.exchange(request), b"\0\0\0\x0242")
        return self._trips(lambda: channel.exchange(request))

    def port_trip_python(self) -> None:
        port = Port(self.program)
        elapsed = self._trips_through(port.channel)
        port.close()
        self._record("trip.python", OURS, elapsed)

    # The floor ------------------------------------------------------------------------------------

    def _echo(self, request: int, answer: int):
        if isinstance(self._compiled, Unavailable):
            raise self._compiled
        return processes.Process(
            [str(self._compiled / "round_trip"), "echo", str(request), str(answer)])

    def floor_start(self) -> None:
        request = 4 + len(SELECT_1)
        start = time.perf_counter()
        process = self._echo(request, 70)
        os.write(process.to, b"x" * request)
        answer = os.read(process.from_, 4096)
        elapsed = (time.perf_counter() - start) * 1e3
        os.close(process.to)
        os.close(process.from_)
        process.wait()
        if len(answer) != 70:
            raise protocol.EngineError("a short echo")
        self._record("start.memory", FLOOR, elapsed)

    def floor_new(self) -> None:
        root = self.work / self._next("files")
        start = time.perf_counter()
        os.mkdir(root)
        for name, size in self._tree:
            if size is None:
                os.mkdir(root / name)
            else:
                file = os.open(root / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                if size:
                    os.write(file, b"\0" * size)
                os.close(file)
        elapsed = (time.perf_counter() - start) * 1e3
        self._record("start.new", FLOOR, elapsed)

    def floor_trip(self) -> None:
        if self._sizes is None:
            raise Unavailable("the port's round trip did not run, so the sizes are not known")
        self._record_trip(FLOOR, self._tool("round_trip", "pipes", "5000", *map(str, self._sizes)))

    def floor_trip_python(self) -> None:
        if self._sizes is None:
            raise Unavailable("the port's round trip did not run, so the sizes are not known")
        request, answer = self._sizes
        process = self._echo(request, answer)
        bytes_out = b"x" * request

        def exchange() -> None:
            os.write(process.to, bytes_out)
            os.read(process.from_, 65536)

        elapsed = self._trips(exchange)
        os.close(process.to)
        os.close(process.from_)
        process.wait()
        self._record("trip.python", FLOOR, elapsed)

    # PGlite on Node -------------------------------------------------------------------------------

    def _node_start(self, data_dir: str) -> tuple[Node, float]:
        if isinstance(self._node, Unavailable):
            raise self._node
        start = time.perf_counter()
        node = Node(self._node, data_dir)
        return node, (time.perf_counter() - start) * 1e3

    def _node_write(self, node: Node) -> float:
        start = time.perf_counter()
        node.ask("exec " + WRITE.format(self._next("t")))
        return (time.perf_counter() - start) * 1e3

    def node_memory(self) -> None:
        node, elapsed = self._node_start("memory://")
        self._record("memory.rss", NODE, processes.resident(node.pid))
        self._record("memory.first", NODE, processes.rollup(node.pid)["Pss"])
        write = self._node_write(node)
        node.close()
        self._record("start.memory", NODE, elapsed)
        self._record("start.cold", NODE, elapsed)
        self._record("write.memory", NODE, write)

    def node_new(self) -> None:
        directory = self.work / self._next("node")
        node, elapsed = self._node_start(str(directory))
        node.close()
        self._record("start.new", NODE, elapsed)

    def node_existing(self) -> None:
        if isinstance(self._node, Unavailable):
            raise self._node
        node, elapsed = self._node_start(str(self._node_existing))
        write = self._node_write(node)
        node.close()
        self._record("start.existing", NODE, elapsed)
        self._record("write.existing", NODE, write)

    def node_further(self) -> None:
        nodes = [self._node_start("memory://")[0]]
        alone = processes.rollup(nodes[0].pid)["Pss"]
        nodes += [self._node_start("memory://")[0] for _ in range(2)]
        total = sum(processes.rollup(node.pid)["Pss"] for node in nodes)
        for node in nodes:
            node.close()
        self._record("memory.further", NODE, (total - alone) / 2)

    def node_session(self) -> None:
        node, _ = self._node_start("memory://")
        trip = node.ask("round-trip 20000")
        self._record("trip.instance", NODE, trip["median_us"])
        self._record("trip.instance99", NODE, trip["p99_us"])
        loop = node.ask("open-close 3")
        self._record("loop.time", NODE, *(us / 1e3 for us in loop["samples_us"]))
        node.ask(f"seed {self.seed}")
        clones = node.ask(f"clone 3 {CLONE_SQL}")
        for key in ("clone.process", "clone.instance"):
            self._record(key, NODE, *(us / 1e3 for us in clones["samples_us"]))
        node.close()

    # Native PostgreSQL ----------------------------------------------------------------------------

    def _native_start(self, data: pathlib.Path):
        """A server, a client and the milliseconds from before the fork to the first answer."""
        if isinstance(self._native, Unavailable):
            raise self._native
        start = time.perf_counter()
        server = NativeServer(self._native, data, "fsync=off")
        stream = server.connect()
        answer = stream.exchange(SELECT_1)
        elapsed = (time.perf_counter() - start) * 1e3
        expect(answer, ONE)
        return server, stream, elapsed

    def _native_write(self, stream) -> float:
        request = protocol.query(WRITE.format(self._next("t")))
        start = time.perf_counter()
        answer = stream.exchange(request)
        elapsed = (time.perf_counter() - start) * 1e3
        protocol.check(answer)
        return elapsed

    def native_existing(self) -> None:
        if isinstance(self._native, Unavailable):
            raise self._native
        # The other server's processes map the same program: it would take half of its PSS.
        server, stream, elapsed = self._native_start(self._native_existing)
        write = self._native_write(stream)
        self._record("memory.first", NATIVE, sum(
            processes.rollup(pid)["Pss"] for pid in processes.family(server.pid)))
        stream.close()
        server.close()
        self._record("start.existing", NATIVE, elapsed)
        self._record("write.existing", NATIVE, write)

    def native_new(self) -> None:
        if isinstance(self._native, Unavailable):
            raise self._native
        start = time.perf_counter()
        data = self._native.initdb(self._next("new"))
        initdb = (time.perf_counter() - start) * 1e3
        server, stream, elapsed = self._native_start(data)
        write = self._native_write(stream)
        stream.close()
        server.close()
        self._record("native.initdb", NATIVE, initdb)
        self._record("start.new", NATIVE, initdb + elapsed)
        self._record("start.memory", NATIVE, initdb + elapsed)
        self._record("write.memory", NATIVE, write)

    def native_template(self) -> None:
        server = self._running_server()
        admin = server.connect()
        name = self._next("clone")
        start = time.perf_counter()
        protocol.check(admin.exchange(protocol.query(f"create database {name} template seed")))
        stream = server.connect(name)
        answer = stream.exchange(protocol.query(CLONE_SQL))
        elapsed = (time.perf_counter() - start) * 1e3
        expect(answer, CLONE_COUNT)
        stream.close()
        admin.exchange(protocol.query(f"drop database {name} with (force)"))
        admin.close()
        self._record("clone.process", NATIVE, elapsed)

    def native_trip(self) -> None:
        server = self._running_server()
        self._record_trip(NATIVE, self._tool("round_trip", "unix", "5000", str(server.socket)))

    def native_trip_python(self) -> None:
        stream = self._running_server().connect()
        elapsed = self._trips_through(stream)
        stream.close()
        self._record("trip.python", NATIVE, elapsed)

    def _running_server(self) -> NativeServer:
        if isinstance(self._native, Unavailable):
            raise self._native
        assert self._server is not None
        return self._server


def expect(answer: bytes, part: bytes) -> None:
    protocol.check(answer)
    if part not in answer:
        raise protocol.EngineError("not the right answer")


def _rollup_text(rollup: dict[str, float], pid: int) -> str:
    names = ("Rss", "Pss", "Pss_Anon", "Pss_File", "Pss_Shmem", "Private_Clean", "Private_Dirty")
    parts = [f"{name} {rollup[name]:.1f}" for name in names if name in rollup]
    return ", ".join(parts) + f", page tables {processes.page_tables(pid):.2f} MB"
