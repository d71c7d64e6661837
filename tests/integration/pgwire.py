"""PostgreSQL's frontend/backend protocol and the port's framing, for tests.

Three floors, standard library only:

* building frontend messages: ``query()``, ``parse()``, ``bind()`` ... return bytes;
* reading backend messages: ``split()`` cuts an answer into ``Message``s, ``Result`` gives rows,
  errors and tags, ``decode()`` a line for people;
* ``PortProcess`` runs a program that speaks the port protocol (docs/protocol.md) over its stdin and
  stdout. Every read and every wait has a deadline, so a test fails instead of hanging.

Message formats: PostgreSQL manual, "Frontend/Backend Protocol", "Message Formats".
"""

from __future__ import annotations

import os
import resource
import select
import shlex
import signal
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

PROTOCOL_3_0 = 196608
CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104

TEXT, BINARY = 0, 1

# Frontend messages -------------------------------------------------------------------------------


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def cstring(value: str | bytes) -> bytes:
    return _bytes(value) + b"\0"


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode("ascii") + struct.pack("!I", len(body) + 4) + body


def query(sql: str | bytes) -> bytes:
    return message("Q", cstring(sql))


def parse(sql: str | bytes, name: str = "", types: tuple[int, ...] | list[int] = ()) -> bytes:
    body = cstring(name) + cstring(sql) + struct.pack("!H", len(types))
    return message("P", body + b"".join(struct.pack("!I", oid) for oid in types))


def bind(
    params=(),
    statement: str = "",
    portal: str = "",
    formats: tuple[int, ...] | list[int] = (),
    results: tuple[int, ...] | list[int] = (),
) -> bytes:
    """`params` are str, bytes or None (null); `formats` and `results` are format codes."""
    parts = [cstring(portal), cstring(statement), struct.pack("!H", len(formats))]
    parts += [struct.pack("!h", code) for code in formats]
    parts.append(struct.pack("!H", len(params)))
    for value in params:
        if value is None:
            parts.append(struct.pack("!i", -1))
        else:
            raw = _bytes(value)
            parts.append(struct.pack("!i", len(raw)))
            parts.append(raw)
    parts.append(struct.pack("!H", len(results)))
    parts += [struct.pack("!h", code) for code in results]
    return message("B", b"".join(parts))


def describe_statement(name: str = "") -> bytes:
    return message("D", b"S" + cstring(name))


def describe_portal(name: str = "") -> bytes:
    return message("D", b"P" + cstring(name))


def execute(portal: str = "", limit: int = 0) -> bytes:
    return message("E", cstring(portal) + struct.pack("!i", limit))


def close_statement(name: str = "") -> bytes:
    return message("C", b"S" + cstring(name))


def close_portal(name: str = "") -> bytes:
    return message("C", b"P" + cstring(name))


def sync() -> bytes:
    return message("S")


def flush() -> bytes:
    return message("H")


def terminate() -> bytes:
    return message("X")


def copy_data(data: str | bytes) -> bytes:
    return message("d", _bytes(data))


def copy_done() -> bytes:
    return message("c")


def copy_fail(reason: str) -> bytes:
    return message("f", cstring(reason))


def function_call(oid: int, args=(), formats=(), result: int = TEXT) -> bytes:
    body = struct.pack("!IH", oid, len(formats))
    body += b"".join(struct.pack("!h", code) for code in formats)
    body += struct.pack("!H", len(args))
    for value in args:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            raw = _bytes(value)
            body += struct.pack("!i", len(raw)) + raw
    return message("F", body + struct.pack("!h", result))


def _untyped(code: int, body: bytes = b"") -> bytes:
    return struct.pack("!II", len(body) + 8, code) + body


def startup(user: str = "postgres", database: str = "postgres", **settings: str) -> bytes:
    pairs = {"user": user, "database": database, **settings}
    body = b"".join(cstring(k) + cstring(v) for k, v in pairs.items()) + b"\0"
    return _untyped(PROTOCOL_3_0, body)


def ssl_request() -> bytes:
    return _untyped(SSL_REQUEST)


def gssenc_request() -> bytes:
    return _untyped(GSSENC_REQUEST)


def cancel_request(pid: int, key: int) -> bytes:
    return _untyped(CANCEL_REQUEST, struct.pack("!II", pid, key))


def frame(payload: bytes) -> bytes:
    """One packet4 frame."""
    return struct.pack("!I", len(payload)) + payload


def extended(sql: str | bytes, params=(), types=(), formats=(), results=()) -> bytes:
    """Parse, Bind, Describe, Execute, Sync on the unnamed statement and portal."""
    return (
        parse(sql, types=types)
        + bind(params, formats=formats, results=results)
        + describe_portal()
        + execute()
        + sync()
    )


# Backend messages --------------------------------------------------------------------------------


class ProtocolError(Exception):
    """The bytes are not whole backend messages."""


@dataclass(frozen=True)
class Message:
    kind: str
    body: bytes

    def encode(self) -> bytes:
        return message(self.kind, self.body)


def split(answer: bytes) -> list[Message]:
    """Cuts an answer into messages; it must hold whole messages only."""
    messages = []
    at = 0
    while at < len(answer):
        if len(answer) - at < 5:
            raise ProtocolError(f"{len(answer) - at} stray bytes at offset {at}")
        (length,) = struct.unpack_from("!I", answer, at + 1)
        end = at + 1 + length
        if length < 4 or end > len(answer):
            raise ProtocolError(
                f"message {answer[at : at + 1]!r} at offset {at} says {length} bytes, "
                f"{len(answer) - at - 1} are left"
            )
        messages.append(Message(chr(answer[at]), bytes(answer[at + 5 : end])))
        at = end
    return messages


def count_kinds(answer: bytes) -> dict[str, int]:
    """How many messages of each type, without keeping them: for answers of a million rows."""
    counts: dict[int, int] = {}
    unpack = struct.Struct("!I").unpack_from
    at, size = 0, len(answer)
    while at < size:
        kind = answer[at]
        counts[kind] = counts.get(kind, 0) + 1
        at += 1 + unpack(answer, at + 1)[0]
    if at != size:
        raise ProtocolError(f"the last message goes {at - size} bytes beyond the end")
    return {chr(kind): n for kind, n in counts.items()}


@dataclass(frozen=True)
class Column:
    name: str
    table: int
    attribute: int
    type: int
    size: int
    modifier: int
    format: int


def columns_of(m: Message) -> list[Column]:
    """RowDescription."""
    (count,) = struct.unpack_from("!H", m.body)
    at = 2
    columns = []
    for _ in range(count):
        end = m.body.index(b"\0", at)
        name = m.body[at:end].decode(errors="replace")
        columns.append(Column(name, *struct.unpack_from("!IhIhih", m.body, end + 1)))
        at = end + 19
    return columns


def values_of(m: Message) -> list[bytes | None]:
    """DataRow."""
    (count,) = struct.unpack_from("!H", m.body)
    at = 2
    values: list[bytes | None] = []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", m.body, at)
        at += 4
        if length < 0:
            values.append(None)
        else:
            values.append(m.body[at : at + length])
            at += length
    return values


def fields_of(m: Message) -> dict[str, str]:
    """ErrorResponse and NoticeResponse: field letter to value."""
    fields = {}
    for part in m.body.split(b"\0"):
        if part:
            fields[chr(part[0])] = part[1:].decode(errors="replace")
    return fields


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")


_NAMES = {
    "R": "Authentication", "S": "ParameterStatus", "K": "BackendKeyData", "Z": "ReadyForQuery",
    "T": "RowDescription", "D": "DataRow", "C": "CommandComplete", "E": "ErrorResponse",
    "N": "NoticeResponse", "A": "NotificationResponse", "1": "ParseComplete",
    "2": "BindComplete", "3": "CloseComplete", "t": "ParameterDescription", "n": "NoData",
    "s": "PortalSuspended", "I": "EmptyQueryResponse", "G": "CopyInResponse",
    "H": "CopyOutResponse", "d": "CopyData", "c": "CopyDone", "V": "FunctionCallResponse",
}  # fmt: skip


def decode(m: Message) -> str:
    """One line for people."""
    name = _NAMES.get(m.kind, f"unknown {m.kind!r}")
    try:
        if m.kind == "T":
            detail = ", ".join(
                f"{c.name}:{c.type}"
                + (f"({c.modifier})" if c.modifier != -1 else "")
                + (f"@{c.table}.{c.attribute}" if c.table else "")
                + (" binary" if c.format else "")
                for c in columns_of(m)
            )
        elif m.kind == "D":
            detail = " | ".join(
                "null" if v is None else v.decode("utf-8", "backslashreplace") for v in values_of(m)
            )
        elif m.kind in "EN":
            detail = " ".join(f"{k}={v!r}" for k, v in fields_of(m).items())
        elif m.kind == "S":
            detail = "=".join(_text(part) for part in m.body.split(b"\0")[:2])
        elif m.kind in "CZ":
            detail = _text(m.body)
        elif m.kind == "A":
            pid, rest = struct.unpack_from("!I", m.body)[0], m.body[4:].split(b"\0")
            detail = f"pid={pid} channel={rest[0].decode()} payload={rest[1].decode()!r}"
        elif m.kind == "t":
            (count,) = struct.unpack_from("!H", m.body)
            detail = " ".join(str(o) for o in struct.unpack_from(f"!{count}I", m.body, 2))
        elif m.kind == "K":
            detail = f"pid={struct.unpack_from('!I', m.body)[0]} key={m.body[4:].hex()}"
        else:
            detail = repr(m.body) if m.body else ""
    except (struct.error, ValueError, IndexError):
        detail = "cannot decode " + repr(m.body)
    return f"{name} {detail}".rstrip()


class Result:
    """What one request was answered with."""

    def __init__(self, answer: bytes):
        self.raw = answer
        self.messages = split(answer)
        self.columns: list[Column] = []
        self.raw_rows: list[list[bytes | None]] = []
        self.tags: list[str] = []
        self.errors: list[dict[str, str]] = []
        self.notices: list[dict[str, str]] = []
        self.notifications: list[tuple[str, str]] = []
        self.copied = b""
        self.status: str | None = None
        for m in self.messages:
            if m.kind == "T":
                self.columns = columns_of(m)
            elif m.kind == "D":
                self.raw_rows.append(values_of(m))
            elif m.kind == "C":
                self.tags.append(_text(m.body))
            elif m.kind == "E":
                self.errors.append(fields_of(m))
            elif m.kind == "N":
                self.notices.append(fields_of(m))
            elif m.kind == "A":
                channel, payload = m.body[4:].split(b"\0")[:2]
                self.notifications.append((channel.decode(), payload.decode()))
            elif m.kind == "d":
                self.copied += m.body
            elif m.kind == "Z":
                self.status = _text(m.body)

    @property
    def kinds(self) -> str:
        return "".join(m.kind for m in self.messages)

    @property
    def rows(self) -> list[tuple[str | None, ...]]:
        return [
            tuple(None if v is None else v.decode() for v in row) for row in self.raw_rows
        ]

    @property
    def value(self) -> str | None:
        """The only value of the only row."""
        assert len(self.raw_rows) == 1 and len(self.raw_rows[0]) == 1, self.describe()
        return self.rows[0][0]

    @property
    def error(self) -> dict[str, str] | None:
        return self.errors[0] if self.errors else None

    @property
    def sqlstate(self) -> str | None:
        return self.errors[0]["C"] if self.errors else None

    def describe(self) -> str:
        return "\n".join(decode(m) for m in self.messages[:50]) or "(an empty answer)"

    def ok(self) -> "Result":
        assert not self.errors, self.describe()
        return self


# The process -------------------------------------------------------------------------------------


class PortTimeout(Exception):
    """The port did not answer, or end, in time."""


class PortClosed(Exception):
    """The port's stdout ended."""


def port_command() -> list[str]:
    """PGLITE_PORT: the program, possibly with arguments (for a stand-in)."""
    command = os.environ.get("PGLITE_PORT")
    if command:
        words = shlex.split(command)
        words[0] = os.path.abspath(words[0]) if "/" in words[0] else words[0]
        return words
    return [str(REPOSITORY / "build" / "release" / "pglite-port")]


def port_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Our environment without the configuration a caller may have set, plus `extra`."""
    keep = {
        k: v for k, v in os.environ.items() if not k.startswith("PGLITE_") or k == "PGLITE_NPM_DIR"
    }
    keep.update(extra or {})
    return keep


def run_port(*args: str, env=None, stdin: bytes = b"", timeout: float = 60, cwd=None):
    """Runs the program to its end; a subprocess.CompletedProcess with bytes."""
    return subprocess.run(
        [*port_command(), *args],
        input=stdin,
        env=port_environment(env),
        capture_output=True,
        timeout=timeout,
        cwd=cwd,
    )


DEFAULT_TIMEOUT = 60.0


class PortProcess:
    """A running port: bytes in, frames out.

    The stdin pipe is written and the stdout pipe read in one loop, so neither side can block the
    other. stderr goes to a file (`stderr()` reads it).
    """

    def __init__(self, *args: str, env=None, cwd=None, timeout=DEFAULT_TIMEOUT, command=None):
        self.timeout = timeout
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*(command or port_command()), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=port_environment(env),
            cwd=cwd,
            bufsize=0,
        )
        self._in = self.process.stdin.fileno()
        self._out = self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._unsent = memoryview(b"")
        self._received = bytearray()
        self._ended = False
        self.usable = True  # false once a frame did not come

    # Plumbing

    def _pump(self, done, timeout: float | None, what: str) -> None:
        """Moves bytes until done() holds."""
        limit = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        while not done():
            left = max(0.0, deadline - time.monotonic())
            reading = [] if self._ended else [self._out]
            writing = [self._in] if len(self._unsent) and self._in >= 0 else []
            readable, writable = [], []
            if reading or writing:
                readable, writable, _ = select.select(reading, writing, [], min(left, 1.0))
            else:
                time.sleep(0.005)
            if left == 0 and not readable and not writable:
                raise PortTimeout(f"{what}: nothing after {limit} s\n{self.stderr()}")
            if readable:
                chunk = os.read(self._out, 1 << 20)
                if chunk:
                    self._received += chunk
                else:
                    self._ended = True
            if writable:
                try:
                    sent = os.write(self._in, self._unsent[: 1 << 20])
                    self._unsent = self._unsent[sent:]
                except BrokenPipeError:
                    self._unsent = memoryview(b"")
                except BlockingIOError:
                    pass

    def _frame_ready(self) -> bool:
        if len(self._received) < 4:
            return False
        (length,) = struct.unpack_from("!I", self._received)
        return len(self._received) >= 4 + length

    # Speaking

    def send(self, raw: bytes) -> None:
        """Queues bytes for stdin; they are written by the next call that waits."""
        self._unsent = memoryview(bytes(self._unsent) + raw if len(self._unsent) else raw)

    def drain(self, timeout: float | None = None) -> None:
        """Waits until everything sent has gone into the pipe."""
        self._pump(lambda: not len(self._unsent) or self._ended, timeout, "writing")

    def send_frame(self, payload: bytes) -> None:
        self.send(frame(payload))

    def read_frame(self, timeout: float | None = None) -> bytes:
        try:
            self._pump(lambda: self._frame_ready() or self._ended, timeout, "reading a frame")
        except PortTimeout:
            self.usable = False
            raise
        if not self._frame_ready():
            self.usable = False
            raise PortClosed(
                f"stdout ended with {len(self._received)} bytes of no whole frame\n{self.stderr()}"
            )
        (length,) = struct.unpack_from("!I", self._received)
        payload = bytes(self._received[4 : 4 + length])
        del self._received[: 4 + length]
        return payload

    def has_frame(self, within: float = 0.0) -> bool:
        """Whether a frame comes within so many seconds."""
        try:
            self._pump(lambda: self._frame_ready() or self._ended, within, "")
        except PortTimeout:
            return False
        return self._frame_ready()

    def read_rest(self, timeout: float | None = None) -> bytes:
        """Everything up to the end of stdout."""
        self._pump(lambda: self._ended, timeout, "reading to the end")
        rest = bytes(self._received)
        self._received.clear()
        return rest

    def exchange(self, payload: bytes, timeout: float | None = None) -> bytes:
        self.send_frame(payload)
        return self.read_frame(timeout)

    def request(self, payload: bytes, timeout: float | None = None) -> Result:
        """One packet4 frame there, one back."""
        return Result(self.exchange(payload, timeout))

    def query(self, sql: str | bytes, timeout: float | None = None) -> Result:
        return self.request(query(sql), timeout)

    def value(self, sql: str, timeout: float | None = None) -> str | None:
        return self.query(sql, timeout).ok().value

    # The process

    @property
    def pid(self) -> int:
        return self.process.pid

    def rss(self) -> int:
        """Resident bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise PortClosed("no VmRSS: the process is gone")

    def running(self) -> bool:
        return self.process.poll() is None

    def close_stdin(self) -> None:
        if self._in >= 0:
            self.drain()
            self.process.stdin.close()
            self._in = -1

    def close_stdout(self) -> None:
        self.process.stdout.close()
        self._ended = True

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Goes on reading, so that a full pipe cannot hold the program up."""
        limit = self.timeout if timeout is None else timeout
        self._pump(lambda: self.process.poll() is not None, limit, "waiting for the end")
        return self.process.returncode

    @staticmethod
    def spawner_peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def wait_for_peak(self) -> int:
        """Waits for the end; the most resident bytes the process ever had. Before it became the
        program it was a fork of this one, and the kernel counts that: never less than our own peak
        (`spawner_peak`)."""
        usage = None

        def ended() -> bool:
            nonlocal usage
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                usage = used
            return bool(pid)

        self._pump(ended, None, "waiting for the end")
        return usage.ru_maxrss * 1024

    def stderr(self) -> str:
        # pread: the child writes through the same file description, its offset must stay
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")

    def finish(self, timeout: float | None = None) -> int:
        """Closes stdin and waits for the program to end by itself."""
        self.close_stdin()
        return self.wait(timeout)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        self._in = -1
        self._ended = True
        self._errors.close()

    def __enter__(self) -> "PortProcess":
        return self

    def __exit__(self, *_) -> None:
        self.kill()
