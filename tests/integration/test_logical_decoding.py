"""pgoutput through SQL. What PGlite's linker left out of it is ours (aot/supplement): each message is taken apart as
PostgreSQL's documentation has it ("Logical Replication Message Formats"), to its last byte."""

import struct

import pgwire as w
import pytest


class Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        assert self.at + size <= len(self.data), self.data
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, layout: str) -> int:
        return struct.unpack(">" + layout, self.take(struct.calcsize(layout)))[0]

    def string(self) -> str:
        end = self.data.index(b"\0", self.at)
        return self.take(end + 1 - self.at)[:-1].decode()

    def row(self) -> list:
        values = []
        for _ in range(self.number("H")):
            kind = self.take(1)
            assert kind in b"nutb"
            value = self.take(self.number("I")) if kind in b"tb" else None
            values.append(None if kind == b"n" else ... if kind == b"u" else
                          value.decode() if kind == b"t" else value)
        return values

    def rows(self) -> dict:
        found = {}
        while self.at < len(self.data):
            kind = self.take(1).decode()
            assert kind in "KON" and kind not in found
            found[kind] = self.row()
        return found


def end_of_transaction(r: Reader) -> dict:
    assert r.number("B") == 0
    return {"lsn": r.number("Q"), "end": r.number("Q"), "time": r.number("Q")}


class Stream:
    """Reads messages one after the other: a transaction's number is in them only within a stream."""

    def __init__(self):
        self.streaming = False

    def read(self, data: bytes) -> tuple[str, dict]:
        r = Reader(data)
        kind = r.take(1).decode()
        xid = {"xid": r.number("I")} if self.streaming and kind in "RYIUDTM" else {}
        body = self.body(kind, r)
        assert r.at == len(data), (kind, body, data)
        return kind, body | xid

    def body(self, kind: str, r: Reader) -> dict:
        if kind == "B":
            return {"final": r.number("Q"), "time": r.number("Q"), "xid": r.number("I")}
        if kind == "C":
            return end_of_transaction(r)
        if kind == "c":
            return {"xid": r.number("I")} | end_of_transaction(r)
        if kind == "b":
            return {"lsn": r.number("Q"), "end": r.number("Q"), "time": r.number("Q"), "xid": r.number("I"),
                    "gid": r.string()}
        if kind in "PKp":
            return end_of_transaction(r) | {"xid": r.number("I"), "gid": r.string()}
        if kind == "r":
            assert r.number("B") == 0
            return {"prepare_end": r.number("Q"), "end": r.number("Q"), "prepared": r.number("Q"),
                    "time": r.number("Q"), "xid": r.number("I"), "gid": r.string()}
        if kind == "O":
            return {"lsn": r.number("Q"), "name": r.string()}
        if kind == "R":
            return {"id": r.number("I"), "schema": r.string(), "name": r.string(), "identity": r.take(1).decode(),
                    "columns": [(r.number("B"), r.string(), r.number("I"), r.number("i"))
                                for _ in range(r.number("H"))]}
        if kind == "Y":
            return {"id": r.number("I"), "schema": r.string(), "name": r.string()}
        if kind in "IUD":
            return {"relation": r.number("I"), **r.rows()}
        if kind == "T":
            count = r.number("I")
            return {"options": r.number("B"), "relations": [r.number("I") for _ in range(count)]}
        if kind == "M":
            return {"flags": r.number("B"), "lsn": r.number("Q"), "prefix": r.string(),
                    "content": r.take(r.number("I"))}
        if kind == "S":
            self.streaming = True
            return {"xid": r.number("I"), "first": r.number("B")}
        if kind == "E":
            self.streaming = False
            return {}
        assert kind == "A", kind
        more = {} if len(r.data) == 9 else {"lsn": 0, "time": 0}
        return {"xid": r.number("I"), "subxid": r.number("I")} | {name: r.number("Q") for name in more}


@pytest.fixture(scope="module")
def _port():
    with w.PortProcess("-o", "-c wal_level=logical -c max_prepared_transactions=2"
                             " -c logical_decoding_work_mem=64kB") as port:
        port.query("create type mood as enum ('sad', 'ok')").ok()
        yield port


@pytest.fixture
def port(_port):
    _port.query("select pg_create_logical_replication_slot('s', 'pgoutput', false, true)").ok()
    yield _port
    _port.query("rollback")
    _port.query("select pg_drop_replication_slot('s')").ok()
    _port.query("do $$ declare name text; begin for name in select pubname from pg_publication loop"
                " execute 'drop publication ' || name; end loop; end $$").ok()
    _port.query("drop schema public cascade; create schema public").ok()


def oid(port, name: str, kind: str = "regclass") -> int:
    return int(port.value(f"select '{name}'::{kind}::oid"))


def changes(port, publication: str = "p", **options) -> list[tuple[str, dict]]:
    given = {"proto_version": "1", "publication_names": publication} | options
    listed = ", ".join(f"'{name}', '{value}'" for name, value in given.items())
    rows = port.query(
        f"select data from pg_logical_slot_get_binary_changes('s', null, null, {listed})").ok().rows
    stream = Stream()
    return [stream.read(bytes.fromhex(row[0].removeprefix("\\x"))) for row in rows]


def of_kind(found: list, kinds: str) -> list[dict]:
    return [body for kind, body in found if kind in kinds]


def kinds(found: list) -> str:
    return "".join(kind for kind, _ in found)


def lsn(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def test_a_transaction(port):
    port.query("create table t (id int primary key, gone int, v varchar(7), m mood)").ok()
    port.query("alter table t drop gone; create publication p for table t").ok()
    xid = int(port.query("begin; insert into t values (1, 'é', 'ok'), (2, null, null); select pg_current_xact_id();"
                         "commit").ok().rows[0][0])
    end = lsn(port.value("select pg_current_wal_lsn()"))
    found = changes(port)
    assert kinds(found) == "BYRIIC"
    table, mood = oid(port, "t"), oid(port, "mood", "regtype")
    begin, type_, relation, first, second, commit = (body for _, body in found)
    assert begin["xid"] == xid and begin["final"] == commit["lsn"] and begin["time"] == commit["time"]
    assert begin["final"] < commit["end"] <= end
    now = float(port.value("select extract(epoch from now() - '2000-01-01'::timestamptz)"))
    assert abs(begin["time"] / 1e6 - now) < 60
    assert type_ == {"id": mood, "schema": "public", "name": "mood"}
    assert relation == {"id": table, "schema": "public", "name": "t", "identity": "d", "columns": [
        (1, "id", 23, -1), (0, "v", 1043, 11), (0, "m", mood, -1)]}
    assert first == {"relation": table, "N": ["1", "é", "ok"]}
    assert second == {"relation": table, "N": ["2", None, None]}


def test_updates_and_deletes_by_key_whole_row_and_index(port):
    port.query("create table t (a int primary key, b text, c int not null); create unique index i on t (c);"
               "create publication p for table t; insert into t values (1, 'x', 10), (2, 'y', 20)").ok()
    changes(port)
    port.query("update t set b = 'z' where a = 1").ok()
    port.query("update t set a = 3 where a = 1").ok()
    port.query("delete from t where a = 3").ok()
    update, moved, deleted = ({k: v for k, v in c.items() if k in "KON"} for c in of_kind(changes(port), "UD"))
    assert update == {"N": ["1", "z", "10"]}
    assert moved == {"K": ["1", None, None], "N": ["3", "z", "10"]}
    assert deleted == {"K": ["3", None, None]}

    port.query("alter table t replica identity using index i; update t set c = 21").ok()
    found = changes(port)
    relation = of_kind(found, "R")[-1]
    assert relation["identity"] == "i" and [c[:2] for c in relation["columns"]] == [(0, "a"), (0, "b"), (1, "c")]
    assert of_kind(found, "U")[0]["K"] == [None, None, "20"]

    port.query("alter table t replica identity full; update t set b = null; delete from t").ok()
    found = changes(port)
    relation = of_kind(found, "R")[-1]
    assert relation["identity"] == "f" and [c[0] for c in relation["columns"]] == [1, 1, 1]
    assert of_kind(found, "U")[0]["O"] == ["2", "y", "21"]
    assert of_kind(found, "U")[0]["N"] == ["2", None, "21"]
    assert of_kind(found, "D")[0]["O"] == ["2", None, "21"]


def test_a_large_value_that_does_not_change_is_not_sent(port):
    port.query("create table t (a int primary key, b text storage external, c text); create publication p for table t;"
               "insert into t values (1, repeat('x', 10000), 'y'); update t set c = 'z'").ok()
    found = changes(port)
    assert of_kind(found, "I")[0]["N"] == ["1", "x" * 10000, "y"]
    assert of_kind(found, "U")[0]["N"] == ["1", ..., "z"]


def test_binary_values(port):
    port.query("create table t (a int primary key, b text, c bytea, d float8, e aclitem);"
               "create publication p for table t;"
               "insert into t values (7, 'é', repeat('z', 3000)::bytea, 1.5, 'postgres=r/postgres')").ok()
    row = of_kind(changes(port, binary="true"), "I")[0]["N"]
    # The last has no binary form.
    assert row == [struct.pack(">i", 7), "é".encode(), b"z" * 3000, struct.pack(">d", 1.5), "postgres=r/postgres"]


def test_truncate(port):
    port.query("create table t (a int); create table u (a int); create publication p for table t, u;"
               "truncate t, u; truncate t restart identity cascade").ok()
    both = sorted([oid(port, "t"), oid(port, "u")])
    first, second = of_kind(changes(port), "T")
    assert first["options"] == 0 and sorted(first["relations"]) == both
    assert second == {"options": 3, "relations": [oid(port, "t")]}


def test_messages_and_origins(port):
    port.query("create table t (a int); create publication p for table t").ok()
    port.query("select pg_replication_origin_create('far'), pg_replication_origin_session_setup('far')").ok()
    port.query("begin; select pg_replication_origin_xact_setup('1/2345', '2024-01-01');"
               "insert into t values (1); commit").ok()
    port.query("select pg_replication_origin_session_reset()").ok()
    position = port.value("select pg_logical_emit_message(false, 'a prefix', 'a message')")
    port.query("select pg_logical_emit_message(true, 'two', '')").ok()
    found = changes(port, messages="true")
    assert of_kind(found, "O") == [{"lsn": lsn("1/2345"), "name": "far"}]
    outside, inside = of_kind(found, "M")
    assert outside["flags"] == 0 and outside["content"] == b"a message" and outside["prefix"] == "a prefix"
    assert outside["lsn"] <= lsn(position)
    assert inside["flags"] == 1 and inside["content"] == b"" and inside["prefix"] == "two"
    port.query("select pg_replication_origin_drop('far')").ok()


def test_prepared_transactions(port):
    port.query("create table t (a int); create publication p for table t").ok()
    xids = [port.query(f"begin; insert into t values (1); select pg_current_xact_id(); prepare transaction '{gid}'")
            .ok().rows[0][0] for gid in ("one", "two")]
    port.query("commit prepared 'one'").ok()
    port.query("rollback prepared 'two'").ok()
    found = changes(port, proto_version="3", two_phase="true")
    assert kinds(found) == "bRIPbIPKr"
    assert [(c["gid"], str(c["xid"])) for c in of_kind(found, "bPKr")] == [
        ("one", xids[0])] * 2 + [("two", xids[1])] * 2 + [("one", xids[0]), ("two", xids[1])]
    begun, prepared = of_kind(found, "b")[0], of_kind(found, "P")[0]
    assert begun["lsn"] == prepared["lsn"] and begun["end"] == prepared["end"] and begun["time"] == prepared["time"]
    back = of_kind(found, "r")[0]
    assert back["prepared"] == of_kind(found, "b")[1]["time"] <= back["time"]
    assert back["prepare_end"] == of_kind(found, "b")[1]["end"] < back["end"]


@pytest.mark.parametrize("streaming", ["on", "parallel"])
def test_large_transactions_are_streamed(port, streaming):
    port.query("create table t (a int, b text); create publication p for table t").ok()
    rows = "insert into t select i, repeat('x', 100) from generate_series(1, 2000) i"
    xid = int(port.query(f"begin; select pg_current_xact_id(); {rows}; savepoint s; {rows}; rollback to s; {rows};"
                         "commit").ok().rows[0][0])
    port.query(f"begin; {rows}; prepare transaction 'three'").ok()
    port.query("commit prepared 'three'").ok()
    found = changes(port, proto_version="4", streaming=streaming, two_phase="true")
    names = kinds(found)
    assert names.startswith("SRI") and names.count("S") > 2 and names.count("S") == names.count("E")
    commit, = of_kind(found, "c")
    assert commit["xid"] == xid
    starts = [s for s in of_kind(found, "S") if s["xid"] == xid]
    assert [s["first"] for s in starts] == [1] + [0] * (len(starts) - 1)
    aborted = {a["subxid"] for a in of_kind(found, "A")}
    assert aborted and all(a["xid"] == xid for a in of_kind(found, "A"))
    assert all(("time" in a) == (streaming == "parallel") for a in of_kind(found, "A"))
    kept = [i for i in of_kind(found, "I") if i["xid"] not in aborted]
    assert len(kept) == 6000
    assert of_kind(found, "p")[0]["gid"] == "three" == of_kind(found, "K")[0]["gid"]


def test_row_filters(port):
    port.query("create table t (a int primary key, b text); alter table t replica identity full;"
               "create publication p for table t where (b like 'x%');"
               "create publication q for table t where (a > 100) with (publish = 'insert');"
               "create table u (a int primary key, c int generated always as (a * 2));"
               "create publication r for table u where (c > 100) with (publish = 'insert')").ok()
    for statement in ("insert into t values (1, 'x'), (2, 'y'), (60, 'z')", "update t set b = 'x2' where a = 2",
                      "update t set b = 'y1' where a = 1", "update t set b = 'x3' where a = 2", "delete from t"):
        port.query(statement).ok()
    found = changes(port)
    assert kinds(found) == "BRIC" + "BIC" + "BDC" + "BUC" + "BDC"
    assert [i["N"] for i in of_kind(found, "I")] == [["1", "x"], ["2", "x2"]]
    assert [d["O"] for d in of_kind(found, "D")] == [["1", "x"], ["2", "x3"]]
    port.query("insert into t values (170, 'a'), (2, 'xx'), (3, 'c'); insert into u values (50), (51)").ok()
    # What one of the publications has is sent.
    assert [i["N"][0] for i in of_kind(changes(port, "p, q, r"), "I")] == ["170", "2", "51"]


def test_column_lists_and_generated_columns(port):
    port.query("create table t (a int primary key, b text, c int generated always as (a * 2) stored);"
               "create publication p for table t (a, c); create publication q for table t;"
               "create publication r for table t with (publish_generated_columns = stored)").ok()
    for publications, row in (("p", ["1", "2"]), ("q", ["1", "b"]), ("r", ["1", "b", "2"])):
        port.query("insert into t values (1, 'b')").ok()
        assert of_kind(changes(port, publications), "I")[-1]["N"] == row
        port.query("delete from t").ok()
    port.query("insert into t values (1, 'b')").ok()
    assert port.query("select pg_logical_slot_peek_binary_changes('s', null, null, 'proto_version', '1',"
                      " 'publication_names', 'p, q')").sqlstate == "0A000"


def test_partitions_by_their_root_or_themselves(port):
    port.query("create table root (a int, b text, primary key (a)) partition by range (a);"
               "create table middle partition of root for values from (0) to (100) partition by range (a);"
               "create table leaf (b text, a int not null);"  # in another order
               "alter table middle attach partition leaf for values from (0) to (50);"
               "create publication p for table root with (publish_via_partition_root);"
               "create publication q for table root; create publication r for table middle"
               " with (publish_via_partition_root); create publication s for tables in schema public"
               " with (publish_via_partition_root); create publication t for all tables"
               " with (publish_via_partition_root)").ok()
    for publications, name, row in (
            ("p", "root", ["7", "x"]), ("q", "leaf", ["x", "7"]), ("r", "middle", ["7", "x"]),
            ("q, r", "middle", ["7", "x"]), ("r, p", "root", ["7", "x"]), ("s", "root", ["7", "x"]),
            ("t", "root", ["7", "x"])):
        port.query("insert into root values (7, 'x')").ok()
        found = changes(port, publications)
        # What it is published as, and then what it is.
        assert [r["name"] for r in of_kind(found, "R")] == list(dict.fromkeys([name, "leaf"])), publications
        assert of_kind(found, "I") == [{"relation": oid(port, name), "N": row}], publications
        port.query("delete from root").ok()
        changes(port, publications)


def test_what_is_not_published_is_not_sent(port):
    port.query("create table t (a int); create unlogged table u (a int); create publication p for table t with"
               " (publish = 'insert')").ok()
    port.query("insert into t values (1); insert into u values (1); truncate t").ok()
    assert kinds(changes(port)) == "BRIC"
    port.query("insert into t values (2)").ok()
    # A publication that there is not yet, or no longer, is passed over.
    assert kinds(changes(port, "nowhere")) == ""


def test_domains_are_told_by_their_base_type(port):
    port.query("create schema other; create type other.pair as (a int, b int); create domain wrapped as other.pair;"
               "create table t (a wrapped); create publication p for table t; insert into t values ((1, 2))").ok()
    found = changes(port)
    assert of_kind(found, "Y") == [{"id": oid(port, "wrapped", "regtype"), "schema": "other", "name": "pair"}]
    assert of_kind(found, "I")[0]["N"] == ["(1,2)"]
    port.query("drop schema other cascade").ok()


def test_the_client_has_another_encoding(port):
    port.query("create table t (a text); create publication p for table t; insert into t values ('é€')").ok()
    port.query("set client_encoding = 'WIN1252'").ok()
    data = port.query("select data from pg_logical_slot_get_binary_changes('s', null, null, 'proto_version', '1',"
                      " 'publication_names', 'p')").ok().rows[2][0]
    port.query("reset client_encoding").ok()
    assert bytes.fromhex(data.removeprefix("\\x"))[5:] == b"N\0\1t\0\0\0\2\xe9\x80"
