"""`pglite-port serve` as a process, and clients of it made of bytes, for tests. Standard library only.

* ``Server`` runs the program, waits for its ready line and knows where it listens;
* ``Client`` is one connection: startup, passwords (SCRAM), requests; every read has a deadline;
* ``run_psql`` runs the real psql.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import re
import select
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from signal import SIGINT

import pgwire

TIMEOUT = 30.0
PROTOCOL_3_2 = pgwire.PROTOCOL_3_0 + 2


class Refused(Exception):
    """The server ended the session with an error."""

    def __init__(self, fields: dict[str, str]):
        super().__init__(fields)
        self.sqlstate = fields["C"]
        self.message = fields["M"]
        self.severity = fields["S"]


class Closed(Exception):
    """The connection is at its end."""


class Server:
    """A running server. `arguments` are its options; without --listen and --socket-dir it listens on a free port
    of 127.0.0.1."""

    def __init__(self, *arguments, env=None, wait=True, cwd=None, before=(), fds=(), preexec=None, address=True):
        arguments = [str(argument) for argument in arguments]
        if address and not {"--listen", "--socket-dir"} & set(arguments):
            arguments += ["--listen", "127.0.0.1:0"]
        self._errors = tempfile.TemporaryFile()
        self._ready, low = os.pipe()
        # Out of the way of descriptors that are handed over.
        give = fcntl.fcntl(low, fcntl.F_DUPFD, 60)
        os.close(low)
        self.ready_line = ""
        try:
            self.process = subprocess.Popen(
                [*before, *pgwire.port_command(), "serve", "--ready-fd", str(give), *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors,
                env=pgwire.port_environment(env), cwd=cwd, pass_fds=[give, *fds], preexec_fn=preexec)
        finally:
            os.close(give)
        try:
            if wait:
                self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def wait_until_ready(self, timeout: float = TIMEOUT) -> None:
        line = b""
        deadline = time.monotonic() + timeout
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._ready], [], [], left)[0]:
                raise AssertionError(f"not ready after {timeout} s\n{self.stderr()}")
            chunk = os.read(self._ready, 4096)
            if not chunk:
                self.process.wait(TIMEOUT)
                raise AssertionError(f"it ended with {self.process.returncode}\n{self.stderr()}")
            line += chunk
        self.ready_line = line.decode().rstrip("\n")

    @property
    def addresses(self) -> list[str]:
        assert self.ready_line.startswith("ready "), self.ready_line
        return self.ready_line.removeprefix("ready ").split(", ")

    @property
    def socket_path(self) -> str:
        return next(a for a in self.addresses if a.startswith("/"))

    @property
    def tcp(self) -> tuple[str, int]:
        """The first address of TCP."""
        host, port = next(a for a in self.addresses if not a.startswith("/")).rsplit(":", 1)
        return host.strip("[]"), int(port)

    @property
    def port(self) -> int:
        return self.tcp[1]

    def open_socket(self, timeout: float = TIMEOUT) -> socket.socket:
        """A connection to where it listens first."""
        if not self.addresses[0].startswith("/"):
            return socket.create_connection(self.tcp, timeout)
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(timeout)
        raw.connect(self.socket_path)
        return raw

    def connect(self, **options) -> "Client":
        return Client(self.open_socket(), **options)

    def sql(self, text: str, **options) -> pgwire.Result:
        with self.connect(**options) as client:
            return client.query(text)

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self.process.poll()

    def wait(self, timeout: float = TIMEOUT) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended after {timeout} s\n{self.stderr()}") from None

    def stop(self, number: int = SIGINT) -> int:
        self.signal(number)
        return self.wait()

    def stderr(self) -> str:
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")

    def wait_for_log(self, text: str, count: int = 1, timeout: float = TIMEOUT) -> None:
        eventually(lambda: self.stderr().count(text) >= count, timeout, lambda: f"no {text!r} in\n{self.stderr()}")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes; VmHWM is the most it ever was."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}: the process is gone")

    def mappings(self) -> int:
        with open(f"/proc/{self.pid}/maps", "rb") as maps:
            return sum(1 for _ in maps)

    def reset_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def sessions(self) -> int:
        """Of clients, besides the one that asks."""
        return int(self.sql("select count(*) - 1 from pg_stat_activity where backend_type = 'client backend'").ok().value)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
        self._errors.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None and not self._errors.closed:
            print("stderr of the server:\n" + self.stderr()[-5000:])
        self.kill()


def eventually(condition, timeout: float = TIMEOUT, what="it does not come about") -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.02)


class Client:
    """One connection. With `start` (the default) it is one with a session.

    `tls`: an ssl.SSLContext, asked for with SSLRequest; `direct` begins with it. `settings` stand in the startup
    packet. `channel`: what SCRAM-SHA-256-PLUS is bound to.
    """

    def __init__(self, raw: socket.socket, user="postgres", database="postgres", password=None, start=True, tls=None,
                 direct=False, server_hostname=None, protocol=pgwire.PROTOCOL_3_0, settings=None, gs2="n,,", channel=b""):
        self.socket = raw
        self.timeout = TIMEOUT
        self.socket.settimeout(self.timeout)
        self._bytes = bytearray()
        self.parameters: dict[str, str] = {}
        self.notices: list[dict[str, str]] = []
        self.notifications: list[tuple[str, str]] = []
        self.pid, self.key = 0, b""
        self.negotiated = None  # (version, options) of NegotiateProtocolVersion
        self.mechanisms: list[str] = []
        self.gs2 = "p=tls-server-end-point,," if channel else gs2
        self.channel = channel
        try:
            if tls is not None:
                if not direct:
                    self.socket.sendall(pgwire.ssl_request())
                    assert self.receive(1) == b"S", "TLS is refused"
                self.socket = tls.wrap_socket(self.socket, server_hostname=server_hostname)
                self.socket.settimeout(self.timeout)
            if start:
                self.start(user, database, password, protocol, settings or {})
        except BaseException:
            self.close()
            raise

    def receive(self, size: int) -> bytes:
        while len(self._bytes) < size:
            try:
                chunk = self.socket.recv(1 << 16)
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise Closed(bytes(self._bytes))
            self._bytes += chunk
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        return taken

    def read_message(self) -> pgwire.Message:
        head = self.receive(5)
        (length,) = struct.unpack_from("!I", head, 1)
        return pgwire.Message(chr(head[0]), self.receive(length - 4))

    def send(self, raw: bytes) -> None:
        self.socket.sendall(raw)

    def start(self, user, database, password, protocol, settings) -> None:
        pairs = {"user": user, "database": database, **settings}
        body = b"".join(pgwire.cstring(k) + pgwire.cstring(v) for k, v in pairs.items()) + b"\0"
        self.send(struct.pack("!II", len(body) + 8, protocol) + body)
        while True:
            m = self.read_message()
            if m.kind == "R":
                self._authenticate(m.body, password)
            elif m.kind == "E":
                raise Refused(pgwire.fields_of(m))
            elif m.kind == "S":
                name, value = m.body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            elif m.kind == "K":
                self.pid, self.key = struct.unpack_from("!I", m.body)[0], m.body[4:]
            elif m.kind == "v":
                version, count = struct.unpack_from("!II", m.body)
                self.negotiated = (version, [o.decode() for o in m.body[8:].split(b"\0")[:count]])
            elif m.kind == "N":
                self.notices.append(pgwire.fields_of(m))
            elif m.kind == "Z":
                return
            else:
                raise AssertionError(pgwire.decode(m))

    def _authenticate(self, body: bytes, password: str | None) -> None:
        (kind,) = struct.unpack_from("!I", body)
        if kind == 0:
            return
        assert kind == 10, f"authentication {kind}, where SCRAM was expected"
        self.mechanisms = [m.decode() for m in body[4:].split(b"\0") if m]
        mechanism = "SCRAM-SHA-256-PLUS" if self.channel else "SCRAM-SHA-256"
        assert mechanism in self.mechanisms, self.mechanisms
        if password is None:
            raise PasswordWanted()
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n=,r={nonce}"
        initial = (self.gs2 + first).encode()
        self.send(pgwire.message("p", pgwire.cstring(mechanism) + struct.pack("!I", len(initial)) + initial))
        answer = self._sasl(11)
        fields = dict(part.split("=", 1) for part in answer.split(","))
        assert fields["r"].startswith(nonce)
        salted = hashlib.pbkdf2_hmac(
            "sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        binding = base64.b64encode(self.gs2.encode() + self.channel).decode()
        without_proof = f"c={binding},r={fields['r']}"
        text = ",".join((first, answer, without_proof)).encode()

        def keyed(key: bytes, what: bytes) -> bytes:
            return hmac.new(key, what, hashlib.sha256).digest()

        key = keyed(salted, b"Client Key")
        proof = bytes(a ^ b for a, b in zip(key, keyed(hashlib.sha256(key).digest(), text)))
        self.send(pgwire.message("p", f"{without_proof},p={base64.b64encode(proof).decode()}".encode()))
        signature = base64.b64encode(keyed(keyed(salted, b"Server Key"), text)).decode()
        assert self._sasl(12) == "v=" + signature, "the server does not know the password"

    def _sasl(self, kind: int) -> str:
        m = self.read_message()
        if m.kind == "E":
            raise Refused(pgwire.fields_of(m))
        assert m.kind == "R" and struct.unpack_from("!I", m.body)[0] == kind, pgwire.decode(m)
        return m.body[4:].decode()

    def answer(self, until: str = "Z") -> pgwire.Result:
        """All messages up to one of the kind; what ends the session is Refused."""
        collected = []
        while True:
            m = self.read_message()
            if m.kind == "E" and pgwire.fields_of(m)["S"] in ("FATAL", "PANIC"):
                raise Refused(pgwire.fields_of(m))
            collected.append(m.encode())
            if m.kind in until:
                return pgwire.Result(b"".join(collected))

    def request(self, raw: bytes, until: str = "Z") -> pgwire.Result:
        self.send(raw)
        return self.answer(until)

    def query(self, sql: str) -> pgwire.Result:
        return self.request(pgwire.query(sql))

    def value(self, sql: str) -> str | None:
        return self.query(sql).ok().value

    def last_words(self) -> Refused:
        """What the server says when it ends the session; the connection ends after it."""
        try:
            while True:
                self.answer()
        except Refused as refused:
            self.expect_close()
            return refused

    def expect_close(self) -> None:
        try:
            m = self.read_message()
        except Closed:
            return
        raise AssertionError("the connection goes on: " + pgwire.decode(m))

    def reset(self) -> None:
        """Ends the connection without the goodbye of TCP."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.close()


class PasswordWanted(Exception):
    """The server asks for a password, and there is none to give."""


def cancel_request(pid: int, key: bytes) -> bytes:
    return struct.pack("!III", 12 + len(key), pgwire.CANCEL_REQUEST, pid) + key


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def outside_address() -> str | None:
    """An address of this host that is not a loopback's: a client there is one of another host to a server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def run_psql(url: str, *arguments: str, stdin: str = "", env=None, timeout=TIMEOUT):
    assert shutil.which("psql"), "psql is missing; scripts/setup installs it"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return subprocess.run(
        ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *arguments, url],
        input=stdin, env=kept | {"HOME": "/nonexistent"} | (env or {}), capture_output=True, text=True, timeout=timeout)


class Authority:
    """A certificate authority in a directory, and certificates for localhost by it."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.certificate = directory / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def issue(self, name: str, host: str = "localhost") -> tuple[Path, Path]:
        """The files of a certificate and its key."""
        (self.directory / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"

    def issue_itself(self, name: str, *algorithm: str) -> tuple[Path, Path]:
        """The files of a certificate for localhost that is its own authority, made with openssl's options."""
        self._openssl("req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}", *algorithm,
                      "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"

    def client_context(self, alpn: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        if alpn:
            context.set_alpn_protocols(["postgresql"])
        return context


def unquoted(environment: str) -> dict[str, str]:
    """The output of env(1)."""
    return dict(re.findall(r"^(\w+)=(.*)$", environment, re.MULTILINE))
