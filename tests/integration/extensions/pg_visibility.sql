create table t as select g from generate_series(1, 2000) g;
vacuum t;
select all_visible > 0, all_frozen from pg_visibility_map_summary('t');
--> t | 0
update t set g = 0 where g = 1;
select all_visible, all_frozen, pd_all_visible from pg_visibility('t', 0);
--> f | f | f
select count(*) from pg_check_visible('t');
--> 0
select count(*) from pg_check_frozen('t');
--> 0
select pg_visibility_map('pg_namespace_oid_index', 0);
--! 42809
-- after a restart
select count(*) from pg_check_visible('t');
--> 0
