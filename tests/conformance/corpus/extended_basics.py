"""Extended protocol: named and unnamed statements and portals, parameters, errors, pipelines."""


def requests(w):
    s = w.sync()

    yield "parse describe", w.parse("select $1::int + $2::int as sum, $3", "s1", (23, 23, 25)) + w.describe_statement("s1") + s
    yield "bind execute text", w.bind(["1", "2", "x"], "s1") + w.describe_portal() + w.execute() + s
    yield "bind again", w.bind(["40", "2", None], "s1") + w.execute() + s
    yield "null parameter", w.bind([None, "2", "x"], "s1") + w.execute() + s
    yield "wrong parameter count", w.bind(["1"], "s1") + w.execute() + s
    yield "bad text value", w.bind(["1", "two", "x"], "s1") + w.execute() + s
    yield "parse same name again", w.parse("select 1", "s1") + s
    yield "bind to unknown statement", w.bind([], "nope") + w.execute() + s
    yield "execute unknown portal", w.execute("nope") + s
    yield "describe unknown statement", w.describe_statement("nope") + s
    yield "describe unknown portal", w.describe_portal("nope") + s
    yield "close unknown", w.close_statement("nope") + w.close_portal("nope") + s
    yield "close s1", w.close_statement("s1") + s
    yield "bind after close", w.bind(["1", "2", "x"], "s1") + s
    yield "untyped parameters are inferred", w.parse("select $1, $2 || 'x', $3 + 1.5, array[$4, 5], $5::date") + w.describe_statement() + s
    yield "undetermined parameter", w.parse("select $1 is null") + w.describe_statement() + s
    yield "parameter gap", w.parse("select $2::int") + w.describe_statement() + s
    yield "parameter type mismatch", w.parse("select $1 + 1", types=(25,)) + s
    yield "unknown type oid", w.parse("select $1", types=(999999,)) + s
    yield "syntax error with position", w.parse("select 1 frmo x") + w.bind() + w.execute() + s
    yield "two statements in one parse", w.parse("select 1; select 2") + s
    yield "empty statement", w.parse("") + w.describe_statement() + w.bind() + w.describe_portal() + w.execute() + s
    yield "no result columns", w.parse("select") + w.describe_statement() + w.bind() + w.execute() + s
    yield "ddl", w.extended("create table ext (id int primary key, v text)")
    yield "ddl again", w.extended("create table ext (id int primary key, v text)")
    yield "insert returning", w.extended("insert into ext values ($1, $2) returning *", ["1", "one"])
    yield "insert tag", w.extended("insert into ext select g, 'g' || g from generate_series(2, 20) g")
    yield "update tag", w.extended("update ext set v = upper(v) where id < $1", ["4"])
    yield "duplicate key", w.extended("insert into ext values (1, 'x')")
    yield "utility with parameters", w.extended("set work_mem = $1", ["1MB"])
    yield "show", w.extended("show work_mem")
    yield "explain", w.extended("explain (costs off) select * from ext where id = $1", ["5"])

    # Error in the middle of a pipeline: everything up to Sync is skipped.
    yield "pipeline with an error", (
        w.parse("insert into ext values (100, 'a')") + w.bind() + w.execute()
        + w.parse("select 1/0") + w.bind() + w.execute()
        + w.parse("insert into ext values (101, 'b')") + w.bind() + w.execute() + s
    )  # fmt: skip
    yield "nothing of it was kept", w.query("select id from ext where id >= 100;")
    yield "two segments, the first fails", (
        w.parse("select 1/0") + w.bind() + w.execute() + s
        + w.parse("select 'second segment'") + w.bind() + w.execute() + s
    )  # fmt: skip
    yield "three queries, three syncs", (
        w.extended("select 1") + w.extended("select 'two'") + w.extended("select 3.0")
    )
    yield "simple queries in one frame", w.query("select 1") + w.query("select 2/0") + w.query("select 3")
    yield "simple query inside a pipeline", w.parse("select 7") + w.bind() + w.execute() + w.query("select 8") + s
    yield "sync alone", s
    yield "many syncs", s * 5
    yield "flush alone", w.flush()
    yield "parse and flush", w.parse("select 5 as five", "f1") + w.flush()
    yield "bind and flush", w.bind([], "f1", "p1") + w.flush()
    yield "describe and flush", w.describe_portal("p1") + w.flush()
    yield "execute and flush", w.execute("p1") + w.flush()
    yield "sync after all", s
    yield "error without sync", w.parse("nonsense") + w.flush()
    yield "skipped until sync", w.parse("select 1") + w.bind() + w.execute()
    yield "sync recovers", s
    yield "parse without flush or sync", w.parse("select 6", "f2")
    yield "its answer comes with sync", s
    yield "transaction over frames: begin", w.extended("begin")
    yield "transaction: insert", w.extended("insert into ext values (200, 'tx')")
    yield "transaction: failing", w.extended("insert into ext values (200, 'tx')")
    yield "transaction: refused", w.extended("select 1")
    yield "transaction: refused at bind", w.bind([], "f1") + w.execute() + s
    yield "transaction: rollback", w.extended("rollback")
    yield "savepoints in a pipeline", (
        w.extended("begin") + w.extended("savepoint a") + w.extended("select nope")
        + w.extended("rollback to a") + w.extended("select 'fine'") + w.extended("commit")
    )  # fmt: skip
    yield "implicit transaction spans the pipeline", (
        w.parse("insert into ext values (300, 'p')") + w.bind() + w.execute()
        + w.parse("select count(*) from ext where id = 300") + w.bind() + w.execute() + s
    )  # fmt: skip
    yield "begin in a pipeline", w.parse("begin") + w.bind() + w.execute() + w.parse("select 1") + w.bind() + w.execute() + s
    yield "end it", w.query("rollback")
    yield "vacuum in a pipeline", w.parse("select 1") + w.bind() + w.execute() + w.parse("vacuum ext") + w.bind() + w.execute() + s
    yield "named statement survives", w.bind([], "f1") + w.execute() + s
    yield "unnamed statement is replaced", w.parse("select 'a'") + w.parse("select 'b'") + w.bind() + w.execute() + s
    yield "unnamed is dropped by a simple query", w.parse("select 'gone'") + s + w.query("select 1") + w.bind() + w.execute() + s
    yield "prepared over sql", w.query("prepare q as select $1::int * 2") + w.bind(["21"], "q") + w.describe_portal() + w.execute() + s
    yield "execute over sql", w.query("execute f1")
    yield "result type changed", (
        w.parse("select * from ext where id = 1", "star") + s + w.query("alter table ext add column more int default 5")
        + w.bind([], "star") + w.execute() + s
    )  # fmt: skip
    yield "deallocate all", w.query("deallocate all") + w.bind([], "f1") + s
    yield "generic plans", w.parse("select v from ext where id = $1", "g") + s + b"".join(
        w.bind([str(i)], "g") + w.execute() + s for i in range(1, 12)
    )
    yield "long pipeline", b"".join(
        w.parse(f"select {i}, $1::text") + w.bind([f"p{i}"]) + w.execute() for i in range(200)
    ) + s  # fmt: skip
    yield "notice in extended", w.extended("do $$ begin raise notice 'from do'; end $$")
    yield "notify in extended", w.extended("listen ext") + w.extended("notify ext, 'hello'") + w.extended("unlisten *")
    yield "parameter status in extended", w.extended("set timezone = 'Asia/Tokyo'") + w.extended("reset timezone")
    yield "statement with many parameters", w.extended(
        "select " + "+".join(f"${i}::int" for i in range(1, 101)), [str(i) for i in range(100)]
    )
    yield "bad message type in describe", w.message("D", b"Z\0") + s
    yield "bad message type in close", w.message("C", b"Z\0") + s
    yield "invalid utf8 in a parameter", w.extended("select $1::text", [b"\xff\xfe"])
    yield "nul in a parameter", w.extended("select $1::text", [b"a\0b"])
    yield "long text parameter", w.extended("select length($1), md5($1)", ["é" * 300000])
    yield "function call by message", w.function_call(1395, ["-2.5"])
    yield "function call binary", w.function_call(177, [b"\0\0\0\5", b"\0\0\0\7"], (1, 1), 1)
    yield "function call with null", w.function_call(177, [None, "7"])
    yield "function call unknown", w.function_call(99999999, [])
    yield "function call wrong arguments", w.function_call(177, ["1"])
    yield "function call in a failed transaction", w.query("begin; select 1/0") + w.function_call(177, ["1", "2"]) + w.query("rollback")
    yield "terminate is ignored", w.terminate()
    yield "the session goes on", w.query("select 'on'")
