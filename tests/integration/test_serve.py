"""`pglite-port serve` from outside: where it listens, who gets in, how it ends, and what else it promises.

Broken and hostile clients are in test_serve_hostile.py.
"""

import contextlib
import fcntl
import http.client
import os
import pty
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import pgwire
import pytest
import serving
from serving import Client, Closed, PasswordWanted, Refused, Server, eventually

# A function in FROM would be kept as a whole, with all its rows.
ENDLESS = "select count(*) from (select generate_series(1, 1000000000000)) as rows"
TERMINATED = "57P01"
CANCELED = "57014"


@pytest.fixture(scope="module")
def server():
    """One server on memory:// for tests that leave it as it is."""
    with Server() as one:
        yield one
        assert one.stop() == 0, one.stderr()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return serving.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_server(authority):
    certificate, key = authority.issue("server")
    with Server("--listen", "localhost:0", "--tls-cert", certificate, "--tls-key", key) as one:
        yield one
        assert one.stop() == 0, one.stderr()


@pytest.fixture(scope="module")
def scram_server(tmp_path_factory):
    file = tmp_path_factory.mktemp("password") / "password"
    file.write_text("geheim, ünd lang\nnot this\n")
    with Server("--auth", "scram", "--password-file", file) as one:
        with one.connect(password="geheim, ünd lang") as client:
            client.query("create role alice login password 'wonder'").ok()
            client.query("create role nobody login").ok()
        yield one


def refused_start(*arguments, **options) -> tuple[int, str]:
    """A server that does not start: its exit status and what it says."""
    with Server(*arguments, wait=False, **options) as server:
        status = server.wait()
        return status, server.stderr()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 here")


# --- Listening ---


def test_a_free_port_is_found_and_said():
    with Server("--listen", "127.0.0.1:0") as server:
        assert server.tcp[0] == "127.0.0.1" and server.port > 0
        assert server.sql("select 1").value == "1"
        assert f"ready for clients on 127.0.0.1:{server.port}\n" in server.stderr()
        assert server.sql("show port").value == str(server.port)
        assert server.sql("show listen_addresses").value == "127.0.0.1"


@needs_ipv6
def test_ipv6():
    with Server("--listen", "[::1]:0") as server:
        assert server.tcp[0] == "::1"
        with server.connect() as client:
            assert client.value("select inet_client_addr()") == "::1"


@needs_ipv6
def test_localhost_is_both_families_on_one_port():
    with Server("--listen", "localhost:0") as server:
        assert server.addresses == [f"127.0.0.1:{server.port}", f"[::1]:{server.port}"]
        for host in ("127.0.0.1", "::1"):
            with Client(socket.create_connection((host, server.port))) as client:
                assert client.value("select host(inet_client_addr())") == host


def test_several_addresses(tmp_path):
    with Server("--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0", "--socket-dir", tmp_path) as server:
        first, second, path = server.addresses
        assert first.startswith("127.0.0.1:") and second.startswith("127.0.0.2:")
        assert path == f"{tmp_path}/.s.PGSQL.5432"
        for address in (first, second):
            host, port = address.split(":")
            with Client(socket.create_connection((host, int(port)))) as client:
                assert client.value("select host(inet_server_addr())") in (None, host)
                client_port = client.socket.getsockname()[1]
                assert client.value("select inet_client_port()") == str(client_port)
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(path)
        with Client(raw) as client:
            assert client.value("select inet_client_addr() is null") == "t"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("5432", "has no port"),
        ("127.0.0.1:", "has no port from 0 to 65535"),
        ("127.0.0.1:70000", "has no port from 0 to 65535"),
        ("127.0.0.1:1x", "has no port from 0 to 65535"),
        ("::1:0", "has no address"),
        ("[::1:0", "has no address"),
        ("[127.0.0.1]:0", "has no address"),
        ("example.com:0", "has no address"),
        (":0", "has no address"),
    ],
)
def test_bad_addresses(value, says):
    for option in ("--listen", "--metrics"):
        status, text = refused_start("--listen", value) if option == "--listen" else refused_start(option, value)
        assert status == 64, text
        assert says in text and option in text and "HOST:PORT" in text, text


def test_an_address_that_is_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, text = refused_start("--listen", f"127.0.0.1:{port}")
        assert status == 75 and f"127.0.0.1:{port}" in text and "in use" in text, (status, text)
        status, text = refused_start("--metrics", f"127.0.0.1:{port}")
        assert status == 75 and f"127.0.0.1:{port}" in text, (status, text)


def test_an_address_of_another_host():
    status, text = refused_start("--listen", "192.0.2.1:0")
    assert status == 74 and "192.0.2.1:0" in text, (status, text)


def test_options_that_do_not_fit():
    for arguments, says in [
        (("--socket-port", "0"), "1 to 65535"),
        (("--socket-mode", "999"), "octal"),
        (("--auth", "md5"), "remote, scram, trust or hba"),
        (("--tls-cert", "x"), "go together"),
        (("--ready-fd", "x"), "number of a descriptor"),
    ]:
        status, text = refused_start(*arguments)
        assert status == 64 and arguments[0] in text and says in text, (arguments, status, text)
    for arguments in (("--tls-cert", "/nowhere", "--tls-key", "/nowhere"), ("--password-file", "/nowhere")):
        status, text = refused_start(*arguments)
        assert status == 74 and "/nowhere" in text, (status, text)


# --- Unix sockets ---


def test_socket_and_lock_file(tmp_path):
    with Server("--socket-dir", tmp_path, "--socket-port", "6543", "--socket-mode", "0700") as server:
        path = tmp_path / ".s.PGSQL.6543"
        assert server.addresses == [str(path)]
        assert path.is_socket() and path.stat().st_mode & 0o777 == 0o700
        lock = tmp_path / ".s.PGSQL.6543.lock"
        assert lock.read_text().split("\n")[0] == str(server.pid)
        assert server.sql("select 1").value == "1"
        assert server.sql("show unix_socket_directories").value == str(tmp_path)
        url = f"postgresql:///postgres?host={tmp_path}&port=6543&user=postgres"
        assert serving.run_psql(url, "-c", "select 6 * 7").stdout == "42\n"
        status, text = refused_start("--socket-dir", tmp_path, "--socket-port", "6543")
        assert status == 75 and f"process {server.pid}" in text, (status, text)
        assert server.sql("select 1").value == "1"
        assert server.stop() == 0
    assert os.listdir(tmp_path) == []


def test_a_stale_lock_is_taken_over(tmp_path):
    with Server("--socket-dir", tmp_path) as server:
        server.signal(signal.SIGKILL)
        server.wait()
    assert sorted(os.listdir(tmp_path)) == [".s.PGSQL.5432", ".s.PGSQL.5432.lock"]
    with Server("--socket-dir", tmp_path) as server:
        assert server.sql("select 1").value == "1"
        assert server.stop() == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", ["", "no number\n", "-1\n", "99999999999999\n"])
def test_a_lock_of_nobody_is_taken_over(tmp_path, content):
    (tmp_path / ".s.PGSQL.5432.lock").write_text(content)
    with Server("--socket-dir", tmp_path) as server:
        assert server.sql("select 1").value == "1"


def test_a_lock_of_a_living_process_is_left_alone(tmp_path):
    lock = tmp_path / ".s.PGSQL.5432.lock"
    lock.write_text(f"{os.getpid()}\n")
    status, text = refused_start("--socket-dir", tmp_path)
    assert status == 75 and str(os.getpid()) in text, (status, text)
    assert lock.read_text() == f"{os.getpid()}\n"


def test_socket_directories_that_do_not_do(tmp_path):
    status, text = refused_start("--socket-dir", tmp_path / "missing")
    assert status == 74 and "missing" in text, (status, text)
    long = tmp_path / ("x" * 100)
    long.mkdir()
    status, text = refused_start("--socket-dir", long)
    assert status == 64 and "longer than" in text, (status, text)


def test_a_relative_directory(tmp_path):
    """The command would take a name without a slash for a host's."""
    (tmp_path / "run").mkdir()
    for name, path in (("run", tmp_path / "run"), (".", tmp_path), ("run/../", tmp_path)):
        with Server("--socket-dir", name, cwd=tmp_path) as server:
            assert server.addresses == [f"{path}/.s.PGSQL.5432"]


# --- Ending ---


@pytest.fixture
def place(tmp_path, copy_made):
    """A data directory with the table t, and a directory for the socket."""
    (tmp_path / "run").mkdir()
    return copy_made(tmp_path / "data"), tmp_path / "run"


def is_clean(place) -> bool:
    data, run = place
    left = [name for name in os.listdir(data) if name == "postmaster.pid" or name.startswith(".pglite")]
    return left == [] and os.listdir(run) == []


def start_in(place, *arguments, **options) -> Server:
    return Server("-D", place[0], "--socket-dir", place[1], "--listen", "127.0.0.1:0", "--debug", "1", *arguments,
                  **options)


def test_sigterm_waits_for_clients(place):
    with start_in(place) as server, server.connect() as client:
        client.query("begin; insert into t (v) values ('late')").ok()
        server.signal(signal.SIGTERM)
        server.wait_for_log("waits for its clients")
        with pytest.raises(Refused) as refused:
            server.connect()
        assert refused.value.sqlstate == "57P03"
        assert client.query("commit").ok().tags == ["COMMIT"]
        assert server.running()
        client.send(pgwire.terminate())
        assert server.wait() == 0
    assert is_clean(place)
    with start_in(place) as server:
        assert server.sql("select count(*) from t where v = 'late'").value == "1"
        assert "not properly shut down" not in server.stderr()


def test_sigterm_without_clients(place):
    with start_in(place) as server:
        assert server.stop(signal.SIGTERM) == 0
    assert is_clean(place)


def test_sigint_ends_sessions(place):
    with start_in(place) as server:
        idle, busy, open_ = (server.connect() for _ in range(3))
        busy.send(pgwire.query(ENDLESS))
        open_.query("begin; insert into t (v) values ('lost')").ok()
        silent = server.open_socket()
        server.signal(signal.SIGINT)
        for client in (idle, busy, open_):
            assert client.last_words().sqlstate == TERMINATED
        assert silent.recv(1) == b""
        assert server.wait() == 0
    assert is_clean(place)
    with start_in(place) as server:
        assert server.sql("select string_agg(v, ',') from t").value == "kept"
        assert "not properly shut down" not in server.stderr()


def test_sigterm_then_sigint(place):
    with start_in(place) as server, server.connect() as client:
        server.signal(signal.SIGTERM)
        server.wait_for_log("waits for its clients")
        server.signal(signal.SIGINT)
        assert client.last_words().sqlstate == TERMINATED
        assert server.wait() == 0
    assert is_clean(place)


@pytest.mark.parametrize("signals", ["TERM TERM", "QUIT"])
def test_a_crash_is_recovered(place, signals):
    with start_in(place) as server, server.connect() as client:
        client.query("insert into t (v) values ('acknowledged')").ok()
        client.query("begin; insert into t (v) values ('lost')").ok()
        for index, name in enumerate(signals.split()):
            if index:
                server.wait_for_log("waits for its clients")
            server.signal(signal.Signals["SIG" + name])
        assert server.wait() != 0
        with pytest.raises((Refused, Closed)):
            client.value("select 1")
    assert is_clean(place)
    with start_in(place) as server:
        assert server.sql("select string_agg(v, ',' order by id) from t").value == "kept,acknowledged"
        assert "not properly shut down" in server.stderr()
        assert server.stop() == 0
    assert is_clean(place)


def deaf_client(server) -> Client:
    """It has asked for more than the sockets hold, and does not read it."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(server.tcp)
    client = Client(raw)
    client.send(pgwire.query("select repeat('x', 1000000) from generate_series(1, 100)"))
    waits = 0
    while waits < 5:
        time.sleep(0.05)
        state = server.sql(f"select wait_event from pg_stat_activity where pid = {client.pid}").value
        waits = waits + 1 if state == "ClientWrite" else 0
    return client


def test_sigint_twice(place):
    """The second one comes while a client does not take its last words."""
    with start_in(place) as server, deaf_client(server):
        server.signal(signal.SIGINT)
        time.sleep(0.2)
        assert server.running()
        server.signal(signal.SIGINT)
        assert server.wait(4) != 0
    assert is_clean(place)


def test_a_client_that_does_not_listen_cannot_hold_the_end_up(place):
    with start_in(place) as server, deaf_client(server):
        assert server.stop() == 0
    assert is_clean(place)


@pytest.mark.parametrize("how", ["nothing", "blocked", "ignored"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts(tmp_path, how, number):
    def inherit():
        if how == "blocked":
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()))
        elif how == "ignored":
            for one in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(one, signal.SIG_IGN)

    data, run = tmp_path / "data", tmp_path / "run"
    run.mkdir()
    with Server("-D", data, "--socket-dir", run, wait=False, preexec=inherit) as server:
        eventually(lambda: os.listdir(run))
        assert server.stop(number) == 0, server.stderr()
    assert is_clean((data, run))
    with Server("-D", data, "--socket-dir", run, preexec=inherit) as server:
        with server.connect() as client:
            assert client.query(f"set statement_timeout = '50ms'; {ENDLESS}").sqlstate == CANCELED
        assert server.stop(number) == 0, server.stderr()


# --- Rest ---


def test_a_server_whose_clients_are_silent_takes_no_processor_time(server):
    """It looks out for requests for a moment behind those that have come soon, and then no more."""
    def ticks() -> int:
        with open(f"/proc/{server.process.pid}/stat") as file:
            return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))

    with server.connect() as one, server.connect() as other:
        for _ in range(200):
            assert one.value("select 1") == other.value("select 1") == "1"
        time.sleep(0.5)
        before = ticks()
        time.sleep(2)
        # Hundredths of a second: watching all the time takes 200, PostgreSQL's own processes one or two.
        assert ticks() - before < 40


def test_a_session_gives_back_what_a_large_query_took():
    large = "select length(string_agg(repeat('x', 1000000), '')) from generate_series(1, 300)"
    with Server() as server, server.connect() as one, server.connect() as other:
        for _ in range(2):
            assert one.value(large) == "300000000"
            assert other.value("select 1") == "1"
            end = time.monotonic() + 30
            while server.memory() > 150_000_000:
                assert time.monotonic() < end, f"{server.memory()} bytes are kept"
                time.sleep(0.1)
        assert one.value("select sum(g) from generate_series(1, 100000) g") == "5000050000"


# --- Who may use the Unix socket ---


def first_answer_to(user: int, path: str) -> bytes:
    """What a client that runs as `user` gets for its startup packet."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(user)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(60)
                connection.connect(path)
                connection.sendall(pgwire.startup())
                os.write(write, connection.recv(1000))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_the_unix_socket_can_be_for_the_servers_own_user_only():
    nobody = 65534
    with tempfile.TemporaryDirectory(dir="/tmp") as run:
        os.chmod(run, 0o755)
        with Server("--socket-dir", run, "--socket-owner-only") as server:
            assert first_answer_to(0, server.socket_path)[:1] == b"R"
            refused = first_answer_to(nobody, server.socket_path)
            assert refused[:1] == b"E" and b"C28000\0" in refused, refused
            assert b"for the user that the server runs as" in refused
            assert first_answer_to(0, server.socket_path)[:1] == b"R"
        with Server("--socket-dir", run) as server:
            assert first_answer_to(nobody, server.socket_path)[:1] == b"R"


# --- SIGHUP ---


def test_sighup_reads_the_configuration(place):
    with start_in(place) as server, server.connect() as client:
        client.query("alter system set work_mem = '7MB'").ok()
        assert client.value("show work_mem") == "4MB"
        server.signal(signal.SIGHUP)
        eventually(lambda: client.value("show work_mem") == "7MB")
        assert server.sql("show work_mem").value == "7MB"
        client.query("alter system set work_mem = '8MB'").ok()
        assert client.value("select pg_reload_conf()") == "t"
        eventually(lambda: client.value("show work_mem") == "8MB")
        assert server.sql("show work_mem").value == "8MB"
        assert server.stop() == 0
    with start_in(place) as server:
        assert server.sql("show work_mem").value == "8MB"


def test_sighup_reads_the_certificate(authority, tmp_path):
    first, second = authority.issue("first"), authority.issue("second")
    files = [tmp_path / "server.pem", tmp_path / "server.key"]

    def put(pair):
        for source, target in zip(pair, files):
            shutil.copy(source, target)

    def presented() -> str:
        with server.connect(tls=authority.client_context(), server_hostname="localhost") as client:
            return dict(pair[0] for pair in client.socket.getpeercert()["subject"])["commonName"]

    put(first)
    with Server("--tls-cert", files[0], "--tls-key", files[1]) as server:
        assert presented() == "first"
        with server.connect(tls=authority.client_context(), server_hostname="localhost") as client:
            put(second)
            server.signal(signal.SIGHUP)
            eventually(lambda: presented() == "second")
            assert client.value("select 1") == "1"
        files[0].write_text("no certificate\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log("cannot be used")
        assert presented() == "second"
        assert str(files[0]) in server.stderr()


# --- Who may ---


def test_loopback_is_believed(server):
    with server.connect() as client:
        assert client.value("select current_user") == "postgres"


def test_another_host_gives_a_password(tmp_path):
    address = serving.outside_address()
    if address is None:
        pytest.skip("this host has no address but loopback ones")
    (tmp_path / "password").write_text("secret")
    with Server("--listen", "*:0", "--password-file", tmp_path / "password") as server:
        def connect(**options):
            return Client(socket.create_connection((address, server.port)), **options)

        with pytest.raises(PasswordWanted):
            connect()
        with pytest.raises(Refused) as refused:
            connect(password="wrong")
        assert refused.value.sqlstate == "28P01"
        with connect(password="secret") as client:
            assert client.value("select host(inet_client_addr())") == address
        with Client(socket.create_connection(("127.0.0.1", server.port))) as client:
            assert client.value("select current_user") == "postgres"
    with Server("--listen", "*:0", "--auth", "trust") as server:
        with connect() as client:
            assert client.value("select 1") == "1"


def test_scram(scram_server):
    with scram_server.connect(password="geheim, ünd lang") as client:
        assert client.mechanisms == ["SCRAM-SHA-256"]
        assert client.value("select rolsuper from pg_roles where rolname = current_user") == "t"
        assert client.value("select rolpassword ~ '^SCRAM-SHA-256' from pg_authid where rolname = 'postgres'") == "t"
    with scram_server.connect(user="alice", password="wonder") as client:
        assert client.query("set role postgres").sqlstate == "42501"
        assert client.query("alter role alice superuser").sqlstate == "42501"
        assert client.query("set session authorization postgres").sqlstate == "42501"
        assert client.query("copy t from '/pglite/data/PG_VERSION'").sqlstate in ("42501", "42P01")


@pytest.mark.parametrize(
    ("user", "password"), [("alice", "Wonder"), ("nobody", "wonder"), ("missing", "wonder"), ("alice", "")])
def test_wrong_passwords(scram_server, user, password):
    with pytest.raises(Refused) as refused:
        scram_server.connect(user=user, password=password)
    assert (refused.value.severity, refused.value.sqlstate) == ("FATAL", "28P01")
    assert refused.value.message == f'password authentication failed for user "{user}"'


def test_scram_by_psql(scram_server):
    url = f"postgresql://alice@127.0.0.1:{scram_server.port}/postgres"
    done = serving.run_psql(url, "-c", "select current_user", env={"PGPASSWORD": "wonder"})
    assert (done.returncode, done.stdout) == (0, "alice\n"), done.stderr
    done = serving.run_psql(url, "-c", "select 1", env={"PGPASSWORD": "blunder"})
    assert done.returncode == 2 and 'password authentication failed for user "alice"' in done.stderr


def test_the_password_is_not_logged(tmp_path):
    (tmp_path / "password").write_text("sUpErSeCrEt\n")
    with Server("--password-file", tmp_path / "password", "--debug", "5", "-o",
                "-c log_statement=all -c log_min_duration_statement=0") as server:
        assert server.sql("select 1").value == "1"
        assert "sUpErSeCrEt" not in server.stderr()


def test_password_files_that_do_not_do(tmp_path):
    (tmp_path / "empty").write_text("\nsecond line\n")
    status, text = refused_start("--password-file", tmp_path / "empty")
    assert status == 64 and "--password-file" in text and "no password" in text, (status, text)


def test_a_password_for_another_role(tmp_path):
    (tmp_path / "password").write_text("it's \"quoted\" \\ $x\n")
    with Server("-U", "o'b \"x", "-d", "a b", "--auth", "scram", "--password-file", tmp_path / "password") as server:
        with server.connect(user="o'b \"x", database="a b", password="it's \"quoted\" \\ $x") as client:
            assert client.value("select current_database()") == "a b"


def test_access_rules_of_the_data_directory(place):
    data, run = place
    (data / "pg_hba.conf").write_text(
        "local all all trust\n"
        "host all alice 127.0.0.1/32 scram-sha-256\n"
        "host all all 127.0.0.1/32 reject\n")
    with Server("-D", data, "--socket-dir", run, "--listen", "127.0.0.1:0", "--auth", "hba") as server:
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(server.socket_path)
        with Client(raw) as client:
            client.query("create role alice login password 'wonder'; create role bob login").ok()
            with pytest.raises(Refused) as refused:
                server.connect()
            assert refused.value.sqlstate == "28000" and "pg_hba.conf rejects" in refused.value.message
            with server.connect(user="alice", password="wonder") as alice:
                assert alice.value("select current_user") == "alice"
            with (data / "pg_hba.conf").open("w") as rules:
                rules.write("local all all trust\nhost all bob 127.0.0.1/32 trust\n")
            server.signal(signal.SIGHUP)

            def bob_may() -> bool:
                try:
                    server.connect(user="bob").close()
                    return True
                except Refused:
                    return False

            eventually(bob_may)
            with pytest.raises(Refused) as refused:
                server.connect(user="alice", password="wonder")
            assert refused.value.sqlstate == "28000" and "no pg_hba.conf entry" in refused.value.message


def test_no_access_rules(place):
    data, run = place
    (data / "pg_hba.conf").unlink()
    status, text = refused_start("-D", data, "--listen", "127.0.0.1:0", "--auth", "hba")
    assert status != 0 and "pg_hba.conf" in text, (status, text)


@pytest.mark.parametrize(
    ("options", "sqlstate", "message"),
    [
        ({"user": "missing"}, "28000", 'role "missing" does not exist'),
        ({"database": "missing"}, "3D000", 'database "missing" does not exist'),
        ({"user": ""}, "28000", "no PostgreSQL user name specified in startup packet"),
        ({"settings": {"no_such": "1"}}, "42704", 'unrecognized configuration parameter "no_such"'),
        ({"settings": {"work_mem": "much"}}, "22023", 'invalid value for parameter "work_mem": "much"'),
        ({"settings": {"options": "-c"}}, "42601", None),
        ({"protocol": 4 << 16}, "0A000", "unsupported frontend protocol 4.0: server supports 3.0 to 3.2"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_refused_startup_packets(server, options, sqlstate, message):
    with pytest.raises(Refused) as refused:
        server.connect(**options)
    assert (refused.value.severity, refused.value.sqlstate) == ("FATAL", sqlstate)
    assert message is None or refused.value.message == message


def test_protocol_2_is_refused(server):
    """In the words of that protocol, which PostgreSQL 18 still has for it."""
    with server.connect(start=False) as client:
        client.send(struct.pack("!II", 296, 2 << 16) + b"postgres".ljust(288, b"\0"))
        text = b""
        with pytest.raises(Closed):
            while True:
                text += client.receive(1)
        assert text == b"EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.2\n\0"


def test_a_role_that_may_not_log_in(server):
    server.sql("create role sleeper; create role limited login connection limit 1").ok()
    with pytest.raises(Refused) as refused:
        server.connect(user="sleeper")
    assert refused.value.sqlstate == "28000"
    with server.connect(user="limited"):
        with pytest.raises(Refused) as refused:
            server.connect(user="limited")
        assert refused.value.sqlstate == "53300"
        assert refused.value.message == 'too many connections for role "limited"'


def test_limits_of_databases(server):
    server.sql("create database narrow connection limit 1").ok()
    server.sql("create database closed allow_connections false").ok()
    server.sql("create role passer login").ok()
    with server.connect(user="passer", database="narrow"):
        with pytest.raises(Refused) as refused:
            server.connect(user="passer", database="narrow")
        assert refused.value.sqlstate == "53300"
    with pytest.raises(Refused) as refused:
        server.connect(database="closed")
    assert refused.value.sqlstate == "55000"


def test_max_connections():
    with Server("-o", "-c max_connections=10 -c superuser_reserved_connections=2") as server:
        server.sql("create role many login").ok()
        clients = [server.connect(user="many") for _ in range(8)]
        with pytest.raises(Refused) as refused:
            server.connect(user="many")
        assert refused.value.sqlstate == "53300"
        clients += [server.connect() for _ in range(2)]
        with pytest.raises(Refused) as refused:
            server.connect()
        assert refused.value.sqlstate == "53300"
        assert refused.value.message == "sorry, too many clients already"
        clients.pop().close()
        eventually(lambda: server.sessions() == 9)
        for client in clients:
            client.close()


# --- The start of a connection ---


def test_settings_in_the_startup_packet(server):
    settings = {
        "application_name": "me", "search_path": "a,b", "DateStyle": "German", "TimeZone": "Asia/Tokyo",
        "extra_float_digits": "2", "client_encoding": "UTF8", "statement_timeout": "12345",
        "options": "-c work_mem=5MB --maintenance_work_mem=66MB -c geqo=off -cenable_sort=off -c a.b=x\\ y",
    }
    with server.connect(settings=settings) as client:
        for name, value in {
            "application_name": "me", "search_path": "a,b", "DateStyle": "German, DMY", "TimeZone": "Asia/Tokyo",
            "extra_float_digits": "2", "statement_timeout": "12345ms", "work_mem": "5MB",
            "maintenance_work_mem": "66MB", "geqo": "off", "enable_sort": "off", "a.b": "x y",
        }.items():
            assert client.value(f"show {name}") == value
        assert client.value("select application_name from pg_stat_activity where pid = pg_backend_pid()") == "me"
        assert client.parameters["application_name"] == "me"
        assert client.parameters["search_path"] == "a,b"
        client.query("set work_mem = '1MB'").ok()
        client.query("reset work_mem").ok()
        assert client.value("show work_mem") == "5MB"
    with server.connect() as client:
        assert client.value("show work_mem") == "4MB"


def test_all_parameters_are_told(server):
    with server.connect() as client:
        assert set(client.parameters) == {
            "application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "in_hot_standby",
            "integer_datetimes", "IntervalStyle", "is_superuser", "scram_iterations", "search_path", "server_encoding",
            "server_version", "session_authorization", "standard_conforming_strings", "TimeZone"}
        assert client.parameters["server_version"].startswith("18.")
        assert client.pid > 0 and len(client.key) == 4 and client.key != b"\0\0\0\0"
        assert str(client.pid) == client.value("select pg_backend_pid()")


def test_keys_are_random(server):
    keys = set()
    for protocol in (pgwire.PROTOCOL_3_0, serving.PROTOCOL_3_2):
        for _ in range(5):
            with server.connect(protocol=protocol) as client:
                keys.add(client.key)
    assert len(keys) == 10
    # No two share what would be a part of a counter or clock.
    assert len({key[:4] for key in keys}) == 10


def test_protocol_3_2(server):
    with server.connect(protocol=serving.PROTOCOL_3_2) as client:
        assert client.negotiated is None and len(client.key) == 32
        assert client.value("select 1") == "1"


@pytest.mark.parametrize("minor", [1, 3, 9999])
def test_newer_protocols_are_negotiated(server, minor):
    with server.connect(protocol=pgwire.PROTOCOL_3_0 + minor, settings={"_pq_.new": "1", "work_mem": "1MB"}) as client:
        # 3.1 was never given out.
        expected = serving.PROTOCOL_3_2 if minor != 1 else pgwire.PROTOCOL_3_0 + 1
        assert client.negotiated == (expected, ["_pq_.new"])
        assert client.value("show work_mem") == "1MB"


def test_requests_for_encryption_without_any(server):
    with server.connect(start=False) as client:
        for request in (pgwire.gssenc_request(), pgwire.ssl_request(), pgwire.gssenc_request()):
            client.send(request)
            assert client.receive(1) == b"N"
        client.start("postgres", "postgres", None, pgwire.PROTOCOL_3_0, {})
        assert client.value("select 1") == "1"


def test_startup_packet_in_pieces(server):
    with server.connect(start=False) as client:
        packet = pgwire.startup() + pgwire.query("select 'at once'")
        for at in range(0, len(packet), 7):
            client.send(packet[at : at + 7])
            time.sleep(0.002)
        assert client.answer().status == "I"
        assert client.answer().value == "at once"


def test_replication_is_refused_with_a_reason(server):
    with pytest.raises(Refused):
        server.connect(settings={"replication": "maybe"})


def test_what_a_client_says_about_itself_is_not_believed(server):
    with server.connect(settings={"application_name": "x' or '1", "client_encoding": "UTF8"}) as client:
        assert client.value("show application_name") == "x' or '1"


# --- TLS ---


def test_tls(tls_server, authority):
    with tls_server.connect(tls=authority.client_context(), server_hostname="localhost") as client:
        assert client.socket.version() in ("TLSv1.2", "TLSv1.3")
        assert client.value("select 1") == "1"
        size = 5_000_000
        assert len(client.value(f"select repeat('x', {size})")) == size
        big = "y" * size
        assert client.request(pgwire.extended("select length($1)", [big])).value == str(size)


def test_tls_goes_on_after_gssenc(tls_server, authority):
    raw = tls_server.open_socket()
    raw.sendall(pgwire.gssenc_request())
    assert raw.recv(1) == b"N"
    with Client(raw, tls=authority.client_context(), server_hostname="localhost") as client:
        assert client.value("select 1") == "1"


def test_direct_tls(tls_server, authority):
    with tls_server.connect(
            tls=authority.client_context(alpn=True), server_hostname="localhost", direct=True) as client:
        assert client.socket.selected_alpn_protocol() == "postgresql"
        assert client.value("select 1") == "1"


def test_direct_tls_names_the_protocol(tls_server, authority):
    """As PostgreSQL has it: a browser that is sent here must not be talked to."""
    with pytest.raises((Closed, ssl.SSLError, ConnectionError)):
        tls_server.connect(tls=authority.client_context(), server_hostname="localhost", direct=True)
    context = authority.client_context()
    context.set_alpn_protocols(["http/1.1"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls_server.connect(tls=context, server_hostname="localhost", direct=True)


def test_clients_without_tls_may_come(tls_server):
    assert tls_server.sql("select 1").value == "1"


def test_old_tls_is_refused(tls_server, authority):
    context = authority.client_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls_server.connect(tls=context, server_hostname="localhost")


def test_bytes_before_the_handshake_are_not_taken(tls_server):
    """A startup packet that was slipped in behind the SSLRequest (CVE-2021-23214)."""
    with tls_server.connect(start=False) as client:
        client.send(pgwire.ssl_request() + pgwire.startup())
        with pytest.raises(Closed):
            while client.receive(1) == b"S":
                pass


def test_tls_by_psql(tls_server, authority):
    ca = authority.certificate
    url = f"postgresql://postgres@localhost:{tls_server.port}/postgres"
    for options in (f"sslmode=verify-full&sslrootcert={ca}", "sslmode=require", "sslmode=prefer&channel_binding=prefer",
                    "sslmode=disable"):
        done = serving.run_psql(f"{url}?{options}", "-c", "select 1")
        assert (done.returncode, done.stdout) == (0, "1\n"), (options, done.stderr)
    done = serving.run_psql(f"postgresql://postgres@127.0.0.1:{tls_server.port}/postgres?sslmode=verify-full"
                            f"&sslrootcert={ca}", "-c", "select 1")
    assert done.returncode == 2 and "does not match host name" in done.stderr, done.stderr


def test_scram_over_tls(authority, tmp_path):
    certificate, key = authority.issue("with password")
    (tmp_path / "password").write_text("secret")
    with Server("--tls-cert", certificate, "--tls-key", key, "--auth", "scram",
                "--password-file", tmp_path / "password") as server:
        options = {"tls": authority.client_context(), "server_hostname": "localhost", "password": "secret"}
        with server.connect(**options) as client:
            assert client.mechanisms == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
            assert client.value("select 1") == "1"
        url = f"postgresql://postgres:secret@127.0.0.1:{server.port}/postgres?sslmode=require"
        done = serving.run_psql(url + "&channel_binding=prefer", "-c", "select 1")
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_tls_says_goodbye(tls_server, authority):
    """With TLS's own message, so that a client knows that nothing was cut off."""
    context = authority.client_context()
    raw = tls_server.open_socket()
    raw.sendall(pgwire.ssl_request())
    assert raw.recv(1) == b"S"
    wrapped = context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
    with Client(wrapped) as client:
        client.send(pgwire.query("select pg_terminate_backend(pg_backend_pid())"))
        with pytest.raises(Refused) as refused:
            client.answer()
        assert refused.value.sqlstate == TERMINATED
        client.expect_close()


# --- Cancel ---


def send_cancel(server, pid: int, key: bytes, tls=None) -> None:
    with server.connect(start=False, tls=tls, server_hostname="localhost" if tls else None) as canceler:
        canceler.send(serving.cancel_request(pid, key))
        canceler.expect_close()


def until_active(server, pid: int, **connection) -> None:
    """A cancel that comes before the query is one of nothing."""
    with server.connect(**connection) as client:
        eventually(lambda: client.value(f"select state from pg_stat_activity where pid = {pid}") == "active")


@pytest.mark.parametrize("protocol", [pgwire.PROTOCOL_3_0, serving.PROTOCOL_3_2])
@pytest.mark.parametrize("sql", [ENDLESS, "select pg_sleep(100)"])
def test_cancel(server, protocol, sql):
    with server.connect(protocol=protocol) as client:
        client.send(pgwire.query(sql))
        until_active(server, client.pid)
        send_cancel(server, client.pid, client.key)
        assert client.answer().sqlstate == CANCELED
        assert client.value("select 1") == "1"


def test_cancel_over_tls(tls_server, authority):
    context = authority.client_context()
    with tls_server.connect(tls=context, server_hostname="localhost") as client:
        client.send(pgwire.query("select pg_sleep(100)"))
        until_active(tls_server, client.pid, tls=context, server_hostname="localhost")
        send_cancel(tls_server, client.pid, client.key, context)
        assert client.answer().sqlstate == CANCELED


def test_a_wrong_key_cancels_nothing(server):
    with server.connect() as client, server.connect(protocol=serving.PROTOCOL_3_2) as other:
        client.send(pgwire.query("select pg_sleep(0.5), 'whole'"))
        wrong = bytes([client.key[0] ^ 1]) + client.key[1:]
        for pid, key in [(client.pid, wrong), (client.pid, client.key + b"\0"), (client.pid, other.key),
                         (client.pid, client.key[:3]), (other.pid, client.key), (1, client.key), (0, client.key),
                         (0xFFFFFFFF, client.key), (client.pid, b"\0" * 256)]:
            send_cancel(server, pid, key)
        assert client.answer().ok().rows[0][1] == "whole"


def test_cancel_by_psql(server):
    assert shutil.which("psql")
    url = f"postgresql://postgres@127.0.0.1:{server.port}/postgres?application_name=canceled"
    psql = subprocess.Popen(["psql", "-X", "-c", "select pg_sleep(100)", url], stderr=subprocess.PIPE)
    eventually(lambda: server.sql(
        "select count(*) from pg_stat_activity where application_name = 'canceled' and state = 'active'").value == "1")
    time.sleep(0.05)
    psql.send_signal(signal.SIGINT)
    assert b"canceling statement due to user request" in psql.communicate(timeout=20)[1]


def test_pg_cancel_and_terminate_backend(server):
    with server.connect() as client, server.connect() as other:
        client.send(pgwire.query(ENDLESS))
        eventually(lambda: other.value(f"select state from pg_stat_activity where pid = {client.pid}") == "active")
        assert other.value(f"select pg_cancel_backend({client.pid})") == "t"
        assert client.answer().sqlstate == CANCELED
        assert other.value(f"select pg_terminate_backend({client.pid}, 5000)") == "t"
        assert client.last_words().sqlstate == TERMINATED


# --- Sessions side by side ---


def test_one_that_computes_does_not_stall_others(server):
    with server.connect() as busy:
        busy.send(pgwire.query(ENDLESS))
        took = []
        for _ in range(20):
            began = time.monotonic()
            assert server.sql("select 1").value == "1"
            took.append(time.monotonic() - began)
        assert sorted(took)[10] < 1, took
        send_cancel(server, busy.pid, busy.key)
        assert busy.answer().sqlstate == CANCELED


def test_locks_and_notifications(server):
    with server.connect() as one, server.connect() as two:
        one.query("create table shared (n int); insert into shared values (0)").ok()
        one.query("begin; update shared set n = n + 1").ok()
        two.send(pgwire.query("update shared set n = n + 10"))
        eventually(lambda: one.value("select count(*) from pg_locks where not granted") == "1")
        one.query("commit").ok()
        assert two.answer().ok().tags == ["UPDATE 1"]
        assert one.value("select n from shared") == "11"
        one.query("listen news").ok()
        two.query("notify news, 'hello'").ok()
        m = one.read_message()
        assert m.kind == "A" and m.body[4:] == b"news\0hello\0"
        two.query("drop table shared").ok()


def test_deadlock(server):
    with server.connect() as one, server.connect() as two:
        one.query("create table a (n int); create table b (n int)").ok()
        for client, sql in ((one, "lock a"), (two, "lock b")):
            client.query("begin; set local deadlock_timeout = '50ms'; " + sql).ok()
        one.send(pgwire.query("lock b"))
        two.send(pgwire.query("lock a"))
        # One of them has to give way; then the other goes on.
        results = {}
        threads = [threading.Thread(target=lambda c=c: results.update({c.pid: c.answer()})) for c in (one, two)]
        for thread in threads:
            thread.start()
        eventually(lambda: results)
        loser = one if one.pid in results else two
        assert results[loser.pid].sqlstate == "40P01"
        loser.query("rollback").ok()
        for thread in threads:
            thread.join()
        winner = two if loser is one else one
        results[winner.pid].ok()
        winner.query("rollback; drop table a, b").ok()


def test_create_database_from_a_template(server):
    server.sql("create database origin").ok()
    server.sql("create table t as select generate_series(1, 1000) as n", database="origin").ok()
    began = time.monotonic()
    server.sql("create database copy template origin").ok()
    server.sql("create database second template origin strategy file_copy").ok()
    assert time.monotonic() - began < 10
    for database in ("copy", "second"):
        assert server.sql("select sum(n) from t", database=database).value == "500500"
    with server.connect(database="origin"):
        assert server.sql("create database third template origin").sqlstate == "55006"
    server.sql("drop database copy").ok()
    with pytest.raises(Refused) as refused:
        server.connect(database="copy")
    assert refused.value.sqlstate == "3D000"


def test_copy_both_ways(server):
    with server.connect() as client:
        client.query("create temp table c (n int, t text)").ok()
        assert client.request(pgwire.query("copy c from stdin"), until="G").kinds == "G"
        for n in range(1000):
            client.send(pgwire.copy_data(f"{n}\ttext {n}\n"))
        assert client.request(pgwire.copy_done()).ok().tags == ["COPY 1000"]
        assert client.query("copy c to stdout").copied.count(b"\n") == 1000
        # An error in the middle is answered at once, before CopyDone.
        client.request(pgwire.query("copy c from stdin"), until="G")
        client.send(pgwire.copy_data("x\ty\n"))
        assert client.read_message().kind == "E"
        client.send(pgwire.copy_data("1\ty\n") + pgwire.copy_done())
        assert client.answer().status == "I"
        assert client.value("select count(*) from c") == "1000"


def test_it_answers_what_came_before_the_end(server):
    """A client may close its side and still read, as `printf ... | nc` does."""
    with server.connect() as client:
        client.send(pgwire.query("select repeat('x', 1000000)") + pgwire.query("select 'last'"))
        client.socket.shutdown(socket.SHUT_WR)
        assert len(client.answer().value) == 1_000_000
        assert client.answer().value == "last"
        client.expect_close()


# --- A data directory ---


def test_a_new_directory(tmp_path):
    data = tmp_path / "data"
    with Server("-D", data, "-U", "alice", "-d", "shop") as server:
        server.sql("create table kept as select 1 as n", user="alice", database="shop").ok()
        status, text = refused_start("-D", data)
        assert status == 75 and str(data) in text, (status, text)
        assert server.stop() == 0
    with Server("-D", data) as server:
        assert server.sql("table kept", user="alice", database="shop").value == "1"
        with server.connect() as client:
            assert client.value("show fsync") == "on"
            assert client.value("show data_directory")


# --- As part of other things ---


def run_serve(*arguments, timeout=30, **options):
    with Server(*arguments, wait=False, **options) as server:
        out = server.process.communicate(timeout=timeout)[0].decode()
        return server.process.returncode, out, server.stderr()


def test_run_gives_the_environment_and_the_status(tmp_path):
    (tmp_path / "password").write_text("p/:@?&% ü\n")
    status, out, errors = run_serve(
        "--listen", "127.0.0.1:0", "-U", "a@b", "-d", "c/d e?", "--auth", "scram",
        "--password-file", tmp_path / "password",
        "--run", "env; psql -XAtc 'select current_user, current_database()' \"$DATABASE_URL\"; exit 7")
    assert status == 7, errors
    env = serving.unquoted(out)
    assert (env["PGHOST"], env["PGUSER"], env["PGDATABASE"]) == ("127.0.0.1", "a@b", "c/d e?")
    assert env["PGPASSWORD"] == "p/:@?&% ü"
    port = env["PGPORT"]
    assert env["DATABASE_URL"] == (
        f"postgres://a%40b:p%2F%3A%40%3F%26%25%20%C3%BC@127.0.0.1:{port}/c%2Fd%20e%3F")
    assert out.endswith("a@b|c/d e?\n"), (out, errors)


def test_run_with_a_unix_socket(tmp_path):
    status, out, errors = run_serve(
        "--socket-dir", tmp_path, "--socket-port", "7777",
        "--run", "env; psql -XAtc 'select 1' \"$DATABASE_URL\" && psql -XAtc 'select 2'",
        env={"PGPASSWORD": "old", "PGHOST": "elsewhere"})
    assert status == 0 and out.endswith("1\n2\n"), (out, errors)
    env = serving.unquoted(out)
    assert (env["PGHOST"], env["PGPORT"]) == (str(tmp_path), "7777")
    assert "PGPASSWORD" not in env
    assert os.listdir(tmp_path) == []


@needs_ipv6
def test_run_with_ipv6():
    status, out, errors = run_serve(
        "--listen", "[::1]:0", "--run", "psql -XAtc 'select 1' \"$DATABASE_URL\" && psql -XAtc 'select 2'")
    assert status == 0 and out == "1\n2\n", (out, errors)


def test_run_of_what_dies():
    assert run_serve("--run", "kill -9 $$")[0] == 128 + 9
    assert run_serve("--run", "/no/such/program")[0] == 127


def test_run_ends_sessions_that_others_have(place):
    with start_in(place, "--run", "read line < fifo", cwd=place[1].parent, wait=False) as server:
        fifo = place[1].parent / "fifo"
        os.mkfifo(fifo)
        server.wait_until_ready()
        with server.connect() as client, open(fifo, "w") as end:
            end.write("end\n")
            end.close()
            assert client.last_words().sqlstate == TERMINATED
            assert server.wait() == 0
    assert is_clean(place)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_forwards_signals_and_waits_for_the_command(place, number):
    """The command still has its sessions, and may open more, until it has ended."""
    script = place[1].parent / "command.sh"
    name = number.name.removeprefix("SIG")
    script.write_text(
        f"trap 'psql -XAtc \"insert into t (v) values ($$late$$)\" || exit 8; exit 5' {name}\n"
        "echo started; while :; do sleep 0.05; done\n".replace("$$", "\\$\\$"))
    with start_in(place, "--run", f"exec sh {script}") as server:
        assert server.process.stdout.readline() == b"started\n"
        server.signal(number)
        assert server.wait() == 5, server.stderr()
    assert is_clean(place)
    with start_in(place) as server:
        assert server.sql("select count(*) from t where v = 'late'").value == "1"


def test_ctrl_c_reaches_the_command_once():
    """The terminal sends it to the command, too; a shell or an Erlang ends at the second one."""
    command = ("import signal, time; n = 0\n"
               "def count(*_): global n; n += 1\n"
               "signal.signal(signal.SIGINT, count); print('started', flush=True)\n"
               "while not n: time.sleep(0.02)\n"
               "time.sleep(0.5); raise SystemExit(n)")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(pgwire.port_command()[0], [
            *pgwire.port_command(), "serve", "--listen", "127.0.0.1:0", "--run",
            f"exec {sys.executable} -c \"$COMMAND\""], pgwire.port_environment({"COMMAND": command}))
    out = b""
    while b"started" not in out:
        out += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(terminal)


def test_run_does_not_wait_for_ever(place):
    with start_in(place, "--run", "trap '' INT TERM; echo started; while :; do sleep 0.1; done") as server:
        assert server.process.stdout.readline() == b"started\n"
        server.signal(signal.SIGINT)
        time.sleep(0.2)
        server.signal(signal.SIGQUIT)
        server.wait(10)


def test_the_command_has_none_of_our_descriptors(tmp_path):
    status, out, errors = run_serve(
        "-D", tmp_path / "data", "--socket-dir", tmp_path, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
        "--run", "ls -l /proc/self/fd")
    assert status == 0, errors
    opened = [line.split(" -> ")[1] for line in out.splitlines() if " -> " in line]
    assert not [name for name in opened if name.startswith("socket:") or name.startswith("anon_inode")
                or str(tmp_path / "data") in name], out


def test_parent_death(place):
    """Also while a client is there: whoever started it is gone, and with it the reason to be."""
    parent = subprocess.Popen(
        [sys.executable, "-c", """import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE)
for line in child.stderr:
    if b"ready for clients" in line:
        break
print(child.pid, line.decode().rsplit(":", 1)[1].strip(), flush=True)
time.sleep(100)""", *pgwire.port_command(), "serve", "-D", place[0], "--listen", "127.0.0.1:0", "--parent-death"],
        stdout=subprocess.PIPE, env=pgwire.port_environment())
    pid, port = map(int, parent.stdout.readline().split())
    try:
        with Client(socket.create_connection(("127.0.0.1", port))) as client:
            assert client.value("select 1") == "1"
            parent.kill()
            parent.wait()
            assert client.last_words().sqlstate == TERMINATED
        eventually(lambda: not os.path.exists(f"/proc/{pid}")
                   or "State:\tZ" in open(f"/proc/{pid}/status").read())
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert not (place[0] / "postmaster.pid").exists()


@contextlib.contextmanager
def started_with_a_pipe(*arguments):
    """The process, and the port it listens on."""
    process = subprocess.Popen([*pgwire.port_command(), "serve", "--listen", "127.0.0.1:0", "--stdin-end", *arguments],
                               stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=pgwire.port_environment())
    try:
        ready = next(line for line in process.stderr if b"ready for clients" in line)
        yield process, int(ready.rsplit(b":", 1)[1])
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stderr.close()


def test_stdin_end(place):
    """Sessions are ended as by SIGINT, also one that is busy; what was written before the end is nobody's."""
    with started_with_a_pipe("-D", str(place[0])) as (process, port):
        with Client(socket.create_connection(("127.0.0.1", port))) as client:
            process.stdin.write(b"x" * 10000)
            process.stdin.flush()
            assert client.value("select 1") == "1"
            client.send(pgwire.query(ENDLESS))
            process.stdin.close()
            assert client.last_words().sqlstate == TERMINATED
        assert process.wait(30) == 0
    assert not (place[0] / "postmaster.pid").exists()


@pytest.mark.parametrize("what", ["/dev/null", "file"])
def test_a_stdin_without_a_writer_is_at_its_end(tmp_path, what):
    (tmp_path / "file").write_bytes(b"x" * 10000)
    with open("/dev/null" if what == "/dev/null" else tmp_path / "file", "rb") as stdin:
        done = subprocess.run([*pgwire.port_command(), "serve", "--listen", "127.0.0.1:0", "--stdin-end"], stdin=stdin,
                              capture_output=True, env=pgwire.port_environment(), timeout=30)
    assert done.returncode == 0, done.stderr


def get(port: int, path: str, method="GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def samples(text: str) -> dict[str, float]:
    found = {}
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in typed, f"{name} is in two places"
            typed.add(name)
        else:
            name, value = line.rsplit(" ", 1)
            assert name.split("{")[0] in typed, line
            assert name not in found, line
            found[name] = float(value)
    return found


def test_metrics(tmp_path):
    port = serving.free_port()
    with Server("--metrics", f"127.0.0.1:{port}") as server:
        assert get(port, "/healthz") == (200, "ok\n")
        assert get(port, "/nothing")[0] == 404
        assert get(port, "/metrics", "POST")[0] == 405
        assert get(port, "/metrics", "HEAD") == (200, "")
        first = samples(get(port, "/metrics")[1])
        assert abs(first["pglite_start_time_seconds"] - time.time()) < 60
        with server.connect() as client, server.connect() as waiting:
            client.query('create database "od\\d""\n{x}"').ok()
            client.query("create table t as select generate_series(1, 100)").ok()
            client.query("begin; lock t").ok()
            waiting.send(pgwire.query("table t"))
            eventually(lambda: client.value("select count(*) from pg_locks where not granted") == "1")
            second = samples(get(port, "/metrics")[1].replace("\\n", ""))
            assert second['pglite_sessions{state="idle in transaction"}'] == 1
            assert second['pglite_sessions{state="active"}'] == 1
            assert second['pglite_waiting_sessions{type="Lock",event="relation"}'] == 1
            assert second["pglite_connections_accepted_total"] == 2
            assert second["pglite_received_bytes_total"] > first["pglite_received_bytes_total"]
            assert second["pglite_sent_bytes_total"] > first["pglite_sent_bytes_total"]
            assert second['pglite_database_size_bytes{database="postgres"}'] > 1e6
            assert 'pglite_database_size_bytes{database="od\\\\d\\"{x}"}' in second
            inserted = 'pglite_rows_inserted_total{database="postgres"}'
            assert second[inserted] >= first[inserted]
            client.query("commit").ok()
            waiting.answer().ok()
        assert get(port, "/healthz") == (200, "ok\n")


def test_metrics_when_nobody_may_ask():
    """All connections are taken, or the catalogs are locked: the server answers that it cannot say, at once."""
    port = serving.free_port()
    with Server("--metrics", f"127.0.0.1:{port}", "-o",
                "-c max_connections=2 -c superuser_reserved_connections=0 -c reserved_connections=0") as server:
        with server.connect(), server.connect() as client:
            status, body = get(port, "/healthz")
            assert status == 503 and "too many clients" in body
            assert client.value("select 1") == "1"
    with Server("--metrics", f"127.0.0.1:{port}") as server, server.connect() as client:
        client.query("begin; lock pg_database in access exclusive mode").ok()
        began = time.monotonic()
        assert get(port, "/healthz")[0] == 503
        assert time.monotonic() - began < 10
        assert client.query("commit").ok().tags == ["COMMIT"]
        assert get(port, "/healthz")[0] == 200


def activated(sockets, *arguments) -> Server:
    """A server that systemd would have started with these sockets."""
    high = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 100) for one in sockets]
    moves = "".join(f"exec {3 + i}<&{fd}-; " for i, fd in enumerate(high))
    # dash knows descriptors of one digit only.
    shell = f'{moves} LISTEN_PID=$$ LISTEN_FDS={len(high)} LISTEN_FDNAMES=x exec "$@"'
    try:
        return Server(*arguments, before=["bash", "-c", shell, "bash"], fds=high, address=False)
    finally:
        for fd in high:
            os.close(fd)


@pytest.fixture
def handed_over(tmp_path):
    """A socket of each kind that listens."""
    path = str(tmp_path / ".s.PGSQL.5432")
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(path)
        for one in (tcp, unix):
            one.listen()
        yield tcp, unix, path


def test_socket_activation(handed_over):
    tcp, unix, path = handed_over
    port = tcp.getsockname()[1]
    early = socket.create_connection(("127.0.0.1", port))
    with activated((tcp, unix)) as server:
        assert server.addresses == [f"127.0.0.1:{port}", path]
        with Client(early) as client:
            assert client.value("select host(inet_client_addr())") == "127.0.0.1"
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(path)
        with Client(raw) as client:
            assert client.value("select inet_client_addr() is null") == "t"
        assert server.stop() == 0
    # It is systemd's.
    assert os.path.exists(path)


def test_socket_activation_with_a_unix_socket_only(handed_over, tmp_path):
    _, unix, path = handed_over
    (tmp_path / "password").write_text("secret")
    with activated((unix,), "--password-file", tmp_path / "password", "--run",
                   "env; psql -XAtc 'select 1' \"$DATABASE_URL\"") as server:
        assert server.addresses == [path]
        out = server.process.communicate(timeout=20)[0].decode()
        assert serving.unquoted(out)["PGHOST"] == str(tmp_path)
        assert "LISTEN_FDS" not in serving.unquoted(out)
        assert out.endswith("\n1\n") and server.returncode == 0, out


def test_socket_activation_with_what_does_not_listen():
    with socket.socket() as plain, open(os.devnull) as file:
        for one in (plain, file):
            with pytest.raises(AssertionError) as failed:
                activated((one,))
            assert "handed over" in str(failed.value), failed.value
