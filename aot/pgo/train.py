#!/usr/bin/env python3
"""The workload that the compiler's profile is made from: `make pgo`.

usage: train.py PROGRAM

A small shop and what an application, a report and an administrator do with it, through the port in
both protocols, on a directory and in memory, then the conformance corpus once. It is broad on
purpose and shares no schema, no statement and no generator with bench/: a profile that has seen the
benchmark would flatter it. Everything is seeded, so that two runs train the same paths.
"""

from __future__ import annotations

import pathlib
import random
import struct
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "integration"))
sys.path.insert(0, str(REPOSITORY / "tests" / "conformance"))

import corpus  # noqa: E402
import pgwire  # noqa: E402

WORDS = ("amber basil cedar dune ember fjord grove heath inlet jetty knoll lagoon mesa north ochre "
         "pine quarry ridge shoal tundra umber vale willow xeric yarrow zephyr").split()


class Client:
    """One port process; an error in an answer is fine, the end of the process is not."""

    def __init__(self, program: str, *arguments: str):
        self._process = subprocess.Popen([program, "--framing", "packet4", *arguments],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def exchange(self, request: bytes) -> bytes:
        self._process.stdin.write(struct.pack("!I", len(request)) + request)
        self._process.stdin.flush()
        head = self._process.stdout.read(4)
        if len(head) < 4:
            sys.exit(f"train.py: the program ended with {self._process.wait()}")
        return self._process.stdout.read(struct.unpack("!I", head)[0])

    def sql(self, text: str) -> bytes:
        return self.exchange(pgwire.query(text))

    def each(self, text: str) -> None:
        """One simple Query a statement."""
        for statement in corpus.statements(text):
            self.sql(statement)

    def prepare(self, name: str, text: str) -> None:
        self.exchange(pgwire.parse(text, name) + pgwire.describe_statement(name) + pgwire.sync())

    def execute(self, name: str, *parameters: object) -> bytes:
        texts = [None if p is None else str(p) for p in parameters]
        return self.exchange(pgwire.bind(texts, name) + pgwire.execute() + pgwire.sync())

    def one_shot(self, text: str, *parameters: object) -> bytes:
        """As drivers do it without a prepared statement: Parse, Bind, Describe, Execute, Sync."""
        texts = [None if p is None else str(p) for p in parameters]
        return self.exchange(pgwire.parse(text) + pgwire.bind(texts) + pgwire.describe_portal() +
                             pgwire.execute() + pgwire.sync())

    def close(self) -> None:
        self._process.stdin.close()
        if self._process.wait(timeout=600) != 0:
            sys.exit("train.py: the program did not end well")


SCHEMA = """
create type status as enum ('new', 'paid', 'sent', 'returned');
create domain money_amount as numeric(12, 2) check (value >= 0);
create table customers (
  id bigint generated always as identity primary key, name text not null, email text unique,
  born date, joined timestamptz not null default now(), tags text[] not null default '{}',
  profile jsonb not null default '{}', score double precision, active boolean default true);
create table products (
  sku varchar(20) primary key, title text not null, price money_amount not null,
  weight real, stock integer not null default 0, attributes jsonb, description text,
  search tsvector generated always as (to_tsvector('english', coalesce(description, ''))) stored);
create table orders (
  id bigserial primary key, customer_id bigint references customers on delete cascade,
  placed timestamp not null, state status not null default 'new', total money_amount, note text);
create table lines (
  order_id bigint references orders on delete cascade, position smallint,
  sku varchar(20) references products, quantity integer check (quantity > 0), price numeric(10, 2),
  primary key (order_id, position));
create table events (
  id bigint, at timestamptz not null, kind text, source inet, payload jsonb, took interval)
  partition by range (at);
create table events_1 partition of events for values from ('2024-01-01') to ('2024-07-01');
create table events_2 partition of events for values from ('2024-07-01') to ('2025-01-01');
create table audit (id bigserial, at timestamptz default now(), what text, old jsonb, new jsonb);
create index orders_customer on orders (customer_id, placed desc);
create index orders_open on orders (placed) where state in ('new', 'paid');
create index customers_name on customers (lower(name) text_pattern_ops);
create index products_search on products using gin (search);
create index products_attributes on products using gin (attributes jsonb_path_ops);
create index customers_tags on customers using gin (tags);
create index events_at on events using brin (at);
create index lines_sku on lines using hash (sku);
create function touch() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and old.state is distinct from new.state then
    insert into audit (what, old, new) values (tg_table_name, to_jsonb(old), to_jsonb(new));
  end if;
  return new;
end $$;
create trigger orders_touch before insert or update on orders for each row execute function touch();
create view open_orders as select o.*, c.name from orders o join customers c on c.id = o.customer_id
  where o.state in ('new', 'paid');
create function order_total(bigint) returns numeric language sql stable as
  'select coalesce(sum(quantity * price), 0) from lines where order_id = $1';
"""

PLPGSQL = """
create function collatz(n bigint) returns int language plpgsql as $$
declare steps int := 0; begin
  while n <> 1 loop
    if n % 2 = 0 then n := n / 2; else n := 3 * n + 1; end if; steps := steps + 1;
  end loop; return steps; end $$;
create function sieve(top int) returns int language plpgsql as $$
declare composite bool[] := array_fill(false, array[top]); found int := 0; i int; k int; begin
  for i in 2 .. top loop
    if not composite[i] then
      found := found + 1; k := i * i;
      while k <= top loop composite[k] := true; k := k + i; end loop;
    end if;
  end loop; return found; end $$;
create function tolerant(values_ text[]) returns int language plpgsql as $$
declare good int := 0; v text; begin
  foreach v in array values_ loop
    begin
      good := good + v::int;
    exception when invalid_text_representation then good := good - 1; end;
  end loop; return good; end $$;
create function restock(lowest int) returns setof text language plpgsql as $$
declare r record; changed int; begin
  for r in select sku, stock from products where stock < lowest order by sku loop
    update products set stock = stock + 10 + length(r.sku) where sku = r.sku;
    get diagnostics changed = row_count;
    if changed > 0 then return next r.sku || ':' || (r.stock + 10)::text; end if;
  end loop;
  execute format('select count(*) from %I where stock < $1', 'products') into changed using lowest;
  raise notice 'left: %', changed;
end $$;
create function digits(rounds int) returns bigint language plpgsql as $$
declare a bigint := 1; b bigint := 1; t bigint; x double precision := 0; n numeric := 1; begin
  for i in 1 .. rounds loop
    t := (a + b * 31) % 1000000007; a := b; b := t; x := x + a / (i + 1.5); n := n * 1.0001 + i;
    if b > 500000000 then b := b - i; elsif b < 1000 then b := b + i; end if;
    t := case i % 3 when 0 then a when 1 then b else t end;
  end loop; return a + b; end $$;
create function fill(rounds int) returns int language plpgsql as $$
declare r record; s int := 0; begin
  for i in 1 .. rounds loop select id, score into r from customers where id = i; s := s + length(r.id::text); end loop;
  for r in select order_id, quantity from lines order by order_id loop s := s + r.quantity; end loop;
  return s; end $$;
create function reverse_words(t text) returns text language plpgsql immutable as $$
declare out text := ''; w text; begin
  foreach w in array string_to_array(t, ' ') loop out := w || ' ' || out; end loop;
  return rtrim(out); end $$;
create procedure archive(before timestamp) language plpgsql as $$
begin
  delete from orders where placed < before and state = 'returned';
  commit;
  update orders set note = coalesce(note, '') || ' archived' where placed < before;
end $$;
select sum(collatz(g)) from generate_series(1, 900) g;
select sieve(30000);
select digits(60000);
select fill(1400);
select tolerant(array_agg(case when g % 3 = 0 then 'x' || g else g::text end)) from generate_series(1, 900) g;
select count(*) from restock(40);
select count(reverse_words(description)) from products where description is not null;
call archive('2024-02-01');
do $$ declare c cursor for select id, total from orders order by id; r record; s numeric := 0; begin
  open c; loop fetch c into r; exit when not found; s := s + coalesce(r.total, 0); end loop; close c;
  perform set_config('shop.sum', s::text, false); end $$;
"""

REPORTS = """
select state, count(*), sum(total), avg(total)::numeric(10, 2), min(placed), max(placed) from orders group by state order by state;
select c.id, c.name, count(o.id), sum(o.total) from customers c left join orders o on o.customer_id = c.id group by c.id order by 4 desc nulls last limit 20;
select date_trunc('month', placed) m, count(*), count(distinct customer_id) from orders group by m order by m;
select p.sku, sum(l.quantity) q, rank() over (order by sum(l.quantity) desc) from products p join lines l using (sku) group by p.sku order by q desc, p.sku limit 15;
select customer_id, placed, total, sum(total) over w, lag(total) over w, row_number() over w from orders window w as (partition by customer_id order by placed, id) order by customer_id, placed, id limit 500;
select * from open_orders where name like 'a%' order by placed desc limit 10;
select o.id from orders o where exists (select 1 from lines l where l.order_id = o.id and l.quantity > 7) and not exists (select 1 from lines l where l.order_id = o.id and l.price < 5) order by 1 limit 100;
select sku, price, (select avg(price) from products) - price from products where price > (select avg(price) from products) order by 2 desc, 1;
with recursive t(n, path) as (select 1, '1' union all select n + 1, path || ',' || (n + 1) from t where n < 400) select max(length(path)) from t;
with top as materialized (select customer_id, sum(total) s from orders group by 1 order by 2 desc limit 50) select c.email, s from top join customers c on c.id = top.customer_id order by s desc, 1;
select grouping(state, d), state, d, count(*) from (select state, extract(dow from placed) d from orders) s group by grouping sets ((state, d), (state), ()) order by 1, 2, 3;
select kind, count(*), percentile_cont(0.9) within group (order by extract(epoch from took)), max(took) from events group by kind order by kind;
select payload ->> 'page', count(*) from events where payload @> '{"ok": true}' group by 1 order by 2 desc, 1 limit 5;
select jsonb_object_agg(kind, n) from (select kind, count(*) n from events group by kind) s;
select e.id, x.key, x.value from events e, jsonb_each_text(e.payload) x where e.id < 300 order by 1, 2;
select jsonb_path_query_array(payload, '$.items[*] ? (@ > 3)') from events where id < 400 order by id;
select id, json_build_object('name', name, 'tags', tags, 'profile', profile)::text from customers order by id limit 300;
select sku, ts_rank(search, q) from products, to_tsquery('english', 'cedar & (dune | ember)') q where search @@ q order by 2 desc, 1 limit 10;
select tag, count(*) from customers, unnest(tags) tag group by tag having count(*) > 3 order by 2 desc, 1;
select count(*) from customers where tags @> array['amber'] or tags && array['dune', 'vale'];
select name, regexp_replace(email, '^(\\w+)\\.(\\w+)@.*$', '\\2 \\1'), upper(substr(name, 1, 3)), md5(name), initcap(name) from customers where email ~ '^[a-m].*[0-9]@' order by id limit 400;
select a.id, b.id from customers a join customers b on a.born = b.born and a.id < b.id order by 1, 2 limit 200;
select count(*), sum(a.quantity * b.quantity) from lines a join lines b on a.order_id = b.order_id and a.position < b.position;
select distinct on (customer_id) customer_id, id, placed from orders order by customer_id, placed desc, id;
select kind from events_1 union select name from customers where id < 50 except select 'click' order by 1;
select string_agg(title, ', ' order by title) from products where stock between 5 and 50;
select age(max(placed), min(placed)), max(placed) - interval '3 days 4 hours', to_char(max(placed), 'YYYY-MM-DD HH24:MI:SS Day') from orders;
select g, g::numeric / 7, sqrt(g), power(g, 1.5), round(ln(g)::numeric, 5), g % 13, g::text || 'x', to_hex(g) from generate_series(1, 3000) g;
select sum(v), stddev(v), corr(v, w), bit_or(v::int) from (select (g * 37 % 1009)::float8 v, (g * 91 % 503)::float8 w from generate_series(1, 40000) g) s;
select count(*) from generate_series(timestamp '2024-01-01', '2024-12-31', '1 hour') t where extract(isodow from t) < 6;
select sum(length(repeat('ab', g % 50))), count(distinct g % 977), max(lpad(g::text, 12, '0')) from generate_series(1, 30000) g;
select a % 100 k, count(*), sum(a::numeric * 1.07) from generate_series(1, 30000) a group by k order by sum(a) desc limit 5;
select * from (select g, md5(g::text) h from generate_series(1, 15000) g) s order by h limit 30;
select h.k, count(*) from (select g % 5000 k from generate_series(1, 40000) g) h join (select g k from generate_series(1, 6000) g) i using (k) group by 1 order by 2 desc, 1 limit 5;
select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relkind = 'r' and a.attnum > 0 order by 1, a.attnum;
select table_name, column_name, data_type from information_schema.columns where table_schema = 'public' order by 1, ordinal_position;
explain (costs off) select * from orders o join lines l on l.order_id = o.id where o.customer_id = 7;
explain analyze select count(*) from lines where sku like 'SKU-1%';
"""

LEDGER = """
create table accounts (id int primary key, holder char(24), branch char(12), opened date, credit numeric(14, 2));
create table entries (
  account int, entry int, day date, due date, settled date, kind char(1), flag char(1), amount numeric(12, 2),
  fee numeric(6, 4), units numeric(10, 2), memo varchar(60), place char(14), big bigint, ratio double precision,
  primary key (account, entry));
insert into accounts select g, 'Holder ' || g, 'Branch ' || g % 40, date '2001-01-01' + g % 3000, (g * 37 % 90000) / 7.0
  from generate_series(1, 6000) g;
insert into entries select g / 12 + 1, g, date '2010-01-01' + g % 2500, date '2010-01-10' + g % 2500, date '2010-01-05' +
  g * 7 % 2500, substr('ARNX', g % 4 + 1, 1), substr('OF', g % 2 + 1, 1), (g * 7919 % 1000003) / 100.0, (g % 11) / 100.0,
  g % 50 + 1, case when g % 9 = 0 then 'urgent ' else '' end || md5(g::text), 'Place ' || g % 25, g::bigint * 1000003, g * 0.01
  from generate_series(1, 70000) g;
analyze accounts;
analyze entries;
select place, kind, sum(amount) filter (where flag = 'O') opened, sum(amount * fee) fees, avg(amount - units), variance(amount)::numeric(30, 4), max(settled - day) from entries group by rollup (place, kind) order by 1, 2;
select account, day, sum(amount) over (partition by account order by day, entry) balance, amount - lag(amount, 1, 0.0) over (partition by account order by day, entry) change from entries order by balance desc, account, day limit 40;
select width_bucket(amount, 0, 10000, 20) b, count(*), min(memo), max(place), sum(ratio), avg(big), stddev(ratio) from entries where day > date '2011-05-01' group by b order by b;
select to_char(day, 'YYYY-MM') m, branch, count(*), sum(round(amount / nullif(units, 0), 3)) from entries join accounts on id = account where credit < 8000 group by 1, 2 order by 1, 2;
select a.branch, count(*) filter (where e.memo ~ '^[a-d]'), sum(length(trim(e.place))), bool_or(e.due < e.settled), count(distinct e.place) from accounts a join entries e on e.account = a.id and e.day > a.opened + 3000 group by a.branch having count(*) > 100 order by 2 desc, 1;
select holder, t.entry, t.amount from accounts a cross join lateral (select entry, amount from entries e where e.account = a.id order by amount desc limit 2) t where a.id % 3 = 0 order by t.amount desc, 2 limit 60;
select e.account, f.entry - e.entry from entries e join entries f on f.account = e.account and f.day = e.day + 1 where e.units + f.units > 60 order by 1, 2 limit 100;
select count(*) from accounts where credit > all (select avg(amount) from entries group by kind) or id in (select account from entries where flag = 'F' and units = 7);
"""

ERRORS = ("select 1/0", "select * from nowhere", "insert into products (sku) values (null)",
          "select 'x'::int", "insert into lines values (1, 1, 'none', 1, 1)", "selec 1",
          "update orders set state = 'lost'", "select sku from products group by title",
          "insert into customers (name, email) select 'dup', email from customers limit 1")


def names(random_: random.Random, count: int) -> str:
    return " ".join(random_.choice(WORDS) for _ in range(count))


def copy_in(client: Client, statement: str, rows: list[str]) -> None:
    client.sql(statement)
    data = "".join(rows).encode()
    for at in range(0, len(data), 50_000):
        client.exchange(pgwire.copy_data(data[at:at + 50_000]))
    client.exchange(pgwire.copy_done())


def fill(client: Client, random_: random.Random) -> None:
    client.each(SCHEMA)
    client.prepare("product", "insert into products (sku, title, price, weight, stock, attributes, "
                   "description) values ($1, $2, $3, $4, $5, $6, $7)")
    client.sql("begin")
    for i in range(600):
        client.execute("product", f"SKU-{i:05}", names(random_, 2), f"{random_.random() * 90:.2f}",
                       random_.random() * 10, random_.randrange(100),
                       f'{{"color": "{random_.choice(WORDS)}", "size": {i % 9}}}', names(random_, 30))
    client.sql("commit")
    for i in range(1500):
        tags = ",".join(random_.sample(WORDS, 3))
        client.sql(f"insert into customers (name, email, born, tags, profile, score) values "
                   f"('{names(random_, 2)}', '{random_.choice(WORDS)}.{i}@example.org', "
                   f"'19{random_.randrange(50, 99)}-0{random_.randrange(1, 9)}-1{i % 10}', "
                   f"'{{{tags}}}', '{{\"vip\": {str(i % 7 == 0).lower()}, \"n\": {i}}}', {i * 0.37})")
    client.prepare("order", "insert into orders (customer_id, placed, note) values ($1, $2, $3) "
                   "returning id")
    client.prepare("line", "insert into lines values ($1, $2, $3, $4, $5)")
    for i in range(1, 2001):
        client.sql("begin")
        client.execute("order", random_.randrange(1, 1501),
                       f"2024-{random_.randrange(1, 13):02}-{random_.randrange(1, 28):02} 10:0{i % 10}",
                       None if i % 3 else names(random_, 4))
        for position, sku in enumerate(random_.sample(range(600), 3)):
            client.execute("line", i, position, f"SKU-{sku:05}", random_.randrange(1, 12),
                           f"{random_.random() * 50:.2f}")
        client.sql("commit")
    copy_in(client, "copy events from stdin", [
        f"{i}\t2024-{1 + i % 12:02}-{1 + i % 27:02} 0{i % 10}:15:00+00\t"
        f"{('click', 'view', 'buy', 'leave')[i % 4]}\t10.{i % 200}.3.{i % 250}\t"
        f'{{"ok": {str(i % 3 == 0).lower()}, "page": "/{WORDS[i % 26]}", "items": [{i % 7}, {i % 5}]}}\t'
        f"00:00:0{i % 10}.{i % 1000}\n" for i in range(20_000)])
    client.each("vacuum (analyze) orders;\nanalyze;")


def application(client: Client, random_: random.Random, rounds: int) -> None:
    """What requests of a web application do, one after the other."""
    client.sql("deallocate all")
    client.prepare("by_id", "select * from customers where id = $1")
    client.prepare("recent", "select id, placed, state, total from orders where customer_id = $1 "
                   "order by placed desc limit 10")
    client.prepare("basket", "select l.*, p.title, p.price from lines l join products p using (sku) "
                   "where order_id = $1 order by position")
    client.prepare("total", "update orders set total = order_total(id) where id = $1")
    client.prepare("advance", "update orders set state = $2::status where id = $1")
    client.prepare("stock", "update products set stock = stock - $2 where sku = $1 and stock >= $2")
    client.prepare("upsert", "insert into products (sku, title, price) values ($1, $2, $3) on conflict "
                   "(sku) do update set price = excluded.price, title = products.title || '' returning sku")
    client.prepare("tick", "select $1::int + 1")
    for i in range(rounds):
        customer, order = random_.randrange(1, 1501), random_.randrange(1, 2001)
        client.execute("by_id", customer)
        client.execute("recent", customer)
        client.execute("basket", order)
        client.execute("tick", i)
        if i % 2 == 0:
            client.sql("begin")
            client.execute("total", order)
            client.execute("stock", f"SKU-{random_.randrange(600):05}", 1)
            client.sql("rollback" if i % 20 == 0 else "commit")
        if i % 3 == 0:
            client.execute("advance", order, random_.choice(("new", "paid", "sent", "returned")))
        if i % 5 == 0:
            client.execute("upsert", f"SKU-{random_.randrange(700):05}", names(random_, 2), i % 90)
            client.one_shot("select count(*), max(total) from orders where customer_id = $1 and placed > $2",
                            customer, "2024-06-01")
        if i % 7 == 0:
            client.sql(f"select name, email from customers where lower(name) like '{WORDS[i % 26]}%' limit 5")
            client.sql(f"delete from lines where order_id = {order} and position = 2")
            client.sql("begin; savepoint a; insert into audit (what) values ('x'); rollback to a; commit")
        if i % 11 == 0:
            client.sql(ERRORS[i // 11 % len(ERRORS)])


def administration(client: Client) -> None:
    client.each("""
create index on lines (price, quantity);
create index on orders (note);
create index on events_1 using gist (source inet_ops);
create materialized view sales as select sku, sum(quantity * price) s from lines group by sku;
create unique index on sales (sku);
refresh materialized view concurrently sales;
alter table customers add column level int default 3;
update customers set level = 1 + (id % 5), score = score * 1.1;
update lines set price = price + 0.01 where quantity % 2 = 0;
alter table customers alter column level type bigint;
create table copy_of as select * from lines;
insert into copy_of select order_id + 100000, position, sku, quantity + 1, price * 2 from lines;
delete from copy_of where quantity % 3 = 1;
insert into copy_of select * from lines where quantity > 3;
vacuum copy_of;
reindex table orders;
cluster lines using lines_pkey;
truncate copy_of;
drop table copy_of;
create temp table scratch (k int primary key, v text);
insert into scratch select g, repeat(md5(g::text), 40) from generate_series(1, 3000) g;
update scratch set v = v || k where k % 10 = 0;
select sum(length(v)), count(distinct substr(v, 1, 2)) from scratch;
create role clerk;
grant select on orders to clerk;
set role clerk;
select count(*) from orders;
reset role;
begin;
declare walk scroll cursor for select * from lines order by order_id, position;
fetch 100 from walk;
move backward 50 in walk;
fetch all from walk;
close walk;
commit;
copy lines to stdout;
copy (select * from customers) to stdout with (format csv, header);
copy (select * from events) to stdout with (format binary);
listen news;
notify news, 'hello';
checkpoint;
set work_mem = '256kB';
select count(*) from (select * from events order by payload ->> 'page', at, id) s;
select k, count(*) from (select md5((g % 20000)::text) k from generate_series(1, 60000) g) s group by k order by 2 desc, 1 limit 3;
set enable_hashjoin = off;
select count(*) from lines l join orders o on o.id = l.order_id;
reset all;
""")


def train(client: Client, seed: int, rounds: int) -> None:
    random_ = random.Random(seed)
    fill(client, random_)
    application(client, random_, rounds)
    for _ in range(2):
        client.each(REPORTS)
    client.each(LEDGER)
    client.each(PLPGSQL)
    administration(client)
    application(client, random_, rounds // 4)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as directory:
        durable = Client(program, "--data-dir", f"{directory}/data")
        train(durable, seed=1, rounds=1500)
        durable.close()
        again = Client(program, "--data-dir", f"{directory}/data")
        again.each(REPORTS)
        again.close()
    memory = Client(program, "--data-dir", "memory://")
    train(memory, seed=2, rounds=4000)
    memory.close()
    conformance = Client(program, "--data-dir", "memory://")
    for path in corpus.files():
        if path.stem != "startup":  # its requests end sessions
            for request in corpus.load(path):
                conformance.exchange(request.payload)
    conformance.close()


if __name__ == "__main__":
    main()
