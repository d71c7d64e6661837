-- A database with something of everything that pg_dump knows, for test_dump_sql.py.
create role reader;
create role writer with login;
create schema "Späte Schicht";
comment on schema "Späte Schicht" is $$it's "quoted"; \ and 日本語$$;

create type mood as enum ('sad', 'ok', 'it''s "great"');
create domain positive as integer check (value > 0) default 1 not null;
create type address as (street text, "Haus Nr" integer, zip varchar(10));
create type float_range as range (subtype = float8, subtype_diff = float8mi);

create sequence counter start 5 increment 3 minvalue 2 maxvalue 1000 cycle cache 2;
select nextval('counter'), nextval('counter');

create table fruit (
    id bigint generated always as identity (start with 10) primary key,
    name text not null unique,
    price numeric(10, 2) default 0.5 check (price >= 0),
    doubled numeric generated always as (price * 2) stored,
    feeling mood,
    n positive,
    tags text[] default array['a', 'b'],
    grown address,
    seen timestamptz,
    raw bytea,
    extra jsonb,
    u uuid,
    ip inet,
    bits bit varying(8),
    span int4range,
    f real,
    d double precision,
    iv interval,
    doc tsvector,
    empty text
);
comment on table fruit is 'sweet';
comment on column fruit.name is 'how it is called — 名前';
insert into fruit (name, price, feeling, n, tags, grown, seen, raw, extra, u, ip, bits, span, f, d, iv, doc, empty)
values
    ('apple', 1.25, 'ok', 3, '{x,"y z",NULL}', row('Weg "3"', 4, null), '2020-02-29 12:34:56.789+02',
     '\x00ff5c27', '{"a": [1, null, "ü"]}', '00000000-0000-0000-0000-00000000000a', '10.0.0.1/8', '101',
     '[1,5)', 'NaN', '-Infinity', '1 year 2 days 03:04:05.6', to_tsvector('simple', 'a fat apple'), ''),
    ('tab' || chr(9) || 'newline' || chr(10) || 'backslash\ quote'' "', null, null, 1, null, null, 'infinity',
     '\x', 'null', null, '::1', '', 'empty', 1e-30, 1.7976931348623157e308, '-1 day', null, null),
    ('\.', 0, 'it''s "great"', 2147483647, '{}', row(null, null, null), '-infinity', null, '"\\"', null, null,
     null, null, 0.1, 0.1, null, '', '\N'),
    (E'r\r\nfeed é 😀', 99999999.99, 'sad', 7, '{{1,2},{3,4}}', null, null, '\x0d0a09', '{}', null, null, null,
     '(,)', 0, 5e-324, null, null, null);

create table "Odd ""name""" ("select" int, "Column" text collate "C", primary key ("select", "Column"));
insert into "Odd ""name""" values (1, 'x;y'), (2, '--z');

create table basket (
    id serial primary key,
    fruit bigint not null references fruit (id) on delete cascade deferrable initially deferred,
    parent int references basket (id),
    exclude using gist (box(point(id, id), point(id, id)) with &&)
);
insert into basket (fruit) select id from fruit;
create unique index basket_lower on basket (fruit, (parent + 1)) where parent is not null;
alter table basket add constraint later check (id > 0) not valid;
create statistics basket_stats (dependencies) on fruit, parent from basket;

create table measure (at date not null, city text, value int) partition by range (at);
create table measure_2020 partition of measure for values from ('2020-01-01') to ('2021-01-01');
create table measure_2021 partition of measure for values from ('2021-01-01') to ('2022-01-01')
    partition by list (city);
create table measure_2021_b partition of measure_2021 for values in ('berlin', null);
create table measure_2021_rest partition of measure_2021 default;
create index on measure (city);
insert into measure
    select date '2020-06-01' + g, case g % 3 when 0 then 'berlin' when 1 then 'paris' end, g
    from generate_series(1, 400) g;

create table parent (a int);
create table child (b int) inherits (parent);
insert into child values (1, 2);
create unlogged table passing (a int);

create view cheap with (security_barrier) as select id, name, price from fruit where price < 2 with check option;
create materialized view totals as select count(*) as n, sum(price) as total from fruit;
create view recursive_view as
    with recursive r(n) as (values (1) union all select n + 1 from r where n < 5) select n from r;

create function twice(n integer, out result integer) language plpgsql immutable strict as $body$
declare
    s text := 'it''s $$ "x" \';
begin
    result := n * 2; -- a comment; with a semicolon
end
$body$;
create function sql_body(a int) returns int language sql begin atomic select case when a > 0 then a else -a end; end;
create procedure note(text) language plpgsql as 'begin insert into noted (what) values ($1); end';
create table noted (id serial, what text);
create function on_fruit() returns trigger language plpgsql as $$
begin
    insert into noted (what) values (tg_op || ' ' || new.name);
    return new;
end $$;
create trigger fruit_noted after insert or update of price on fruit for each row
    when (new.price > 1) execute function on_fruit();
alter table fruit disable trigger fruit_noted;
create function concat_state(text, text) returns text language sql as 'select coalesce($1, '''') || $2';
create aggregate joined(text) (sfunc = concat_state, stype = text);
create operator === (leftarg = int, rightarg = int, function = int4eq, commutator = ===);
create cast (address as text) with inout;
create collation german (provider = builtin, locale = 'C.UTF-8');
create text search configuration plain (copy = simple);
create rule quiet as on delete to passing do instead nothing;
create function on_ddl() returns event_trigger language plpgsql as 'begin end';
create event trigger watch on ddl_command_end when tag in ('CREATE TABLE') execute function on_ddl();
alter event trigger watch disable;

alter table fruit enable row level security;
create policy own on fruit for select to reader using (price < 3);
grant select, update (price) on fruit to reader;
grant usage on schema "Späte Schicht" to reader;
grant all on sequence counter to writer with grant option;
alter default privileges for role postgres in schema public grant select on tables to reader;
alter table noted owner to writer;

create table "Späte Schicht".wer as select 'ich' as "Wer?";
select lo_from_bytea(4711, decode(repeat('00ff10', 5000), 'hex'));
comment on large object 4711 is 'large';
grant select on large object 4711 to reader;
create publication pub for table fruit (id, name);
