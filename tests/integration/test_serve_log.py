"""The server log of `serve` on stderr: as text, and as one JSON object a line."""

import json
import re
import signal

import pgwire
import pytest
import serving
from serving import Refused, Server

SETTINGS = ("-o", "-c log_connections=on -c log_disconnections=on -c log_statement=ddl"
                  " -c log_min_duration_statement=0 -c log_checkpoints=on -c log_lock_waits=on"
                  " -c deadlock_timeout=20ms")  # fmt: skip


def busy(server) -> None:
    """Something of each kind."""
    with server.connect(settings={"application_name": "the test"}) as client:
        client.query("create table t (a int primary key)").ok()
        assert client.query("select 1/0").sqlstate == "22012"
        assert client.query("insert into t values (1), (1)").sqlstate == "23505"
        client.query("checkpoint").ok()
        client.query("do $$ begin raise warning 'of %', 'the test'; end $$").ok()
        with server.connect() as other:
            client.query("begin; lock table t").ok()
            other.send(pgwire.query("select count(*) from t"))
            server.wait_for_log("still waiting for")
            client.query("commit").ok()
            assert other.answer().value == "0"
    with pytest.raises(Refused):
        server.connect(user="nobody")
    server.wait_for_log("disconnection: session time", count=2)


# --- Text ---


def test_what_is_asked_for_is_logged():
    with Server(*SETTINGS) as server:
        busy(server)
        assert server.stop() == 0
        text = server.stderr()
    for wanted in (
        r"LOG:  connection received: host=127\.0\.0\.1 port=\d+",
        r"LOG:  connection authorized: user=postgres database=postgres application_name=the test",
        r"LOG:  disconnection: session time: .* user=postgres database=postgres host=127\.0\.0\.1",
        r"LOG:  statement: create table t \(a int primary key\)",
        r"LOG:  duration: \d+\.\d+ ms\n",
        r"ERROR:  division by zero\n.* STATEMENT:  select 1/0",
        r"ERROR:  duplicate key value .*\n.*DETAIL:  Key \(a\)=\(1\) already exists",
        r"WARNING:  of the test\n",
        r"LOG:  checkpoint starting: .*\n",
        r"LOG:  checkpoint complete: wrote",
        r"LOG:  process \d+ still waiting for AccessShareLock",
        r'FATAL:  role "nobody" does not exist',
    ):
        assert re.search(wanted, text), f"no {wanted} in\n{text}"
    assert not re.search(r"LOG:  statement: select", text)


def test_the_prefix_is_what_is_asked_for():
    with Server("-o", r"-c log_line_prefix=<%u@%d\ %r\ %a\ %e>\  -c log_statement=all") as server:
        with server.connect(settings={"application_name": "mine"}) as client:
            port = client.socket.getsockname()[1]
            client.query("select 1/0")
        server.wait_for_log(f"<postgres@postgres 127.0.0.1({port}) mine 00000> LOG:  statement: select 1/0\n")
        server.wait_for_log(f"<postgres@postgres 127.0.0.1({port}) mine 22012> ERROR:  division by zero\n")


def test_little_is_logged_where_nothing_is_asked_for():
    with Server() as server:
        assert server.sql("select 1").value == "1"
        assert server.stop() == 0
        lines = server.stderr().splitlines()
    assert len(lines) == 2 and lines[0].startswith("ready for clients"), lines


def test_errors_can_be_left_out():
    with Server("-o", "-c log_min_messages=fatal") as server:
        server.sql("select 1/0")
        assert server.stop() == 0
        assert "division" not in server.stderr()


# --- JSON ---


def objects(text: str | bytes) -> list[dict]:
    found = [json.loads(line) for line in text.splitlines()]
    assert found and all(isinstance(one, dict) for one in found)
    return found


def only(found: list[dict], message: str) -> dict:
    those = [one for one in found if re.search(message, one["message"])]
    assert len(those) == 1, (message, those, found)
    return those[0]


def test_every_line_is_an_object():
    with Server("--log-format", "json", *SETTINGS) as server:
        busy(server)
        server.signal(signal.SIGHUP)
        server.wait_for_log("configuration is read again")
        server.wait_for_log("checkpoint complete")
        assert server.stop() == 0
        found = objects(server.stderr())
    for one in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \w+", one["timestamp"]), one
        assert isinstance(one["pid"], int) and one["error_severity"] and "message" in one, one
    assert {one["error_severity"] for one in found} >= {"LOG", "WARNING", "ERROR", "FATAL"}
    division = only(found, "^division by zero$")
    assert division["error_severity"] == "ERROR" and division["state_code"] == "22012"
    assert division["statement"] == "select 1/0" and division["user"] == division["dbname"] == "postgres"
    assert division["application_name"] == "the test" and division["remote_host"] == "127.0.0.1"
    assert division["backend_type"] == "client backend" and re.fullmatch(r"[0-9a-f]+\.[0-9a-f]+", division["session_id"])
    twice = only(found, "^duplicate key value")
    assert twice["detail"] == "Key (a)=(1) already exists." and twice["pid"] == division["pid"]
    assert twice["line_num"] > division["line_num"]
    assert only(found, "^of the test$")["context"].startswith("PL/pgSQL function")
    assert only(found, 'role "nobody" does not exist')["error_severity"] == "FATAL"
    assert only(found, "^checkpoint starting")["backend_type"] == "checkpointer"
    for own in ("^ready for clients on 127", "^the configuration is read again", "^the server ends its sessions"):
        line = only(found, own)
        assert (line["pid"], line["backend_type"]) == (server.pid, "postmaster")


def test_long_records_and_strange_ones():
    with Server("--log-format", "json", env={"PGLITE_OPTIONS": "-c log_statement=all"}) as server:
        long = "x" * 1_000_000
        strange = 'a "quoted"\n\\line\t\x01\x7f é \N{SMILE} {}'
        with server.connect() as client:
            assert client.value(f"select length('{long}')") == str(len(long))
            client.query("select '" + strange + "'").ok()
        server.sql("create database latin encoding latin1 template template0 locale 'C'").ok()
        with server.connect(database="latin", settings={"client_encoding": "LATIN1"}) as client:
            client.send(pgwire.query("select 'caf\xe9'".encode("latin-1")))
            client.answer()
        server.wait_for_log("caf")
        assert server.stop() == 0
        found = objects(server.stderr())
    messages = [one["message"] for one in found]
    assert f"statement: select length('{long}')" in messages
    assert f"statement: select '{strange}'" in messages
    # The byte is what the database has, and no UTF-8.
    assert "statement: select 'caf\ufffd'" in messages


def test_records_of_many_sessions_are_not_mixed():
    with Server("--log-format", "json", "-o", "-c log_statement=all -c log_min_duration_statement=0") as server:
        clients = [server.connect() for _ in range(10)]
        texts = [f"select length('{chr(ord('a') + i) * 30_000}')" for i in range(10)]
        for _ in range(3):
            for client, text in zip(clients, texts, strict=True):
                client.send(pgwire.query(text))
            for client in clients:
                assert client.answer().value == "30000"
        pids = [client.pid for client in clients]
        for client in clients:
            client.close()
        assert server.stop() == 0
        found = objects(server.stderr())
    for pid, text in zip(pids, texts, strict=True):
        assert [one["message"] for one in found if one["pid"] == pid and "statement: " in one["message"]
                and not one["message"].startswith("duration")] == ["statement: " + text] * 3


def test_log_destination_is_the_formats():
    with Server("--log-format", "json", "-o", "-c log_destination=stderr -c log_statement=all") as server:
        assert server.sql("show log_destination").value == "jsonlog"
        assert server.stop() == 0
        only(objects(server.stderr()), "statement: show log_destination")


def test_in_a_directory_with_a_configuration_of_its_own(tmp_path):
    directory = tmp_path / "d"
    assert pgwire.run_port("initdb", "-D", str(directory)).returncode == 0
    with (directory / "postgresql.conf").open("a") as file:
        file.write("log_destination = 'csvlog'\nlogging_collector = on\nlog_statement = 'all'\n")
    with Server("--log-format", "json", "-D", directory, "--debug", "1") as server:
        assert server.sql("select 7").value == "7"
        assert server.stop() == 0
        found = objects(server.stderr())
    only(found, "statement: select 7")
    assert only(found, "^database system was shut down at")["backend_type"] == "startup"
    only(found, "^shutting down")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("-o", "-c shared_buffers=nonsense"), 64, 'invalid value for parameter "shared_buffers": "nonsense"'),
        (("-o", "-c no_such_setting=1"), 64, 'unrecognized configuration parameter "no_such_setting"'),
        (("--snapshot", "/nowhere"), 74, 'snapshot "/nowhere" cannot be read'),
        (("--password-file", "/nowhere"), 74, "/nowhere"),
    ],
)
def test_a_start_that_fails(arguments, status, message):
    done = pgwire.run_port("serve", "--listen", "127.0.0.1:0", "--log-format", "json", *arguments)
    assert done.returncode == status, done
    last = objects(done.stderr.decode())[-1]
    assert last["error_severity"] == "FATAL" and message in last["message"], last


def test_why_a_directory_does_not_start(tmp_path):
    """The message is made of the log's lines."""
    directory = tmp_path / "d"
    assert pgwire.run_port("initdb", "-D", str(directory)).returncode == 0
    for segment in (directory / "pg_wal").glob("0*"):
        segment.unlink()
    done = {}
    for log_format in ("text", "json"):
        done[log_format] = pgwire.run_port(
            "serve", "--listen", "127.0.0.1:0", "--log-format", log_format, "-D", str(directory))
        assert done[log_format].returncode == 65
    text = done["text"].stderr.decode().splitlines()[-1]
    assert "could not locate a valid checkpoint record" in text
    assert objects(done["json"].stderr.decode())[-1]["message"] == text.removeprefix("pglite-port: ")


def test_a_crash(tmp_path):
    with Server("--log-format", "json") as server:
        server.stop(signal.SIGQUIT)
        only(objects(server.stderr()), "^the server ends at once")


def test_tls_that_cannot_be_read_again(tmp_path):
    certificate, key = serving.Authority(tmp_path).issue("one")
    with Server("--log-format", "json", "--tls-cert", certificate, "--tls-key", key) as server:
        certificate.write_text("nonsense")
        server.signal(signal.SIGHUP)
        server.wait_for_log(str(certificate))
        assert only(objects(server.stderr()), str(certificate))["error_severity"] == "LOG"


def test_a_server_from_the_snapshot_of_a_session(tmp_path):
    path = tmp_path / "x.snapshot"
    assert pgwire.run_port("sql", "--save-snapshot", str(path), "-c", "select 1").returncode == 0
    with Server("--log-format", "json", "--snapshot", path, "--debug", "1") as server:
        assert server.stop() == 0
        objects(server.stderr())


def test_the_format_is_one_of_two():
    done = pgwire.run_port("serve", "--log-format", "xml")
    assert done.returncode == 64
    assert b"--log-format (PGLITE_LOG_FORMAT) is 'xml'; accepted is text or json" in done.stderr


def test_the_password_is_not_in_it(tmp_path):
    (tmp_path / "password").write_text("very secret\n")
    with Server("--log-format", "json", "--password-file", tmp_path / "password", "--debug", "5", "-o",
                "-c log_statement=all -c log_min_duration_statement=0") as server:
        assert server.sql("select 1", password="very secret").value == "1"
        assert server.stop() == 0
        assert "very secret" not in server.stderr()
        objects(server.stderr())
