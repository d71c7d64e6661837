"""Requests PGlite on Node itself cannot answer, so that there is nothing to compare with.

Each breaks the engine on Node (a JavaScript exception in the middle of a query; all later answers
are wrong or empty). Here we show that this is still so, and that ours does better: a complete
answer and a session that goes on, or an ERROR frame and a non-zero exit; never a wrong answer.
"""

import engine_pair
import pgwire
import pytest

# Not listed, for there Node answers (58P01, in the words of a JavaScript TypeError) and breaks later:
# after `create subscription`, whose libpqwalreceiver.so cannot be linked, it loads no other library.
# tests/integration/test_sql.py has that for ours.
FAILURES = {
    # utf8_and_iso8859_1.so imports pg_utf8_islegal, which pglite.wasm does not export.
    "conversion without its helper": "select convert_to('é', 'LATIN1');",
    # (Most others lack UtfToLocal and LocalToUtf: the same.)
    # popen() of anything but `locale -a` throws.
    "copy to a program": "copy (select 1) to program 'cat';",
    # V8's stack ends before max_stack_depth does.
    "deeply nested json": "select repeat('[', 10000)::json is null;",
}


@pytest.fixture(scope="module")
def answers():
    """Every statement on a Node of its own, all of them at once."""
    running = {name: engine_pair.reference() for name in FAILURES}
    found = {}
    try:
        for name, engine in running.items():
            engine.send_frame(pgwire.query(FAILURES[name]))
        for name, engine in running.items():
            engine.drain()
            found[name] = engine.read_frame()
    finally:
        for engine in running.values():
            engine.kill()
    return found


@pytest.mark.parametrize("name", FAILURES)
def test_node_gives_no_complete_answer(name, answers):
    answer = answers[name]
    assert answer.startswith(b"ERROR: "), (
        "PGlite on Node answers this now; move it to corpus/:\n" + pgwire.Result(answer).describe()
    )


@pytest.mark.parametrize("name", FAILURES)
def test_ours_answers_or_ends(name):
    with pgwire.PortProcess() as port:
        answer = port.exchange(pgwire.query(FAILURES[name]))
        if answer.startswith(b"ERROR: "):
            assert port.wait() != 0
            return
        result = pgwire.Result(answer)
        assert result.status == "I", result.describe()
        assert result.errors or result.raw_rows, result.describe()
        assert port.value("select 40 + 2") == "42"
