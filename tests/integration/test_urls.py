"""`sql` and `dump --sql` on a running server that a postgres:// URL names: ours, behind `serve`.

What a server that is none does is in tests/unit/client.
"""

import gzip
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

import pgwire as w
import pytest
import serving
from serving import Server, eventually

SCHEMA = Path(__file__).with_name("dump_schema.sql")
PASSWORD = "geheim, ünd p@ss:w/rd?%"
ENDLESS = "select count(*) from (select generate_series(1, 1000000000000)) as rows"


def environment(home: Path | None = None, **extra) -> dict[str, str]:
    kept = {k: v for k, v in w.port_environment().items() if not k.startswith("PG") and k != "USER"}
    return kept | {"HOME": str(home or "/nonexistent")} | extra


def run(*args, stdin=b"", home=None, timeout=60, **extra):
    return subprocess.run([*w.port_command(), *map(str, args)], input=stdin, env=environment(home, **extra),
                          capture_output=True, timeout=timeout)  # fmt: skip


def value(*args, **options) -> str:
    """The only value of what `sql` prints."""
    done = run("sql", *args, "--format", "csv", **options)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode().split("\n", 1)[1].rstrip("\n")


def refused(code: int, *args, **options) -> str:
    """The line that says why it did not work."""
    done = run(*args, **options)
    assert done.returncode == code, done
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1 and done.stdout == b"", done
    assert "p@ss" not in lines[0] and quote(PASSWORD, safe="") not in lines[0]
    return lines[0]


def begin(*args, **options) -> subprocess.Popen:
    # Whoever runs the tests in the background may have SIGINT ignored.
    options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return subprocess.Popen([*w.port_command(), *map(str, args)], env=environment(), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with Server() as one:
        yield one
        assert one.stop() == 0, one.stderr()


@pytest.fixture
def url(server):
    return f"postgres://postgres@127.0.0.1:{server.port}/postgres"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return serving.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def sockets():
    with tempfile.TemporaryDirectory(prefix="urls") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def strict(authority, sockets, tmp_path_factory):
    """A server with passwords and TLS, on TCP and on a Unix socket."""
    certificate, key = authority.issue("server")
    file = tmp_path_factory.mktemp("password") / "password"
    file.write_text(PASSWORD + "\n")
    with Server("--listen", "localhost:0", "--socket-dir", sockets, "--tls-cert", certificate, "--tls-key", key,
                "--auth", "scram", "--password-file", file) as one:  # fmt: skip
        with one.connect(password=PASSWORD) as client:
            client.query("create role \"älice /?\" login password 'wonder'").ok()
            client.query("create database \"a shop/é\"").ok()
        yield one
        assert one.stop() == 0, one.stderr()


def strict_url(strict, parameters="", user="postgres", password=PASSWORD, host="localhost", database="postgres"):
    return (f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{strict.port}/"
            f"{quote(database, safe='')}?{parameters}")  # fmt: skip


# --- URLs ---


def test_where_a_url_may_stand(server, url):
    who = "select system_identifier from pg_control_system()"
    for arguments, variables in (
        ([url], {}), (["-D", url], {}), ([], {"PGLITE_DATA_DIR": url}), ([url], {"PGLITE_DATA_DIR": "./nowhere"}),
        ([url.replace("postgres:", "postgresql:", 1)], {}),
        (["postgres://", "-U", "postgres"], {"PGHOST": "127.0.0.1", "PGPORT": str(server.port)}),
        ([f"postgres://127.0.0.1:{server.port}"], {"PGUSER": "postgres"}),
    ):  # fmt: skip
        assert value(*arguments, "-c", who, **variables) == server.sql(who).ok().value, arguments


def test_parameters_of_the_session(url):
    assert value(url + "?application_name=a%20b&options=-c%20work_mem%3D7MB", "-c",
                 "select current_setting('application_name') || current_setting('work_mem')") == "a b7MB"  # fmt: skip
    assert value(url, "-c", "show application_name") == "pglite-port"
    assert value(url, "-c", "show application_name", PGAPPNAME="mine") == "mine"


def test_names_are_decoded(strict):
    text = strict_url(strict, user="älice /?", password="wonder", database="a shop/é")
    assert value(text, "-c", "select current_user || current_database()") == "älice /?a shop/é"


@pytest.mark.parametrize("form", ["postgres://{user}@{path}:5432/postgres", "postgres://{user}@/postgres?host={path}",
                                  "postgres:///postgres?host={path}&user=postgres&port=5432&password={password}"])  # fmt: skip
def test_unix_sockets(strict, sockets, form):
    password = quote(PASSWORD, safe="")
    text = form.format(path=quote(str(sockets), safe=""), user=f"postgres:{password}", password=password)
    # There is no TLS for them, whatever is asked for, as in libpq.
    for parameter in ("", "sslmode=require"):
        joined = text + ("&" if "?" in text else "?") + parameter if parameter else text
        assert value(joined, "-c", "select coalesce(inet_client_addr()::text, 'local')") == "local"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6(strict):
    if not any(address.startswith("[::1]") for address in strict.addresses):
        pytest.skip("no IPv6 here")
    port = next(a for a in strict.addresses if a.startswith("[::1]")).rsplit(":", 1)[1]
    text = f"postgres://postgres:{quote(PASSWORD, safe='')}@[::1]:{port}/"
    assert value(text, "-c", "select inet_client_addr()") == "::1"


def test_refusals_before_anything_is_sent(url, tmp_path):
    secret = url.replace("postgres@", "postgres:p@ss@")  # an @ that was not encoded
    assert "an @ in a password is written %40" in refused(64, "sql", secret, "-c", "select 1")
    assert "'sslcert', which is not known" in refused(64, "sql", url + "?sslcert=x", "-c", "select 1")
    assert "several hosts" in refused(64, "sql", "postgres://a,b/", "-c", "select 1")
    for command in ("initdb", "serve", "port", "restore"):
        assert "is the URL of a server" in refused(64, command, "-D", "postgres://u:p%40ss@h"), command
        assert "'postgres://...'" in refused(64, command, "postgres://u:p%40ss@h"), command
    assert "'mysql://...'" in refused(64, "sql", "-D", "mysql://u:p@ss@h", "-c", "select 1")
    assert "exclude each other" in refused(64, "sql", "-D", tmp_path, url, "-c", "select 1")
    assert "accepted is dump --sql" in refused(64, "dump", url)
    assert "--snapshot (PGLITE_SNAPSHOT) is not for a server" in refused(64, "sql", url, "--snapshot", "x")
    assert "options=-c%20NAME%3DVALUE" in refused(64, "sql", "-o", "-c work_mem=1MB", url)
    assert "unexpected argument 'x'" in refused(64, "sql", "x")


def test_no_way_to_a_server(url):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # nobody listens there
        line = refused(74, "sql", f"postgres://u@127.0.0.1:{port}/", "-c", "select 1")
        assert line == f"pglite-port: cannot connect to 127.0.0.1:{port}: Connection refused"
        probe.listen(0)  # and never accepts; the first waits for an answer
        line = refused(74, "sql", f"postgres://u@127.0.0.1:{port}/?connect_timeout=1&sslmode=disable", "-c", "select 1")
        assert line.endswith("Connection timed out")
    line = refused(74, "sql", "postgres://u@nowhere.invalid/?connect_timeout=2", "-c", "select 1")
    assert line.startswith('pglite-port: cannot find the address of "nowhere.invalid": ')
    line = refused(74, "sql", "postgres://u@%2Fnonexistent/", "-c", "select 1")
    assert line.endswith("/nonexistent/.s.PGSQL.5432: No such file or directory")


def test_what_the_server_says(url):
    assert refused(70, "sql", url.removesuffix("postgres") + "nowhere", "-c", "select 1").endswith(
        'FATAL: database "nowhere" does not exist (3D000)')  # fmt: skip
    assert refused(64, "sql", url.replace("postgres@", "nobody@"), "-c", "select 1").endswith(
        'FATAL: role "nobody" does not exist (28000)')  # fmt: skip


# --- Passwords ---


def test_passwords(strict, tmp_path):
    bare = f"postgres://postgres@localhost:{strict.port}/postgres"
    assert value(strict_url(strict), "-c", "select 1") == "1"
    assert value(bare, "-c", "select 1", PGPASSWORD=PASSWORD) == "1"
    assert value(bare + "?password=" + quote(PASSWORD, safe=""), "-c", "select 1") == "1"
    line = refused(64, "sql", bare, "-c", "select 1")
    assert "asks for a password, and there is none" in line
    line = refused(64, "sql", strict_url(strict, password="p@ss"), "-c", "select 1")
    assert line.endswith('FATAL: password authentication failed for user "postgres" (28P01)')
    # Its own password, and not that of another.
    assert "28P01" in refused(64, "sql", strict_url(strict, user="älice /?"), "-c", "select 1")


def test_password_file(strict, tmp_path):
    bare = f"postgres://postgres@localhost:{strict.port}/postgres"
    file = tmp_path / ".pgpass"
    file.write_text("# a comment\nelsewhere:*:*:*:wrong\n*:*:*:postgres:" + PASSWORD.replace(":", "\\:") + "\n")
    file.chmod(0o600)
    assert value(bare, "-c", "select 1", home=tmp_path) == "1"
    assert value(bare, "-c", "select 1", PGPASSFILE=str(file)) == "1"
    assert value(f"{bare}?passfile={file}", "-c", "select 1") == "1"
    file.chmod(0o644)
    done = run("sql", bare, "-c", "select 1", home=tmp_path)
    first, second = done.stderr.decode().splitlines()
    assert done.returncode == 64 and "there is none" in second
    assert first.startswith(f"pglite-port: warning: the password file {file} is ignored: others than its owner")


# --- TLS ---


def test_tls(strict, authority, tmp_path):
    ca = f"sslrootcert={authority.certificate}"
    for parameters, home in (
        ("sslmode=disable", None), ("sslmode=allow", None), ("sslmode=prefer", None), ("sslmode=require", None),
        (f"sslmode=verify-ca&{ca}", None), (f"sslmode=verify-full&{ca}", None),
        (f"sslmode=verify-full&sslnegotiation=direct&{ca}", None), ("sslmode=require&sslnegotiation=direct", None),
        ("channel_binding=disable", None), ("ssl=true", None),
    ):  # fmt: skip
        assert value(strict_url(strict, parameters), "-c", "select 1", home=home) == "1", parameters
    trusted = tmp_path / ".postgresql"
    trusted.mkdir()
    (trusted / "root.crt").write_bytes(authority.certificate.read_bytes())
    assert value(strict_url(strict, "sslmode=verify-full"), "-c", "select 1", home=tmp_path) == "1"
    system = {"SSL_CERT_FILE": str(authority.certificate)}
    assert value(strict_url(strict, "sslrootcert=system"), "-c", "select 1", **system) == "1"


def test_certificates_that_are_not_wanted(strict, authority, tmp_path):
    ca = f"sslrootcert={authority.certificate}"
    line = refused(65, "sql", strict_url(strict, f"sslmode=verify-full&{ca}", host="127.0.0.1"), "-c", "select 1")
    assert 'certificate is not for "127.0.0.1"' in line
    assert value(strict_url(strict, f"sslmode=verify-ca&{ca}", host="127.0.0.1"), "-c", "select 1") == "1"
    other = serving.Authority(tmp_path)
    for parameters in ("sslmode=verify-full&", "sslmode=verify-ca&", "sslmode=require&"):
        line = refused(65, "sql", strict_url(strict, f"{parameters}sslrootcert={other.certificate}"), "-c", "select 1")
        assert "certificate is not trusted" in line
    assert "is not there" in refused(74, "sql", strict_url(strict, "sslmode=verify-ca"), "-c", "select 1")
    assert "accepted is verify-full" in refused(
        64, "sql", strict_url(strict, "sslmode=require&sslrootcert=system"), "-c", "select 1")  # fmt: skip


@pytest.mark.parametrize("binding", ["require", "prefer", "disable"])
def test_channel_binding(strict, authority, binding):
    parameters = f"sslmode=verify-full&sslrootcert={authority.certificate}&channel_binding={binding}"
    assert value(strict_url(strict, parameters), "-c", "select 1") == "1"
    line = refused(64, "sql", strict_url(strict, parameters, password="wrong"), "-c", "select 1")
    assert 'password authentication failed for user "postgres"' in line


def test_channel_binding_needs_tls(strict):
    line = refused(64, "sql", strict_url(strict, "channel_binding=require&sslmode=disable"), "-c", "select 1")
    assert "the connection has no TLS" in line


def test_a_server_without_tls(url):
    assert value(url + "?sslmode=prefer", "-c", "select 1") == "1"
    assert "the server has no TLS" in refused(74, "sql", url + "?sslmode=require", "-c", "select 1")


# --- SQL ---

SCRIPT = r"""
create temporary table t (a int, b text, c bytea);
insert into t values (1, 'é "x"', '\x00ff'), (2, null, null);
table t;
select a as "ä", b, '{"k": 1}'::json, 1.50, true from t \;
select 'two';
copy t (a, b) from stdin;
3	three
4	\N
\.
copy t to stdout;
do $$ begin raise notice 'a notice'; raise warning 'w' using detail = 'd', hint = 'h'; end $$;
listen here; notify here, 'payload';
begin; declare c binary cursor for select a from t; fetch all from c; commit;
copy t (a) from stdin;
5
x
\.
"""


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_the_same_as_in_memory(url, form):
    script = SCRIPT.replace(" \\;\nselect 'two'", ";\nselect 'two'").encode()

    def normal(done):
        return done.returncode, done.stdout, re.sub(rb"PID \d+", b"PID", done.stderr)

    there = run("sql", url, "--format", form, stdin=script)
    assert normal(there) == normal(run("sql", "--format", form, stdin=script))
    assert there.returncode == 1 and b"invalid input syntax for type integer" in there.stderr
    assert b"Asynchronous notification" in there.stderr and b"a notice" in there.stderr


def test_strings_as_the_server_has_them(url):
    """Where a statement ends depends on it, from the first one on."""
    for parameters, script in (
        ("?options=-c%20standard_conforming_strings%3Doff", "select 'a\\';b';"),
        ("", "set standard_conforming_strings = off; select 'a\\';b';"),
    ):
        done = run("sql", url + parameters, "--format", "csv", stdin=script.encode())
        assert (done.returncode, done.stdout) == (0, b"?column?\na';b\n"), done


def test_commands_the_same_as_in_memory(url):
    for commands in (
        ["select 1; select 2"], ["select 1/0; select 2"], ["create temporary table t (a int)", "copy t from stdin"],
        ["copy (select 1) to stdout"], ["select"], [""], ["\\d"], ["select 1", "selct"], ["begin", "select 1"],
        ["create temporary table u (a int); copy u from stdin; copy u from stdin"],
    ):  # fmt: skip
        arguments = [word for command in commands for word in ("-c", command)]
        there, here = run("sql", url, *arguments), run("sql", *arguments)
        assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr), commands


def test_scripts_that_copy_much(url):
    rows = b"".join(b"%d\t%s\n" % (i, b"x" * 100) for i in range(50_000))
    script = b"create temporary table t (a int, b text);\ncopy t from stdin;\n" + rows + b"\\.\nselect count(*), sum(a) from t;\n"
    done = run("sql", url, "--format", "csv", stdin=script)
    assert done.stdout.decode().splitlines()[-1] == "50000,1249975000", done.stderr
    done = run("sql", url, stdin=script.replace(b"\n7\tx", b"\nseven\tx", 1))
    assert done.returncode == 1 and b'invalid input syntax for type integer: "seven"' in done.stderr
    assert b"count" not in done.stdout


def test_a_large_result_takes_little_memory(url):
    process = begin("sql", url, "--format", "csv", "-c", "select repeat(md5(g::text), 300) from generate_series(1, 20000) g")
    size = peak = 0
    while piece := process.stdout.read(1 << 20):
        size += len(piece)
        high = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        peak = max(peak, int(high[1]) if high else 0)
    assert process.wait(timeout=60) == 0 and size > 190_000_000
    assert 2_000 < peak < 100_000, f"{peak} KiB"
    process.communicate()


# --- Ends ---


def running(server, text: str) -> int:
    with server.connect(password=PASSWORD) as client:
        return int(client.value(
            f"select count(*) from pg_stat_activity where query like '%{text}%' and pid <> pg_backend_pid() and state = 'active'"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_query(server, url, number):
    process = begin("sql", url, "-c", ENDLESS + " /* signal */")
    eventually(lambda: running(server, "/* signal */") == 1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -number, err
    # It did not end by the connection's end: the server was told, and answered.
    assert (out, err) == (b"", b"ERROR:  canceling statement due to user request\nSQLSTATE:  57014\n")
    assert running(server, "/* signal */") == 0


def test_a_signal_over_tls_and_a_unix_socket(strict, sockets):
    path = quote(str(sockets), safe="")
    for text in (strict_url(strict, "sslmode=require"), strict_url(strict, "sslmode=require&sslnegotiation=direct"),
                 f"postgres://postgres:{quote(PASSWORD, safe='')}@{path}/postgres"):  # fmt: skip
        process = begin("sql", text, "-c", ENDLESS + " /* tls */")
        eventually(lambda: running(strict, "/* tls */") == 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
        assert err.startswith(b"ERROR:  canceling statement due to user request"), err
        assert running(strict, "/* tls */") == 0


def test_a_signal_while_nobody_reads(server, url):
    """The query that waits for its reader is cancelled, too."""
    process = begin("sql", url, "--format", "csv", "-c", "select repeat('x', 1000) /* unread */, generate_series(1, 1000000000)")
    assert process.stdout.read(1000)
    eventually(lambda: running(server, "/* unread */") == 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
    eventually(lambda: running(server, "/* unread */") == 0)
    process.communicate()


def test_a_signal_between_statements(server, url):
    process = begin("sql", url)
    process.stdin.write(b"create table between_statements (a int);\n")
    process.stdin.flush()
    eventually(lambda: server.sql("select to_regclass('between_statements')").ok().value is not None)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
    process.communicate()


def test_the_reader_goes_away(server, url):
    process = begin("sql", url, "--format", "csv", "-c", "select repeat('x', 1000) /* gone */, generate_series(1, 1000000000)")
    process.stdout.read(1000)
    process.stdout.close()
    assert process.wait(timeout=60) == 74
    assert process.stderr.read() == b"pglite-port: cannot write to stdout: Broken pipe\n"
    eventually(lambda: running(server, "/* gone */") == 0)


def test_the_server_is_killed_in_the_middle_of_a_result():
    with Server() as server:
        text = f"postgres://postgres@127.0.0.1:{server.port}/postgres"
        process = begin("sql", text, "--format", "csv", "-c", "select repeat('x', 1000), generate_series(1, 1000000000)")
        assert process.stdout.read(100_000)
        server.process.kill()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 74
        assert re.fullmatch(rb"pglite-port: the connection to the server at 127\.0\.0\.1:\d+ is lost: .*\n", err), err


def test_the_server_ends_the_session(server, url):
    process = begin("sql", url, "-c", "select 1", "-c", "select pg_sleep(1000) /* ended */")
    eventually(lambda: running(server, "/* ended */") == 1)
    server.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%/* ended */%' and pid <> pg_backend_pid()").ok()
    out, err = process.communicate(timeout=60)
    lines = err.decode().splitlines()
    assert process.returncode == 70 and b"(1 row)" in out
    assert lines[0] == "FATAL:  terminating connection due to administrator command"
    assert lines[-1].endswith("ended the session: FATAL: terminating connection due to administrator command (57P01)")


def test_something_else_answers():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            for _ in range(2):
                client, _ = listener.accept()
                with client:
                    client.recv(1000)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        assert "is not PostgreSQL's" in refused(70, "sql", f"postgres://u@127.0.0.1:{port}/?sslmode=require", "-c", "select 1")
        line = refused(70, "sql", f"postgres://u@127.0.0.1:{port}/?sslmode=disable", "-c", "select 1")
        assert "what answers is not PostgreSQL: it sent a message of type 'H'" in line
        thread.join()


# --- dump --sql ---


def without_keys(text: str) -> str:
    return re.sub(r"^(\\(?:un)?restrict) \w+$", r"\1 KEY", text, flags=re.M)


def dump(text: str, *arguments, options=()) -> str:
    done = run("dump", "--sql", text, *options, *(["--", *arguments] if arguments else []))
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """A directory with something of everything, its dump, and a server on it."""
    data = tmp_path_factory.mktemp("rich") / "data"
    done = run("sql", "-D", data, "-f", SCHEMA, PGLITE_DURABILITY="relaxed")
    assert done.returncode == 0, done.stderr.decode()
    done = run("dump", "--sql", "-D", data)
    assert done.returncode == 0, done.stderr.decode()
    with Server("-D", data) as one:
        one.directory_dump = done.stdout.decode()
        one.url = f"postgres://postgres@127.0.0.1:{one.port}/postgres"
        yield one
        assert one.stop() == 0, one.stderr()


def test_the_dump_is_that_of_the_directory(rich):
    assert without_keys(dump(rich.url)) == without_keys(rich.directory_dump)


def test_restored_by_url_it_dumps_the_same(rich):
    rich.sql("create database copied").ok()
    copy = rich.url.replace("/postgres", "/copied").replace(":///", "://")
    copy = f"postgres://postgres@127.0.0.1:{rich.port}/copied"
    done = run("sql", copy, stdin=dump(rich.url).encode())
    assert done.returncode == 0, done.stderr.decode()
    assert without_keys(dump(copy)) == without_keys(rich.directory_dump)


def test_options_of_dump(rich, tmp_path):
    text = dump(rich.url, "--schema-only", "-t", "fruit")
    assert "CREATE TABLE public.fruit" in text and "basket" not in text and "COPY" not in text
    assert dump(rich.url, "-s", options=["-o", tmp_path / "dump.sql"]) == ""
    whole = dump(rich.url, "-s")
    assert without_keys((tmp_path / "dump.sql").read_text()) == without_keys(whole)
    done = run("dump", "--sql", "--gzip", rich.url, "--", "-s")
    assert without_keys(gzip.decompress(done.stdout).decode()) == without_keys(whole)
    assert run("dump", "--sql", rich.url, "--", "-Fc").stdout.startswith(b"PGDMP")
    assert without_keys(run("dump", PGLITE_DUMP_SQL="1", PGLITE_DATA_DIR=rich.url).stdout.decode()) == without_keys(
        rich.directory_dump)  # fmt: skip
    # pg_dump judges its own options, and reaches no other server.
    done = run("dump", "--sql", rich.url, "--", "--nonsense")
    assert done.returncode == 1 and b"unrecognized option" in done.stderr
    done = run("dump", "--sql", rich.url, "--", "-d", "template1")
    assert done.returncode == 1 and b'this session is role "postgres" in database "postgres"' in done.stderr
    done = run("dump", "--sql", rich.url, "-o", tmp_path / "dump.sql", "--", "-t", "nowhere")
    assert done.returncode == 1 and b"no matching tables" in done.stderr
    assert without_keys((tmp_path / "dump.sql").read_text()) == without_keys(whole), "a failure leaves the file"


def test_dump_with_a_password_and_tls(strict, authority):
    text = dump(strict_url(strict, f"sslmode=verify-full&sslrootcert={authority.certificate}", database="a shop/é"))
    assert text.startswith("--\n-- PostgreSQL database dump\n") and "dump complete" in text
    assert "28P01" in refused(64, "dump", "--sql", strict_url(strict, password="p@ss"))


def test_a_newer_server_is_pg_dump_s_to_refuse():
    def parameter(name: str, text: str) -> bytes:
        return w.message("S", w.cstring(name) + w.cstring(text))

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            client, _ = listener.accept()
            with client:
                client.recv(10_000)
                client.sendall(w.message("R", b"\0\0\0\0") + parameter("server_version", "19.1") +
                               parameter("standard_conforming_strings", "on") + w.message("Z", b"I"))  # fmt: skip
                client.recv(10_000)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"postgres://u@127.0.0.1:{listener.getsockname()[1]}/?sslmode=disable"
        done = run("dump", "--sql", url)
        thread.join()
    assert done.returncode == 1 and done.stdout == b""
    assert b"server version mismatch" in done.stderr and b"19.1" in done.stderr


def test_a_dump_that_waits_is_cancelled(rich, tmp_path):
    with rich.connect() as client:
        client.query("begin").ok()
        client.query("lock table fruit in access exclusive mode").ok()
        process = begin("dump", "--sql", rich.url, "-o", tmp_path / "dump.sql")
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'pg_dump'"
        eventually(lambda: rich.sql(waiting).ok().value == "1")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
        eventually(lambda: rich.sql(waiting).ok().value == "0")
        client.query("rollback").ok()
    assert os.listdir(tmp_path) == []


def test_a_dump_whose_server_goes_away(tmp_path):
    with Server() as server:
        server.sql("create table big as select repeat(md5(g::text), 300) as a from generate_series(1, 20000) g").ok()
        process = begin("dump", "--sql", f"postgres://postgres@127.0.0.1:{server.port}/postgres")
        assert process.stdout.read(1_000_000)
        server.process.kill()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 74, err
        assert b"is lost" in err.splitlines()[-1] and b"dump complete" not in out


def test_a_large_table_takes_little_memory():
    with Server() as server:
        server.sql("create table big as select repeat(md5(g::text), 300) as a from generate_series(1, 20000) g").ok()
        process = begin("dump", "--sql", f"postgres://postgres@127.0.0.1:{server.port}/postgres")
        size = peak = 0
        while piece := process.stdout.read(1 << 20):
            size += len(piece)
            high = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            peak = max(peak, int(high[1]) if high else 0)
        assert process.wait(timeout=60) == 0 and size > 190_000_000
        assert 2_000 < peak < 100_000, f"{peak} KiB"
        process.communicate()
