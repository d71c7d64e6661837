create table t as select g from generate_series(1, 5000) g;
select count(*) > 20 from pg_buffercache where relfilenode = pg_relation_filenode('t');
--> t
select buffers_used > 0, buffers_unused >= 0, usagecount_avg > 0 from pg_buffercache_summary();
--> t | t | t
select sum(buffers) = (select setting::int from pg_settings where name = 'shared_buffers') from pg_buffercache_usage_counts();
--> t
-- after a restart
select count(*) from t;
--> 5000
select count(*) > 20 from pg_buffercache where relfilenode = pg_relation_filenode('t');
--> t
