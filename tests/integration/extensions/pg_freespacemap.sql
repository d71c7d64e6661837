-- not in a dump: the table is written anew
create table t as select g, repeat('x', 100) from generate_series(1, 2000) g;
delete from t where g > 10 and g <= 1000;
vacuum t;
select count(*) > 5 from pg_freespace('t') where avail > 4000;
--> t
select pg_freespace('t', 0) < pg_freespace('t', 5);
--> t
select pg_freespace('t', -1);
--! 22023
-- after a restart
select count(*) > 5 from pg_freespace('t') where avail > 4000;
--> t
