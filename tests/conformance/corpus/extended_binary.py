"""Binary parameters and results of the common types."""

import struct

BOOL, BYTEA, CHAR, INT8, INT2, INT4, TEXT, OID = 16, 17, 18, 20, 21, 23, 25, 26
JSON, POINT, FLOAT4, FLOAT8, MONEY, INET = 114, 600, 700, 701, 790, 869
BPCHAR, VARCHAR, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL = 1042, 1043, 1082, 1083, 1114, 1184, 1186
TIMETZ, BIT, VARBIT, NUMERIC, UUID, JSONB, INT4RANGE, INT4ARRAY, TEXTARRAY = 1266, 1560, 1562, 1700, 2950, 3802, 3904, 1007, 1009


def array(element: int, items: list) -> bytes:
    out = struct.pack("!iiIii", 1, int(None in items), element, len(items), 1)
    for item in items:
        out += struct.pack("!i", -1) if item is None else struct.pack("!i", len(item)) + item
    return out


def numeric(sign: int, weight: int, scale: int, digits: list[int]) -> bytes:
    return struct.pack("!hhHh", len(digits), weight, sign, scale) + b"".join(struct.pack("!h", d) for d in digits)


VALUES = [
    ("int2", INT2, struct.pack("!h", -300)),
    ("int4", INT4, struct.pack("!i", 123456789)),
    ("int8", INT8, struct.pack("!q", -(2**62))),
    ("float4", FLOAT4, struct.pack("!f", 1.1)),
    ("float8", FLOAT8, struct.pack("!d", 3.141592653589793)),
    ("float8 nan", FLOAT8, struct.pack("!d", float("nan"))),
    ("bool", BOOL, b"\1"),
    ("bool other", BOOL, b"\7"),
    ("text", TEXT, "grüße".encode()),
    ("varchar", VARCHAR, b"v"),
    ("bpchar", BPCHAR, b"c  "),
    ("char", CHAR, b"z"),
    ("bytea", BYTEA, bytes(range(256))),
    ("oid", OID, struct.pack("!I", 4000000000)),
    ("date", DATE, struct.pack("!i", 8766)),
    ("date infinity", DATE, struct.pack("!i", 2**31 - 1)),
    ("time", TIME, struct.pack("!q", 45296789012)),
    ("timetz", TIMETZ, struct.pack("!qi", 45296789012, -19800)),
    ("timestamp", TIMESTAMP, struct.pack("!q", 757512345678901)),
    ("timestamptz", TIMESTAMPTZ, struct.pack("!q", 757512345678901)),
    ("interval", INTERVAL, struct.pack("!qii", 3600000001, -3, 14)),
    ("numeric", NUMERIC, numeric(0, 1, 3, [1, 2345, 6780])),
    ("numeric negative", NUMERIC, numeric(0x4000, 0, 2, [7, 5000])),
    ("numeric nan", NUMERIC, numeric(0xC000, 0, 0, [])),
    ("uuid", UUID, bytes(range(16))),
    ("json", JSON, b'{"a": [1]}'),
    ("jsonb", JSONB, b'\1{"b": 1, "a": [1, null]}'),
    ("point", POINT, struct.pack("!dd", 1.5, -2)),
    ("money", MONEY, struct.pack("!q", 123456)),
    ("inet", INET, b"\2\x18\0\4\xc0\xa8\1\5"),
    ("bit", BIT, struct.pack("!i", 5) + b"\xa8"),
    ("varbit", VARBIT, struct.pack("!i", 12) + b"\xab\xc0"),
    ("int4range", INT4RANGE, b"\2" + struct.pack("!iiii", 4, 1, 4, 10)),
    ("int4 array", INT4ARRAY, array(INT4, [struct.pack("!i", 1), None, struct.pack("!i", 3)])),
    ("text array", TEXTARRAY, array(TEXT, [b"a", b"", "ü".encode()])),
    ("empty array", INT4ARRAY, struct.pack("!iiI", 0, 0, INT4)),
]

RESULTS = [
    "1::int2, 2::int4, 3::int8, 4::oid, 1.5::float4, 2.5::float8, true, 'c'::\"char\"",
    "0::numeric, 12345.678::numeric, -0.00001::numeric, 1e20::numeric, 'NaN'::numeric, 'Infinity'::numeric",
    "'text', 'vc'::varchar(5), 'bp'::char(4), '\\x00ff'::bytea, 'name'::name, null",
    "date '2024-02-29', date '-infinity', time '12:34:56.5', timetz '12:00+02', timestamp '2024-01-01', timestamptz '2024-01-01 00:00+00', interval '1 mon 2 days 03:00'",
    "array[1, 2], array['a', null], array[[1, 2], [3, 4]], '{}'::int[], '[2:3]={7,8}'::int[], array[1.5, 2.5]",
    "'{\"a\":1}'::json, '{\"a\":1}'::jsonb, '$.a'::jsonpath, '<a/>'::xml, uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "int4range(1, 5), 'empty'::int4range, numrange(1.5, null), '{[1,2),[5,6)}'::int4multirange",
    "point(1, 2), box(point(0, 0), point(1, 1)), circle(point(0, 0), 2), '((0,0),(1,1))'::path, '((0,0),(1,1),(1,0))'::polygon, '{1,2,3}'::line, lseg(point(0, 0), point(1, 1))",
    "'10.0.0.0/8'::cidr, '::1'::inet, '08:00:2b:01:02:03'::macaddr, b'101', b'1'::varbit, 12.5::money, '16/B374D848'::pg_lsn, '(1,2)'::tid",
    "'a:1A b:2'::tsvector, 'a & !b'::tsquery, row(1, 'x', null), 'pg_class'::regclass, 'int4'::regtype, '1:3:2'::pg_snapshot, '7'::xid8",
]


def requests(w):
    s = w.sync()
    for name, oid, value in VALUES:
        yield f"{name} in binary, out text", w.extended("select $1", [value], (oid,), (w.BINARY,), (w.TEXT,))
        yield f"{name} in binary, out binary", w.extended("select $1", [value], (oid,), (w.BINARY,), (w.BINARY,))
    for columns in RESULTS:
        yield f"binary result of {columns}", w.extended(f"select {columns}", results=(w.BINARY,))
    yield "mixed formats", w.parse("select $1::int, $2::text, $3::int") + w.bind(
        [struct.pack("!i", 5), "t", "6"], formats=(w.BINARY, w.TEXT, w.TEXT), results=(w.BINARY, w.TEXT, w.BINARY)
    ) + w.describe_portal() + w.execute() + s  # fmt: skip
    yield "wrong number of formats", w.parse("select $1::int, $2::text, $3::int") + w.bind(
        ["1", "2", "3"], formats=(w.TEXT, w.TEXT)
    ) + w.execute() + s  # fmt: skip
    yield "wrong number of result formats", w.parse("select 1, 2, 3") + w.bind(results=(1, 1)) + w.execute() + s
    yield "unknown format code", w.parse("select 1") + w.bind(results=(7,)) + w.execute() + s
    yield "unknown parameter format", w.parse("select $1::int") + w.bind(["1"], formats=(9,)) + w.execute() + s
    yield "short binary int", w.extended("select $1", [b"\0\1"], (INT4,), (w.BINARY,))
    yield "long binary int", w.extended("select $1", [b"\0\0\0\1\2"], (INT4,), (w.BINARY,))
    yield "bad binary bool", w.extended("select $1", [b""], (BOOL,), (w.BINARY,))
    yield "bad binary numeric", w.extended("select $1", [numeric(0x1234, 0, 0, [])], (NUMERIC,), (w.BINARY,))
    yield "bad binary numeric digit", w.extended("select $1", [numeric(0, 0, 0, [10000])], (NUMERIC,), (w.BINARY,))
    yield "bad binary uuid", w.extended("select $1", [b"123"], (UUID,), (w.BINARY,))
    yield "bad jsonb version", w.extended("select $1", [b"\2{}"], (JSONB,), (w.BINARY,))
    yield "bad binary timestamp", w.extended("select $1", [struct.pack("!q", 2**62)], (TIMESTAMP,), (w.BINARY,))
    yield "bad binary array dimensions", w.extended("select $1", [struct.pack("!iiI", 7, 0, INT4)], (INT4ARRAY,), (w.BINARY,))
    yield "array of another element type", w.extended("select $1", [array(TEXT, [b"a"])], (INT4ARRAY,), (w.BINARY,))
    yield "invalid utf8 in binary text", w.extended("select $1", [b"\xc3"], (TEXT,), (w.BINARY,))
    yield "binary copy of a table", w.query("create table bt (a int, b text, c numeric)") + w.extended(
        "insert into bt values ($1, $2, $3)", [struct.pack("!i", 1), b"x", numeric(0, 0, 1, [1, 5000])], (INT4, TEXT, NUMERIC), (1,)
    ) + w.extended("select * from bt", results=(1,))
    yield "enum and domain", w.query("create type e as enum ('x', 'y'); create domain dm as int check (value > 0)") + w.extended(
        "select 'x'::e, 5::dm", results=(1,)
    )
    yield "composite in binary", w.query("create type comp as (a int, b text)") + w.extended("select row(1, 'z')::comp", results=(1,))
    yield "domain check on a parameter", w.extended("select $1::dm", ["-1"])
    yield "large bytea both ways", w.extended("select $1", [bytes(range(256)) * 2000], (BYTEA,), (w.BINARY,), (w.BINARY,))
