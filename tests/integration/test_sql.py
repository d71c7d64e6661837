"""SQL through the real program: one module-wide port, packet4 framing."""

import struct

import pgwire as w
import pytest


def test_version_names_both(db):
    text = db.value("select version()")
    assert text.startswith("PostgreSQL 18.6 (PGlite 0.5.16)"), text


def test_ddl_and_dml(clean):
    db = clean
    assert db.query("create table t (id int primary key, name text not null, n numeric)").tags == ["CREATE TABLE"]
    assert db.query("insert into t values (1, 'a', 1.5), (2, 'b', null)").tags == ["INSERT 0 2"]
    assert db.query("update t set n = 2.25 where id = 2 returning n").rows == [("2.25",)]
    assert db.query("delete from t where id = 1").tags == ["DELETE 1"]
    assert db.query("table t").rows == [("2", "b", "2.25")]
    assert db.query("alter table t add column extra text default 'x'").ok()
    assert db.query("create index on t (name)").ok()
    assert db.query("create view v as select name, extra from t").ok()
    assert db.query("select * from v").rows == [("b", "x")]
    assert db.query("insert into t values (2, 'dup', 1)").sqlstate == "23505"
    assert db.query("insert into t values (3, null, 1)").sqlstate == "23502"
    assert db.query("drop table t").sqlstate == "2BP01"
    assert db.query("drop table t cascade").tags == ["DROP TABLE"]


def test_transactions_and_savepoints_with_errors_in_the_middle(clean):
    db = clean
    db.query("create table t (id int primary key)").ok()
    assert db.query("begin").status == "T"
    assert db.query("insert into t values (1)").status == "T"
    db.query("savepoint a").ok()
    failed = db.query("insert into t values (1)")
    assert (failed.sqlstate, failed.status) == ("23505", "E")
    assert db.query("select 1").sqlstate == "25P02"
    assert db.query("rollback to a").status == "T"
    db.query("insert into t values (2)").ok()
    assert db.query("commit").status == "I"
    assert db.query("select id from t order by id").rows == [("1",), ("2",)]

    db.query("begin").ok()
    db.query("insert into t values (3)").ok()
    assert db.query("select 1/0").status == "E"
    assert db.query("commit").tags == ["ROLLBACK"]
    assert db.value("select count(*) from t") == "2"

    several = db.query("insert into t values (4); select 1/0; insert into t values (5)")
    assert (several.sqlstate, several.status) == ("22012", "I")
    assert db.value("select count(*) from t") == "2"


def test_errors_say_where_and_why(db):
    error = db.query("select *\nfrom nope_such_table").error
    assert error["C"] == "42P01"
    assert error["P"] == "15"
    assert db.query("selec 1").error["P"] == "1"
    assert "HINT" not in db.query("select 1/0").error
    assert db.query("select lower(1)").error["H"]


def test_plpgsql_functions_triggers_and_do(clean):
    db = clean
    db.query(
        "create function fact(n int) returns numeric language plpgsql as $$"
        " begin if n <= 1 then return 1; end if; return n * fact(n - 1); end $$"
    ).ok()
    assert db.value("select fact(25)") == "15511210043330985984000000"
    db.query("create table t (id int, changed int default 0); create table log (what text)").ok()
    db.query(
        "create function tr() returns trigger language plpgsql as $$ begin"
        " insert into log values (tg_op || ' ' || new.id); new.changed := new.changed + 1; return new; end $$;"
        "create trigger tr before insert or update on t for each row execute function tr()"
    ).ok()
    db.query("insert into t values (1), (2); update t set id = 20 where id = 2").ok()
    assert db.query("select * from log").rows == [("INSERT 1",), ("INSERT 2",), ("UPDATE 20",)]
    assert db.query("select changed from t order by id").rows == [("1",), ("2",)]
    done = db.query(
        "do $$ declare i int; begin for i in 1..3 loop begin perform 1 / (i - 2);"
        " exception when division_by_zero then raise notice 'caught at %', i; end; end loop; end $$"
    ).ok()
    assert [n["M"] for n in done.notices] == ["caught at 2"]
    failed = db.query("do $$ begin raise exception 'mine' using errcode = 'AB123', hint = 'why'; end $$")
    assert (failed.sqlstate, failed.error["M"], failed.error["H"]) == ("AB123", "mine", "why")
    assert "PL/pgSQL function" in failed.error["W"]


def test_prepared_statements_in_text(db):
    first = db.request(w.parse("select $1::int + $2::int as sum, $3::text", "add") + w.describe_statement("add") + w.sync())
    assert first.kinds == "1tTZ"
    for a in range(5):
        answer = db.request(w.bind([str(a), "10", "é"], "add") + w.execute() + w.sync()).ok()
        assert answer.kinds == "2DCZ"
        assert answer.rows == [(str(a + 10), "é")]
    assert db.request(w.bind([None, "1", None], "add") + w.execute() + w.sync()).rows == [(None, None)]
    assert db.request(w.bind(["x", "1", "y"], "add") + w.sync()).sqlstate == "22P02"
    assert db.request(w.close_statement("add") + w.sync()).kinds == "3Z"
    assert db.request(w.bind(["1", "1", ""], "add") + w.sync()).sqlstate == "26000"


def test_prepared_statements_in_binary(db):
    answer = db.request(
        w.extended(
            "select $1::int4, $2::int8, $3::float8, $4::bytea, $5::text, $6::bool",
            [struct.pack("!i", -5), struct.pack("!q", 2**40), struct.pack("!d", 0.1), b"\0\xff", "ü", b"\1"],
            formats=(w.BINARY,),
            results=(w.BINARY,),
        )
    ).ok()
    assert answer.raw_rows == [
        [struct.pack("!i", -5), struct.pack("!q", 2**40), struct.pack("!d", 0.1), b"\0\xff", "ü".encode(), b"\1"]
    ]
    assert [c.format for c in answer.columns] == [1] * 6


def test_pipelined_batches(clean):
    db = clean
    db.query("create table t (id int primary key)").ok()
    batch = b"".join(
        w.parse("insert into t values ($1) returning id") + w.bind([str(i)]) + w.execute() for i in range(100)
    )
    assert db.request(batch + w.sync()).ok().kinds == "12DC" * 100 + "Z"
    failing = (
        w.parse("insert into t values (1000)") + w.bind() + w.execute()
        + w.parse("insert into t values (1)") + w.bind() + w.execute()
        + w.parse("insert into t values (1001)") + w.bind() + w.execute() + w.sync()
    )  # fmt: skip
    answer = db.request(failing + w.query("select 'after'"))
    assert answer.kinds == "12C12EZTDCZ"
    assert db.value("select count(*) from t") == "100", "the batch is one transaction"


def test_portals_with_row_limits(db):
    start = (
        w.query("begin")
        + w.parse("select g from generate_series(1, 7) g")
        + w.bind([], "", "p")
        + w.execute("p", 3)
        + w.sync()
    )
    first = db.request(start)
    assert first.kinds.endswith("DDDsZ") and first.status == "T"
    assert db.request(w.execute("p", 3) + w.sync()).rows == [("4",), ("5",), ("6",)]
    last = db.request(w.execute("p", 3) + w.sync())
    assert (last.rows, last.tags) == ([("7",)], ["SELECT 1"])
    assert db.query("commit").status == "I"
    assert db.request(w.execute("p", 1) + w.sync()).sqlstate == "34000"


def test_copy_to_the_client(clean):
    db = clean
    db.query("create table t (id int, v text); insert into t values (1, 'a b'), (2, null), (3, E'x\\ty')").ok()
    answer = db.query("copy t to stdout").ok()
    assert answer.kinds == "HdddcCZ"
    assert answer.copied == b"1\ta b\n2\t\\N\n3\tx\\ty\n"
    assert db.query("copy t to stdout csv header").copied == b"id,v\n1,a b\n2,\n3,x\ty\n"
    failed = db.query("copy (select 1 / (3 - g) from generate_series(1, 5) g) to stdout")
    assert (failed.sqlstate, failed.status) == ("22012", "I")


def test_copy_from_the_client_in_one_frame(clean):
    db = clean
    db.query("create table t (id int primary key, v text)").ok()
    answer = db.request(w.query("copy t from stdin") + w.copy_data("1\ta\n2\tb\n") + w.copy_done()).ok()
    assert (answer.kinds, answer.tags) == ("GCZ", ["COPY 2"])
    failed = db.request(w.query("copy t from stdin") + w.copy_data("9\tx\n1\tdup\n") + w.copy_done())
    assert (failed.sqlstate, failed.status) == ("23505", "I")
    assert db.value("select count(*) from t") == "2"


def test_copy_from_the_client_over_several_frames(clean):
    """Each frame has its answer: CopyInResponse, then nothing for data, then the end."""
    db = clean
    db.query("create table t (id int, v text)").ok()
    assert db.query("copy t from stdin").kinds == "G"
    for start in range(0, 1000, 100):
        data = "".join(f"{i}\trow {i}\n" for i in range(start, start + 100))
        assert db.exchange(w.copy_data(data)) == b""
    done = db.request(w.copy_done()).ok()
    assert (done.kinds, done.tags) == ("CZ", ["COPY 1000"])
    assert db.value("select sum(id) from t") == "499500"

    assert db.query("copy t from stdin").kinds == "G"
    assert db.exchange(w.copy_data("1\tx\n")) == b""
    failed = db.request(w.copy_fail("no more"))
    assert (failed.sqlstate, failed.status) == ("57014", "I")
    assert db.value("select count(*) from t") == "1000"


def test_an_error_during_copy_over_several_frames(clean):
    db = clean
    db.query("create table t (id int)").ok()
    assert db.query("copy t from stdin").kinds == "G"
    # The error comes with the bad data or at the end; what is sent after it is ignored.
    answers = db.exchange(w.copy_data("1\nx\n")) + db.exchange(w.copy_data("2\n")) + db.exchange(w.copy_done())
    result = w.Result(answers)
    assert (result.kinds, result.sqlstate) == ("EZ", "22P02")
    assert db.value("select count(*) from t") == "0"


def test_listen_and_notify_in_the_session(db):
    db.query("listen ch").ok()
    own = db.query("notify ch, 'payload'").ok()
    assert own.notifications == [("ch", "payload")]
    both = db.query("begin; notify ch, 'a'; notify ch, 'b'; notify ch, 'a'; commit").ok()
    assert both.notifications == [("ch", "a"), ("ch", "b")]
    assert db.query("begin; notify ch, 'lost'; rollback").notifications == []
    db.query("unlisten ch").ok()
    assert db.query("notify ch, 'unheard'").notifications == []


def test_full_text_search(clean):
    db = clean
    db.query(
        "create table docs (id int, body text, tsv tsvector generated always as (to_tsvector('english', body)) stored);"
        "create index on docs using gin (tsv);"
        "insert into docs values (1, 'The quick brown foxes'), (2, 'A lazy dog sleeps'), (3, 'Dogs chase foxes')"
    ).ok()
    assert db.query("select id from docs where tsv @@ to_tsquery('english', 'fox & dog')").rows == [("3",)]
    assert db.value("select to_tsvector('russian', 'собаки бежали')") == "'бежа':2 'собак':1"
    assert "<b>foxes</b>" in db.value("select ts_headline('quick foxes run', 'fox'::tsquery)")


def test_json(clean):
    db = clean
    db.query("create table j (d jsonb); insert into j values ('{\"a\": {\"b\": [1, 2, {\"c\": \"x\"}]}}')").ok()
    assert db.value("select d #>> '{a,b,2,c}' from j") == "x"
    assert db.value("select jsonb_path_query_array(d, '$.a.b[*] ? (@ > 1)') from j") == "[2]"
    assert db.value("update j set d['a']['n'] = '7' returning d -> 'a' ->> 'n'") == "7"
    assert db.query("select '{bad'::json").sqlstate == "22P02"
    assert db.query(
        "select * from json_table('[{\"k\": 1}, {\"k\": 2}]', '$[*]' columns (k int path '$.k'))"
    ).rows == [("1",), ("2",)]


def test_arrays(db):
    assert db.value("select array_agg(g order by g desc) from generate_series(1, 3) g") == "{3,2,1}"
    assert db.query("select (array[[1,2],[3,4]])[2][1], '{a,NULL}'::text[] || 'c'::text, 2 = any (array[1, 2])").rows == [
        ("3", "{a,NULL,c}", "t")
    ]
    assert db.query("select '{1,2'::int[]").sqlstate == "22P02"


def test_icu_collations_and_time_zones(clean):
    db = clean
    db.query("create collation icu (provider = icu, locale = 'und')").ok()
    in_order = "select string_agg(x, ' ' order by x collate {}) from unnest(array['a10', 'B1', 'a9', 'é']) x"
    assert db.value(in_order.format('"C"')) == "B1 a10 a9 é"
    assert db.value(in_order.format("icu")) == "a10 a9 B1 é"
    assert (
        db.value("select (timestamptz '2024-07-01 12:00+00' at time zone 'America/New_York')::text")
        == "2024-07-01 08:00:00"
    )


def icu(db, locale: str, expression: str):
    db.query("drop collation if exists c").ok()
    db.query(f"create collation c (provider = icu, locale = '{locale}', deterministic = false)").ok()
    return db.value(f"select {expression}")


def test_attributes_of_icu_locales(clean):
    """The answers are those of native PostgreSQL 18. PGlite takes no notice of the attributes."""
    same = "concat('a' = 'A' collate c, 'é' = 'e' collate c, 'ß' = 'ss' collate c)"
    assert icu(clean, "und", same) == "fff"
    assert icu(clean, "und-u-ks-level2", same) == "tff"
    assert icu(clean, "und-u-ks-level1", same) == "ttt"
    assert icu(clean, "und-u-kc-ks-level1", same) == "ftt"
    assert icu(clean, "@colStrength=secondary", same) == "tff"
    assert icu(clean, "und-u-kn", "'a10' > 'a9' collate c") == "t"
    assert icu(clean, "und-u-kf-upper", "'A' < 'a' collate c") == "t"
    assert icu(clean, "und-u-kf-lower", "'A' < 'a' collate c") == "f"
    assert icu(clean, "und-u-ka-shifted-ks-level3", "'a b' = 'ab' collate c") == "t"
    assert icu(clean, "und-u-kr-grek-latn", "'ω' < 'a' collate c") == "t"
    clean.query("drop collation c; create collation c (provider = icu, locale = 'und-u-ks-level2', deterministic = false)").ok()
    clean.query("create table u (n text collate c unique)").ok()
    assert clean.query("insert into u values ('Ann'), ('ann')").sqlstate == "23505"


@pytest.mark.parametrize(
    ("collation", "words", "in_order"),
    [
        ("sv-x-icu", "z å ä ö ol öl apple Äpfel", "apple ol z å ä Äpfel ö öl"),
        ("cs-x-icu", "ch ci cz d h i", "ci cz d h ch i"),
        ("da-x-icu", "aa az å z ø", "az z ø å aa"),
        ("zh-x-icu", "王 李 张 刘 陈", "陈 李 刘 王 张"),
        ("de-x-icu", "zebra Äpfel apple Zoo", "Äpfel apple zebra Zoo"),
    ],
)
def test_languages_have_their_orders(clean, collation, words, in_order):
    """The answers are those of native PostgreSQL 18. PGlite has the root locale's order for all of them."""
    order = f"select string_agg(x, ' ' order by x collate \"{collation}\") from unnest(string_to_array('{words}', ' ')) x"
    assert clean.value(order) == in_order


def test_locales_of_icu(clean):
    order = "select string_agg(x, ' ' order by x collate c) from unnest(string_to_array('{}', ' ')) x"
    for locale, words, in_order in (
        ("de-u-co-phonebk", "Ad Äd Ae Af", "Ad Ae Äd Af"),
        ("zh-u-co-stroke", "李 王 陈 刘", "王 刘 李 陈"),
        ("en-US-u-kn", "a10 a9", "a9 a10"),
    ):
        clean.query(f"create collation c (provider = icu, locale = '{locale}')").ok()
        assert clean.value(order.format(words)) == in_order, locale
        clean.query("drop collation c").ok()
    assert clean.value("select initcap('élan o''neil x' collate \"fr-x-icu\")") == "Élan O'neil X"
    assert clean.value("select initcap('ijsland' collate \"nl-x-icu\")") == "IJsland"
    assert clean.value("select upper('straße' collate \"de-x-icu\")") == "STRASSE"
    comment = "select obj_description(oid, 'pg_collation') from pg_collation where collname = 'de-CH-x-icu'"
    assert clean.value(comment) == "German (Switzerland)"
    # Versions of orders are kept; an index of another one would be wrong.
    versions = "select count(*) from pg_collation where collversion <> pg_collation_actual_version(oid)"
    assert clean.value(versions) == "0"


def test_a_locale_that_icu_has_not_is_warned_of(clean):
    """As native PostgreSQL has it."""
    unknown = clean.query("create collation c (provider = icu, locale = 'xx-notreal')").ok()
    assert "unknown language" in unknown.notices[0]["M"]
    assert clean.query("create collation d (provider = icu, locale = 'und-u-ks-bogus')").sqlstate == "22023"


def test_a_database_sorts_as_its_language_does(tmp_path):
    data = str(tmp_path / "d")
    with w.PortProcess("-D", data) as port:
        port.query("create database swedish locale_provider icu icu_locale 'sv-SE' template template0").ok()
    with w.PortProcess("-D", data, "-d", "swedish") as port:
        order = "select string_agg(x, ' ' order by x) from unnest(array['z', 'å', 'ä', 'a']) x"
        assert port.value(order) == "a z å ä"


def test_a_library_that_cannot_be_linked_harms_no_other():
    """libpqwalreceiver.so needs what pglite.wasm does not export. (On Node, nothing loads after.)"""
    with w.PortProcess() as port:
        assert port.query("create subscription s connection 'x' publication y").sqlstate == "58P01"
        assert port.value("select to_tsvector('english', 'cats')") == "'cat':1"
        port.query("do $$ begin perform 1; end $$").ok()
        assert port.query("create subscription s connection 'x' publication y").sqlstate == "58P01"
        assert port.value("select convert('\\xe9', 'LATIN1', 'UTF8')") == "\\xc3a9"


def test_randomness_is_random(db):
    values = {db.value("select gen_random_uuid()") for _ in range(3)}
    with w.PortProcess() as other:
        values |= {other.value("select gen_random_uuid()") for _ in range(3)}
        assert other.value("select random()") != db.value("select random()")
    assert len(values) == 6


@pytest.mark.parametrize("payload", [w.flush(), w.terminate()], ids=["flush", "terminate"])
def test_requests_without_an_answer_get_an_empty_frame(db, payload):
    assert db.exchange(payload) == b""
    assert db.value("select 1") == "1"


def test_an_empty_frame_gets_an_empty_frame(db):
    assert db.exchange(b"") == b""
    assert db.value("select 1") == "1"


def test_requests_sent_ahead_are_answered_in_order(db):
    for i in range(500):
        db.send_frame(w.query(f"select {i}"))
    for i in range(500):
        assert w.Result(db.read_frame()).value == str(i)
    assert not db.has_frame(0.1), "a frame too many"
