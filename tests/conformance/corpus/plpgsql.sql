-- PL/pgSQL: functions, procedures, DO, control flow, exceptions, cursors, dynamic SQL.
create function add(a int, b int default 10) returns int language plpgsql as $$
begin
  return a + b;
end $$;
select add(1), add(1, 2), add(b => 5, a => 4);
select add();
select add('x');
create function fact(n int) returns numeric language plpgsql immutable strict as $$
begin
  if n < 0 then
    raise exception 'negative: %', n using errcode = '22003', hint = 'be positive', detail = 'n was negative';
  elsif n <= 1 then
    return 1;
  end if;
  return n * fact(n - 1);
end $$;
select fact(20), fact(null);
select fact(-1);
select fact(3 - 5) from generate_series(1, 2);
create function loops(out a int, out b text, inout c int) language plpgsql as $$
declare
  i int;
  r record;
  arr int[] := '{3,1,2}';
  x int;
begin
  a := 0; b := '';
  for i in 1..5 loop
    continue when i = 2;
    exit when i > 4;
    a := a + i;
  end loop;
  for i in reverse 10..1 by 3 loop b := b || i || ','; end loop;
  foreach x in array arr loop c := c * 10 + x; end loop;
  <<outer>>
  while true loop
    loop
      exit outer when a > 20;
      a := a + 7;
    end loop;
  end loop;
  for r in select g as n, 'r' || g as s from generate_series(1, 3) g loop
    b := b || r.s;
  end loop;
  case c % 3 when 0 then b := b || ' zero'; when 1, 2 then b := b || ' other'; end case;
end $$;
select * from loops(1);
create function tab(n int) returns table (id int, sq int) language plpgsql as $$
begin
  for id in 1..n loop
    sq := id * id;
    return next;
  end loop;
  return query select -1, g from generate_series(1, 2) g;
  return query execute 'select $1, $2' using 100, 200;
end $$;
select * from tab(3);
create function setof_text() returns setof text language plpgsql as $$ begin return next 'a'; return next null; return; end $$;
select setof_text();
do $$ begin raise notice 'hello % and %%', 'world'; raise warning 'w'; raise info 'i'; raise log 'l'; raise debug 'd'; end $$;
do $$ begin raise exception 'plain'; end $$;
do $$ begin raise division_by_zero; end $$;
do $$ begin raise sqlstate 'AB123' using message = 'custom', column = 'c', constraint = 'k', datatype = 'd', table = 't', schema = 's'; end $$;
do $$ begin raise notice 'few %'; end $$;
do $$ begin raise; end $$;
do $$
declare
  st text; msg text; det text; hnt text; ctx text;
begin
  begin
    perform 1 / 0;
  exception when division_by_zero then
    get stacked diagnostics st = returned_sqlstate, msg = message_text, det = pg_exception_detail, hnt = pg_exception_hint, ctx = pg_exception_context;
    raise notice '% | % | % | % | %', st, msg, det, hnt, ctx;
  end;
  begin
    insert into nope values (1);
  exception
    when unique_violation or check_violation then raise notice 'no';
    when others then raise notice 'others: % %', sqlstate, sqlerrm;
  end;
end $$;
create table log (id int generated always as identity, msg text);
create table uq (a int primary key);
create procedure proc(inout n int) language plpgsql as $$
declare cnt int;
begin
  insert into log (msg) values ('start ' || n);
  commit;
  begin
    insert into uq values (n);
    insert into uq values (n);
  exception when unique_violation then
    insert into log (msg) values ('dup ' || n);
  end;
  rollback;
  insert into log (msg) values ('after rollback');
  get diagnostics cnt = row_count;
  n := n + cnt;
end $$;
call proc(5);
begin; call proc(6); commit;
rollback;
select msg from log order by id;
select count(*) from uq;
do $$
declare
  cur cursor (lo int) for select g from generate_series(1, 10) g where g > lo;
  rc refcursor;
  v int; total int := 0;
begin
  open cur(7);
  loop fetch cur into v; exit when not found; total := total + v; end loop;
  close cur;
  open rc scroll for execute 'select generate_series(1, 5)';
  move forward 2 from rc;
  fetch rc into v; raise notice 'total % v %', total, v;
  fetch last from rc into v; raise notice 'last %', v;
  close rc;
  for r in cur(8) loop raise notice 'row %', r.g; end loop;
end $$;
create function rc() returns refcursor language plpgsql as $$ declare c refcursor := 'mycur'; begin open c scroll for select generate_series(1, 4); return c; end $$;
begin; select rc(); fetch 2 from mycur; fetch backward 1 from mycur; fetch absolute 4 from mycur; commit;
do $$
declare r record; t uq%rowtype; a uq.a%type := 3; j jsonb := '{"x":[1,2]}'; n constant int := 5;
begin
  execute 'select $1 + $2 as s' into r using 1, 2;
  raise notice '%', r.s;
  select 1 as one, 'two' as two into r;
  raise notice '% %', r, r.two;
  select * into t from uq where uq.a = -1;
  raise notice 'found % t %', found, t;
  j['x'][0] := '"new"';
  raise notice '%', j;
  execute format('create table %I (a int)', 'dyn table');
  execute 'insert into "dyn table" values ($1) returning a' into strict a using 42;
  raise notice '%', a;
  assert a = 42, 'never';
  assert a = 43, 'a was ' || a;
end $$;
do $$ declare n constant int := 5; begin n := 6; end $$;
do $$ declare n int not null := null; begin end $$;
do $$ declare v int; begin select g into strict v from generate_series(1, 2) g; end $$;
do $$ declare v int; begin select g into strict v from generate_series(1, 0) g; end $$;
do $$ declare r record; begin raise notice '%', r.x; end $$;
do $$ declare v int := 'abc'; begin end $$;
do $$ begin case 5 when 1 then null; end case; end $$;
do $$ begin return 1; end $$;
do $$ begin select 1; end $$;
do $$ begin commit; savepoint x; end $$;
create function bad() returns int language plpgsql as $$ begin retrun 1; end $$;
create function bad() returns int language plpgsql as $$ begin if true then return 1; end $$;
create function bad() returns int language plpgsql as $$ declare x int; x text; begin return 1; end $$;
create function bad() returns int language plpgsql as $$ begin return undefined_var + 1; end $$;
select bad();
create function noret() returns int language plpgsql as $$ begin end $$;
select noret();
create function amb(id int) returns int language plpgsql as $$ begin return (select id from log where log.id = id limit 1); end $$;
select amb(1);
create function poly(a anyelement, b anyelement) returns anyarray language plpgsql as $$ begin return array[a, b]; end $$;
select poly(1, 2), poly('a'::text, 'b'), poly(1.5, 2.5);
select poly(1, 'x'::text);
create function vari(variadic nums numeric[]) returns numeric language plpgsql as $$ begin return (select sum(n) from unnest(nums) n); end $$;
select vari(1, 2, 3.5), vari(variadic array[1, 2]);
create function inf(n int) returns int language plpgsql as $$ begin return inf(n + 1); end $$;
create function fib(n int) returns int language plpgsql as $$ begin return case when n < 2 then n else fib(n - 1) + fib(n - 2) end; end $$;
select fib(15);
do $$ declare s bigint := 0; begin for i in 1..20000 loop s := s + i; end loop; raise notice '%', s; end $$;
do $$ begin for i in 1..30 loop begin perform 1 / (i % 3); exception when others then raise notice 'caught at %', i; end; end loop; end $$;
create function nested() returns text language plpgsql as $$
begin
  begin
    begin
      raise exception 'inner';
    exception when others then
      raise exception 'middle from %', sqlerrm;
    end;
  exception when others then
    return 'outer got: ' || sqlerrm;
  end;
end $$;
select nested();
create function secdef() returns text language plpgsql security definer set work_mem = '1MB' as $$ begin return current_setting('work_mem'); end $$;
select secdef(), current_setting('work_mem');
do $$ begin perform set_config('myapp.x', 'y', false); raise notice '%', current_setting('myapp.x'); end $$;
select proname, prokind, provolatile, proisstrict, prosecdef, pg_get_function_arguments(oid), pg_get_function_result(oid) from pg_proc where pronamespace = 'public'::regnamespace order by proname;
select pg_get_functiondef('add'::regproc);
do language nope $$ $$;
create function c_func() returns int language c as 'nope', 'f';
create function internal_func(int4) returns int4 language internal as 'int4abs';
select internal_func(-4);
create function internal_bad() returns int4 language internal as 'nope';
drop function add;
drop function add(int, int);
drop procedure proc;
drop routine fact;
drop function tab(text);
