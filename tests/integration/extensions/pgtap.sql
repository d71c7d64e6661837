select plan(3);
--> 1..3
select ok(1 = 1, 'one is one');
--> ok 1 - one is one
select is(6 * 7, 42, 'the answer');
--> ok 2 - the answer
select throws_ok('select 1/0', '22012');
--> ok 3 - threw 22012
select * from finish();
select has_table('pg_catalog', 'pg_class', 'there'), hasnt_column('pg_catalog', 'pg_class', 'nothing', 'not there');
--> ok 4 - there | ok 5 - not there
create table t (id int primary key, v text not null);
-- after a restart
select * from no_plan();
select col_is_pk('t', 'id'), col_not_null('t', 'v'), col_type_is('t', 'v', 'text');
--> ok 1 - Column t(id) should be a primary key | ok 2 - Column t.v should be NOT NULL | ok 3 - Column t.v should be type text
select * from finish();
--> 1..3
