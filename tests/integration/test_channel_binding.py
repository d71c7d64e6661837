"""SCRAM-SHA-256-PLUS of `pglite-port serve`: clients of libpq and of this program's, and one made of bytes that does
all that no client should. What that one is answered is compared with native PostgreSQL, where that is there."""

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pgwire
import pytest
import serving
from serving import Client, Refused, Server, eventually

PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
HEADER = "p=tls-server-end-point,,"
PASSWORD = "wonder"
ROLES = f"""
create role alice login password '{PASSWORD}';
create role nobody login;
create role expired login password '{PASSWORD}' valid until '2001-01-01';
create role old login password 'md5{"0" * 32}';
create role odd login password 'SCRAM-SHA-256$4096:c2FsdA==${"A" * 43}=:{"A" * 43}=';
"""


def certificate_hash(file: Path, algorithm="sha256") -> bytes:
    return hashlib.new(algorithm, ssl.PEM_cert_to_DER_cert(file.read_text())).digest()


def client_context(file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(file))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return serving.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority):
    return authority.issue("server")


@contextlib.contextmanager
def scram_server(certificate, key, directory):
    (directory / "password").write_text(PASSWORD)
    with Server("--tls-cert", certificate, "--tls-key", key, "--auth", "scram",
                "--password-file", directory / "password") as one:  # fmt: skip
        yield one
        assert one.stop() == 0, one.stderr()


@pytest.fixture(scope="module")
def server(files, tmp_path_factory):
    with scram_server(*files, tmp_path_factory.mktemp("password")) as one:
        with one.connect(password=PASSWORD) as client:
            client.query(ROLES).ok()
        yield one


@pytest.fixture(scope="module")
def native(files):
    """The port of a native PostgreSQL 18 with the same certificate and roles."""
    sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
    import engines

    # Below /tmp itself: the server's user is not ours, and pytest's directories are.
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        try:
            engine = engines.Native(Path(work))
            data = engine.initdb("data")
        except engines.Unavailable as reason:
            pytest.skip(str(reason))
        (data / "pg_hba.conf").write_text("local all all trust\nhost all all all scram-sha-256\n")
        for source, name in zip(files, ("server.crt", "server.key"), strict=True):
            shutil.copy(source, data / name)
            os.chmod(data / name, 0o600)
            engine.give(data / name)
        port = serving.free_port()
        one = engines.NativeServer(engine, data, "ssl=on", "listen_addresses=127.0.0.1", f"port={port}",
                                   "password_encryption=scram-sha-256")  # fmt: skip
        one.socket = data / f".s.PGSQL.{port}"
        try:
            one.connect()
            with Client(local_socket(one.socket)) as client:
                client.query(ROLES).ok()
            yield port
        finally:
            one.close()


def local_socket(path: Path) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(str(path))
    return raw


# --- Clients as they should be ---


def test_libpq(server, authority):
    url = f"postgresql://alice:{{}}@localhost:{server.port}/postgres?sslmode=verify-full&sslrootcert={authority.certificate}"
    for binding in ("require", "prefer", "disable"):
        done = serving.run_psql(f"{url.format(PASSWORD)}&channel_binding={binding}", "-c", "select current_user")
        assert (done.returncode, done.stdout) == (0, "alice\n"), (binding, done.stderr)
        done = serving.run_psql(f"{url.format('wrong')}&channel_binding={binding}", "-c", "select 1")
        assert done.returncode == 2 and 'password authentication failed for user "alice"' in done.stderr, done.stderr


def test_what_is_offered(server, files, authority):
    options = {"user": "alice", "password": PASSWORD}
    with server.connect(**options) as client:
        assert client.mechanisms == [PLAIN]
    options |= {"tls": authority.client_context(), "server_hostname": "localhost"}
    for channel in (b"", certificate_hash(files[0])):
        # The client checks the server's signature, which is over the binding, too.
        with server.connect(**options, channel=channel) as client:
            assert client.mechanisms == [PLUS, PLAIN]
            assert client.value("select current_user") == "alice"


# The options of `openssl req`, and the hash that RFC 5929 wants for it.
ALGORITHMS = {
    "rsa-sha256": (["-newkey", "rsa:2048", "-sha256"], "sha256"),
    "rsa-sha512": (["-newkey", "rsa:2048", "-sha512"], "sha512"),
    "rsa-sha1": (["-newkey", "rsa:2048", "-sha1"], "sha256"),
    "rsa-pss-sha384": (["-newkey", "rsa:2048", "-sha384", "-sigopt", "rsa_padding_mode:pss"], "sha384"),
    "ecdsa-sha384": (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"], "sha384"),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_signatures_of_certificates(authority, tmp_path, name):
    options, algorithm = ALGORITHMS[name]
    certificate, key = authority.issue_itself(name, *options)
    with scram_server(certificate, key, tmp_path) as server:
        with server.connect(password=PASSWORD, tls=client_context(certificate), server_hostname="localhost",
                            channel=certificate_hash(certificate, algorithm)) as client:  # fmt: skip
            assert client.value("select 1") == "1"
        url = (f"postgresql://postgres:{PASSWORD}@localhost:{server.port}/postgres?sslmode=verify-full"
               f"&sslrootcert={certificate}&channel_binding=require")  # fmt: skip
        done = serving.run_psql(url, "-c", "select 1")
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
        assert sql(url).stdout.splitlines()[2].strip() == "1"


def sql(url: str) -> subprocess.CompletedProcess:
    return subprocess.run([*pgwire.port_command(), "sql", url, "-c", "select 1"], capture_output=True, text=True,
                          env=pgwire.port_environment(None))  # fmt: skip


def test_a_signature_without_a_hash(authority, tmp_path):
    """RFC 5929 does not say what Ed25519 is bound to. PostgreSQL offers PLUS and then fails; here it is not offered."""
    certificate, key = authority.issue_itself("ed25519", "-newkey", "ed25519")
    with scram_server(certificate, key, tmp_path) as server:
        for gs2 in ("n,,", "y,,"):
            with server.connect(password=PASSWORD, tls=client_context(certificate), server_hostname="localhost",
                                gs2=gs2) as client:  # fmt: skip
                assert client.mechanisms == [PLAIN]
        url = (f"postgresql://postgres:{PASSWORD}@localhost:{server.port}/postgres?sslmode=verify-full"
               f"&sslrootcert={certificate}&channel_binding=")  # fmt: skip
        for binding in ("prefer", "disable"):
            assert serving.run_psql(url + binding, "-c", "select 1").returncode == 0
            assert sql(url + binding).returncode == 0
        assert serving.run_psql(url + "require", "-c", "select 1").returncode == 2
        done = sql(url + "require")
        assert done.returncode == 64 and "the server's certificate cannot be bound to" in done.stderr


def test_a_certificate_that_is_replaced(authority, tmp_path):
    pairs = [authority.issue("first"), authority.issue("second")]
    first, second = (certificate_hash(certificate) for certificate, _ in pairs)
    place = [tmp_path / "server.pem", tmp_path / "server.key"]

    def put(pair):
        for source, target in zip(pair, place, strict=True):
            shutil.copy(source, target)

    put(pairs[0])
    with scram_server(*place, tmp_path) as server:
        options = {"tls": authority.client_context(), "server_hostname": "localhost"}

        def start(client: Client, channel: bytes) -> None:
            client.gs2, client.channel = HEADER, channel
            client.start("postgres", "postgres", PASSWORD, pgwire.PROTOCOL_3_0, {})

        def presented() -> bytes:
            with server.connect(**options, start=False) as client:
                return hashlib.sha256(client.socket.getpeercert(binary_form=True)).digest()

        with server.connect(**options, start=False) as before, server.connect(**options, start=False) as wrong:
            put(pairs[1])
            server.signal(signal.SIGHUP)
            eventually(lambda: presented() == second)
            # What counts is the certificate that the connection began with.
            start(before, first)
            assert before.value("select 1") == "1"
            with pytest.raises(Refused, match="SCRAM channel binding check failed"):
                start(wrong, second)
        with server.connect(**options, password=PASSWORD, channel=second) as client:
            assert client.value("select 1") == "1"
        with pytest.raises(Refused, match="SCRAM channel binding check failed"):
            server.connect(**options, password=PASSWORD, channel=first)


# --- Clients as they should not be ---

NONCE = "rOprNGfwEbeRWgbNEkqO"
BARE = f"n=,r={NONCE}"


def keyed(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode("latin-1"), hashlib.sha256).digest()


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class Final:
    """Makes the client-final-message, given the server's first. `channel`: behind "c="; "{hash}" is what is right.
    `bound`: what the proof is over instead of it."""

    def __init__(self, channel="{hash}", bound=None, password=PASSWORD, nonce="{nonce}", middle="",
                 message="{without},p={proof}"):  # fmt: skip
        self.channel, self.bound, self.password = channel, bound, password
        self.nonce, self.middle, self.message = nonce, middle, message

    def __call__(self, server_first: str, channel: str) -> bytes:
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        rest = f",r={self.nonce.format(nonce=fields['r'])}{self.middle}"
        without = "c=" + self.channel.format(hash=channel) + rest
        text = f"{BARE},{server_first},{without if self.bound is None else 'c=' + self.bound + rest}"
        salted = hashlib.pbkdf2_hmac(
            "sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))  # fmt: skip
        key = keyed(salted, "Client Key")
        proof = bytes(a ^ b for a, b in zip(key, keyed(hashlib.sha256(key).digest(), text), strict=True))
        return self.message.format(without=without, proof=encoded(proof)).encode("latin-1")


def converse(port: int, tls: ssl.SSLContext | None, channel: str, user: str, mechanism: str,
             initial: bytes | None, *answers) -> list:  # fmt: skip
    """All that the server says after the startup packet, without what is random."""
    said = []
    with Client(socket.create_connection(("127.0.0.1", port), serving.TIMEOUT), start=False, tls=tls,
                server_hostname="localhost") as client:  # fmt: skip

        def listen() -> pgwire.Message:
            m = client.read_message()
            if m.kind == "E":
                fields = pgwire.fields_of(m)
                said.append(tuple(fields.get(field) for field in "SCMDH"))
                client.expect_close()
            else:
                (kind,) = struct.unpack_from("!I", m.body)
                said.append((m.kind, kind, m.body[4:] if kind == 10 else len(m.body)))
            return m

        client.send(pgwire.startup(user=user, database="postgres"))
        assert listen().kind == "R"
        text = b"" if initial is None else initial
        client.send(pgwire.message(
            "p", pgwire.cstring(mechanism) + struct.pack("!i", -1 if initial is None else len(text)) + text))  # fmt: skip
        for answer in answers:
            m = listen()
            if m.kind == "E":
                return said
            if callable(answer):
                answer = answer(m.body[4:].decode(), channel)
            client.send(pgwire.message("p", answer))
        while said[-1][0] == "R" and said[-1][1] != 0:
            listen()
    return said


def first(header: str = HEADER, bare: str = BARE) -> bytes:
    return (header + bare).encode("latin-1")


RIGHT = (PLUS, first(), Final())
OTHER_HASH = encoded(HEADER.encode() + bytes(32))
CASES = {
    "right": ("alice", *RIGHT),
    "right, without binding": ("alice", PLAIN, first("n,,"), Final("biws")),
    "extensions": ("alice", PLUS, first(), Final(middle=",x=1,y=p=2")),
    "no initial response": ("alice", PLUS, None, first(), Final()),
    # The binding.
    "another certificate": ("alice", PLUS, first(), Final(OTHER_HASH)),
    "another certificate, a wrong password": ("alice", PLUS, first(), Final(OTHER_HASH, password="wrong")),
    "another certificate, nobody": ("nobody", PLUS, first(), Final(OTHER_HASH)),
    "another certificate, no role": ("unknown", PLUS, first(), Final(OTHER_HASH)),
    "bound to nothing": ("alice", PLUS, first(), Final("biws")),
    "bound to the header": ("alice", PLUS, first(), Final(encoded(HEADER.encode()))),
    "the binding is empty": ("alice", PLUS, first(), Final("")),
    "the binding is no base64": ("alice", PLUS, first(), Final("!\x7f\xff")),
    "the binding goes on": ("alice", PLUS, first(), Final("{hash}AAAA")),
    "a proof for another certificate": ("alice", PLUS, first(), Final(bound=OTHER_HASH)),
    "a proof for no binding": ("alice", PLUS, first(), Final(bound="biws")),
    "a binding where none is": ("alice", PLAIN, first("n,,"), Final()),
    # Downgrades, and headers that do not go with the mechanism.
    "y": ("alice", PLAIN, first("y,,"), Final("eSws")),
    "y, no role": ("unknown", PLAIN, first("y,,"), Final("eSws")),
    "y, with PLUS": ("alice", PLUS, first("y,,"), Final("eSws")),
    "y, alone": ("alice", PLAIN, b"y"),
    "y, with a NUL": ("alice", PLAIN, b"y,,\0" + BARE.encode()),
    "n, with PLUS": ("alice", PLUS, first("n,,"), Final("biws")),
    "p, without PLUS": ("alice", PLAIN, first(), Final()),
    "tls-unique": ("alice", PLUS, first("p=tls-unique,,")),
    "an odd type": ("alice", PLUS, first("p=\x01\xff" + "x" * 50 + ",,")),
    "no type": ("alice", PLUS, first("p,,")),
    "only a type": ("alice", PLUS, b"p=tls-server-end-point"),
    "an identity": ("alice", PLUS, first("p=tls-server-end-point,a=bob,")),
    "garbage": ("alice", PLUS, b"\xff\x80garbage"),
    "nothing": ("alice", PLUS, b""),
    "a NUL": ("alice", PLUS, first() + b"\0"),
    "a mandatory extension": ("alice", PLUS, first(bare="m=x," + BARE)),
    "no nonce": ("alice", PLUS, first(bare="n=")),
    "an odd nonce": ("alice", PLUS, first(bare="n=,r=\x01")),
    "another mechanism": ("alice", "SCRAM-SHA-1-PLUS", first()),
    "small letters": ("alice", PLUS.lower(), first()),
    # Passwords and roles.
    "a wrong password": ("alice", PLUS, first(), Final(password="wrong")),
    "no password": ("nobody", *RIGHT),
    "no role": ("unknown", *RIGHT),
    "an old password": ("expired", *RIGHT),
    "a hash of MD5": ("old", *RIGHT),
    "keys of zeros": ("odd", *RIGHT),
    "a wrong password, without binding": ("alice", PLAIN, first("n,,"), Final("biws", password="wrong")),
    "no role, without binding": ("unknown", PLAIN, first("n,,"), Final("biws")),
    # The final message.
    "another nonce": ("alice", PLUS, first(), Final(nonce="another")),
    "a longer nonce": ("alice", PLUS, first(), Final(nonce="{nonce}x")),
    "no proof": ("alice", PLUS, first(), Final(message="{without}")),
    "no proof, no role": ("unknown", PLUS, first(), Final(message="{without}")),
    "an empty proof": ("alice", PLUS, first(), Final(message="{without},p=")),
    "a short proof": ("alice", PLUS, first(), Final(message="{without},p=AAAA")),
    "a long proof": ("alice", PLUS, first(), Final(message="{without},p={proof}AAAA")),
    "a proof that is no base64": ("alice", PLUS, first(), Final(message="{without},p=" + "!" * 44)),
    "something behind the proof": ("alice", PLUS, first(), Final(message="{without},p={proof},x=1")),
    "two proofs": ("alice", PLUS, first(), Final(message="{without},p={proof},p={proof}")),
    "only a binding": ("alice", PLUS, first(), Final(message="c=")),
    "no binding": ("alice", PLUS, first(), Final(message="r=x,p={proof}")),
    "a binding without a value": ("alice", PLUS, first(), Final(message="c")),
    "commas": ("alice", PLUS, first(), Final(message="{without},,,,p={proof}")),
    "an empty final message": ("alice", PLUS, first(), b""),
    "a final message with a NUL": ("alice", PLUS, first(), Final(message="{without},p={proof}\0")),
    "a long final message": ("alice", PLUS, first(), Final(middle=",x=" + "x" * 700)),
    "a final message that is too long": ("alice", PLUS, first(), Final(middle=",x=" + "x" * 2000)),
    "a first message again": ("alice", PLUS, first(), first()),
}
REFUSED = {
    "another certificate": ("28000", "SCRAM channel binding check failed"),
    "another certificate, no role": ("28000", "SCRAM channel binding check failed"),
    "bound to nothing": ("28000", "SCRAM channel binding check failed"),
    "a proof for another certificate": ("28P01", 'password authentication failed for user "alice"'),
    "a proof for no binding": ("28P01", 'password authentication failed for user "alice"'),
    "y": ("28000", "SCRAM channel binding negotiation error"),
    "a wrong password": ("28P01", 'password authentication failed for user "alice"'),
    "no role": ("28P01", 'password authentication failed for user "unknown"'),
    "another nonce": ("08P01", "invalid SCRAM response"),
}


def run_case(name: str, port: int, files, authority, tls: bool = True) -> list:
    channel = encoded(HEADER.encode() + certificate_hash(files[0]))
    return converse(port, authority.client_context() if tls else None, channel, *CASES[name])


@pytest.mark.parametrize("name", ["right", "right, without binding", "extensions", "no initial response",
                                  "a long final message"])  # fmt: skip
def test_it_is_let_in(server, files, authority, name):
    assert run_case(name, server.port, files, authority)[-1] == ("R", 0, 4)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(server, files, authority, name):
    assert run_case(name, server.port, files, authority)[-1][:3] == ("FATAL", *REFUSED[name])


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "no tls"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_as_native_postgresql(server, native, files, authority, name, tls):
    """The same messages, as many of them, and the same errors with the same details."""
    ours = run_case(name, server.port, files, authority, tls)
    assert ours == run_case(name, native, files, authority, tls)
    assert (ours[-1][0] == "FATAL") != (ours[-1] == ("R", 0, 4))
