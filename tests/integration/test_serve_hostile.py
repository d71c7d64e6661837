"""`pglite-port serve` and clients that are broken, slow or hostile: the others go on, memory stays flat, no
descriptor is lost."""

import contextlib
import os
import random
import resource
import signal
import socket
import ssl
import struct
import threading
import time

import pgwire
import pytest
import serving
from serving import Client, Closed, Refused, Server, eventually

MB = 1 << 20
# What differs between two measures of a server that does nothing between them.
SLACK = 24 * MB


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    authority = serving.Authority(tmp_path_factory.mktemp("authority"))
    return authority, *authority.issue("server")


@pytest.fixture(scope="module")
def _servers():
    """The one that is running, if any."""
    running = []
    yield running
    for one in running:
        with one:
            assert one.stop() == 0, one.stderr()


@pytest.fixture
def server(_servers, certificate, tmp_path_factory):
    """The module's server. After the test it answers, and has the descriptors and sessions that it had before; where it
    has not, the next test gets a new one."""
    if not _servers:
        _, file, key = certificate
        _servers.append(Server(
            "--listen", "127.0.0.1:0", "--socket-dir", tmp_path_factory.mktemp("socket"),
            "--tls-cert", file, "--tls-key", key, "-o", "-c authentication_timeout=2s -c max_connections=40"))
        _servers[-1].sql("select 1").ok()
    one = _servers[-1]
    before = one.descriptors()
    try:
        yield one
        assert one.sql("select 6 * 7").value == "42"
        eventually(lambda: one.sessions() == 0, 10, what="sessions are left")
        eventually(lambda: one.descriptors() <= before, 10, lambda: f"{one.descriptors()} descriptors, not {before}")
    except BaseException:
        print("stderr of the server:\n" + one.stderr()[-5000:])
        one.kill()
        _servers.clear()
        raise


@contextlib.contextmanager
def somebody_works(server, within=2.0):
    """Meanwhile another client runs statements, none of which takes longer than so many seconds."""
    done = threading.Event()
    times, failures = [], []

    def work():
        try:
            with server.connect() as client:
                client.query("create temp table w (n int)").ok()
                while not done.is_set():
                    began = time.monotonic()
                    client.query("insert into w values (1); select count(*) from w").ok()
                    times.append(time.monotonic() - began)
                    time.sleep(0.01)
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield times
    finally:
        done.set()
        thread.join()
    assert not failures, failures
    assert times and max(times) < within, (len(times), max(times, default=None))


def is_closed(raw: socket.socket, within: float) -> bool:
    """The server ends the connection; it may say something before."""
    raw.settimeout(within)
    try:
        while raw.recv(1 << 16):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


# --- The start ---


def test_silence(server):
    with server.open_socket() as raw:
        began = time.monotonic()
        assert is_closed(raw, 10)
        assert 1.5 < time.monotonic() - began < 6
    # It had cost no session.
    assert server.sessions() == 0


@pytest.mark.parametrize(
    "sent",
    [pgwire.startup()[:3], pgwire.startup()[:-1], pgwire.ssl_request()[:7], b"\x16\x03", b"\x16\x03\x01\x02\x00\x01"],
    ids=["length", "startup", "ssl", "tls", "hello"])
def test_half_a_first_packet(server, sent):
    with server.open_socket() as raw:
        raw.sendall(sent)
        with somebody_works(server):
            assert is_closed(raw, 10)


def test_silence_after_the_answer_to_an_ssl_request(server):
    with server.open_socket() as raw:
        raw.sendall(pgwire.ssl_request())
        assert raw.recv(1) == b"S"
        assert is_closed(raw, 10)


def test_silence_where_a_password_is_due(tmp_path):
    (tmp_path / "password").write_text("secret")
    with Server("--auth", "scram", "--password-file", tmp_path / "password", "-o", "-c authentication_timeout=1s") as one:
        one.sql("select 1", password="secret").ok()
        before = one.descriptors()
        with one.connect(start=False) as client:
            client.send(pgwire.startup())
            assert client.read_message().kind == "R"
            assert is_closed(client.socket, 10)
        with one.connect(password="secret") as client:
            time.sleep(1.5)
            assert client.value("select 1") == "1"
        eventually(lambda: one.descriptors() <= before)


def test_authentication_timeout_is_read_again():
    with Server() as one, one.connect() as client:
        client.query("alter system set authentication_timeout = '1s'").ok()
        one.signal(signal.SIGHUP)
        one.wait_for_log("read again")
        with one.open_socket() as raw:
            assert is_closed(raw, 10)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\0\0\0\0",
        b"\0\0\0\7\0\0\0\0",
        b"\x7f\xff\xff\xff" + b"\0" * 4,
        b"\x80\0\0\0" + b"\0" * 4,
        b"\xff\xff\xff\xff" + b"\0" * 4,
        struct.pack("!II", 10001, pgwire.PROTOCOL_3_0) + b"x" * 10000,
        pgwire.ssl_request() + b"\x16\x03\x01",
        pgwire.ssl_request()[:4] + b"\x04\xd2\x16\x31",
        b"\x16\x03\x01\x00\x05" + b"garbage" * 100,
        b"\x16" + os.urandom(5000),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"*1\r\n$4\r\nPING\r\n",
    ],
    ids=["http", "length 0", "length 7", "2 GB", "negative", "4 GB", "10001 bytes", "early tls", "unknown request",
         "tls garbage", "tls noise", "ssh", "redis"])
def test_what_is_no_startup_packet(server, sent):
    with server.open_socket() as raw:
        began = time.monotonic()
        raw.sendall(sent)
        assert is_closed(raw, 10)
        assert time.monotonic() - began < 1.5, "it was not refused, but forgotten"


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"user\0", b"user\0postgres\0", b"user\0postgres\0database\0", b"\0\0\0", b"user\0postgres\0\0\0\0",
     b"x" * 9990, b"user\0" + b"\xff" * 100 + b"\0\0", b"a\0b\0" * 2000 + b"\0"],
    ids=range(10))
def test_malformed_startup_packets(server, body):
    with server.open_socket() as raw:
        raw.sendall(struct.pack("!II", len(body) + 8, pgwire.PROTOCOL_3_0) + body)
        raw.settimeout(10)
        # The longest of them are good but for the name of the role, which is then cut off.
        assert raw.recv(1) in (b"E", b"R", b"")


def test_noise(server):
    """Random bytes, and real conversations with a byte that is wrong."""
    chance = random.Random(17)
    whole = pgwire.startup() + pgwire.query("select 1") + pgwire.extended("select $1::int", ["5"]) + pgwire.terminate()
    with somebody_works(server):
        for round_ in range(150):
            if round_ % 3 == 0:
                sent = chance.randbytes(chance.randrange(1, 500))
            else:
                sent = bytearray(whole)
                for _ in range(chance.randrange(1, 4)):
                    sent[chance.randrange(len(sent))] = chance.randrange(256)
            with server.open_socket() as raw:
                raw.settimeout(0.05)
                with contextlib.suppress(TimeoutError, ConnectionError):
                    raw.sendall(sent)
                    while raw.recv(1 << 16):
                        pass


def test_noise_in_tls(server, certificate):
    context = certificate[0].client_context()
    chance = random.Random(18)
    for _ in range(20):
        with server.open_socket() as raw:
            raw.sendall(pgwire.ssl_request())
            assert raw.recv(1) == b"S"
            wrapped = context.wrap_socket(raw, server_hostname="localhost")
            # Noise within TLS, and then below it.
            with contextlib.suppress(OSError):
                wrapped.sendall(chance.randbytes(chance.randrange(1, 100)))
            plain = socket.socket(fileno=wrapped.detach())
            with contextlib.suppress(OSError), plain:
                plain.sendall(b"\x17\x03\x03\x00\x10" + chance.randbytes(100))


# --- In a session ---


def test_half_a_message(server):
    """PostgreSQL waits for the rest of a message for ever, and holds up nobody."""
    with server.connect() as client, somebody_works(server):
        client.send(pgwire.query("select 'a whole one'")[:-3])
        time.sleep(0.5)
        client.send(b"ne'\0"[-3:])
        assert client.answer().errors or True
        client.send(pgwire.query("select 2")[:7])
    with server.connect() as client:
        client.send(pgwire.query("select 1")[:2])
        client.reset()


@pytest.mark.parametrize(
    ("sent", "sqlstate"),
    [(b"Q\x7f\xff\xff\xff", None), (b"Q\0\0\0\0", None), (b"Q\xff\xff\xff\xff", None),
     (b"\0\0\0\0\0", "08P01"), (b"?\0\0\0\4", "08P01")],
    ids=["2 GB", "length 0", "negative", "no type", "unknown type"])
def test_messages_that_are_none(server, sent, sqlstate):
    """PostgreSQL has nothing to say about a length that is none."""
    with server.connect() as client:
        client.send(sent)
        if sqlstate is None:
            client.expect_close()
        else:
            assert client.last_words().sqlstate == sqlstate


def test_a_promise_of_a_gigabyte(server):
    """PostgreSQL believes it, and takes memory only as the bytes come."""
    with server.connect() as client:
        before = server.memory()
        client.send(b"Q\x3f\xff\xff\x00select 1")
        time.sleep(0.5)
        assert server.memory() < before + 16 * MB


@pytest.mark.parametrize("tls", [False, True])
def test_reset_in_the_middle_of_a_result(server, certificate, tls):
    """PostgreSQL gives up what nobody reads, instead of going on to its end."""
    options = {"tls": certificate[0].client_context(), "server_hostname": "localhost"} if tls else {}
    with somebody_works(server):
        clients = [server.connect(**options) for _ in range(5)]
        for client in clients:
            client.send(pgwire.query("select repeat('x', 1000), generate_series(1, 1000000000)"))
        for client in clients:
            for _ in range(1000):
                client.read_message()
        for client in clients:
            client.reset()
        eventually(lambda: server.sessions() == 1)


def test_a_client_that_goes_while_it_waits(server):
    """It has sent its goodbye, or nothing; what it was in the middle of is rolled back."""
    with server.connect() as one:
        one.query("create table held (n int)").ok()
        one.query("begin; lock held").ok()
        for goodbye in (True, False):
            two = server.connect()
            two.send(pgwire.query("insert into held values (1)"))
            waits = f"select count(*) from pg_locks where not granted and pid = {two.pid}"
            eventually(lambda: one.value(waits) == "1")
            if goodbye:
                two.send(pgwire.terminate())
            two.reset()
        one.query("commit").ok()
        eventually(lambda: server.sessions() == 1)
        one.query("drop table held").ok()


def test_an_open_transaction_of_one_that_vanished(server):
    with server.connect() as one:
        one.query("create table held (n int)").ok()
        two = server.connect()
        two.query("begin; insert into held values (1); lock held").ok()
        two.reset()
        assert one.value("select count(*) from held") == "0"
        one.query("drop table held").ok()


def test_a_wrong_password_many_times(tmp_path):
    (tmp_path / "password").write_text("secret")
    with Server("--auth", "scram", "--password-file", tmp_path / "password") as one:
        def fail(count):
            for n in range(count):
                with pytest.raises(Refused) as refused:
                    one.connect(password=f"wrong {n}").close()
                assert refused.value.sqlstate == "28P01"

        fail(50)
        with one.connect(password="secret") as other:
            before, resident = one.descriptors(), one.memory()
            threads = [threading.Thread(target=fail, args=(50,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                began = time.monotonic()
                assert other.value("select 1") == "1"
                assert time.monotonic() - began < 2
                time.sleep(0.02)
            eventually(lambda: one.descriptors() <= before)
            assert one.memory() < resident + SLACK


def test_many_at_once(server):
    """A thousand connections, at the same moment, to a server of 40 sessions: whoever is refused is told, and the
    server is as it was."""
    wanted = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(wanted, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 200)), hard))
    before, resident = server.descriptors(), server.memory()
    with somebody_works(server, within=20):
        sockets = []
        for _ in range(count):
            raw = socket.socket()
            raw.setblocking(False)
            raw.connect_ex(server.tcp)
            sockets.append(raw)
        for raw in sockets:
            raw.settimeout(60)
            raw.sendall(pgwire.startup())
        welcome, refused = [], 0
        for raw in sockets:
            client = Client(raw, start=False)
            client.socket.settimeout(60)
            try:
                # Until the first ReadyForQuery.
                client.answer()
                welcome.append(client)
            except Refused as reason:
                assert reason.sqlstate == "53300", reason
                refused += 1
                client.close()
        assert len(welcome) + refused == count and 0 < len(welcome) < 40
        for client in welcome:
            client.close()
    eventually(lambda: server.sessions() == 0)
    eventually(lambda: server.descriptors() <= before)
    assert server.memory() < resident + 2 * SLACK, (server.memory() - resident) / MB
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_that_say_nothing(server):
    """They are no sessions and take none from others."""
    sockets = [server.open_socket() for _ in range(300)]
    assert server.sql("select 1").value == "1"
    for raw in sockets:
        raw.close()


def test_more_clients_than_descriptors():
    """Who does not fit waits; the server does not spin, and goes on when others have left. The same for those who
    ask for metrics."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Server("--metrics", f"127.0.0.1:{port}", before=["sh", "-c", 'ulimit -n 120; exec "$@"', "sh"]) as one:
        first = one.connect()
        sockets = [one.open_socket() for _ in range(130)]
        sockets += [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        one.wait_for_log("cannot be accepted")
        assert first.value("select 1") == "1"
        used = cpu_seconds(one)
        time.sleep(1)
        assert cpu_seconds(one) - used < 0.5
        for raw in sockets:
            raw.close()
        assert one.sql("select 1").value == "1"
        first.close()


def cpu_seconds(server) -> float:
    with open(f"/proc/{server.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_connecting_and_leaving(server):
    """Sessions leave nothing behind."""
    def come_and_go(count):
        for _ in range(count):
            server.sql("select 1").ok()

    come_and_go(50)
    resident, mappings = server.memory(), server.mappings()
    come_and_go(300)
    assert server.memory() < resident + SLACK
    assert server.mappings() < mappings + 100


# --- A lot of data ---


class Peak:
    """How far the server's memory goes up in a `with`."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.server.reset_peak()
        self.before = self.server.memory()
        return self

    def __exit__(self, *_):
        self.growth = self.server.memory("VmHWM") - self.before
        print(f"memory grew by {self.growth / MB:.1f} MB")


def small_socket(server, unix: bool) -> socket.socket:
    """It holds so little that what is not read stays with the server."""
    if unix:
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(serving.TIMEOUT)
        raw.connect(server.socket_path)
        return raw
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    raw.settimeout(serving.TIMEOUT)
    raw.connect(server.tcp)
    return raw


@pytest.mark.parametrize("how", ["unix", "tcp", "tls"])
def test_a_slow_reader(server, certificate, how):
    """500 MB for clients that read slowly, with pauses, while others work: a few megabytes are enough. As it is the
    buffers that count, they read a part of it only."""
    options = {"tls": certificate[0].client_context(), "server_hostname": "localhost"} if how == "tls" else {}
    clients = [Client(small_socket(server, how == "unix"), **options) for _ in range(3)]
    for client in clients:
        client.query("select repeat('x', 8000), generate_series(1, 10)").ok()
    with somebody_works(server), Peak(server) as peak:
        for client in clients:
            client.send(pgwire.query("select repeat('x', 8000), generate_series(1, 65000)"))
        for _ in range(600):
            for client in clients:
                # Never all that there is: the server's buffers are never empty.
                for _ in range(20):
                    client.read_message()
    for client in clients:
        client.reset()
    assert peak.growth < SLACK, peak.growth / MB


@pytest.mark.heavy
def test_a_result_of_500_mb(server):
    with server.connect() as client, somebody_works(server), Peak(server) as peak:
        client.send(pgwire.query("select repeat('x', 10000), generate_series(1, 50000)"))
        rows = 0
        while True:
            m = client.read_message()
            if m.kind == "D":
                rows += 1
                assert len(m.body) > 10006
            elif m.kind == "Z":
                break
    assert rows == 50000
    assert peak.growth < SLACK, peak.growth / MB


def test_copy_in_of_much(server, certificate):
    """As fast as the socket takes it; a trigger throws the rows away, so that what grows is a buffer."""
    line = b"x" * 9999 + b"\n"
    data = pgwire.copy_data(line * 10)
    with server.connect() as client:
        client.query("create table sink (t text);"
                     "create function no() returns trigger language plpgsql as $$begin return null; end$$;"
                     "create trigger no before insert on sink for each row execute function no()").ok()
        with somebody_works(server), Peak(server) as peak:
            client.request(pgwire.query("copy sink from stdin"), until="G")
            for _ in range(5000):
                client.send(data)
            assert client.request(pgwire.copy_done()).ok().tags == ["COPY 0"]
        assert peak.growth < SLACK, peak.growth / MB
        client.query("drop table sink; drop function no").ok()


def test_a_value_of_64_mb(server):
    """PostgreSQL holds it whole; the server does not hold it again."""
    with server.connect() as client, somebody_works(server, within=20):
        size = 64_000_000
        assert client.request(pgwire.extended("select length($1)", ["y" * size])).value == str(size)
        assert len(client.value(f"select repeat('x', {size})")) == size


def test_requests_without_reading_the_answers(server):
    """A client that writes and writes is not read from when its answers pile up."""
    with server.connect() as client, somebody_works(server), Peak(server) as peak:
        client.socket.settimeout(1)
        batch = pgwire.query("select repeat('x', 1000)") * 1000
        with pytest.raises(TimeoutError):
            for _ in range(10000):
                client.send(batch)
        client.reset()
        eventually(lambda: server.sessions() == 1)
    assert peak.growth < SLACK + 16 * MB, peak.growth / MB


def test_notifications_for_one_that_does_not_read(server):
    """What it has not taken waits in PostgreSQL's queue, which in memory:// is memory."""
    with server.connect() as deaf, server.connect() as speaker, somebody_works(server), Peak(server) as peak:
        deaf.query("listen news").ok()
        for _ in range(300):
            speaker.query("select pg_notify('news', repeat('x', 7000) || g) from generate_series(1, 20) g").ok()
    assert peak.growth < 300 * 20 * 8192 + SLACK, peak.growth / MB
