"""Portals with row limits, several portals at once, cursors shared with SQL, holdability."""


def requests(w):
    s = w.sync()
    series = "select g from generate_series(1, 10) g"

    yield "limit in one pipeline", w.parse(series) + w.bind() + w.execute(limit=3) + w.execute(limit=3) + w.execute(limit=10) + w.execute() + s
    yield "sync closes the portal", w.parse(series) + w.bind([], "", "p") + w.execute("p", 2) + s + w.execute("p", 2) + s
    yield "begin", w.query("begin")
    yield "limit over frames: first", w.parse(series, "st") + w.bind([], "st", "p") + w.describe_portal("p") + w.execute("p", 4) + s
    yield "limit over frames: second", w.execute("p", 4) + s
    yield "limit over frames: the rest", w.execute("p", 4) + s
    yield "limit over frames: after the end", w.execute("p", 4) + s
    yield "two portals interleaved", (
        w.bind([], "st", "a") + w.bind([], "st", "b")
        + w.execute("a", 1) + w.execute("b", 2) + w.execute("a", 2) + w.execute("b", 1) + s
    )  # fmt: skip
    yield "portal name in use", w.bind([], "st", "a") + s
    yield "rollback", w.query("rollback")
    yield "portals are gone", w.execute("a", 1) + s
    yield "exact limit", w.query("begin") + w.parse("values (1), (2)") + w.bind([], "", "x") + w.execute("x", 2) + w.execute("x", 2) + s + w.query("commit")
    yield "limit on insert returning", w.query("create table pt (id int)") + w.parse(
        "insert into pt select g from generate_series(1, 5) g returning id"
    ) + w.bind() + w.execute(limit=2) + w.execute(limit=2) + w.execute(limit=2) + s  # fmt: skip
    yield "all rows went in", w.query("select count(*) from pt")
    yield "fetch from a protocol portal", w.query("begin") + w.parse(series) + w.bind([], "", "viasql") + w.execute("viasql", 2) + s + w.query('fetch 2 from viasql') + w.execute("viasql", 1) + s + w.query("commit")
    yield "execute a sql cursor", w.query("begin; declare c cursor for select g from generate_series(1, 5) g") + w.describe_portal("c") + w.execute("c", 2) + s + w.query("fetch 1 c; commit")
    yield "close portal", w.query("begin") + w.bind([], "st", "cl") + w.execute("cl", 1) + w.close_portal("cl") + w.execute("cl", 1) + s + w.query("rollback")
    yield "statement closed under a portal", w.query("begin") + w.parse(series, "tmp") + w.bind([], "tmp", "q") + w.execute("q", 1) + w.close_statement("tmp") + w.execute("q", 1) + s + w.query("rollback")
    yield "error in a suspended portal", w.query("begin") + w.parse("select 1 / (3 - g) from generate_series(1, 5) g") + w.bind([], "", "e") + w.execute("e", 2) + w.execute("e", 2) + s + w.query("rollback")
    yield "savepoint kills a portal", w.query("begin; savepoint a") + w.bind([], "st", "sp") + w.execute("sp", 1) + s + w.query("rollback to a") + w.execute("sp", 1) + s + w.query("rollback")
    yield "binary portal", w.query("begin") + w.parse("select g, g::text, g::float8 from generate_series(1, 3) g") + w.bind([], "", "bin", results=(w.BINARY,)) + w.execute("bin", 2) + w.execute("bin", 2) + s + w.query("commit")
    yield "utility in a portal", w.parse("show datestyle") + w.bind([], "", "u") + w.execute("u", 1) + w.execute("u", 1) + s
    yield "explain in a portal", w.parse("explain (costs off) select 1 union all select 2") + w.bind() + w.execute(limit=1) + w.execute() + s
    yield "cte with side effects", w.parse("with i as (insert into pt values (77) returning id) select id from i") + w.bind() + w.execute(limit=1) + w.execute() + s
    yield "negative limit means all", w.parse(series) + w.bind() + w.execute(limit=-1) + s
    yield "large result in parts", w.query("begin") + w.parse("select g, repeat('x', 100) from generate_series(1, 5000) g") + w.bind([], "", "big") + b"".join(w.execute("big", 999) for _ in range(6)) + s + w.query("commit")
    yield "portal and ddl", w.query("begin") + w.parse("select * from pt order by id") + w.bind([], "", "d") + w.execute("d", 1) + s + w.query("drop table pt") + w.query("rollback")
