"""The runner itself: it must see differences, and must not loosen more than it is told to."""

import struct

import compare
import corpus
import pgwire
import pytest


def row(*values: bytes | None) -> bytes:
    body = struct.pack("!H", len(values))
    for v in values:
        body += struct.pack("!i", -1) if v is None else struct.pack("!i", len(v)) + v
    return pgwire.message("D", body)


def header(*names: str) -> bytes:
    body = struct.pack("!H", len(names))
    for name in names:
        body += name.encode() + b"\0" + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0)
    return pgwire.message("T", body)


def error(**fields: str) -> bytes:
    return pgwire.message("E", b"".join(k.encode() + v.encode() + b"\0" for k, v in fields.items()) + b"\0")


def entry(**loosening):
    return compare.Difference(file="f", statement="s", reason="r", **loosening)


def test_statements_are_split_at_line_ends_outside_dollar_quotes():
    text = "-- note\nselect 1;\n\nselect\n  2;\ndo $x$ begin\n  perform 1;\nend $x$;\nselect 3; select 4;\n"
    assert corpus.statements(text) == [
        "select 1;",
        "select\n  2;",
        "do $x$ begin\n  perform 1;\nend $x$;",
        "select 3; select 4;",
    ]


def test_an_unfinished_statement_is_an_error():
    with pytest.raises(ValueError):
        corpus.statements("select 1")


def test_ignored_columns_leave_the_others_and_nulls_compared():
    d = entry(columns=["now"])
    a = header("now", "x") + row(b"1", b"same")
    assert compare.same(a, header("now", "x") + row(b"2", b"same"), d)
    assert not compare.same(a, header("now", "x") + row(b"2", b"other"), d)
    assert not compare.same(a, header("now", "x") + row(None, b"same"), d)


def test_count_compares_the_number_of_rows():
    d = entry(rows="count")
    assert compare.same(row(b"1") + row(b"2"), row(b"3") + row(b"4"), d)
    assert not compare.same(row(b"1") + row(b"2"), row(b"3"), d)


def test_ignored_fields_and_messages():
    assert compare.same(error(C="1", M="a"), error(C="1", M="b"), entry(fields=["M"]))
    assert not compare.same(error(C="1", M="a"), error(C="2", M="a"), entry(fields=["M"]))
    key = pgwire.message("K", b"12345678")
    assert compare.same(key, pgwire.message("K", b"87654321"), entry(messages=["K"]))


def test_an_entry_says_one_loosening_and_why():
    with pytest.raises(ValueError):
        entry()
    with pytest.raises(ValueError):
        entry(rows="count", columns=["a"])
    with pytest.raises(ValueError):
        compare.Difference(file="f", statement="s", reason=" ", rows="count")


def test_report_shows_both_sides():
    text = compare.report("select", header("a") + row(b"ours"), header("a") + row(b"theirs"))
    assert "-DataRow theirs" in text and "+DataRow ours" in text
    assert "offset" in compare.report("s", row(b"\xff"), row(b"\\xff"))


def test_the_numbers_of_information_schema_s_views_are_not_compared():
    def column(table: int, attribute: int) -> bytes:
        return pgwire.message("T", struct.pack("!H", 1) + b"a\0" + struct.pack("!IhIhih", table, attribute, 25, -1, -1, 0))

    assert compare.equal(column(12598, 1), column(13467, 1))
    assert not compare.equal(column(12598, 1), column(13467, 2))
    assert not compare.equal(column(1259, 1), column(13467, 1))
    assert not compare.equal(column(16384, 1), column(16385, 1))
    assert not compare.equal(column(12598, 1) + row(b"1"), column(12598, 1) + row(b"2"))


def test_an_answer_of_broken_messages_is_never_the_same():
    assert not compare.same(b"D\0\0\0\x50x", b"D\0\0\0\x50y", entry(rows="count"))
