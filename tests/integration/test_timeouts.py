"""PostgreSQL's timeouts interrupt what runs, whether it computes or waits."""

import os

import pgwire
import pytest

CANCELED = "57014"


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
