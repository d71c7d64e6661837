"""PostgreSQL's timeouts interrupt what runs, whether it computes or waits, and end idle sessions."""

import os

import pgwire
import pytest

CANCELED = "57014"
RUNS = ["select pg_sleep(60)", "select count(*) from generate_series(1, 1000000000000)"]


@pytest.mark.parametrize(
    "sql",
    [
        "select pg_sleep(60)",
        "select count(*) from generate_series(1, 1000000000000)",
        "do $$ begin loop null; end loop; end $$",
        "do $$ begin perform pg_sleep(60); end $$",
        "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
    ],
)
def test_statement_timeout(clean, sql):
    clean.query("set work_mem = '64kB'; set temp_file_limit = '1MB'").ok()
    clean.query("set temp_file_limit = -1; set statement_timeout = '100ms'").ok()
    assert clean.query(sql, timeout=30).sqlstate == CANCELED
    assert clean.query("select pg_sleep(60)", timeout=30).sqlstate == CANCELED
    clean.query("set statement_timeout = 0").ok()
    assert clean.value("select count(*) from generate_series(1, 1000000)") == "1000000"


def test_a_statement_in_time_is_not_canceled(clean):
    clean.query("set statement_timeout = '20s'").ok()
    for _ in range(50):
        assert clean.value("select 1") == "1"
    clean.query("set statement_timeout = 0").ok()
    assert clean.value("select pg_sleep(0.05) is null") == "f"


def test_a_canceled_statement_is_rolled_back(clean):
    clean.query("create table t (a int)").ok()
    clean.query("begin; insert into t values (1)").ok()
    clean.query("set local statement_timeout = '50ms'").ok()
    assert clean.query("insert into t select 2 from pg_sleep(60)").sqlstate == CANCELED
    assert clean.query("select 1").sqlstate == "25P02"
    clean.query("rollback").ok()
    assert clean.value("select count(*) from t") == "0"


def test_prepared_statements_time_out_too(clean):
    clean.query("set statement_timeout = '50ms'").ok()
    answer = clean.exchange(pgwire.extended("select pg_sleep($1::int)", ("60",)))
    assert pgwire.Result(answer).sqlstate == CANCELED
    clean.query("set statement_timeout = 0").ok()


def test_a_handler_may_catch_the_timeout(clean):
    """A timeout inside a PL/pgSQL block with an exception clause, twice: longjmps over host frames."""
    clean.query("set statement_timeout = '50ms'").ok()
    for _ in range(2):
        assert clean.query(
            "do $$ begin perform pg_sleep(60); exception when query_canceled then null; end $$"
        ).sqlstate in (None, CANCELED)
    clean.query("set statement_timeout = 0").ok()
    assert clean.value("select 1") == "1"


def test_waiting_takes_no_processor_time():
    ticks = os.sysconf("SC_CLK_TCK")
    with pgwire.PortProcess() as port:
        port.query("select 1").ok()

        def used() -> float:
            with open(f"/proc/{port.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / ticks

        before = used()
        port.query("select pg_sleep(2)").ok()
        assert used() - before < 0.5


ENDED = [
    (["set idle_in_transaction_session_timeout = '50ms'", "begin"], "25P03"),
    (["set idle_in_transaction_session_timeout = '50ms'", "begin; select 1/0"], "25P03"),
    (["set idle_session_timeout = '50ms'"], "57P05"),
    (["set transaction_timeout = '50ms'", "begin"], "25P04"),
]


@pytest.mark.parametrize("framing", ["packet4", "raw", "line"])
@pytest.mark.parametrize("queries, sqlstate", ENDED)
def test_an_idle_session_is_ended(queries, sqlstate, framing):
    with pgwire.PortProcess("--framing", framing) as port:
        for text in queries:
            request = {"packet4": pgwire.frame(pgwire.query(text)), "raw": pgwire.query(text)}
            port.send(request.get(framing, text.encode() + b"\n"))
            assert pgwire.Result(port.read_frame()).kinds.endswith("Z")
        error = pgwire.Result(port.read_frame())
        assert (error.kinds, error.sqlstate, error.error["S"]) == ("E", sqlstate, "FATAL")
        assert port.read_rest() == b""
        assert port.wait() == 70


def test_a_transaction_that_takes_too_long_is_ended_in_its_query(tmp_path):
    """The request gets PostgreSQL's error as its answer; the directory is left in order."""
    data = str(tmp_path / "data")
    with pgwire.PortProcess("-D", data) as port:
        port.query("create table t (a int); insert into t values (1)").ok()
        port.query("set transaction_timeout = '100ms'").ok()
        error = port.query("insert into t values (2); select pg_sleep(60)", timeout=30)
        assert (error.sqlstate, error.error["S"]) == ("25P04", "FATAL")
        assert port.read_rest() == b""
        assert port.wait() == 70
    with pgwire.PortProcess("-D", data, "--debug", "1") as port:
        assert port.value("select count(*) from t") == "1"
        assert port.finish() == 0
        assert "not properly shut down" not in port.stderr()


def test_sessions_that_are_not_idle_go_on(clean):
    clean.query("set idle_in_transaction_session_timeout = '1s'; set idle_session_timeout = '1s'").ok()
    clean.query("set transaction_timeout = '20s'").ok()
    clean.query("begin").ok()
    clean.query("select pg_sleep(1.5)").ok()
    clean.query("commit").ok()
    clean.query("select pg_sleep(1.5)").ok()
    clean.query("reset all").ok()


def test_copy_from_stdin_is_not_idle(clean):
    port = clean
    port.query("create table t (a int)").ok()
    copy = (
        "set idle_in_transaction_session_timeout = '50ms'; set idle_session_timeout = '50ms';"
        " copy t from stdin"
    )
    assert pgwire.Result(port.exchange(pgwire.query(copy))).kinds == "CCG"
    assert not port.has_frame(within=0.3)
    port.exchange(pgwire.copy_data("1\n"))
    port.request(pgwire.copy_done() + pgwire.query("reset all")).ok()
    assert port.value("select count(*) from t") == "1"


def test_lock_timeout_does_no_harm(clean):
    """One session never waits for a lock, not even with itself."""
    clean.query("create table t (a int primary key); insert into t values (1)").ok()
    clean.query("set lock_timeout = '10ms'").ok()
    clean.query("begin; lock table t; select * from t for update; update t set a = 2").ok()
    clean.query("select pg_advisory_lock(1), pg_advisory_lock(1), pg_sleep(0.1)").ok()
    clean.query("commit; select pg_advisory_unlock_all()").ok()
    assert clean.value("select a from t") == "2"


def test_lock_timeout_ends_a_wait_for_a_prepared_transaction(tmp_path):
    """What a session can wait for all the same: a transaction that was prepared."""
    settings = ("-o", "-c max_prepared_transactions=1")
    with pgwire.PortProcess("-D", str(tmp_path / "data"), *settings) as port:
        port.query("create table t (a int)").ok()
        port.query("begin; lock table t; prepare transaction 'p'").ok()
        port.query("set lock_timeout = '100ms'").ok()
        assert port.query("select * from t", timeout=30).sqlstate == "55P03"
        port.query("set lock_timeout = 0; set statement_timeout = '100ms'").ok()
        assert port.query("select * from t", timeout=30).sqlstate == CANCELED
        port.query("reset all").ok()
        port.query("rollback prepared 'p'").ok()
        assert port.value("select count(*) from t") == "0"
        assert port.finish() == 0


@pytest.mark.parametrize("framing", ["packet4", "raw"])
@pytest.mark.parametrize("sql", RUNS)
def test_a_cancel_request_interrupts_the_query(sql, framing):
    def wrap(message):
        return pgwire.frame(message) if framing == "packet4" else message

    with pgwire.PortProcess("--framing", framing) as port:
        for _ in range(3):
            port.send(wrap(pgwire.query(sql)))
            assert not port.has_frame(within=0.1)
            port.send(wrap(pgwire.cancel_request(0, 0)))
            assert pgwire.Result(port.read_frame(timeout=30)).sqlstate == CANCELED
            if framing == "packet4":
                assert port.read_frame() == b""
        # One that comes too late, and one in a pause, hit nobody.
        port.send(wrap(pgwire.query("select 1")) + wrap(pgwire.cancel_request(0, 0)))
        port.send(wrap(pgwire.query("select pg_sleep(0.2)")))
        answers = [port.read_frame() for _ in range(3 if framing == "packet4" else 2)]
        assert pgwire.Result(answers[-1]).kinds == "TDCZ"


def test_a_cancel_request_behind_a_large_query():
    with pgwire.PortProcess() as port:
        port.query("select 1").ok()
        port.send_frame(pgwire.query("select pg_sleep(60) /* " + "x" * 3_000_000 + " */"))
        assert not port.has_frame(within=0.2)
        port.send_frame(pgwire.cancel_request(0, 0))
        assert pgwire.Result(port.read_frame(timeout=30)).sqlstate == CANCELED
