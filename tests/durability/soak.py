"""A mixed load for MINUTES: memory and disk must be flat at the end.

    soak.py MINUTES PROGRAM DIRECTORY

Two sessions get the same load: one on a new data directory below DIRECTORY (durability full), one on
memory://. What the load keeps is bounded, so whatever goes on growing is a leak or a lack of
house-keeping. Every few seconds the resident memory of the process, PostgreSQL's memory contexts, the
size of the data directory without WAL, and the WAL are noted, and judged at the end (soaking.py). Exit
code 1 if one grows.
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from soaking import Figure, judge, status_line  # noqa: E402

# Grain: a WAL segment is 16.8 MB, an index page split here or there.
FIGURES = {"rss": Figure(4), "contexts": Figure(1), "data": Figure(4), "wal": Figure(34)}
# Short, so that there are many rounds of house-keeping to compare. (For what has no setting, the
# catalogue caches and the plans of foreign keys, there are wide() and foreign_keys(), which fill them
# every few minutes.)
SETTINGS = "-c max_wal_size=128MB -c min_wal_size=64MB -c checkpoint_timeout=60s -c autovacuum_naptime=10s"

SETUP = """
create table account (id int primary key, amount int not null, note text);
insert into account select g, 1000, repeat('n', 50) from generate_series(1, 2000) g;
create table event (id bigserial primary key, at timestamptz default now(), kind int, body text);
create index on event (kind, at);
create table document (id int primary key, body text, words tsvector);
create index on document using gin (words);
create table copied (a int, b text);
create table object (n int primary key, lo oid);
"""


class Load:
    def __init__(self, w, port, seed: int):
        self.w, self.port, self.chance, self.n = w, port, random.Random(seed), 0
        port.query(SETUP).ok()
        port.exchange(w.parse("update account set amount = amount + $1 where id = $2", "up") + w.sync())
        self.kinds = [self.inserts, self.updates, self.prepared, self.aborted, self.temporary, self.large_object,
                      self.copy, self.errors, self.ddl, self.documents, self.savepoints, self.plpgsql, self.wide,
                      self.foreign_keys]  # fmt: skip

    def step(self) -> None:
        self.n += 1
        self.chance.choice(self.kinds)()

    def run(self, sql: str) -> None:
        self.port.query(sql, timeout=300).ok()

    def inserts(self):
        self.run("insert into event (kind, body) select g % 7, repeat(md5(g::text), 4) from generate_series(1, 200) g")
        self.run("delete from event where id < (select max(id) - 5000 from event)")

    def updates(self):
        low = self.chance.randrange(1900)
        self.run(f"update account set amount = amount + 1, note = md5(random()::text) where id between {low} and {low + 50}")

    def prepared(self):
        w = self.w
        one = w.bind(("1", str(self.chance.randrange(1, 2000))), "up") + w.execute()
        w.Result(self.port.exchange(one * 20 + w.sync(), timeout=300)).ok()

    def aborted(self):
        self.run("begin; delete from account where id < 500; insert into copied select g, 'x' from generate_series(1, 500) g")
        self.run("rollback")

    def temporary(self):
        self.run("create temp table scratch (a int, b text); insert into scratch select g, md5(g::text) from generate_series(1, 1000) g")
        self.run("create index on scratch (b); select count(*) from scratch where b > 'a'; drop table scratch")

    def large_object(self):
        slot = self.n % 20
        self.run(f"select lo_unlink(lo) from object where n = {slot}")
        self.run(f"insert into object values ({slot}, lo_from_bytea(0, decode(repeat('ab', 20000), 'hex')))"
                 " on conflict (n) do update set lo = excluded.lo")  # fmt: skip

    def copy(self):
        w = self.w
        self.port.exchange(w.query("copy copied from stdin"))
        rows = "".join(f"{i}\tvalue {i}\n" for i in range(500))
        self.port.exchange(w.copy_data(rows))
        w.Result(self.port.exchange(w.copy_done(), timeout=300)).ok()
        self.run("copy (select * from copied) to stdout")
        self.run("delete from copied")

    def errors(self):
        for sql in ("select 1/0", "select nonsense", "insert into account values (1, 1)", "selec"):
            assert self.port.query(sql).sqlstate
        w = self.w
        assert w.Result(self.port.exchange(w.parse("select $1::int") + w.bind(("x",)) + w.sync())).sqlstate

    def ddl(self):
        slot = self.n % 5
        self.run(f"drop table if exists made_{slot} cascade; create table made_{slot} (a int primary key, b text)")
        self.run(f"insert into made_{slot} select g, g::text from generate_series(1, 300) g; create index on made_{slot} (b)")
        self.run(f"alter table made_{slot} add column c int default 3; create view seen_{slot} as select * from made_{slot}")

    def documents(self):
        slot = self.n % 300
        text = " ".join(f"word{self.chance.randrange(500)}" for _ in range(100))
        self.run(f"insert into document values ({slot}, '{text}', to_tsvector('simple', '{text}'))"
                 " on conflict (id) do update set body = excluded.body, words = excluded.words")  # fmt: skip
        self.run("select count(*) from document where words @@ to_tsquery('simple', 'word7')")

    def savepoints(self):
        self.run("begin")
        for i in range(5):
            self.run(f"savepoint s; update account set amount = amount - 1 where id = {i + 1}")
            self.run("rollback to s" if i % 2 else "release s")
        self.run("commit")

    def plpgsql(self):
        self.run("do $$ begin for i in 1..200 loop begin if i % 50 = 0 then raise division_by_zero; end if;"
                 " update account set amount = amount + i where id = i;"
                 " exception when division_by_zero then null; end; end loop; end $$")  # fmt: skip

    def wide(self):
        columns = [f"c{i}" for i in range(40)]
        self.run(f"create temp table wide ({', '.join(f'{c} int' for c in columns)})")
        # Each leaves an entry that outlives the table: the column has no statistics.
        self.run(f"select from wide where {' and '.join(f'{c} = 1' for c in columns)}; drop table wide")

    def foreign_keys(self):
        self.run("create table parent (a int primary key); create table child (a int references parent)")
        self.run("insert into parent values (1); insert into child values (1); drop table child, parent")

    def sample(self) -> dict[str, int]:
        wal = int(self.port.value("select sum(size) from pg_ls_waldir()"))
        contexts = int(self.port.value("select sum(total_bytes) from pg_backend_memory_contexts"))
        data = int(self.port.value("select sum(pg_database_size(oid)) from pg_database"))
        return {"rss": self.port.rss(), "contexts": contexts, "data": data, "wal": wal}


def main() -> int:
    minutes, program, directory = float(sys.argv[1]), sys.argv[2], sys.argv[3]
    os.environ["PGLITE_PORT"] = program
    import pgwire as w

    failed = []
    with tempfile.TemporaryDirectory(prefix="soak-", dir=directory) as work:
        places = {
            "directory": w.PortProcess("-D", f"{work}/data", "--durability", "full", "-o", SETTINGS),
            "memory": w.PortProcess("-o", SETTINGS),
        }
        loads = {name: Load(w, port, seed=7) for name, port in places.items()}
        samples = {name: [] for name in loads}
        began = time.monotonic()
        next_sample = next_line = began
        while (now := time.monotonic()) < began + 60 * minutes:
            for name, load in loads.items():
                try:
                    for _ in range(20):
                        load.step()
                except Exception:
                    print(f"{name}, step {load.n}: the port says\n{load.port.stderr()}")
                    raise
            if loads["memory"].chance.random() < 0.1:
                time.sleep(1)
            if now < next_sample:
                continue
            next_sample = now + 2
            for name, load in loads.items():
                samples[name].append(load.sample())
            if now >= next_line:
                next_line = now + 60
                print(f"{now - began:6.0f} s", *(
                    f"{name}: {load.n} steps, " + status_line(samples[name][-1], FIGURES)
                    for name, load in loads.items()), sep="  ", flush=True)  # fmt: skip
        for name, taken in samples.items():
            failed += judge(name, taken, FIGURES)
        vacuums = "select sum(autovacuum_count), sum(autoanalyze_count) from pg_stat_all_tables"
        for name, port in places.items():
            count = port.query(vacuums).ok().rows[0]
            print(f"{name}: {loads[name].n} steps; autovacuum {count[0]}, autoanalyze {count[1]}, exit {port.finish(timeout=300)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
