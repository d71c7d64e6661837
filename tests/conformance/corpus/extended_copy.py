"""COPY FROM STDIN and TO STDOUT as messages. PGlite on Node sees the bytes of one call only, so the
Query, the data and CopyDone are one frame."""

import struct


def copy_in(w, sql, *data, end=None):
    return w.query(sql) + b"".join(w.copy_data(d) for d in data) + (end if end is not None else w.copy_done())


def requests(w):
    s = w.sync()
    yield "table", w.query("create table c (id int primary key, t text, n numeric)")
    yield "text", copy_in(w, "copy c from stdin", "1\tone\t1.5\n2\ttwo\t\\N\n", "3\tta\\tb\t-7\n")
    yield "rows split across messages", copy_in(w, "copy c from stdin", "4\tfo", "ur\t4\n5", "\tfive\t5\n")
    yield "end marker", copy_in(w, "copy c from stdin", "6\tsix\t6\n\\.\n")
    yield "no final newline", copy_in(w, "copy c from stdin", "7\tseven\t7")
    yield "csv", copy_in(w, "copy c from stdin csv header", 'id,t,n\n8,"ei""ght, x",8\n9,,9\n10,"",\n')
    yield "csv quoted newline", copy_in(w, "copy c from stdin csv", '11,"a\nb",1\r\n')
    yield "csv options", copy_in(w, "copy c (id, t) from stdin with (format csv, delimiter ';', quote '''', null 'NIL', force_not_null (t))", "12;'q;q'\n13;NIL\n")
    yield "header match", copy_in(w, "copy c from stdin with (format csv, header match)", "id,t,n\n14,x,1\n")
    yield "header mismatch", copy_in(w, "copy c from stdin with (format csv, header match)", "id,wrong,n\n15,x,1\n")
    yield "rows so far", w.query("select * from c order by id")
    yield "bad value", copy_in(w, "copy c from stdin", "20\tok\t1\n21\tbad\txyz\n22\tlater\t1\n")
    yield "duplicate key", copy_in(w, "copy c from stdin", "1\tdup\t1\n")
    yield "missing column", copy_in(w, "copy c from stdin", "30\tonly\n")
    yield "extra column", copy_in(w, "copy c from stdin", "30\ta\t1\tmore\n")
    yield "invalid utf8", copy_in(w, "copy c from stdin", b"31\t\xff\t1\n")
    yield "unterminated csv quote", copy_in(w, "copy c from stdin csv", '32,"open\n')
    yield "copy fail", copy_in(w, "copy c from stdin", "33\tx\t1\n", end=w.copy_fail("changed my mind"))
    yield "nothing of these", w.query("select count(*), max(id) from c")
    yield "ignore errors", copy_in(w, "copy c from stdin with (on_error ignore, log_verbosity verbose)", "40\ta\t1\nx\tb\t2\n41\tc\ty\n42\td\t4\n")
    yield "reject limit", copy_in(w, "copy c from stdin with (on_error ignore, reject_limit 1)", "x\ta\t1\ny\tb\t2\n")
    yield "where", copy_in(w, "copy c from stdin where id % 2 = 0", "50\ta\t1\n51\tb\t2\n52\tc\t3\n")
    yield "default option", w.query("create table d (a int, b text default 'dflt')") + copy_in(w, "copy d from stdin with (default '\\D')", "1\t\\D\n2\tx\n")
    yield "defaults", w.query("table d")
    yield "freeze", w.query("begin; create table f (a int)") + copy_in(w, "copy f from stdin with (freeze)", "1\n2\n") + w.query("commit")
    binary = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
    row = struct.pack("!h", 2) + struct.pack("!ii", 4, 60) + struct.pack("!i", 3) + b"bin"
    yield "binary", copy_in(w, "copy c (id, t) from stdin (format binary)", binary + row + struct.pack("!h", -1))
    yield "binary bad signature", copy_in(w, "copy c (id, t) from stdin (format binary)", b"NOTCOPY\n\xff\r\n\0")
    yield "binary wrong field count", copy_in(w, "copy c (id) from stdin (format binary)", binary + row + struct.pack("!h", -1))
    yield "empty copy", copy_in(w, "copy c from stdin")
    yield "copy in a transaction", w.query("begin") + copy_in(w, "copy c from stdin", "70\tx\t1\n") + w.query("rollback")
    yield "copy then select in one query", copy_in(w, "copy d from stdin; select count(*) from d", "3\tz\n")
    yield "two copies in one query", w.query("copy d from stdin; copy d from stdin") + w.copy_data("4\ta\n") + w.copy_done() + w.copy_data("5\tb\n") + w.copy_done()
    yield "after them", w.query("select * from d order by a")
    yield "copy into a view", copy_in(w, "copy pg_views from stdin", "x\n")
    yield "extended copy in", w.parse("copy d from stdin") + w.bind() + w.execute() + w.copy_data("6\text\n") + w.copy_done() + s
    yield "extended copy out", w.extended("copy (select * from d order by a) to stdout")
    yield "extended copy in that fails", w.parse("copy d from stdin") + w.bind() + w.execute() + w.copy_data("x\text\n") + w.copy_done() + s
    yield "stray copy data is ignored", w.copy_data("ignored") + w.copy_done() + w.query("select 'still here'")
    yield "flush and sync during copy are ignored", w.query("copy d from stdin") + w.copy_data("7\ta\n") + w.flush() + s + w.copy_data("8\tb\n") + w.copy_done()
    yield "trigger during copy", w.query(
        "create function up() returns trigger language plpgsql as $$ begin new.b := upper(new.b); return new; end $$;"
        "create trigger up before insert on d for each row execute function up()"
    ) + copy_in(w, "copy d from stdin", "90\tshout\n") + w.query("select b from d where a = 90")
    yield "partitioned target", w.query(
        "create table p (k int, v text) partition by list (k); create table p1 partition of p for values in (1); create table p2 partition of p default"
    ) + copy_in(w, "copy p from stdin", "1\ta\n2\tb\n1\tc\n") + w.query("select tableoid::regclass, * from p order by v")
    many = "".join(f"{i}\trow {i}\t{i}.5\n" for i in range(1000, 6000))
    yield "5,000 rows", copy_in(w, "copy c from stdin", *[many[i : i + 8192] for i in range(0, len(many), 8192)])
    yield "their sum", w.query("select count(*), sum(n), md5(string_agg(t, '' order by id)) from c where id >= 1000")
    yield "copy out", w.query("copy (select * from c where id < 20 order by id) to stdout")
    yield "copy out binary", w.query("copy (select id, t from c where id < 5 order by id) to stdout (format binary)")
    yield "long field", copy_in(w, "copy d from stdin", "100\t" + "x" * 200000 + "\n") + w.query("select length(b) from d where a = 100")
