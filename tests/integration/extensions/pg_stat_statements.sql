-- preload
select pg_stat_statements_reset() is not null;
--> t
select 1 + 2 as three;
--> 3
select 3 + 4 as three;
--> 7
select calls, rows, query from pg_stat_statements where query like 'select $1 + $2%';
--> 2 | 2 | select $1 + $2 as three
select dealloc from pg_stat_statements_info;
--> 0
-- after a restart
select count(*) from (select 5 + 6 as three) s;
--> 1
select count(*) from pg_stat_statements where query like '%as three) s%';
--> 1
