"""PL/pgSQL loops; JSON, full-text search, sorting and hashing beyond work_mem."""

from __future__ import annotations

from workload import Workload

# A number from 0 to m - 1 that looks random, the same on every engine.
HASH = "(({0}::bigint * 2654435761 + 12345) % 4294967291 % {1})::int"


def spread(what: str, limit: int) -> str:
    return HASH.format(what, limit)


def plpgsql(scale: float) -> Workload:
    def n(full: int) -> int:
        return max(int(full * scale), 5)

    workload = Workload("plpgsql")

    def function(name: str, declare: str, body: str, returns: str = "bigint") -> str:
        return (f"CREATE FUNCTION {name}(n int) RETURNS {returns} LANGUAGE plpgsql AS "
                f"$$ DECLARE {declare} BEGIN {body} END $$")

    workload.statements("functions", [
        "CREATE TABLE item (id int PRIMARY KEY, amount int, name text)",
        f"INSERT INTO item SELECT i, {spread('i', 1000)}, 'item ' || i "
        f"FROM generate_series(1, {n(100_000)}) i",
        "VACUUM ANALYZE item",
        function("integers", "s int := 0;",
                 "FOR i IN 1..n LOOP s := (s + i) % 1000003; END LOOP; RETURN s;"),
        function("bigints", "s bigint := 0;",
                 "FOR i IN 1..n LOOP s := (s * 31 + i) % 1000000007; END LOOP; RETURN s;"),
        function("numerics", "s numeric := 0;",
                 "FOR i IN 1..n LOOP s := s + i * 1.5; END LOOP; RETURN s;", "numeric"),
        function("branches", "a int := 0; b int := 0;",
                 "FOR i IN 1..n LOOP IF i % 3 = 0 THEN a := a + 1; ELSIF i % 5 = 0 THEN b := b + 1; "
                 "ELSE CONTINUE; END IF; END LOOP; RETURN a * 1000000::bigint + b;"),
        function("strings", "s text := '';",
                 "FOR i IN 1..n LOOP s := right(s || chr(97 + i % 26), 100); END LOOP; RETURN md5(s);",
                 "text"),
        function("arrays", "a int[] := array_fill(0, ARRAY[100]); s bigint := 0;",
                 "FOR i IN 1..n LOOP a[1 + i % 100] := a[1 + i % 100] + i % 7; END LOOP; "
                 "FOREACH n IN ARRAY a LOOP s := s + n; END LOOP; RETURN s;"),
        "CREATE FUNCTION fib(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF n < 2 THEN RETURN n; "
        "END IF; RETURN fib(n - 1) + fib(n - 2); END $$",
        function("cursor_loop", "r record; s bigint := 0;",
                 "FOR r IN SELECT id, amount FROM item WHERE id <= n ORDER BY id LOOP "
                 "s := s + r.amount * (r.id % 10); END LOOP; RETURN s;"),
        function("queries", "v int; s bigint := 0;",
                 "FOR i IN 1..n LOOP SELECT amount INTO v FROM item WHERE id = i; s := s + v; "
                 "END LOOP; RETURN s;"),
        function("exceptions", "s bigint := 0;",
                 "FOR i IN 1..n LOOP BEGIN s := s + 1 / (i % 2); EXCEPTION WHEN division_by_zero THEN "
                 "s := s + 2; END; END LOOP; RETURN s;"),
        function("row_updates", "",
                 "FOR i IN 1..n LOOP UPDATE item SET amount = amount + 1 WHERE id = i; END LOOP; "
                 "RETURN (SELECT sum(amount) FROM item);"),
    ], timed=False)
    names = {"integers": 2_000_000, "bigints": 1_000_000, "numerics": 500_000, "branches": 1_000_000,
             "strings": 500_000, "arrays": 500_000, "fib": 0, "cursor_loop": 100_000,
             "queries": 50_000, "row_updates": 20_000, "exceptions": 50_000}
    fib = 22 if scale >= 1 else 10
    for name, full in names.items():
        count = fib if name == "fib" else n(full)
        # Once, so that everything is compiled.
        workload.statements(f"first call, {name}", [f"SELECT {name}(2)"], timed=False)
        label = f"fib({fib})" if name == "fib" else f"{name.replace('_', ' ')}, {count:,}"
        workload.statements(label, [f"SELECT {name}({count})"])
    return workload


def mixed(scale: float) -> Workload:
    def n(full: int) -> int:
        return max(int(full * scale), 200)

    workload = Workload("mixed")
    word = "(array['lorem','ipsum','dolor','amet','running','houses','quickly','database','storage'," \
           "'engine','wonderful','testing','connected','queries','planner','vacuum'])[1 + {}]"
    sentence = " || ' ' || ".join(word.format(spread(f"(i * 31 + {k})", 16)) for k in range(12))
    documents, texts, big = n(50_000), n(20_000), n(500_000)
    workload.statements("tables", [
        "CREATE TABLE doc (id int PRIMARY KEY, body jsonb)",
        "CREATE TABLE article (id int PRIMARY KEY, body text)",
        f"INSERT INTO article SELECT i, {sentence} || ' number' || {spread('i', 500)} "
        f"FROM generate_series(1, {texts}) i",
        f"CREATE TABLE big AS SELECT i AS id, {spread('i', 1_000_000)} AS k, "
        f"md5(i::text) AS t FROM generate_series(1, {big}) i",
        "ANALYZE"], timed=False)

    def item(name: str, *statements: str) -> None:
        workload.statements(name, list(statements))

    item("JSON: build and store",
         "INSERT INTO doc SELECT i, jsonb_build_object('id', i, 'tags', jsonb_build_array("
         f"{spread('i', 50)}, {spread('(i + 7)', 50)}), 'name', 'n' || {spread('i', 1000)}, 'nested', "
         f"jsonb_build_object('a', i % 10, 'b', 'text ' || i)) FROM generate_series(1, {documents}) i")
    item("JSON: extract and group",
         "SELECT body->'nested'->>'a' AS a, count(*), sum((body->>'id')::bigint) FROM doc GROUP BY a "
         "ORDER BY a", "SELECT count(*) FROM doc, jsonb_array_elements(body->'tags') e WHERE e = '7'",
         "SELECT count(*) FROM doc WHERE jsonb_path_exists(body, '$.nested.a ? (@ > 7)')")
    item("JSON: parse and print", "SELECT sum(length((body::text)::jsonb::text)) FROM doc")
    item("JSON: aggregate", "SELECT md5(jsonb_agg(body ORDER BY id)::text) FROM doc")
    item("JSON: GIN index", "CREATE INDEX doc_body ON doc USING gin (body jsonb_path_ops)")
    item("JSON: containment by index",
         *(f"SELECT count(*), sum(id) FROM doc WHERE body @> '{{\"name\": \"n{i}\"}}'"
           for i in range(100)))
    item("text search: vectors", "ALTER TABLE article ADD v tsvector",
         "UPDATE article SET v = to_tsvector('english', body)")
    item("text search: GIN index", "CREATE INDEX article_v ON article USING gin (v)", "ANALYZE article")
    item("text search: by index",
         *(f"SELECT count(*), min(id) FROM article WHERE v @@ to_tsquery('english', 'run & number{i}')"
           for i in range(100)))
    item("text search: rank",
         "SELECT id, round(ts_rank(v, q)::numeric, 3) AS r FROM article, "
         "to_tsquery('english', 'database & (engine | planner) & !vacuum') q WHERE v @@ q "
         "ORDER BY r DESC, id LIMIT 50")
    item("regular expressions", "SELECT count(*) FROM article WHERE body ~ 'q[a-z]+ly .*number(1|2)[0-9]'")
    item("sort beyond work_mem: integers", "SELECT id FROM big ORDER BY k, id OFFSET "
         f"{big - 10}")
    item("sort beyond work_mem: text", f"SELECT id FROM big ORDER BY t OFFSET {big - 10}")
    item("hash aggregate beyond work_mem",
         "SELECT count(*), sum(c) FROM (SELECT k, count(*) AS c FROM big GROUP BY k) g")
    item("hash join beyond work_mem",
         "SELECT count(*), sum(a.k::bigint) FROM big a JOIN big b ON a.t = b.t WHERE b.k % 2 = 0")
    item("distinct beyond work_mem", "SELECT count(DISTINCT t) FROM big")
    item("window functions",
         "SELECT sum(r) FROM (SELECT rank() OVER (PARTITION BY k % 1000 ORDER BY t) AS r FROM big "
         f"WHERE id <= {big // 2}) w")
    item("recursive query", f"WITH RECURSIVE r(i, s) AS (SELECT 1, 1::bigint UNION ALL SELECT i + 1, "
         f"(s * 31 + i) % 1000003 FROM r WHERE i < {n(200_000)}) SELECT sum(s) FROM r")
    return workload
